"""Settings of the rank-k models: variants of one checkpoint, made from its stored factors."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from alpharl.frozen import Frozen

Percent = Annotated[float, Field(gt=0, le=100)]
Fraction = Annotated[float, Field(gt=0, le=1)]


class RankModels(Frozen):
    """Rank-k models, their variations, and a random control next to each."""

    at: list[PositiveInt | Fraction] = Field(default=[1.0], min_length=1)
    """Checkpoints that these are made of: a fraction of the run such as 0.2 or 1.0, or a step; each
    stands for the last one saved by then."""
    ranks: list[PositiveInt] = Field(default=[1, 4])
    """Keep the top k singular triplets, rescaled to the full update's Frobenius norm."""
    scales: list[PositiveFloat] = Field(default=[])
    """Multiples (lambda) of the rescaled update, for each of `ranks`."""
    unscaled: list[PositiveInt] = Field(default=[1])
    """Keep the top k singular triplets as they are."""
    merged: list[PositiveInt] = Field(default=[])
    """Control of the scoring: rank-k models scored both as an adapter and merged into a model; the
    latter rounds small updates where the base is stored in 16 bits."""
    components: list[PositiveInt] = Field(default=[])
    """Keep the i-th singular triplet alone, rescaled to the full norm; a matrix that has none stays
    at base."""
    percent_components: list[Percent] = Field(default=[])
    """Keep p % of each matrix's singular components, rescaled (AlphaRL's rank-k%)."""
    percent_parameters: list[Percent] = Field(default=[])
    """Keep as many triplets as p % of each matrix's parameters can store, rescaled."""
    without: list[PositiveInt] = Field(default=[1])
    """Control: the update without its top k triplets, rescaled to the full norm."""
    rest: list[PositiveInt] = Field(default=[])
    """Rank-k models that also take embeddings, head, norms and biases from the checkpoint; where
    there is one, a control takes these alone."""
    full_update: bool = True
    """Control: the full update of the matrices in scope, the rest at base: the ceiling."""
    controls: bool = True
    """Beside each variant a random update of the same rank and norm per matrix."""
    seed: NonNegativeInt = 0
    """Seed of the random controls."""
