"""Any generator of reasoning-gym as a problem: `rg-products`, `rg-gcd`, `rg-letter_counting`, ...

Its own grader decides (github.com/open-thought/reasoning-gym, Apache-2.0); an answer is right where
that gives full credit. The library takes seconds to load, and is an extra: it is imported on use.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import islice
from typing import Any

from alpharl.errors import EvaluationError, nearest

from .extraction import extract_answer, is_number
from .problem import Problem, Question, Split

PREFIX = "rg-"
INSTRUCTION = "Write your final answer between <answer> and </answer>."

_MOST = 2000
"""Questions per split at most."""
_DRAWS = 10_000
"""Draws for a split at most: small spaces of questions are used up, and slow generators end."""
_FULL = 1.0 - 1e-6
_UNSET = ("size",)
"""Options of every generator that the splits decide."""

_CHANGING = "its questions change with Python's hash seed, from process to process"
_RUNS_CODE = "its grader runs the answer as Python code"
_NO_ANSWER = "its grader does not take its own answer for right once it is stored as JSON"
UNFIT = {
    **dict.fromkeys(
        ("isomorphic_strings", "knight_swap", "list_functions", "ransom_note", "word_ladder"),
        _CHANGING,
    ),
    **dict.fromkeys(
        ("intermediate_integration", "polynomial_multiplication", "simple_integration"), _RUNS_CODE
    ),
    **dict.fromkeys(
        ("arc_agi", "boxnet", "graph_color", "propositional_logic", "rearc", "rubiks_cube",
         "rush_hour"), _NO_ANSWER,
    ),
    "composite": "it only mixes other generators: name them as tasks of their own",
    "game_of_life_halting": "its grader takes any text for right where the answer is False",
}  # fmt: skip
"""Generators that are refused, and why: as found in version 0.1.25."""

_ARITHMETIC = re.compile(r"(?:[\d+\-*/(). ](?!(?<=\*)\*)){1,200}")
_LETTERS = re.compile(r"[A-Z]{1,1000}")
_DIGITS = re.compile(r"[\d\s-]{1,10000}")
_BOARD = re.compile(r"[Q_\s]{1,10000}")
_EVALUATED = {
    "countdown": _ARITHMETIC, "puzzle24": _ARITHMETIC, "string_insertion": _LETTERS,
    "spiral_matrix": _DIGITS, "binary_matrix": _DIGITS, "n_queens": _BOARD,
}  # fmt: skip
"""Graders that evaluate an answer as Python, and all that may reach them: no names to call, no
powers. What is left out could earn partial credit at most."""


@dataclass(frozen=True)
class GymProblem(Problem):
    """One generator with its options."""

    generator: str
    options: Mapping[str, Any]

    stop = ("</answer>",)

    def questions(self, split: Split, limit: int | None = None) -> list[Question]:
        """A split's questions, as they are drawn, without repetitions.

        A question's text alone decides its split, so the splits share none, whatever the options:
        half of all are to train on, a quarter each for validation and test. At most 2000, and what
        10 000 draws hold.
        """
        return list(islice(self._stream(split), min(limit or _MOST, _MOST)))

    def extract(self, completion: str, question: Question) -> str:
        """The answer that a completion gives; only its number where the right one is a number."""
        return extract_answer(completion, is_number(question["answer"]))

    def is_correct(self, answer: str, question: Question) -> bool:
        """Whether the grader of the question's generator gives an extracted answer full credit."""
        entry = json.loads(question["entry"])
        allowed = _EVALUATED.get(entry["generator"])
        if allowed and not allowed.fullmatch(answer):
            return False
        grader = _dataset(entry["generator"], _text(entry["options"]))
        try:
            return float(grader.score_answer(answer, entry)) >= _FULL
        except Exception:  # Many graders trip over answers that are no numbers.
            return False

    def solution(self, question: Question) -> str:
        """The right answer alone, as the instruction wants it."""
        return f"<answer>{question['answer']}</answer>"

    def _stream(self, split: Split) -> Iterator[Question]:
        made, seen = _dataset(self.generator, _text(self.options)), set()
        for index in range(_DRAWS):
            item = made[index]
            text = str(item["question"])
            if text not in seen and _split_of(text) == split:
                seen.add(text)
                if str(item["answer"]).strip():  # `ab` has some that nothing answers
                    yield self._question(item)

    def _question(self, item: Mapping[str, Any]) -> Question:
        content = {key: item[key] for key in ("question", "answer", "metadata")}
        entry = {"generator": self.generator, "options": dict(self.options), **content}
        text = str(item["question"]).strip()
        return Question(
            id=hashlib.sha256(str(item["question"]).encode()).hexdigest()[:16],
            prompt=f"{text}\n{INSTRUCTION}\n",
            answer=str(item["answer"]),
            # Fractions and the like in metadata, which no grader reads, become text.
            entry=json.dumps(entry, default=str),
        )


def gym_problem(generator: str, options: Mapping[str, Any]) -> GymProblem:
    """A generator's problem.

    Raises:
        EvaluationError: reasoning-gym is not installed, has no such generator or not this option,
            or the generator cannot be used; one line that names the nearest valid ones.
    """
    _require(generator, options)
    _dataset(generator, _text(options))
    return GymProblem(generator, options)


def generators() -> list[str]:
    """Names of all generators that can be used.

    Raises:
        EvaluationError: reasoning-gym is not installed.
    """
    return sorted(set(_registry()) - set(UNFIT))


def _registry() -> dict[str, tuple[Any, Any]]:
    """Name to generator and its config class."""
    try:
        from reasoning_gym.factory import DATASETS
    except ImportError:
        raise EvaluationError(
            "found no reasoning-gym, which tasks 'rg-...' need; "
            "run: pip install 'alpharl[reasoning-gym]'"
        ) from None
    registry: dict[str, tuple[Any, Any]] = DATASETS
    return registry


def _require(generator: str, options: Mapping[str, Any]) -> None:
    if generator in UNFIT:
        raise EvaluationError(f"{PREFIX}{generator} cannot be used: {UNFIT[generator]}")
    known = _registry()
    if generator not in known:
        names = [PREFIX + name for name in generators()]
        hint = nearest(PREFIX + generator, names)
        raise EvaluationError(f"unknown generator '{PREFIX}{generator}', {hint}")
    valid = [field.name for field in fields(known[generator][1]) if field.name not in _UNSET]
    for key in options:
        if key not in valid:
            raise EvaluationError(
                f"{PREFIX}{generator}: unknown option '{key}', {nearest(key, valid)}"
            )


@lru_cache(maxsize=64)
def _dataset(generator: str, options: str) -> Any:
    """A generator made with options (JSON); questions by index, the same in every process."""
    import reasoning_gym

    given = {"seed": 0, **json.loads(options)}
    try:
        return reasoning_gym.create_dataset(generator, size=_DRAWS, **given)
    except Exception as error:  # Checks of values are assertions, and what misuse raises.
        reason = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise EvaluationError(
            f"{PREFIX}{generator}: options {options} are refused ({reason}); change them"
        ) from None


def _text(options: Mapping[str, Any]) -> str:
    return json.dumps(dict(options), sort_keys=True)


def _split_of(text: str) -> Split:
    digest = hashlib.sha256(f"split {text}".encode()).digest()
    splits: tuple[Split, ...] = ("train", "train", "validation", "test")
    return splits[digest[0] % 4]
