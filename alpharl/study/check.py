"""What a study would make, as text, before anything runs. Torch-free."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from alpharl.checkpoints.index import read_index, require_same_tensors
from alpharl.study.config import Study
from alpharl.study.plan import Plan


def describe(study: Study) -> str:
    """The plan in a few lines, after comparing the headers of all checkpoints that exist already.

    Raises:
        CheckpointError: a checkpoint of the user's is missing, broken, or does not fit its base.
        StudyError: the plan contradicts itself.
    """
    plan = Plan(study)
    lines = [f"study {study.study}: {len(study.bases)} bases, {len(study.runs)} runs"]
    for name, run in study.runs.items():
        steps = plan.steps(name)
        kind = f"trained here ({run.train.algorithm})" if run.train else run.checkpoints
        lines.append(
            f"  {name}: base {run.base}, {len(steps)} checkpoints {steps[0]}..{steps[-1]}, {kind}"
        )
        _require_fit(plan, name)
        ends = sorted({(f.window, f.through) for f in plan.forecasts(name)})
        shown = ", ".join(f"{window} (through step {end})" for window, end in ends)
        lines.append(f"    windows: {shown or 'none'}; {len(plan.forecasts(name))} forecasts")
        lines.append(f"    {len(plan.rank_variants(name))} rank variants and controls")
    if plan.stored_rank > study.spectra.rank:
        lines.append(
            f"  stored rank raised from {study.spectra.rank} to {plan.stored_rank} for the ablation"
        )
    scored = Counter({suite: 0 for suite in study.suites})
    for batch in plan.batches():
        scored[batch.suite] += len(batch.variants)
    lines += [f"  suite {suite}: {count} variants to score" for suite, count in scored.items()]
    return "\n".join(lines)


def _require_fit(plan: Plan, run: str) -> None:
    base = plan.study.bases[plan.study.runs[run].base]
    if plan.study.runs[run].train is not None:
        return
    for step in plan.steps(run):
        index = read_index(Path(plan.paths.checkpoint(run, step)))
        if base.path is not None:
            require_same_tensors(read_index(Path(base.path)), index)
