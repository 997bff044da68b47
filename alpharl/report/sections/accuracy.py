"""Accuracy over the steps of each run, and what the run gains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from alpharl.names import checkpoint_name
from alpharl.report.canvas import BLUE, GREEN, ORANGE, PURPLE, legend, sheet, svg
from alpharl.report.collect import Results
from alpharl.report.frames import Frames, groups, with_rows
from alpharl.report.numbers import plus_minus
from alpharl.report.score_columns import (
    SCORE,
    TRUNCATED,
    ends,
    framed,
    over_budget_notes,
    score_columns,
)
from alpharl.report.section import Section
from alpharl.report.statistics import Z95, difference
from alpharl.report.tables import Cell, Column, Table, table

_SAMPLES = ["run", "suite", "variant", "measure", "k", "value", "stderr"]


class Accuracy(Section):
    """Base and checkpoints on every suite."""

    name = "accuracy"
    nav = "Accuracy"
    title = "Accuracy over steps"
    null = (
        "If training made answers no better, the lines would stay level to within their bars, "
        "and about 1 gain in 40 would still exceed twice its standard error."
    )
    text = """
    {% call figure("accuracy") %}
    Accuracy over optimizer steps; step 0 is the base. Bars are 95 % intervals over questions.
    All points: <code>tables/accuracy.csv</code>.
    {% endcall %}
    {{ grid(gains) }}
    {% if sampled %}
    <p class="note">Accuracy is the mean over all samples (avg@k). Every k of pass@k:
    <code>tables/samples.csv</code>.</p>
    {% endif %}
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """Accuracies by step, gains, and each k where questions have several samples."""
        return {
            "accuracy": accuracy_frame(results),
            "gains": gains_frame(results),
            **with_rows(samples=samples_frame(results)),
        }

    def figures(self, frames: Frames) -> dict[str, str]:
        """Accuracy over steps."""
        return {"accuracy": _draw(frames["accuracy"])}

    def context(self, results: Results, frames: Frames) -> dict[str, Any]:
        """The table of gains, and whether questions have several samples."""
        return {"gains": gains_table(frames["gains"]), "sampled": "samples" in frames}


def accuracy_frame(results: Results) -> pd.DataFrame:
    """Per run, suite and step, the base among them: accuracy with its standard error."""
    rows = [
        {
            **{"run": run, "suite": suite, "role": spec.role, "step": step},
            **score_columns(score.raw, spec),
        }
        for run in results.study.runs
        for suite, spec in results.study.suites.items()
        for step in [0, *results.plan.steps(run)]
        for score in [results.scores[run, suite, checkpoint_name(step)]]
    ]
    return framed(rows, ["run", "suite", "role", "step", *SCORE])


def gains_frame(results: Results) -> pd.DataFrame:
    """Per run and suite: accuracy of the base and the full run, and their paired difference.

    `truncated` is the largest share of answers cut off of any checkpoint.
    """
    rows = [
        _gain_row(results, run, suite)
        for run in results.study.runs
        for suite in results.study.suites
    ]
    return pd.DataFrame(rows)


def _gain_row(results: Results, run: str, suite: str) -> dict[str, Any]:
    base, full = ends(results, run, suite)
    spec, gain = results.study.suites[suite], difference(full.correct_n, base.correct_n)
    steps = [0, *results.plan.steps(run)]
    truncated = max(results.scores[run, suite, checkpoint_name(s)].raw["truncated"] for s in steps)
    return {
        **{"run": run, "suite": suite, "role": spec.role, "n": len(base.correct_n)},
        **{"samples": spec.samples, "last_step": steps[-1]},
        **{"base": base.accuracy, "base_stderr": base.stderr},
        **{"full": full.accuracy, "full_stderr": full.stderr},
        **{"gain": gain.value, "gain_se": gain.se},
        **{"truncated": truncated, "over_budget": truncated > spec.max_truncated},
        "defined": gain.value > 2 * gain.se,
    }


def samples_frame(results: Results) -> pd.DataFrame:
    """Per variant on a suite of several samples: pass@k for each k that is known, and maj@k.

    Empty where each question is answered once.
    """
    rows = [
        (run, suite, variant, measure, int(k), value, score.raw[f"{measure}_stderr"][k])
        for (run, suite, variant), score in results.scores.items()
        if results.study.suites[suite].samples > 1 and score.correct_n.size
        for measure in ("pass_at", "maj_at")
        for k, value in score.raw[measure].items()
    ]
    return pd.DataFrame(rows, columns=_SAMPLES)


def _draw(frame: pd.DataFrame) -> str:
    """A panel per run, a line per suite with 95 % intervals."""
    runs = list(frame["run"].unique())
    with sheet(len(runs), 2.6, sharey=True) as (figure, panels):
        for axes, run in zip(panels, runs, strict=True):
            _panel(axes, frame[frame["run"] == run])
            axes.set(title=run, xlabel="step")
        panels[0].set_ylabel("accuracy")
        legend(figure, panels[0])
        return svg(figure, "accuracy")


def _panel(axes: Axes, frame: pd.DataFrame) -> None:
    tests = iter([BLUE, GREEN, PURPLE] * len(frame))
    for (suite, role), group in groups(frame, ["suite", "role"]):
        fitted = role == "validation"
        axes.errorbar(
            group["step"],
            group["accuracy"],
            Z95 * group["stderr"],
            label=f"{suite} ({role})" if suite != role else str(suite),
            color=ORANGE if fitted else next(tests),
            linestyle="--" if fitted else "-",
            marker="s" if fitted else "o",
            markersize=3,
            elinewidth=0.8,
        )


def gains_table(frame: pd.DataFrame) -> Table:
    """Base, full run and gain, per run and suite."""
    columns = [
        Column("run", lambda r: r.run, kind="word"),
        Column("suite", lambda r: Cell(r.suite, "" if r.suite == r.role else r.role), kind="word"),
        Column("questions", _questions),
        Column("base ± se", lambda r: plus_minus(r.base, r.base_stderr)),
        Column("full run ± se", lambda r: plus_minus(r.full, r.full_stderr)),
        Column("full run's step", lambda r: str(r.last_step)),
        Column("gain ± se (paired)", lambda r: plus_minus(r.gain, r.gain_se)),
        replace(TRUNCATED, heading="cut off, of any checkpoint at most"),
    ]
    return replace(table(frame, columns, group="run"), notes=tuple(over_budget_notes(frame)))


def _questions(row: Any) -> Cell:
    return Cell(str(row.n), f"{row.samples} samples each" if row.samples > 1 else "")
