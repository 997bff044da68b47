"""What each stage cost, and what each forecast saves, from Snakemake's benchmark files."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from alpharl.report.collect import Results, named_in
from alpharl.study.plan import ForecastVariant


def stages_frame(results: Results) -> pd.DataFrame:
    """Per stage: jobs, seconds and CPU seconds (summed), memory (peak of any job, MB)."""
    return _totals(results, ["stage"])


def runs_frame(results: Results) -> pd.DataFrame:
    """As `stages_frame`, per run and stage; the run is empty where runs share the work."""
    return _totals(results, ["run", "stage"])


def _totals(results: Results, keys: list[str]) -> pd.DataFrame:
    groups = results.jobs.groupby(keys)
    frame = groups.agg(
        jobs=("job", "size"),
        seconds=("seconds", "sum"),
        cpu_seconds=("cpu_seconds", "sum"),
        memory_mb=("memory_mb", "max"),
    )
    return frame.reset_index()


@dataclass(frozen=True)
class Balance:
    """Seconds that a forecast saves and spends; nan where nothing was measured."""

    training: float
    """Training from the window's end to the target, which the forecast makes unnecessary."""
    factors: float
    gram: float
    validation: float
    forecast: float

    @property
    def saved(self) -> float:
        """Seconds saved, net of what was spent; negative when the forecast costs more."""
        return self.training - self.factors - self.gram - self.validation - self.forecast


def balance(results: Results, run: str, forecast: ForecastVariant) -> Balance:
    """The balance of one forecast, parts of a stage counted pro rata to its checkpoints."""
    steps = results.plan.steps(run)
    seen = sum(step <= forecast.through for step in steps)
    window = seen / len(steps)
    # Validation scores the base as well, on both sides of the share.
    scored = (seen + 1) / (len(steps) + 1)
    skipped = (forecast.target_step - forecast.through) / steps[-1]
    suite = results.study.validation_suite
    needs = forecast.needs
    return Balance(
        training=_seconds(results, "train", run) * skipped,
        factors=_seconds(results, "factors", run) * window if "factors" in needs else 0.0,
        gram=_seconds(results, "gram", run) * window if "gram" in needs else 0.0,
        validation=_seconds(results, "score", run, suite) * scored if "scores" in needs else 0.0,
        forecast=_seconds(results, "forecast", run, forecast.name),
    )


def _seconds(results: Results, stage: str, run: str, name: str | None = None) -> float:
    """Seconds of a run's jobs in a stage, or of those that carry a name; nan if there are none."""
    jobs = results.jobs[(results.jobs["stage"] == stage) & (results.jobs["run"] == run)]
    if name is not None:
        jobs = jobs[jobs["job"].map(lambda job: named_in(job, [name]) == name).astype(bool)]
    return float(jobs["seconds"].sum(min_count=1))
