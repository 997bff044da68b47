"""How much a study makes, counted before any of it is listed. Torch-free."""

from __future__ import annotations

from alpharl.bounds import MOST_PLANNED
from alpharl.variants.rank_settings import RankModels


def require_size(
    steps: list[int], shards: int, suites: int, rank: RankModels, forecasts: int
) -> None:
    """Refuse a study of more files than a workflow can plan.

    Args:
        steps: number of checkpoints of each run.
        shards: of a checkpoint.
        suites: number of suites.
        rank: which rank-k models are made of each run.
        forecasts: number of forecasts of each run.

    Raises:
        ValueError: says what there are too many of.
    """
    variants = (_rank_models(rank) + forecasts) * len(steps)
    counts = {
        "factors (steps times 'spectra.shards')": sum(steps) * shards,
        "variants (what 'rank' and 'forecast' ask for, times runs)": variants,
        "scores (checkpoints and variants, times suites)": (sum(steps) + variants) * suites,
    }
    for what, count in counts.items():
        if count > MOST_PLANNED:
            raise ValueError(
                f"found {count:,} {what}, expected at most {MOST_PLANNED:,}; ask for fewer"
            )


def _rank_models(rank: RankModels) -> int:
    """Rank-k models and controls of a run, each one counted."""
    lists: tuple[list[float] | list[int], ...] = (
        rank.ranks, rank.unscaled, rank.merged, rank.components, rank.percent_components,
        rank.percent_parameters, rank.without, rank.rest,
    )  # fmt: skip
    listed = sum(map(len, lists)) + len(rank.ranks) * len(rank.scales)
    return (2 if rank.controls else 1) * listed * len(rank.at)
