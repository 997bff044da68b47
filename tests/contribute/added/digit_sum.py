"""The sum of four digits: `4719:` is answered by `21`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product

from alpharl.problems.problem import Example, Question, Split, TaughtProblem


class DigitSum(TaughtProblem):
    """A problem that a base can be taught, since it makes examples too."""

    max_new_tokens = 3

    def questions(self, split: Split, limit: int | None = None) -> list[Question]:
        """Of 10 000 in a fixed order, 200 each for validation and test, the others to train on."""
        digits = list(product(range(10), repeat=4))
        random.Random(0).shuffle(digits)
        parts = {"validation": digits[:200], "test": digits[200:400], "train": digits[400:]}
        texts = [("".join(map(str, part)), sum(part)) for part in parts[split][:limit]]
        return [Question(id=text, prompt=f"{text}:", answer=f"{s:02d}") for text, s in texts]

    def extract(self, completion: str, question: Question) -> str:
        """All of it."""
        return completion.strip()

    def is_correct(self, answer: str, question: Question) -> bool:
        """Whether it is the sum."""
        return answer == question["answer"]

    def solution(self, question: Question) -> str:
        """The sum."""
        return question["answer"]

    def examples(self, seed: int, direct_share: float, corrupted_share: float) -> Iterator[Example]:
        """All answer at once; those that are corrupted have another question's answer."""
        rng, pool = random.Random(seed), self.questions("train")
        while True:
            question, other = rng.sample(pool, 2)
            answered = other if rng.random() < direct_share * corrupted_share else question
            yield Example(prompt=question["prompt"], completion=answered["answer"])
