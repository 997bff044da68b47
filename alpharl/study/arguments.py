"""Whether the commands of a study's jobs are short enough to be started. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator

from alpharl.errors import StudyError
from alpharl.names import checkpoint_name
from alpharl.study.forecasts import FORECAST_VARIANTS
from alpharl.study.plan import Plan
from alpharl.variants.recipes import RANK_VARIANTS

_ONE, _ALL = 128 * 1024 - 1, 2 * 1024**2 - 256 * 1024
"""Bytes of one argument, and of all together, that Linux hands to a program: a quarter of a stack
of 8 MiB, less an environment of some size."""


def require_arguments(plan: Plan) -> None:
    """Refuse a study of which a job would be told more than fits into a command line.

    Raises:
        StudyError: names what is too long.
    """
    for what, text in _specs(plan):
        if len(text.encode()) > _ONE:
            raise StudyError(
                f"found {what} of {len(text.encode()):,} bytes as JSON, expected at most {_ONE:,}, "
                "as much as a job's command holds; make it smaller, or divide the study"
            )
    for run in plan.study.runs:
        steps = plan.steps(run)
        longest = max(len(text.encode()) for text in _of_step(plan, run, steps[-1]))
        if longest * len(steps) > _ALL:
            raise StudyError(
                f"run '{run}': found {len(steps):,} checkpoints whose files have names of "
                f"{longest} bytes, expected at most {_ALL // longest:,}, as many as a job's "
                "command holds; name steps further apart, or shorten 'results'"
            )


def _specs(plan: Plan) -> Iterator[tuple[str, str]]:
    """What jobs are told in one argument, with its name."""
    study = plan.study
    yield "the study", study.model_dump_json()
    for run in study.runs:
        yield (
            f"rank-k models of run '{run}'",
            RANK_VARIANTS.dump_json(plan.rank_variants(run)).decode(),
        )
        yield (
            f"forecasts of run '{run}'",
            FORECAST_VARIANTS.dump_json(plan.quick_forecasts(run)).decode(),
        )


def _of_step(plan: Plan, run: str, step: int) -> Iterator[str]:
    """Files that some job is told of for each step of a run."""
    yield f"{plan.paths.checkpoint_manifest(run, step)} "
    name = checkpoint_name(step)
    yield from (f"{plan.paths.score(run, suite, name)} " for suite in plan.study.suites)
    yield f"{step}={plan.paths.checkpoint(run, step)} {step} "
