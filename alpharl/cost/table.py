"""`alpharl check --cost`: what a study will ask of a cluster, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from alpharl.cost.need import Need
from alpharl.frozen import Frozen

if TYPE_CHECKING:
    # Help shows the forms below, and should not wait for what plans read.
    from alpharl.study.plan import Plan

_HOUR = 3600.0


class StageCost(Frozen):
    """What the jobs of a stage cost. Sums are over all of them."""

    stage: str
    """Name of the stage."""
    jobs: int
    """Number of jobs."""
    hours: float
    """Expected hours of machine, summed."""
    core_hours: float
    """Expected hours of core, summed."""
    gpu_hours: float
    """Expected hours of GPU, summed."""
    peak_memory_gb: float
    """The largest memory that a job asks for, in GB."""
    longest_hours: float
    """The longest time that a job asks for."""
    gpus: int
    """The most GPUs that a job asks for."""
    disk_gb: float
    """What stays on disk, summed, in GB."""
    scratch_gb: float
    """The most that a job writes and deletes again, in GB."""


class Costs(Frozen):
    """What a study costs."""

    stages: list[StageCost]
    """One entry each, in the order of the stages."""
    total: StageCost
    """All stages together."""
    assumed: list[str]
    """Runs whose base is not here yet, so that its size is assumed."""
    assumed_parameters: int | None
    """Parameters that the first of these is assumed to have."""


def stages(plan: Plan) -> Iterator[tuple[str, Need]]:
    """The stage and the need of every job that a scheduler gets."""
    from alpharl.cost.needs import Needs
    from alpharl.study.stages import STAGES

    needs = Needs(plan)
    for stage in STAGES:
        for method, *arguments in stage.all_jobs(plan):
            yield stage.name, getattr(needs, method)(*arguments)


def costs(plan: Plan) -> Costs:
    """What each stage of a study costs, and the study as a whole."""
    from alpharl.cost.needs import Needs

    needs, by_stage = Needs(plan), dict[str, list[Need]]()
    for stage, need in stages(plan):
        by_stage.setdefault(stage, []).append(need)
    assumed = [run for run in plan.study.runs if not needs.size(run).known]
    return Costs(
        stages=[_cost(stage, jobs) for stage, jobs in by_stage.items()],
        total=_cost("all", [need for jobs in by_stage.values() for need in jobs]),
        assumed=assumed,
        assumed_parameters=needs.size(assumed[0]).parameters if assumed else None,
    )


def _cost(stage: str, jobs: Sequence[Need]) -> StageCost:
    return StageCost(
        stage=stage,
        jobs=len(jobs),
        hours=sum(job.seconds for job in jobs) / _HOUR,
        core_hours=sum(job.threads * job.seconds for job in jobs) / _HOUR,
        gpu_hours=sum(job.gpus * job.seconds for job in jobs) / _HOUR,
        peak_memory_gb=max(job.mem_mb for job in jobs) / 1e3,
        longest_hours=max(job.minutes for job in jobs) / 60,
        gpus=max(job.gpus for job in jobs),
        disk_gb=sum(job.disk for job in jobs) / 1e9,
        scratch_gb=max(job.scratch for job in jobs) / 1e9,
    )
