"""Every method from several windows of a study's runs, scored: `make calibration`.

    python -m tests.calibration.run config/studies/calibration-exam.yaml --windows 0.3 0.4 0.5

The study's runs are trained by the workflow before. One process does what `alpharl forecast` and
`alpharl evaluate` do, without starting a job for each of the thousand models. Results, a file for
each run: results/<study>/calibration/<run>.json. `next` takes a minute of a core for each window.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from alpharl import Trajectory
from alpharl.errors import MethodError
from alpharl.evaluation.offline import go_offline
from alpharl.evaluation.trials import Trials
from alpharl.forecasting.auto import Auto
from alpharl.forecasting.expo import Expo
from alpharl.forecasting.registry import METHODS, MethodOptions
from alpharl.study.config import Study, load_study
from alpharl.study.plan import Plan
from alpharl.study.windows import window_end
from alpharl.variants.model import Model
from alpharl.variants.store import read_variant

go_offline()
from alpharl.evaluation.runner import Scorer  # noqa: E402
from alpharl.evaluation.suites import read_suite  # noqa: E402

RANK = 8
"""Triplets per matrix for the methods that read factors."""
OPTIONS: dict[str, MethodOptions] = {
    **{name: method() for name, method in METHODS.items()},
    "expo-validation": Expo(alpha="validation"),
    "auto-blind": Auto(trials=False),
}


class ScoredRun:
    """One run as far as a step, its gram and factors loaded once, and its scorers."""

    def __init__(self, study: Study, run: str, through: int) -> None:
        self.name, plan = run, Plan(study)
        paths, steps = plan.paths, plan.steps(run)
        base = Path(paths.base_model(study.runs[run].base)).absolute()
        folders = {s: Path(paths.checkpoint(run, s)).absolute() for s in steps}
        validation, test = (
            Path(paths.suite(name)) for name in (study.validation_suite, study.test_suites[0])
        )
        trials = Trials(validation, base, folders, study.evaluation)
        self.test = Scorer(read_suite(test), base, study.evaluation)
        early = [step for step in steps if step <= through]
        accuracy = {
            step: outcomes(trials.scorer, folder).mean()
            for step, folder in {0: base, **folders}.items()
            if step in (0, *early)
        }
        self.trajectory = Trajectory.open(
            base, folders, accuracy, gram=paths.gram(run, 0), trials=trials, progress=False
        )
        self.trajectory.factors(RANK, early)


def outcomes(scorer: Scorer, model: Path | Model) -> np.ndarray:
    """(n,) 1 where the model answers right."""
    if isinstance(model, Path):
        return np.array(scorer.score(model)["correct"])
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "variant")
        return np.array(scorer.score(read_variant(Path(folder) / "variant"))["correct"])


def measure(
    run: ScoredRun,
    windows: list[float],
    methods: dict[str, MethodOptions],
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Scores of all methods from all windows of one run, beside base, end and last checkpoints."""
    steps, folders = run.trajectory.steps, run.trajectory.checkpoints
    lasts = {w: max(s for s in steps if s <= window_end(steps, w)) for w in windows}
    known = {0: run.trajectory.base}
    known |= {step: folders[step] for step in (steps[-1], *lasts.values())}
    test = {step: outcomes(run.test, model).tolist() for step, model in known.items()}
    rows = [
        forecast(run, last, label, options, progress) | {"window": w, "last": last}
        for w, last in lasts.items()
        for label, options in methods.items()
    ]
    return {
        "run": run.name, "steps": steps, "validation": dict(run.trajectory.accuracy),
        "test": test, "rows": rows,
    }  # fmt: skip


def forecast(
    run: ScoredRun,
    last: int,
    label: str,
    options: MethodOptions,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """One forecast: its test outcomes, seconds to make it (trials included) and fit."""
    started = time.monotonic()
    try:
        model = run.trajectory.forecast(options, run.trajectory.steps[-1], through=last)
    except MethodError as error:
        return {"method": label, "undefined": str(error)}
    seconds = time.monotonic() - started
    right = outcomes(run.test, model)
    progress(f"{run.name} through {last}: {label} {right.mean():.3f}")
    return {
        "method": label, "seconds": round(seconds, 3), "test": right.tolist(),
        "norm_ratio": model.meta["norm_ratio"], "verdict": model.fit.get("verdict"),
    }  # fmt: skip


def main() -> None:
    """Measure the runs that have no results yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--windows", type=float, nargs="+", default=[0.3, 0.4, 0.5])
    parser.add_argument("--runs", nargs="+", help="default: all")
    parser.add_argument("--methods", nargs="+", default=list(OPTIONS), choices=list(OPTIONS))
    parser.add_argument("--into", default="calibration", help="folder of the results")
    args = parser.parse_args()
    study = load_study(args.study)
    methods = {name: OPTIONS[name] for name in args.methods}
    folder = Path(Plan(study).paths.root) / args.into
    for run in args.runs or study.runs:
        out = folder / f"{run}.json"
        if out.exists():
            continue
        steps = study.runs[run].saved_steps()
        through = window_end(steps, max(args.windows))
        found = measure(ScoredRun(study, run, through), args.windows, methods, print)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
