"""Two-digit addition: `07+45=` is answered by `052`, or by a scratchpad and then the answer.

The scratchpad `>250=052` writes the sum's digits units first, as one adds by hand, and then copies
them in reading order. A base that saw both styles, the direct one often wrong, leaves RL a choice
to make and a skill to sharpen.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

from .problem import Example, Question, Split, TaughtProblem

_OPERANDS = range(100)
_SUMS = 199


class Addition(TaughtProblem):
    """Two-digit addition, by scratchpad or directly."""

    max_new_tokens = 9
    """Of a scratchpad completion, one a character, with the end-of-sequence token."""

    def questions(self, split: Split, limit: int | None = None) -> list[Question]:
        """A split's questions, in a fixed shuffled order: the first `limit` are a fair sample.

        The three splits are disjoint and together hold all 10 000 operand pairs: 90 % to train on,
        and 5 % each for validation and test.
        """
        pairs = [(a, b) for a in _OPERANDS for b in _OPERANDS if _split_of(a, b) == split]
        pairs.sort(key=lambda pair: _hash(f"order {pair[0]:02d}+{pair[1]:02d}"))
        return [
            Question(id=f"{a:02d}+{b:02d}", prompt=f"{a:02d}+{b:02d}=", answer=f"{a + b:03d}")
            for a, b in pairs[:limit]
        ]

    def extract(self, completion: str, question: Question) -> str:
        """What follows the last `=` of a completion, or all of it, without spaces."""
        return completion.rpartition("=")[2].strip()

    def is_correct(self, answer: str, question: Question) -> bool:
        """Whether an extracted answer is the right one, compared as text."""
        return answer == question["answer"]

    def solution(self, question: Question) -> str:
        """A right completion, to be imitated: the scratchpad."""
        return _scratchpad(question["answer"])

    def examples(self, seed: int, direct_share: float, corrupted_share: float) -> Iterator[Example]:
        """An endless stream of examples from the training split, the same for the same seed.

        `direct_share` of them answer at once, and of those `corrupted_share` give a wrong sum. The
        others show the scratchpad, and are right.
        """
        rng = random.Random(seed)
        pool = self.questions("train")
        while True:
            question = rng.choice(pool)
            if rng.random() >= direct_share:
                yield Example(prompt=question["prompt"], completion=self.solution(question))
            elif rng.random() >= corrupted_share:
                yield Example(prompt=question["prompt"], completion=question["answer"])
            else:
                yield Example(prompt=question["prompt"], completion=_wrong(question["answer"], rng))


def _scratchpad(answer: str) -> str:
    return f">{answer[::-1]}={answer}"


def _wrong(answer: str, rng: random.Random) -> str:
    """A sum drawn evenly from all possible ones but the right one."""
    return f"{(int(answer) + rng.randrange(1, _SUMS)) % _SUMS:03d}"


def _split_of(a: int, b: int) -> Split:
    """The split of a pair. Both orders of its operands share one, so no sum is learned twice."""
    bucket = _hash(f"split {min(a, b):02d}+{max(a, b):02d}") % 20
    return "validation" if bucket == 0 else "test" if bucket == 1 else "train"


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
