"""Variants of one checkpoint's update: how each is made, its name and its control. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from pydantic import TypeAdapter

from alpharl.spectra.depth import Depth, deepest

if TYPE_CHECKING:
    from alpharl.variants.ablation import Ablation

Number = TypeVar("Number", int, float)
RankKind = Literal[
    "rank", "unscaled", "component", "without", "full-update", "rest-only",
    "random", "random-unscaled",
]  # fmt: skip
KINDS: tuple[RankKind, ...] = get_args(RankKind)
CONTROLS: frozenset[RankKind] = frozenset({"without", "rest-only", "random", "random-unscaled"})
"""Kinds that show what no signal looks like."""
_NORM_ONLY = {"full-update", "rest-only", "random"}
"""Kinds that read no triplet: at most the update's norm."""


@dataclass(frozen=True)
class Recipe:
    """How a variant is made from the factors of one checkpoint."""

    kind: RankKind
    depth: Depth
    """Triplets that are kept, or left out; of `component`, the rank is which one."""
    scale: float = 1.0
    """Lambda: multiplies the update of the matrices in scope."""
    rest: bool = False
    """Whether all tensors out of scope come from the checkpoint instead of the base."""
    merged: bool = False
    """Whether it is scored as a model in the base's precision instead of an adapter on the base."""

    @property
    def reads(self) -> Depth:
        """How deep the stored factors must be."""
        return Depth(1) if self.kind in _NORM_ONLY else self.depth

    @property
    def options(self) -> list[str]:
        """Options of `alpharl rank` that make it."""
        values = {
            "rank": self.depth.rank,
            "percent-components": self.depth.percent_components,
            "percent-parameters": self.depth.percent_parameters,
            "scale": self.scale if self.scale != 1 else 0,
        }
        given = [f"--{name}={value}" for name, value in values.items() if value]
        flags = [f"--{name}" for name in ("rest", "merged") if getattr(self, name)]
        return [f"--kind={self.kind}", *given, *flags]


@dataclass(frozen=True)
class RankVariant:
    """A variant made from one checkpoint's factors."""

    name: str
    recipe: Recipe
    step: int
    control: str | None = None
    """Name of the random control to read it beside; None where there is none."""


RANK_VARIANTS = TypeAdapter(list[RankVariant])
"""Reads and writes them as JSON, as `alpharl ranks` takes them."""


def rank_variants(ablation: Ablation, stored: Depth, steps: list[int]) -> list[RankVariant]:
    """All variants of a run, each followed by its control unless that stands further up.

    Args:
        ablation: which ones.
        stored: how deep the factors are stored.
        steps: the checkpoints to make them of.
    """
    by_name: dict[str, RankVariant] = {}
    for step in steps:
        for name, recipe in _recipes(ablation):
            control = _control(name, recipe, stored) if ablation.controls else None
            beside = f"{control[0]}@{step}" if control else None
            variants = [RankVariant(f"{name}@{step}", recipe, step, beside)]
            variants += [RankVariant(beside, control[1], step)] if beside and control else []
            for variant in variants:
                by_name.setdefault(variant.name, variant)
    return list(by_name.values())


def ablation_depth(ablation: Ablation) -> Depth:
    """How deep the factors must be stored for all variants."""
    return deepest(*(recipe.reads for _, recipe in _recipes(ablation)))


def _recipes(ablation: Ablation) -> Iterator[tuple[str, Recipe]]:
    """Names and recipes of all but the random controls."""
    for k in distinct(ablation.ranks):
        yield f"rank-{k}", Recipe("rank", Depth(k))
    for k in distinct(ablation.ranks):
        for scale in distinct(ablation.scales):
            if scale != 1:
                yield f"rank-{k}x{scale:g}", Recipe("rank", Depth(k), scale)
    for k in distinct(ablation.unscaled):
        yield f"rank-{k}-unscaled", Recipe("unscaled", Depth(k))
    for k in distinct(ablation.merged):
        yield f"rank-{k}", Recipe("rank", Depth(k))
        yield f"rank-{k}-merged", Recipe("rank", Depth(k), merged=True)
    for i in distinct(ablation.components):
        yield f"component-{i}", Recipe("component", Depth(i))
    for p in distinct(ablation.percent_components):
        yield f"rank-{p:g}pct", Recipe("rank", Depth(percent_components=p))
    for p in distinct(ablation.percent_parameters):
        yield f"rank-{p:g}pct-parameters", Recipe("rank", Depth(percent_parameters=p))
    for k in distinct(ablation.without):
        yield f"without-{k}", Recipe("without", Depth(k))
    yield from _with_rest(ablation)
    if ablation.full_update:
        yield "full-update", Recipe("full-update", Depth())


def _with_rest(ablation: Ablation) -> Iterator[tuple[str, Recipe]]:
    for k in distinct(ablation.rest):
        yield f"rank-{k}+rest", Recipe("rank", Depth(k), rest=True)
    if ablation.rest:
        yield "rest-only", Recipe("rest-only", Depth(), rest=True)


def _control(name: str, recipe: Recipe, stored: Depth) -> tuple[str, Recipe] | None:
    """The random update of the same rank and, per matrix, the same norm.

    The update without k random directions cannot be made from stored factors. The control of
    `without` is therefore a random update of the full norm with as high a rank as is stored.
    """
    if recipe.merged or recipe.kind in ("full-update", "rest-only"):
        return None
    if recipe.kind in ("component", "without"):
        k = 1 if recipe.kind == "component" else stored.rank
        return f"random-{k}", Recipe("random", Depth(k))
    kind: RankKind = "random-unscaled" if recipe.kind == "unscaled" else "random"
    return name.replace("rank", "random", 1), replace(recipe, kind=kind)


def distinct(values: list[Number]) -> list[Number]:
    """The values of a grid in increasing order, without repeats."""
    return sorted(set(values))
