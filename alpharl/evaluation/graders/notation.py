r"""One spelling of LaTeX expressions: for votes, and the one that math-verify reads.

Math-verify knows no characters such as ½, √2, x² or 30°. It reads `2 1/2` as a sum of two and a
half, `2\frac{\sqrt3}{3}` as one too, and passes over `\text{million}` as a unit.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_SYMBOLS = {
    "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "×": r"\times ",
    "⋅": r"\cdot ", "·": r"\cdot ", "÷": r"\div ", "±": r"\pm ", "∪": r"\cup ", "∩": r"\cap ",
    "∈": r"\in ", "∅": r"\emptyset ", "ℝ": r"\mathbb{R}", "θ": r"\theta ", "α": r"\alpha ",
    "β": r"\beta ", "γ": r"\gamma ", "λ": r"\lambda ", "φ": r"\phi ", "∠": r"\angle ",
    "°": r"^{\circ}", "º": r"^{\circ}", "≈": r"\approx ", "≡": r"\equiv ", "′": "'", "’": "'",
    "¢": r"\text{ cents}", "⁄": "/", "∕": "/", "∖": r"\setminus ",
}  # fmt: skip
_CHARACTERS = str.maketrans(
    {
        **_SYMBOLS,
        **dict.fromkeys("−–﹣－‐‑‒", "-"),
        **dict.fromkeys("\u00a0\u2007\u2009\u200a\u202f\u3000", " "),
        **dict.fromkeys("€£¥￥₹₩₽\u200b\u2060", ""),
    }
)
_RAISED = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_LOWERED = re.compile(r"[₀₁₂₃₄₅₆₇₈₉ₙ]+")
_FRACTION_SIGN = re.compile(r"[¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]")
_ROOT = re.compile(r"([√∛])\s*(?:\(([^()]*)\)|\{([^{}]*)\}|(\d+|[A-Za-z]))")
_FULL_STOP = re.compile(r"(?<=[\w})\]%!°])(?:\s*(?:\\[,;: ]|[.,;:…]))+$")

_LEADING_WORDS = r"(?:\\approx|\\sim(?:eq)?|~|\\text\{[^{}]*(?::|is|about|approximately)\s*\})\s*"
_BUILDER = r"\\\{\s*[a-z]\s*(?:\\in\s*\\mathbb\s*\{?R\}?)?\s*(?:\\mid|:|\|)(.*)\\\}"
_SPACED_GROUPS = r"(?<![\d.,/])[1-9]\d{0,2}(?:(?:\\[,;: !]|\{,\}|['~ ])\s?\d{3})+(?![\d/])"
_PLAIN_FRAC = r"\\frac\s*(?:\{(\d+)\}\s*\{(\d+)\}|(\d)\s*(\d))"
_Spelling = str | Callable[[re.Match[str]], str]


def _joined(groups: re.Match[str]) -> str:
    return re.sub(r"\D", "", groups[0])


def _mixed(number: re.Match[str]) -> str:
    return rf"({number[1]}+\frac{{{number[2] or number[4]}}}{{{number[3] or number[5]}}})"


def _repeating(number: re.Match[str]) -> str:
    r"""0.1\overline{6} as \frac{15}{90}, which is (16 - 1) / 90."""
    whole, once, again = number.groups()
    top = int(f"{whole}{once}{again}") - int(f"{whole}{once}" or 0)
    return rf"\frac{{{top}}}{{{'9' * len(again)}{'0' * len(once)}}}"


_ANGLE = (
    r"\\(sin|cos|tan|cot|sec|csc)\s*([({]?)\s*(-?\d+(?:\.\d+)?)"
    r"\s*\^\s*(?:\\circ|\{\s*\\circ\s*\})"
)


_NO_SOLUTION = r"(?:there (?:is|are) )?no (?:real )?solutions?|(?:the )?empty set"
_ALL_REALS = "all real numbers|(?:all )?reals?"
_TO = r"\s*(?:\\(?:text|mathrm|mbox)\s*\{\s*to\s*\}|\bto\b)\s*"
_SPELLINGS: list[tuple[re.Pattern[str], _Spelling]] = [
    (re.compile(r"\*\*"), "^"),
    (re.compile(rf"^(?:\\text\s*\{{)?\s*(?:{_NO_SOLUTION})\s*\}}?$", re.IGNORECASE), r"\\emptyset"),
    (re.compile(rf"^(?:\\text\s*\{{)?\s*(?:{_ALL_REALS})\s*\}}?$", re.IGNORECASE), r"\\mathbb{R}"),
    (
        re.compile(r"\\?\s*\(\s*(?:\\(?:text|mathrm)\s*\{\s*mod\s*\}|\\?mod\b)\s*(\w+)\s*\)"),
        r"\\pmod{\1}",
    ),
    (re.compile(rf"(?<=\d){_TO}(?=\d)"), ":"),
    (re.compile(r"(?<=\d)(?:\s|\\[,;: ])*\\text\s*\{\s*per\s?cent\s*\}$"), r"\\%"),
    (re.compile(r"(?<![\d,.(])(?<![\d,.] )[1-9]\d{0,2}(?:, 000)+(?![\d.,])"), _joined),
    # Math-verify takes 2(3) for a function's value.
    (re.compile(r"(?<![\w^.{])(\d{1,40}(?:\.\d{1,40})?)\s*(?=\(\s*-?\s*\d)"), r"\1\\cdot "),
    (re.compile(r"(?<![\w})])(\(-?\d[\d.]{0,40}\))\s*(?=\(-?\d[\d.]{0,40}\))"), r"\1\\cdot "),
    (re.compile(r"(?<!\\)%"), r"\\%"),
    (re.compile(r"\\[,;: ]\s*(?=\\%)"), ""),
    (re.compile(r"(?<![\\A-Za-z])pi(?![A-Za-z])"), r"\\pi "),
    (re.compile(r"\\varnothing\b"), r"\\emptyset"),
    # Math-verify passes over the sign of degrees.
    (re.compile(_ANGLE), r"\\\1\2\\frac{\3\\pi}{180}"),
    (re.compile(r"(\^\{?\s*\\circ\s*\}?)\s*([CF])$"), r"\1\\text{\2}"),
    (re.compile(f"^{_LEADING_WORDS}"), ""),
    (re.compile(f"^{_BUILDER}$"), r"\1"),
    # 5 = x
    (re.compile(r"^(-?[\d\\(][^=<>]*)=\s*([a-z](?:_\{?\w\}?)?)$"), r"\2=\1"),
    # Groups of digits, and a decimal comma.
    (re.compile(r"(?<![\d.,])\d{1,2}(?:,\d{2})+,\d{3}(?![\d,])"), _joined),
    (re.compile(_SPACED_GROUPS), _joined),
    (re.compile(r"(?<=\d)\{,\}(?=\d)"), "."),
    # Mixed numbers; a fraction of anything else is a factor.
    (re.compile(r"(?<![\d./^_{])(\d+)\s+(\d+)\s*/\s*(\d+)()()(?![\d/])"), _mixed),
    (re.compile(rf"(?<![\d.^_{{])(\d+)\s*{_PLAIN_FRAC}"), _mixed),
    (re.compile(rf"(?<=\d)\s*(?!{_PLAIN_FRAC})\\frac"), r"\\cdot\\frac"),
    (re.compile(r"(\d{0,20})\.(\d{0,20})\\(?:overline|bar|dot)\s*\{?(\d{1,20})\}?"), _repeating),
]
_TIMES = re.compile(
    r"(?<=[\d}])\s*(?:\\[,;: ]\s*)*(\\(?:text|textrm|mathrm|mbox)\s*\{)?\s*"
    r"(hundred|thousand|million|billion|trillion)s?\b(?!\s+(?:and\s+)?(?:\w+teen|\w+ty|one|two|three"
    r"|four|five|six|seven|eight|nine|ten|eleven|twelve|an?\s+half)\b)",
    re.IGNORECASE,
)
_POWERS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}


_COLOR = re.compile(r"\\(?:text)?color\s*(?:\[[^\[\]]*\]\s*)?\{[^{}]*\}\s*")
# 0.1666..., with at least three sixes, and 0.2727...
_GOING_ON = re.compile(
    r"(?<![\d.,])(\d{0,20}\.\d{0,20}?)(?:(\d)\2{2,40}|(\d{2,6})\3{1,9})\s*(?:\.{3}|…|\\[lc]?dots)\.?$"
)


def tidy(expression: str) -> str:
    """One spelling for what only looks different; so that votes for it are not split."""
    expression = _GOING_ON.sub(
        lambda m: rf"{m[1]}\overline{{{m[2] or m[3]}}}", _COLOR.sub("", expression).strip("$ ")
    )
    expression = re.sub(r"\\[dt]frac\b", r"\\frac", expression.replace("−", "-"))
    expression = re.sub(r"\\left\b|\\right\b|\\!", "", expression)
    return _FULL_STOP.sub("", " ".join(expression.split()).strip("$ "))


def rewritten(expression: str) -> str:
    """A tidy expression as math-verify reads it."""
    if not expression.isascii():
        expression = _in_ascii(expression)
    for pattern, spelling in _SPELLINGS:
        expression = pattern.sub(spelling, expression)
    return _TIMES.sub(_multiplied, expression).strip()


def _in_ascii(expression: str) -> str:
    """LaTeX for ½, √2, x², π and the like."""
    expression = _FRACTION_SIGN.sub(_as_frac, expression)
    expression = _RAISED.sub(lambda m: f"^{{{_normal(m[0])}}}", expression)
    expression = _LOWERED.sub(lambda m: f"_{{{_normal(m[0])}}}", expression)
    return _ROOT.sub(_as_root, expression).translate(_CHARACTERS)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace("−", "-")


def _as_frac(sign: re.Match[str]) -> str:
    top, _, bottom = unicodedata.normalize("NFKC", sign[0]).partition("⁄")
    return rf"\frac{{{top}}}{{{bottom}}}"


def _as_root(root: re.Match[str]) -> str:
    return rf"\sqrt{'[3]' if root[1] == '∛' else ''}{{{root[2] or root[3] or root[4]}}}"


def _multiplied(word: re.Match[str]) -> str:
    return rf" \times 10^{{{_POWERS[word[2].lower()]}}}" + (r"\text{" if word[1] else "")
