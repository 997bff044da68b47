"""The largest numbers that settings take. Beyond them, products leave what float32 can hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MOST_STEP = 10**12
"""Optimizer step."""
MOST_SCALE = 1e6
"""Multiple of an update: amplitudes, scales, options of methods."""
MOST_JOBS = 100_000
"""Checkpoints of a run, shards of a model: each is a job, and a plan holds all of them."""
MOST_SEED = 2**32 - 1
"""Seed: some generators hold it in 32 bits."""
Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]
"""A seed in settings."""
