"""Whether a checkpoint comes with another tokenizer than its base's, which serves all. Torch-free.

Only what turns text into ids is compared, since libraries write the rest of the file in new ways.
"""

from __future__ import annotations

import filecmp
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

FAST = "tokenizer.json"
SLOW = ("vocab.json", "merges.txt", "tokenizer.model", "spiece.model", "vocab.txt")
"""Files of older tokenizers; they count where one of both has no `tokenizer.json`."""


def tokenizer_change(base: Path, folder: Path) -> list[str]:
    """A text on the tokenizer of a checkpoint that has another one than its base; else none."""
    both = [name for name in (FAST, *SLOW) if all((f / name).is_file() for f in (base, folder))]
    compared = both[:1] if both[:1] == [FAST] else both
    differ = [name for name in compared if not _same(base / name, folder / name)]
    if not differ:
        return []
    return [
        f"{differ[0]} differs from the base's ({_difference(base, folder, differ[0])}): the base's "
        "tokenizer makes and reads the text of all models"
    ]


def _same(one: Path, other: Path) -> bool:
    return filecmp.cmp(one, other, shallow=False) or _content(one) == _content(other)


def _content(path: Path) -> Any:
    """What counts of a file; its bytes, where it is not understood."""
    stat = path.stat()
    return _parsed(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(2)
def _parsed(path: Path, changed: int, size: int) -> Any:
    """The base's is looked at for each checkpoint, and read once."""
    data = path.read_bytes()
    if path.name != FAST:
        return data
    try:
        described = json.loads(data)
        model, added = described["model"], described.get("added_tokens") or []
        merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m)
                  for m in model.get("merges") or []]  # fmt: skip
        tokens = {entry["content"]: entry["id"] for entry in added}
        return model.get("type"), _vocabulary(model["vocab"]) | tokens, merges
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return data


def _vocabulary(vocab: Any) -> dict[str, int]:
    """Ids by token; unigram models list tokens with their scores."""
    return {str(entry[0]): i for i, entry in enumerate(vocab)} if isinstance(vocab, list) else vocab


def _difference(base: Path, folder: Path, name: str) -> str:
    before, after = _content(base / name), _content(folder / name)
    if not isinstance(before, tuple) or not isinstance(after, tuple):
        return "other content"
    added, gone = after[1].keys() - before[1].keys(), before[1].keys() - after[1].keys()
    moved = sum(before[1][token] != after[1][token] for token in before[1].keys() & after[1].keys())
    counts = {"more": len(added), "fewer": len(gone), "with other ids": moved}
    words = [f"{count} tokens {how}" for how, count in counts.items() if count]
    return ", ".join(words) or "other merges"
