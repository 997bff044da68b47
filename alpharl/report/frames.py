"""Typed ways through a frame: pandas cannot know what its columns hold, the report does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

Frames = dict[str, pd.DataFrame]
"""Computed tables by name, which is also the name of their file in `tables/`."""


def records(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows, with columns as attributes."""
    yield from frame.itertuples(index=False)


def groups(frame: pd.DataFrame, keys: str | list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Each distinct key in the order of its first row, with its rows."""
    yield from frame.groupby(keys, sort=False)


def with_rows(**frames: pd.DataFrame) -> Frames:
    """The frames that have rows: tables that a study may have nothing for."""
    return {name: frame for name, frame in frames.items() if len(frame)}
