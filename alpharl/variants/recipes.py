"""Variants of one checkpoint's update: how each is made, its name and its control. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from pydantic import TypeAdapter

from alpharl.errors import MethodError, nearest
from alpharl.names import depth_label, recipe_label, variant_name
from alpharl.spectra.depth import Depth, deepest, some_depth

if TYPE_CHECKING:
    from alpharl.variants.rank_settings import RankModels

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
    def label(self) -> str:
        """Its name, without the step."""
        depth = depth_label(*astuple(self.depth))
        return recipe_label(self.kind, depth, self.scale, self.rest, self.merged)

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


def recipe(
    kind: str, depth: int | Depth, scale: float = 1.0, rest: bool = False, merged: bool = False
) -> Recipe:
    """A recipe as a person asks for it: kinds that keep no triplets ignore the depth.

    Raises:
        MethodError: no such kind, or no triplet.
    """
    if kind not in KINDS:
        raise MethodError(f"unknown kind '{kind}', {nearest(kind, list(KINDS))}")
    if not math.isfinite(scale):
        raise MethodError(f"found scale {scale:g}, expected a finite number")
    kept = Depth() if kind in ("full-update", "rest-only") else some_depth(depth)
    return Recipe(kind, kept, float(scale), rest or kind == "rest-only", merged)


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


def rank_variants(settings: RankModels, stored: Depth, steps: list[int]) -> list[RankVariant]:
    """All variants of a run, each followed by its control unless that stands further up.

    Args:
        settings: which ones are made.
        stored: how deep the factors are stored.
        steps: the checkpoints to make them of.
    """
    by_name: dict[str, RankVariant] = {}
    for step in steps:
        for recipe in _recipes(settings):
            control = _control(recipe, stored) if settings.controls else None
            beside = variant_name(control.label, step) if control else None
            variants = [RankVariant(variant_name(recipe.label, step), recipe, step, beside)]
            variants += [RankVariant(beside, control, step)] if beside and control else []
            for variant in variants:
                by_name.setdefault(variant.name, variant)
    return list(by_name.values())


def rank_depth(settings: RankModels) -> Depth:
    """How deep the factors must be stored for all variants."""
    return deepest(*(recipe.reads for recipe in _recipes(settings)))


def _recipes(settings: RankModels) -> Iterator[Recipe]:
    """All but the random controls."""
    for k in distinct(settings.ranks):
        yield Recipe("rank", Depth(k))
    for k in distinct(settings.ranks):
        yield from (Recipe("rank", Depth(k), x) for x in distinct(settings.scales) if x != 1)
    yield from (Recipe("unscaled", Depth(k)) for k in distinct(settings.unscaled))
    for k in distinct(settings.merged):
        yield Recipe("rank", Depth(k))
        yield Recipe("rank", Depth(k), merged=True)
    yield from (Recipe("component", Depth(i)) for i in distinct(settings.components))
    for p in distinct(settings.percent_components):
        yield Recipe("rank", Depth(percent_components=p))
    for p in distinct(settings.percent_parameters):
        yield Recipe("rank", Depth(percent_parameters=p))
    yield from (Recipe("without", Depth(k)) for k in distinct(settings.without))
    yield from (Recipe("rank", Depth(k), rest=True) for k in distinct(settings.rest))
    if settings.rest:
        yield Recipe("rest-only", Depth(), rest=True)
    if settings.full_update:
        yield Recipe("full-update", Depth())


def _control(recipe: Recipe, stored: Depth) -> Recipe | None:
    """The random update of the same rank and, per matrix, the same norm.

    The update without k random directions cannot be made from stored factors. The control of
    `without` is therefore a random update of the full norm with as high a rank as is stored.
    """
    if recipe.merged or recipe.kind in ("full-update", "rest-only"):
        return None
    if recipe.kind in ("component", "without"):
        return Recipe("random", Depth(1 if recipe.kind == "component" else stored.rank))
    return replace(recipe, kind="random-unscaled" if recipe.kind == "unscaled" else "random")


def distinct(values: list[Number]) -> list[Number]:
    """The values of a grid in increasing order, without repeats."""
    return sorted(set(values))
