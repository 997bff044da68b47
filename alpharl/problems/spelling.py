r"""One plain spelling of numbers in text and LaTeX, for `numerals` to read.

For example `\$1\,018`, `-\dfrac{3}{4}`, `2½`, `1.5 × 10⁶` and `30^\circ` become `1 018`, `-3/4`,
`2 1/2`, `1.5 * 10^{6}` and `30`.
"""

from __future__ import annotations

import re
import unicodedata

_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("−–﹣－‐‑‒", "-"),
        **dict.fromkeys("\u00a0\u2007\u2009\u200a\u202f\u2002\u2003\u3000~", " "),
        **dict.fromkeys("%％°º€£¥￥₹₩₽₺₦฿¢\u200b\u2060", ""),
        **dict.fromkeys("’‘′ʼ＇", "'"),
        "٬": ",",
        **dict.fromkeys("×✕⋅·∙∗", "*"),
        **dict.fromkeys("⁄∕／", "/"),
        **dict.fromkeys("≈≃≅∼＝", "="),
        **dict.fromkeys("：∶", ":"),
    }
)
# 30°15' and 5€30 are two numbers.
_APART = re.compile(r"(?<=\d)(?:[°º€£¥]|\\?[%$])(?=\d)")
_FRACTION_SIGN = re.compile(r"(\d?)([¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])")
_SUPERSCRIPTS = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_EMPHASIS = re.compile(r"__|(?<![\w\\})\]])_(?=\d)|(?<=\d)_(?!\w|\{)")
_TAG = re.compile(r"</?[A-Za-z]{1,8}>")
_BILLIONS = re.compile(r"(?<=\d)B\b")
# US$18: no letter stays next to the digits.
_CURRENCY = re.compile(r"(?<=[A-Za-z])\\?\$")
_ENDS = r"(?![A-Za-z])"
"""The end of a command, which a digit may follow: `\\times10`."""
_NO_NUMBER = (
    "[Bb]igg?[lr]?|left|right|displaystyle|[Ll]arge|LARGE|[Hh]uge|small|boldsymbol|fbox"
    "|therefore|[lc]?dots"
)
_LATEX = [
    (re.compile(rf"\\!|\\(?:{_NO_NUMBER}){_ENDS}"), ""),
    (re.compile(r"\\(?:text)?color\s*(?:\[[^\[\]]*\]\s*)?\{[^{}]*\}"), ""),
    (re.compile(rf"\\[lr]?vert{_ENDS}|\\\|"), "|"),
    (re.compile(r"\\pmod\s*(?:\{\s*\d+\s*\}|\d)"), ""),
    (re.compile(rf"\^\s*(?:\{{\s*\\circ\s*\}}|\\circ{_ENDS})"), " "),
    (re.compile(r"\\(?:text(?:bf|it|rm)?|math(?:rm|bf)|mbox)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(rf"\\(?:text(?:bf|it|rm)?|math(?:rm|bf|it)|mbox|underline|bf|rm){_ENDS}\s*"), " "),
    (re.compile(rf"\\[,;:> ()\[\]{{}}]|\\q?quad{_ENDS}"), " "),
    (re.compile(rf"\\(?:times|cdot|ast){_ENDS}"), "*"),
    (re.compile(rf"\\(?:approx|simeq|sim|doteq|cong|in){_ENDS}"), "="),
    # Mixed numbers keep their parts apart, also once the fraction is written with a slash.
    (re.compile(r"(?<=\d)\s*(?=\\[dtc]?frac)"), " "),
]
# Braces that hold others hold no number.
_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
_REPEATING = re.compile(r"(?<!\d)(\d{1,50})\.(\d{0,50})\\(?:overline|bar|dot)\s*\{?(\d{1,50})\}?")
_LONE_MINUS = re.compile(r"(^|[=(,:])\s*-\s+(?=[\d.\\])")
_MINUS_WORD = re.compile(r"(?<![\d)] )\b(?:negative|minus)\s+(?=[\d.])", re.IGNORECASE)
_HALF_WORD = re.compile(r"(?<=\d) and (?=\d+/\d)")
_AND_A_HALF = re.compile(
    r"(?<=\d) and (?:a|one) (half|third|quarter|fourth|fifth)\b", re.IGNORECASE
)
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5}
# 18, 000
_SPACED_COMMA = re.compile(r"(?<![\d,.])(?<![\d,.] )[1-9]\d{0,2}(?:, 000)+(?![\d.,])")
_CENTS = re.compile(r"(?<!\d)(\d{1,9}) dollars?,?(?: and)? (\d\d?) cents?\b")


def plain(text: str) -> str:
    """A text whose numbers are spelt as `numerals.NUMBER` reads them."""
    text = _APART.sub(" ", text)
    if not text.isascii():
        text = _SUPERSCRIPTS.sub(lambda m: f"^{{{m[0].translate(_DIGITS)}}}", text)
        text = _FRACTION_SIGN.sub(_with_slash, text).translate(_CHARACTERS)
    else:
        text = text.replace("\\%", "").replace("%", "").replace("~", " ")
    if "$" in text:
        text = _BILLIONS.sub("bn", _CURRENCY.sub(" ", text)).replace("\\$", "").replace("$", "")
    if "{,}" in text:
        text = text.replace("{,}", ",")
    if "\\" in text:
        text = _without_latex(text)
    if "_" in text:
        text = _EMPHASIS.sub("", text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    for pattern, spelt in ((_LONE_MINUS, r"\1-"), (_MINUS_WORD, "-"), (_HALF_WORD, " ")):
        text = pattern.sub(spelt, text)
    text = _AND_A_HALF.sub(lambda m: f" 1/{_PARTS[m[1].lower()]}", text)
    text = _SPACED_COMMA.sub(lambda m: m[0].replace(" ", ""), text)
    return _CENTS.sub(lambda m: f"{m[1]}.{int(m[2]):02d}", text)


def _with_slash(sign: re.Match[str]) -> str:
    return (f"{sign[1]} " if sign[1] else "") + unicodedata.normalize("NFKC", sign[2])


def _without_latex(text: str) -> str:
    for pattern, spelt in _LATEX:
        text = pattern.sub(spelt, text)
    text = _REPEATING.sub(_as_fraction, text)
    return _FRACTION.sub(lambda m: f"{m[1] or m[2]}/{m[3] or m[4]}", text)


def _as_fraction(repeating: re.Match[str]) -> str:
    r"""0.1\overline{6} as 15/90, which is (16 - 1) / 90."""
    whole, once, again = repeating.groups()
    top = int(whole + once + again) - int(whole + once)
    return f"{top}/{'9' * len(again)}{'0' * len(once)}"
