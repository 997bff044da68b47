"""The largest numbers that settings take. Beyond them, products leave what float32 can hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MOST_STEP = 10**12
"""Optimizer step."""
MOST_SCALE = 1e6
"""Multiple of an update: amplitudes, scales, options of methods."""
LEAST_TEMPERATURE = 0.01
"""Of sampling. Logits that are divided by less may leave what 16 bits hold; vLLM 0.32 raises it."""
MOST_JOBS = 100_000
"""Checkpoints of a run, shards of a model: each is a job, and a plan holds all of them."""
MOST_COUNT = 10**9
"""Of what is counted one by one: tokens, questions, prompts of a batch."""
MOST_DRAWS = 100_000
"""Repetitions of one computation: draws of a null model, samples of an answer, trial models."""
MOST_RANK = 10**6
"""Singular triplets of a matrix: no model has one with so many."""
MOST_LISTED = 1000
"""Entries of a list, each of which is made of every run: ranks, windows, seeds."""
MOST_UPDATES = 10**7
"""Optimizer steps of a training that starts here."""
MOST_DEVICES = 1024
"""Processes or GPUs of one job."""
MOST_PLANNED = 10**6
"""Files that a study makes, of each kind."""
MOST_SEED = 2**32 - 1
"""Seed: some generators hold it in 32 bits."""
Count = Annotated[int, Field(gt=0, le=MOST_COUNT)]
"""How many, in settings."""
Draws = Annotated[int, Field(gt=0, le=MOST_DRAWS)]
"""How often, in settings."""
Rank = Annotated[int, Field(gt=0, le=MOST_RANK)]
"""How many singular triplets, in settings; or which one."""
Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]
"""A seed in settings."""
