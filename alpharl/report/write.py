"""Writes the report: tables, figures, the resolved study and the page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from alpharl.checkpoints.files import write_text
from alpharl.report import (
    algorithms,
    comparisons,
    cost,
    curves,
    fits,
    floor,
    linearity,
    measures,
    merged,
    pca,
    sampling,
    sparsity,
    spectrum,
    tokens,
)
from alpharl.report.collect import Results, collect
from alpharl.report.html import Page, draw, resolved
from alpharl.study.config import Study
from alpharl.study.paths import Paths


def write_report(study: Study) -> Path:
    """Read a study's results and write its report.

    Writes `report/index.html` (one self-contained file), `report/tables/<name>.csv`,
    `report/figures/<name>.svg` and `study.yaml`, each under a temporary name first. The same
    results give the same bytes.

    Args:
        study: the validated study; its results lie under `<results>/<study>/`.

    Returns:
        The path of `index.html`, which is written last.

    Raises:
        EvaluationError: a file that the report needs is missing or unreadable, or two variants of
            a run answered different questions. Nothing has been written then.
    """
    results = collect(study)
    frames = compute(results)
    drawn = draw(frames)
    page = Page(results, frames, drawn).render()
    paths = Paths(study)
    index = Path(paths.report)
    for name, frame in frames.items():
        text = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        write_text(index.parent / "tables" / f"{name}.csv", text)
    for name, svg in drawn.items():
        write_text(index.parent / "figures" / f"{name}.svg", svg)
    write_text(Path(paths.resolved), resolved(study))
    write_text(index, page)
    return index


def compute(results: Results) -> dict[str, pd.DataFrame]:
    """All tables of the report, by file name."""
    frames = {
        "accuracy": comparisons.accuracy_frame(results),
        "gains": comparisons.gains_frame(results),
        "recovery": comparisons.recovery_frame(results),
        "forecasts": comparisons.forecasts_frame(results),
        **_where_it_applies(results),
        "spectrum": spectrum.spectrum_frame(results),
        "matrices": spectrum.matrices_frame(results),
        "singular_values": spectrum.singular_values_frame(results),
        "norms": spectrum.norms_frame(results),
        "floor": floor.floor_frame(results),
        "sparsity": sparsity.sparsity_frame(results),
        "linearity": linearity.linearity_frame(results),
        "linearity_modules": fits.modules_frame(results),
        "pca": pca.pca_frame(results),
        "cost_stages": cost.stages_frame(results),
        "cost_runs": cost.runs_frame(results),
        "checkpoints": results.checkpoints,
    }
    return frames | _by_algorithm(results, frames)


def _by_algorithm(results: Results, frames: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Tables that compare groups of runs, if there are two."""
    if len({(run.base, run.group) for run in results.study.runs.values()}) < 2:
        return {}
    found = measures.measures_frame(results, frames)
    return {
        "algorithm_runs": found,
        "algorithms": algorithms.groups_frame(results, found),
        "algorithm_tests": algorithms.compared_frame(found),
    }


def _where_it_applies(results: Results) -> dict[str, pd.DataFrame]:
    """Tables that a study may have no rows for."""
    found = {
        "training": curves.curves_frame(results),
        "tasks": sampling.tasks_frame(results),
        "samples": sampling.samples_frame(results),
        "merged": merged.merged_frame(results),
        "tokens_reading": tokens.reading_frame(results),
        "tokens_prefix": tokens.prefix_frame(results),
    }
    if results.study.forecast.amplitudes:
        found["amplitudes"] = comparisons.amplitudes_frame(results)
    return {name: frame for name, frame in found.items() if len(frame)}
