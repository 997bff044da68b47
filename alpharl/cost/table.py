"""`alpharl check --cost`: what a study will ask of a cluster, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from alpharl.cost.need import Need
from alpharl.cost.needs import Needs
from alpharl.study.plan import Plan
from alpharl.study.stages import STAGES

_HOUR = 3600.0


def stages(plan: Plan) -> Iterator[tuple[str, Need]]:
    """The stage and the need of every job that a scheduler gets."""
    needs = Needs(plan)
    for stage in STAGES:
        for method, *arguments in stage.all_jobs(plan):
            yield stage.name, getattr(needs, method)(*arguments)


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
