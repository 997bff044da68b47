"""The contract of an engine: token prompts in, answers out as they are done. Torch-free."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from alpharl.variants.store import Variant


@dataclass(frozen=True)
class Decoding:
    """How the next token is chosen, and what ends an answer besides its end-of-sequence token."""

    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 is no limit."""
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these strings."""


@dataclass(frozen=True)
class Prompt:
    """One answer to generate."""

    tokens: tuple[int, ...]
    budget: int
    """Tokens that the answer may have."""
    seed: int
    """Seed of its sampling; below 2**63."""


@dataclass(frozen=True)
class Answer:
    """What a model wrote."""

    text: str
    """Without special tokens, and without the stop string."""
    tokens: int
    """Tokens that were generated, an end-of-sequence token included."""
    finished: bool
    """Whether it ended by itself; False where the budget cut it off."""


Generate = Callable[[Sequence[Prompt], Decoding], Iterator[tuple[int, Answer]]]
"""Answers all prompts; yields each prompt's index and answer, in any order, as they are done."""


class Engine(Protocol):
    """Holds a base; answers as the base with an adapter on it, or as any model of the same kind."""

    versions: dict[str, str]
    """Versions of the libraries that its answers depend on."""

    def model(self, source: Path | Variant) -> AbstractContextManager[Generate]:
        """The model of a folder or a variant, for as long as the context lasts."""

    def close(self) -> None:
        """End what runs outside this process."""


def answer_seed(*parts: str | int) -> int:
    """A seed below 2**63 that depends on all parts and on nothing else."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
