"""Settings of the rank-k models: variants of one checkpoint, made from its stored factors."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from alpharl.bounds import MOST_LISTED, MOST_SCALE, Rank, Seed
from alpharl.frozen import Frozen
from alpharl.names import require_own_names
from alpharl.steps import StepOrShare

Ranks = Annotated[list[Rank], Field(max_length=MOST_LISTED)]
Percents = Annotated[
    list[Annotated[float, Field(gt=0, le=100)]],
    Field(max_length=MOST_LISTED),
    AfterValidator(require_own_names),
]
Scales = Annotated[
    list[Annotated[float, Field(gt=0, le=MOST_SCALE, allow_inf_nan=False)]],
    Field(max_length=MOST_LISTED),
    AfterValidator(require_own_names),
]


class RankModels(Frozen):
    """Rank-k models, their variations, and a random control next to each."""

    at: list[StepOrShare] = Field(default=[1.0], min_length=1, max_length=MOST_LISTED)
    """Checkpoints that all of these are made of: a fraction of the run (with a decimal point;
    `1.0` is its end) or a step. Each stands for the last checkpoint saved by then."""
    ranks: Ranks = Field(default=[1, 4])
    """The top k singular triplets of each matrix, at the full update's Frobenius norm:
    `rank-4@90`."""
    scales: Scales = Field(default=[])
    """Multiples (lambda) of these, for each of `ranks`: `rank-4x0.5@90`."""
    unscaled: Ranks = Field(default=[1])
    """The top k triplets as they are: `rank-1-unscaled@90`."""
    merged: Ranks = Field(default=[])
    """Control of the scoring: rank k scored twice, as an adapter, `rank-4@90`, and merged into a
    model in the base's precision, `rank-4-merged@90`. 16 bits round small updates away."""
    components: Ranks = Field(default=[])
    """The i-th triplet alone, at the full norm: `component-2@90`. A matrix without an i-th triplet
    stays at the base."""
    percent_components: Percents = Field(default=[])
    """p % of a matrix's singular components (AlphaRL's rank-k%; 1 % of 4096 x 4096 is 40):
    `rank-1pct@90`."""
    percent_parameters: Percents = Field(default=[])
    """As many triplets as p % of a matrix's parameters store (the reading of a fork of AlphaRL; 1
    % of 4096 x 4096 is 20): `rank-1pct-parameters@90`."""
    without: Ranks = Field(default=[1])
    """Control: the update less its top k triplets, at the full norm: `without-1@90`."""
    rest: Ranks = Field(default=[])
    """Rank k, with embeddings, head, norms and biases from the checkpoint: `rank-1+rest@90`; and,
    as a control, these alone: `rest-only@90`."""
    full_update: bool = True
    """Control, the ceiling: the whole update of the matrices in scope, all else at the base:
    `full-update@90`."""
    controls: bool = True
    """Next to each, a random update of the same rank and norm per matrix: `random-4@90`,
    `random-4x0.5@90`, ..."""
    seed: Seed = 0
    """Seed of the random controls."""
