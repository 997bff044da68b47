"""What a study would make, in the form that `alpharl check` shows. Reads no study."""

from __future__ import annotations

from alpharl.frozen import Frozen
from alpharl.spectra.depth import Depth
from alpharl.spectra.estimate import RunSize


class RunOverview(Frozen):
    """What a study would make of one run."""

    base: str
    """Name of its base."""
    source: str
    """Where its checkpoints come from, in words."""
    steps: list[int]
    """Its checkpoints, without the base."""
    is_path: bool
    """Whether it has enough checkpoints for dynamics and forecasts; else only its end counts."""
    windows: dict[str, int]
    """The last step of each window that forecasts see."""
    forecasts: int
    """Forecasts, from all windows."""
    rank_variants: int
    """Rank-k models and controls."""
    notes: list[str]
    """What its checkpoints have other than their base: a config that changes what they compute,
    other rows of tokens, another tokenizer."""
    sizes: RunSize | None
    """What its stages read, hold and write, in bytes; null if unknown."""
    sizes_unknown: str | None
    """Why the sizes are unknown, and when they will be known."""


class Overview(Frozen):
    """What a study would make."""

    study: str
    """Name of the study."""
    results: str
    """Folder of its results, as an absolute path."""
    bases: list[str]
    """Names of its bases."""
    runs: dict[str, RunOverview]
    """Its runs by name."""
    suites: dict[str, int]
    """Variants to score on each suite."""
    rank: int
    """Singular triplets per matrix that `spectra.rank` asks for."""
    depth: Depth
    """What is stored: more than `rank` where rank-k models or a forecast read more."""
    notes: list[str]
    """What is to be made before its jobs can run."""


def size_text(count: int) -> str:
    """Bytes for people, such as `14.2 GiB`."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(max(count.bit_length() - 1, 0) // 10, len(units) - 1)
    return f"{count / 1024**power:.1f} {units[power]}" if power else f"{count} B"
