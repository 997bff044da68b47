"""`alpharl check --cost`: what a study will ask of a cluster, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from alpharl.cost.need import Need
from alpharl.cost.needs import Needs
from alpharl.study.plan import Plan

_HOUR = 3600.0


def stages(plan: Plan) -> Iterator[tuple[str, Need]]:
    """The stage and the need of every job that a scheduler gets."""
    needs, study = Needs(plan), plan.study
    yield from (("pretrain", needs.pretrain()) for base in study.bases.values() if base.pretrain)
    for run, spec in study.runs.items():
        if spec.train:
            yield "train", needs.train(run)
        else:
            yield from (("index", needs.index(run)) for _ in plan.steps(run))
        yield from (("merge", needs.merge(run)) for _ in plan.steps(run) if spec.merge)
        for steps in plan.factor_jobs(run):
            yield from (("factors", needs.factors(run, len(steps))) for _ in plan.shards)
        yield from (("gram", needs.gram(run)) for _ in plan.shards)
        yield "geometry", needs.geometry(run)
        yield "floor", needs.floor(run)
        if run in plan.trajectories:
            yield "dynamics", needs.dynamics(run)
        if plan.rank_variants(run):
            yield "rank", needs.rank(run)
        if plan.quick_forecasts(run):
            yield "forecast", needs.forecasts(run)
        yield from (("forecast", needs.forecast(run, found)) for found in plan.slow_forecasts(run))
        if plan.known(run):
            yield "truth", needs.truth(run)
        if study.tokens.suite:
            yield "tokens", needs.tokens(run)
    for batch in plan.batches():
        yield "score", needs.score(batch.run, batch.suite, len(batch.variants))


def costs(plan: Plan) -> pd.DataFrame:
    """Per stage: jobs, hours expected of them all (of machine, core and GPU), the largest memory
    and the longest time that a job asks for, and what stays on disk."""
    rows = [
        {
            "stage": stage,
            "hours": need.seconds / _HOUR,
            "core hours": need.threads * need.seconds / _HOUR,
            "GPU hours": need.gpus * need.seconds / _HOUR,
            "peak memory, GB": need.mem_mb / 1e3,
            "longest, h": need.minutes / 60,
            "GPUs": need.gpus,
            "disk, GB": need.disk / 1e9,
            "scratch, GB": need.scratch / 1e9,
        }
        for stage, need in stages(plan)
    ]
    frame = pd.DataFrame(rows)
    added = ["hours", "core hours", "GPU hours", "disk, GB"]
    by = frame.groupby("stage", sort=False)
    table = by.agg({name: "sum" if name in added else "max" for name in frame.columns[1:]})
    table.insert(0, "jobs", by.size())
    table.loc["all"] = {
        name: table[name].sum() if name in ["jobs", *added] else table[name].max()
        for name in table.columns
    }
    return table.astype({"jobs": int, "GPUs": int})


def cost_text(plan: Plan) -> str:
    """The table, and which of its runs stand on assumptions."""
    needs = Needs(plan)
    assumed = [run for run in plan.study.runs if not needs.size(run).known]
    lines = [
        "expected, erring upwards; a job asks for three times its hours, at least ten minutes:",
        costs(plan).to_string(float_format="{:.2f}".format),
    ]
    if assumed:
        size = needs.size(assumed[0])
        lines.append(
            f"{len(assumed)} of {len(plan.study.runs)} runs have bases that are not here yet "
            f"({assumed[0]}: taken as {size.parameters / 1e6:,.1f} million parameters); jobs ask "
            "anew once they are"
        )
    return "\n".join(lines)
