"""What each stage cost, and what each forecast saves, from Snakemake's benchmark files."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from alpharl.report.collect import Results
from alpharl.study.plan import ForecastVariant


def stages_frame(results: Results) -> pd.DataFrame:
    """Per stage: jobs, seconds and CPU seconds (summed), memory (peak of any job, MB).

    The dearest stage comes first.
    """
    return _totals(results, ["stage"]).sort_values("seconds", ascending=False, kind="stable")


def runs_frame(results: Results) -> pd.DataFrame:
    """As `stages_frame`, per run and stage; the run is empty where runs share the work."""
    frame = _totals(results, ["run", "stage"])
    order = ["", *results.study.runs]
    return frame.sort_values(
        ["run", "seconds"],
        key=lambda column: column.map(order.index) if column.name == "run" else -column,
    )


def _totals(results: Results, keys: list[str]) -> pd.DataFrame:
    frame = results.jobs.groupby(keys).agg(
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
    skipped = (results.target_step(run, forecast) - forecast.through) / steps[-1]
    validation = f"evaluate/{run}/{results.study.validation_suite}/"
    needs = forecast.reads
    return Balance(
        training=_seconds(results, f"train/{run}") * skipped,
        factors=_seconds(results, f"factors/{run}/") * window if "factors" in needs else 0.0,
        gram=_seconds(results, f"gram/{run}/") * window if "gram" in needs else 0.0,
        validation=_seconds(results, validation) * scored if "scores" in needs else 0.0,
        forecast=_forecasting(results, run, forecast),
    )


def _forecasting(results: Results, run: str, forecast: ForecastVariant) -> float:
    """Of a job that makes many forecasts, each counts as an equal part."""
    if forecast.quick:
        return _seconds(results, f"forecast/{run}") / len(results.plan.quick_forecasts(run))
    return _seconds(results, f"forecast/{run}/{forecast.name}")


def _seconds(results: Results, name: str) -> float:
    """Seconds of a job, or of all jobs in a folder when the name ends so; nan without any."""
    jobs = results.jobs["job"].astype(str)
    named = jobs.str.startswith(name) if name.endswith("/") else jobs == name
    return float(results.jobs.loc[named, "seconds"].sum(min_count=1))
