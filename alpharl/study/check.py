"""What a study would make, and how much of it, before anything runs. Torch-free."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from alpharl.checkpoints.adapter import is_adapter, read_model
from alpharl.checkpoints.differences import differences
from alpharl.checkpoints.index import ModelIndex, read_index
from alpharl.checkpoints.verl import merge_command, require_environment, shards_at
from alpharl.errors import StudyError
from alpharl.spectra.estimate import RunSize, estimate_run
from alpharl.study.budgets import require_budgets
from alpharl.study.layers import require_layers
from alpharl.study.overview import Overview, RunOverview, size_text
from alpharl.study.places import require_places
from alpharl.study.plan import Plan
from alpharl.study.runs import Run
from alpharl.study.sound import require_sound
from alpharl.study.starter_runs import has_chat_template


def describe(plan: Plan) -> Overview:
    """What a study would make, with the sizes of each run from the headers of its checkpoints.

    Raises:
        CheckpointError: a checkpoint of the user's is missing or broken, does not fit its base, or
            holds weights that cannot be subtracted.
        StudyError: names, commands or outputs are too large, a base lacks the chat template that
            its questions go into, or a file or a folder is not there.
        EvaluationError: a question cannot be asked, or the engine is not as it should be.
        PromptError: a prompt and its answer do not fit into a base.
    """
    study = plan.study
    require_sound(plan)
    _require_templates(plan)
    require_budgets(plan)
    require_places(plan)
    scored = Counter({suite: 0 for suite in study.suites})
    for batch in plan.batches():
        scored[batch.suite] += len(batch.variants)
    runs = {name: _describe_run(plan, name) for name in study.runs}
    _require_room(plan, {name: run.sizes for name, run in runs.items() if run.sizes})
    to_make = study.evaluation.require(study.gpus)
    return Overview(
        study=study.study,
        results=os.path.abspath(plan.paths.root),
        bases=list(study.bases),
        runs=runs,
        suites=dict(scored),
        rank=study.spectra.rank,
        depth=plan.depth,
        notes=[to_make] if to_make else [],
    )


def _require_templates(plan: Plan) -> None:
    """Every suite is asked of every run; whoever makes the prompts says what else is wrong."""
    study = plan.study
    suites = any(suite.chat_template for suite in study.suites.values())
    for run in study.runs.values():
        chat = suites or (run.train and run.train.chat_template)
        if not chat:
            continue
        base = Path(plan.paths.base_model(run.base))
        if study.bases[run.base].pretrain:
            raise StudyError(
                f"base '{run.base}': found a base that is pretrained here, whose tokenizer has no "
                "chat template, expected one for 'chat_template: true'; drop the key"
            )
        if base.is_dir() and not has_chat_template(str(base)):
            raise StudyError(
                f"base '{run.base}': found no chat template in {base}, expected one for "
                "'chat_template: true'; add one to the tokenizer, or drop the key"
            )


def _describe_run(plan: Plan, name: str) -> RunOverview:
    run, forecasts, sizes = plan.study.runs[name], plan.forecasts(name), _estimate(plan, name)
    return RunOverview(
        base=run.base,
        source=_source(run),
        steps=plan.steps(name),
        is_path=name in plan.trajectories,
        windows=dict(sorted({(f.window, f.through) for f in forecasts})),
        forecasts=len(forecasts),
        rank_variants=len(plan.rank_variants(name)),
        notes=_notes(plan, name),
        sizes=sizes,
        sizes_unknown=None if sizes else _why_unknown(plan, run),
    )


def _why_unknown(plan: Plan, run: Run) -> str:
    fetched = plan.study.bases[run.base].hub
    how = ("fetched", "it is there") if fetched else ("trained here", "training")
    return "base {}: sizes known after {}".format(*how)


def _source(run: Run) -> str:
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
    if spec.merge:
        require_environment(Path(spec.merge.environment))
    folders = [] if spec.made_here else [Path(spec.source(step)) for step in steps]
    if base is None:
        for folder in filter(lambda f: not is_adapter(f), folders):
            read_index(folder)
        return None
    indices = [read_model(folder, base.folder) for folder in folders]
    require_layers(plan.study, run, base)
    # A run that is made here has its base's tensors.
    scope = plan.study.spectra.scope
    return estimate_run(base, indices or [base] * len(steps), scope, plan.depth)


def _notes(plan: Plan, run: str) -> list[str]:
    """What the checkpoints that are there have other than their base, if that is there too."""
    spec, base = plan.study.runs[run], _base(plan, plan.study.runs[run].base)
    if base is None or spec.made_here:
        return []
    folders = {step: Path(spec.source(step)) for step in plan.steps(run)}
    return [other.text for other in differences(base.folder, folders, tokenizers=True)]


def _base(plan: Plan, base: str) -> ModelIndex | None:
    """Index of a base; None for one that is still to be pretrained or fetched."""
    made_here = plan.study.bases[base].path is None
    if made_here and not Path(plan.paths.base_manifest(base)).is_file():
        return None
    return read_index(Path(plan.paths.base_model(base)))


def _require_room(plan: Plan, sizes: Mapping[str, RunSize]) -> None:
    """Refuse a study whose factors and grams do not fit on the disk next to what is there."""
    folder = Path(plan.paths.root).absolute()
    wanted = sum(e.factors * len(plan.steps(run)) + e.gram for run, e in sizes.items())
    shards = [p for end in ("factors/*", "gram") for p in folder.glob(f"runs/*/{end}/shard-*")]
    made = sum(path.stat().st_size for path in shards)
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(there).free
    if free < wanted - made:
        raise StudyError(
            f"{folder}: found {size_text(free)} free, expected {size_text(wanted - made)} for "
            "factors and grams; free some space, lower spectra.rank, or set 'results' to a larger "
            "disk"
        )
