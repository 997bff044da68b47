"""What a study would make, and how much of it, as text, before anything runs. Torch-free."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from alpharl.checkpoints.adapter import is_adapter, read_model
from alpharl.checkpoints.index import ModelIndex, read_index
from alpharl.checkpoints.verl import merge_command, shards_at
from alpharl.errors import StudyError
from alpharl.spectra.depth import Depth
from alpharl.spectra.estimate import RunSize, estimate_run
from alpharl.study.config import Study
from alpharl.study.plan import Plan
from alpharl.study.runs import Run


def describe(study: Study) -> str:
    """The plan in a few lines and the sizes of each run, from the headers of what exists already.

    Raises:
        CheckpointError: a checkpoint of the user's is missing or broken, does not fit its base, or
            holds weights that cannot be subtracted.
        StudyError: the plan contradicts itself, or its outputs do not fit on the disk.
    """
    plan = Plan(study)
    lines = [f"study {study.study}: {len(study.bases)} bases, {len(study.runs)} runs"]
    for name in study.runs:
        lines += _run_lines(plan, name)
    if plan.depth != Depth(study.spectra.rank):
        lines.append(
            f"  stored depth raised from rank {study.spectra.rank} to {plan.depth}: `rank` or a "
            "forecast reads it"
        )
    scored = Counter({suite: 0 for suite in study.suites})
    for batch in plan.batches():
        scored[batch.suite] += len(batch.variants)
    lines += [f"  suite {suite}: {count} variants to score" for suite, count in scored.items()]
    sizes = {run: _estimate(plan, run) for run in study.runs}
    known = {run: estimate for run, estimate in sizes.items() if estimate is not None}
    lines += [f"  {run}: {_unknown(study, run)}" for run in study.runs if run not in known]
    _require_room(plan, known)
    return "\n".join([*lines, *([_table(known)] if known else [])])


def _run_lines(plan: Plan, name: str) -> list[str]:
    run, steps = plan.study.runs[name], plan.steps(name)
    kind = _kind(run)
    ends = sorted({(f.window, f.through) for f in plan.forecasts(name)})
    shown = ", ".join(f"{window} (through step {end})" for window, end in ends)
    ends_only = "" if name in plan.trajectories else "; too few for a path: only its end is studied"
    return [
        f"  {name}: base {run.base}, {len(steps)} checkpoints {steps[0]}..{steps[-1]}, {kind}"
        f"{ends_only}",
        f"    windows: {shown or 'none'}; {len(plan.forecasts(name))} forecasts",
        f"    {len(plan.rank_variants(name))} rank variants and controls",
    ]


def _unknown(study: Study, run: str) -> str:
    fetched = study.bases[study.runs[run].base].hub
    how = ("fetched", "it is there") if fetched else ("trained here", "training")
    return "base {}: sizes known after {}".format(*how)


def _kind(run: Run) -> str:
    if run.train:
        return f"trained here ({run.train.algorithm})"
    if run.hub:
        return f"fetched from {run.hub.repo} at {run.hub.revision}"
    where = str(run.checkpoints)
    if isinstance(run.checkpoints, dict):
        folders = list(run.checkpoints.values())
        where = f"{folders[0]} and {len(folders) - 1} more"
    return f"{where}, merged by verl" if run.merge else where


def _estimate(plan: Plan, run: str) -> RunSize | None:
    """The run's figures; None where nothing of it exists yet."""
    spec, steps = plan.study.runs[run], plan.steps(run)
    base = _base(plan, spec.base)
    for shards in [Path(spec.source(step)) for step in steps] if spec.merge else []:
        merge_command("python", shards_at(shards) or shards, shards)  # refuses what verl cannot
    folders = [] if spec.made_here else [Path(spec.source(step)) for step in steps]
    if base is None:
        for folder in filter(lambda f: not is_adapter(f), folders):
            read_index(folder)
        return None
    indices = [read_model(folder, base.folder) for folder in folders]
    # A run that is made here has its base's tensors.
    scope = plan.study.spectra.scope
    return estimate_run(base, indices or [base] * len(steps), scope, plan.depth)


def _base(plan: Plan, base: str) -> ModelIndex | None:
    """Index of a base; None for one that is still to be pretrained or fetched."""
    made_here = plan.study.bases[base].path is None
    if made_here and not Path(plan.paths.base_manifest(base)).is_file():
        return None
    return read_index(Path(plan.paths.base_model(base)))


def _require_room(plan: Plan, sizes: Mapping[str, RunSize]) -> None:
    """Refuse a study whose factors and grams do not fit beside what is there already."""
    folder = Path(plan.paths.root).absolute()
    wanted = sum(e.factors * len(plan.steps(run)) + e.gram for run, e in sizes.items())
    shards = [p for end in ("factors/*", "gram") for p in folder.glob(f"runs/*/{end}/shard-*")]
    made = sum(path.stat().st_size for path in shards)
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(there).free
    if free < wanted - made:
        raise StudyError(
            f"{folder}: found {_size(free)} free, expected {_size(wanted - made)} for factors and "
            "grams; free some space, lower spectra.rank, or set 'results' to a larger disk"
        )


def _table(sizes: Mapping[str, RunSize]) -> str:
    """One column per run; runs of the same figures share one."""
    alike: dict[RunSize, list[str]] = {}
    for run, estimate in sizes.items():
        alike.setdefault(estimate, []).append(run)
    columns = {_names(runs): _column(estimate) for estimate, runs in alike.items()}
    return "\n" + pd.DataFrame(columns).to_string()


def _names(runs: list[str]) -> str:
    return runs[0] if len(runs) == 1 else f"{runs[0]} and {len(runs) - 1} more"


def _column(e: RunSize) -> dict[str, str]:
    return {
        "tensors": f"{e.tensors}",
        "parameters": f"{e.parameters:,}",
        "dtype": e.dtypes,
        "files": f"{e.files} (sharded)" if e.files > 1 else "1",
        "layer matrices left out": f"{len(e.left_out)}{_first(e.left_out)}",
        "output head": "tied" if e.tied else "own",
        "one checkpoint": _size(e.checkpoint),
        "factors read (all checkpoints)": _size(e.factors_read),
        "gram reads (all checkpoints)": _size(e.gram_read),
        "peak memory of a factor job": _size(e.peak_memory),
        "factors written per checkpoint": _size(e.factors),
        "full U, S, V would take": f"{_size(e.full_svd)} ({e.full_svd / e.factors:,.0f} times)",
        "gram written": _size(e.gram),
    }


def _first(names: tuple[str, ...]) -> str:
    return f" ({names[0]})" if names else ""


def _size(count: int) -> str:
    """Bytes for people."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(max(count.bit_length() - 1, 0) // 10, len(units) - 1)
    return f"{count / 1024**power:.1f} {units[power]}" if power else f"{count} B"
