"""What makes up the seconds that a forecast saves, from Snakemake's benchmark files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.frames import Frames, groups
from alpharl.report.numbers import number
from alpharl.report.section import Section
from alpharl.report.tables import Column, Table, table
from alpharl.study.forecasts import ForecastVariant


class Savings(Section):
    """Training saved, minus what each forecast needs."""

    name = "savings"
    title = "What makes up the seconds saved"
    text = """
    <p>Training from the window's end to the target, pro rata of the run's training; minus factors,
    gram and validation scores of the window, pro rata, where the method needs them; minus the
    forecast job.</p>
    {% for table in tables %}
    {{ grid(table) }}
    {% endfor %}
    """

    def context(self, results: Results, frames: Frames) -> dict[str, Any] | None:
        """A table per run; None where no training was measured."""
        tables = savings_tables(frames["forecasts"])
        return {"tables": tables} if tables else None


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
    """Seconds of the forecast; each of a job that makes many counts as an equal part of it."""
    if forecast.quick:
        return _seconds(results, f"forecast/{run}") / len(results.plan.quick_forecasts(run))
    return _seconds(results, f"forecast/{run}/{forecast.name}")


def _seconds(results: Results, name: str) -> float:
    """Seconds of a job, or of all jobs in a folder when the name ends so; nan without any."""
    jobs = results.jobs["job"].astype(str)
    named = jobs.str.startswith(name) if name.endswith("/") else jobs == name
    return float(results.jobs.loc[named, "seconds"].sum(min_count=1))


def savings_tables(forecasts: pd.DataFrame) -> list[Table]:
    """What makes up each forecast's seconds saved, per run whose training was measured."""
    columns = [
        Column("window", lambda r: r.window, kind="word"),
        Column("method", lambda r: r.label, kind="word"),
        Column("training saved", lambda r: number(r.seconds_training, 1)),
        Column("factors", lambda r: _spent(r.seconds_factors)),
        Column("gram", lambda r: _spent(r.seconds_gram)),
        Column("validation", lambda r: _spent(r.seconds_validation)),
        Column("forecast", lambda r: _spent(r.seconds_forecast)),
        Column("seconds saved", lambda r: number(r.seconds_saved, 1)),
    ]
    measured = forecasts[forecasts["seconds_training"].notna()]
    once = measured.drop_duplicates(["run", "window", "label"])
    return [table(part, columns, run, group="window") for run, part in groups(once, "run")]


def _spent(seconds: float) -> str:
    """Seconds spent, as a deduction; nothing where the method does not need it."""
    return "" if seconds == 0 else number(-seconds, 1)
