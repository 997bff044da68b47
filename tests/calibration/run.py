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
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from alpharl.checkpoints.index import read_index
from alpharl.errors import MethodError, UndefinedForecast
from alpharl.evaluation.offline import go_offline
from alpharl.forecasting.auto import Auto
from alpharl.forecasting.contract import Prediction, Window, norm_ratio
from alpharl.forecasting.expo import Expo
from alpharl.forecasting.registry import METHODS, MethodOptions
from alpharl.spectra.depth import Depth
from alpharl.spectra.factors import Settings, factor_checkpoint
from alpharl.spectra.gram import Gram, read_gram
from alpharl.study.config import Study, load_study
from alpharl.study.plan import Plan
from alpharl.study.windows import window_end
from alpharl.variants.store import read_variant, write_variant

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


class Trajectory:
    """One run with its gram, factors and scorers, all loaded once."""

    def __init__(self, study: Study, run: str, through: int) -> None:
        self.plan, self.run = Plan(study), run
        paths, steps = self.plan.paths, self.plan.steps(run)
        self.base = Path(paths.base_model(study.runs[run].base)).absolute()
        self.folders = {s: Path(paths.checkpoint(run, s)).absolute() for s in steps}
        self.gram = read_gram([Path(paths.gram(run, 0))])
        early = [step for step in steps if step <= through]
        self.factors = {
            s: factor_checkpoint(self.base, self.folders[s], Settings(Depth(RANK))) for s in early
        }
        suites = {"validation": study.validation_suite, "test": study.test_suites[0]}
        self.scorers = {
            role: Scorer(read_suite(Path(paths.suite(name))), self.base, study.evaluation)
            for role, name in suites.items()
        }
        accuracy = {0: self.outcomes("validation", self.base).mean()}
        accuracy |= {s: self.outcomes("validation", self.folders[s]).mean() for s in early}
        self.accuracy = {step: float(value) for step, value in accuracy.items()}

    def outcomes(self, role: str, model: Path | Prediction) -> np.ndarray:
        """(n,) 1 where the model answers right."""
        scorer = self.scorers[role]
        if isinstance(model, Path):
            return np.array(scorer.score(model)["correct"])
        with tempfile.TemporaryDirectory() as folder:
            variant = Path(folder) / "variant"
            write_prediction(variant, self.base, self.folders, model)
            return np.array(scorer.score(read_variant(variant))["correct"])

    def window(self, steps: list[int], options: MethodOptions) -> Window:
        """What a method may see, and no more."""
        reads, last = options.reads, steps[-1]
        return Window(
            steps,
            self.gram.steps[-1],
            list(read_index(self.base).tensors),
            Gram(self.gram.steps, self.gram.tensors).upto(steps),
            {s: self.factors[s] for s in steps} if "factors" in reads else None,
            {s: a for s, a in self.accuracy.items() if s <= last},
            self._validate if "suite" in reads else None,
        )

    def _validate(self, prediction: Prediction) -> np.ndarray:
        return self.outcomes("validation", prediction)


def write_prediction(
    out: Path, base: Path, folders: dict[int, Path], prediction: Prediction
) -> None:
    """A variant's folder of a forecast."""
    meta = {"logits": asdict(prediction.logits)} if prediction.logits else {}
    write_variant(out, base, folders, meta, prediction.blend, prediction.adapter)


def measure(
    trajectory: Trajectory,
    windows: list[float],
    methods: dict[str, MethodOptions],
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Scores of all methods from all windows of one run, beside base, end and last checkpoints."""
    steps = trajectory.gram.steps
    known = {0: trajectory.base, steps[-1]: trajectory.folders[steps[-1]]}
    seen = {w: [s for s in steps if s <= window_end(steps, w)] for w in windows}
    known |= {early[-1]: trajectory.folders[early[-1]] for early in seen.values()}
    test = {step: trajectory.outcomes("test", model).tolist() for step, model in known.items()}
    rows = [
        forecast(trajectory, early, label, options, progress) | {"window": w, "last": early[-1]}
        for w, early in seen.items()
        for label, options in methods.items()
    ]
    return {
        "run": trajectory.run, "steps": steps, "validation": trajectory.accuracy,
        "test": test, "rows": rows,
    }  # fmt: skip


def forecast(
    trajectory: Trajectory,
    early: list[int],
    label: str,
    options: MethodOptions,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """One forecast: its test outcomes, seconds to make it (trials included) and fit."""
    window, started = trajectory.window(early, options), time.monotonic()
    try:
        found = options.forecast(window)
    except (UndefinedForecast, MethodError) as error:
        return {"method": label, "undefined": str(error)}
    seconds = time.monotonic() - started
    outcomes = trajectory.outcomes("test", found)
    progress(f"{trajectory.run} through {early[-1]}: {label} {outcomes.mean():.3f}")
    verdict = found.fit.get("verdict")
    return {
        "method": label, "seconds": round(seconds, 3), "test": outcomes.tolist(),
        "norm_ratio": norm_ratio(window, found), "verdict": verdict,
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
        found = measure(Trajectory(study, run, through), args.windows, methods, print)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
