"""Names of checkpoints and variants: they are made and parsed here and nowhere else.

| name | what |
| --- | --- |
| `step-120` | the checkpoint of step 120; `step-0` is the base |
| `rank-4@120`, `rank-10pct@120`, `rank-1pct-parameters@120` | a rank-k model of step 120's update |
| `rank-4-unscaled@120`, `rank-4x0.5@120`, `rank-4+rest@120`, `rank-4-merged@120` | its variations |
| `component-3@120`, `without-4@120`, `full-update@120`, `rest-only@120` | other parts |
| `random-4@120`, and with the same ends | the random control of the same rank and norm |
| `relex@0.4`, `relex@48x2` | forecast `relex` from window 0.4, or 48 at amplitude 2 |
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

_ENDINGS = (".csv", ".json", ".jsonl", ".log", ".tsv", ".parquet")
"""How files are called that lie next to folders of the same name."""
_UNSEEN = {"Cc", "Cs", "Zl", "Zp"}
"""Kinds of characters that break lines, end texts or are no characters."""

_STEP = "step-"
_MERGED = "-merged"


def checkpoint_name(step: int | str) -> str:
    """The checkpoint of a step, as a variant and as a folder; takes `{step}` for a pattern."""
    return f"{_STEP}{step}"


BASE = checkpoint_name(0)
"""The base as a variant."""


def checkpoint_step(name: str) -> int | None:
    """The step of a checkpoint by its name; None for any other variant."""
    number = name.removeprefix(_STEP)
    return int(number) if name.startswith(_STEP) and number.isdecimal() else None


def recipe_label(
    kind: str, depth: str, scale: float = 1.0, rest: bool = False, merged: bool = False
) -> str:
    """A part of an update, or a control.

    Args:
        kind: of the recipe.
        depth: see `depth_label`; empty for kinds that keep no triplets.
        scale: factor of the update.
        rest: whether all else comes from the checkpoint as well.
        merged: whether it is scored as a merged model.
    """
    if kind in ("full-update", "rest-only"):
        return kind
    head = "rank" if kind == "unscaled" else kind.removesuffix("-unscaled")
    ends = [
        "-unscaled" if kind.endswith("unscaled") else "",
        f"x{scale:g}" if scale != 1 else "",
        "+rest" if rest else "",
        _MERGED if merged else "",
    ]
    return f"{head}-{depth}{''.join(ends)}"


def depth_label(rank: int, percent_components: float, percent_parameters: float) -> str:
    """How many triplets: `4`, `10pct` of the components, or `1pct-parameters`."""
    if percent_components:
        return f"{percent_components:g}pct"
    return f"{percent_parameters:g}pct-parameters" if percent_parameters else f"{rank}"


def variant_name(label: str, step: int) -> str:
    """A part of a step's update, or a control."""
    return f"{label}@{step}"


def adapter_name(merged: str) -> str:
    """The adapter of the same update as a merged model."""
    return merged.replace(f"{_MERGED}@", "@")


def require_own_names(values: list[float]) -> list[float]:
    """Refuse numbers that differ, and yet stand in names as the same six digits.

    Raises:
        ValueError: names two of them.
    """
    first: dict[str, float] = {}
    for value in values:
        other = first.setdefault(f"{value:g}", value)
        if other != value:
            raise ValueError(
                f"found {other!r} and {value!r}, which have one name, {value:g}; leave one out"
            )
    return values


def forecast_name(label: str, window: str, amplitude: float = 1.0) -> str:
    """A forecast by its label in the study file, from a window, at an amplitude."""
    return f"{label}@{window}" + (f"x{amplitude:g}" if amplitude != 1 else "")


def require_apart(names: Iterable[str], what: str) -> None:
    """Refuse names whose files or folders would be one another's.

    Args:
        names: of files and folders that lie side by side.
        what: has these names.

    Raises:
        ValueError: two differ in case alone, or by the ending of a file.
    """
    first: dict[str, str] = {}
    for name in names:
        _require_alone(name, first.setdefault(name.casefold(), name), what)
    for folded, name in first.items():
        for end in _ENDINGS:
            _require_alone(name, first.get(folded.removesuffix(end), name), what)


def _require_alone(name: str, other: str, what: str) -> None:
    if other != name:
        raise ValueError(
            f"found {what}s '{other}' and '{name}', whose files would go by one name on some "
            "disks; rename one"
        )


def require_path(path: str) -> str:
    """Refuse a path that no file can have, or that a command takes for an option.

    Raises:
        ValueError: says which.
    """
    if not path.strip():
        raise ValueError("found an empty path, expected a file or a folder; name one")
    _require_seen(path)
    if path.startswith("-"):
        raise ValueError(
            f"found path '{path[:80]}', which reads like an option; write './{path[:80]}'"
        )
    return path


FilePath = Annotated[str, AfterValidator(require_path)]
"""A file or a folder in a study file."""


def require_no_wildcard(path: str) -> str:
    """Refuse braces in a path that Snakemake follows, for which they are wildcards.

    Raises:
        ValueError: there are some.
    """
    if re.search(r"[{}]", path):
        raise ValueError(f"found braces in '{path[:80]}', which Snakemake fills in; rename it")
    return path


def require_part(name: str) -> str:
    """Refuse a name that is no part of a file's name on every disk.

    Raises:
        ValueError: it leaves its folder, hides, or is written in two ways.
    """
    _require_seen(name)
    if (
        not name.strip()
        or "/" in name
        or name[0] in "-."
        or unicodedata.normalize("NFC", name) != name
    ):
        raise ValueError(
            f"found name '{name[:80]}', expected one that can be part of a file's: no slash, "
            "no dot or dash in front, accents in one character with their letters (NFC); rename it"
        )
    return name


def _require_seen(text: str) -> None:
    unseen = next((c for c in text if unicodedata.category(c) in _UNSEEN), None)
    if unseen:
        raise ValueError(
            f"found the character {unseen!r} in {text[:80]!r}, expected text on one line; take it "
            "out"
        )
