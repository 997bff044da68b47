"""The page: one file with its style and figures inside, nothing that reaches for the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml

from alpharl.report import (
    algorithms,
    curves,
    figures,
    fits,
    floor,
    merged,
    pca,
    provenance,
    score_tables,
    sparsity,
    tables,
    tokens,
    words,
)
from alpharl.report.collect import Results
from alpharl.report.verdicts import verdicts
from alpharl.study.config import Study

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    """What the template is filled with: computed frames by name and figures by name."""

    results: Results
    frames: dict[str, pd.DataFrame]
    figures: dict[str, str]

    def render(self) -> str:
        """The page as HTML."""
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        template = environment.get_template("template.html")
        return template.render(**self._context(), **self._tables(), **self._by_algorithm())

    def _context(self) -> dict[str, Any]:
        frames, study = self.frames, self.results.study
        return {
            "study": study.study,
            "style": (_HERE / "style.css").read_text("utf-8"),
            "figures": self.figures,
            "csvs": list(frames),
            "notice": words.toy_notice(self.results),
            "verdicts": verdicts(self.results, frames["forecasts"]),
            "summary": words.summary(frames["gains"], frames["recovery"], frames["forecasts"]),
            "comparisons": words.comparisons(frames["forecasts"]),
            "warnings": provenance.warnings(self.results),
            "engines": provenance.engines(self.results),
            "software": provenance.software(),
            "curves_left_out": curves.left_out(self.results),
            "target_accuracy": study.forecast.target_accuracy,
            "config": resolved(study),
        }

    def _tables(self) -> dict[str, Any]:
        frames = self.frames
        return {
            "gains": score_tables.gains(frames["gains"]),
            "recovery": score_tables.recovery(frames["recovery"]),
            "tasks": score_tables.tasks(frames["tasks"]) if "tasks" in frames else [],
            "merged": _made(frames, "merged", merged.merged_table),
            "reading": _made(frames, "tokens_reading", tokens.reading_table),
            "prefix": _made(frames, "tokens_prefix", tokens.prefix_table),
            "spectrum": tables.spectrum(frames["spectrum"]),
            "sparsity": sparsity.sparsity_table(frames["sparsity"]),
            "floors": floor.floor_tables(frames["floor"]),
            "forecasts": score_tables.forecasts(frames["forecasts"]),
            "linearity": fits.linearity(frames["linearity"]),
            "modules": fits.modules_tables(frames["linearity_modules"]),
            "pca": pca.pca_table(frames["pca"]),
            "stages": tables.stages(frames["cost_stages"]),
            "runs": tables.runs(frames["cost_runs"]),
            "savings": tables.savings(frames["forecasts"]),
            "suites": provenance.suites_table(self.results),
            "sources": provenance.sources_table(self.results),
        }

    def _by_algorithm(self) -> dict[str, Any]:
        """Empty where the study has fewer than two groups."""
        frames = self.frames
        if "algorithms" not in frames:
            return {"algorithms": [], "algorithm_tests": [], "answers": []}
        return {
            "algorithms": algorithms.groups_tables(frames["algorithms"]),
            "algorithm_tests": algorithms.compared_tables(frames["algorithm_tests"]),
            "answers": algorithms.answers(frames["algorithm_runs"], frames["algorithm_tests"]),
        }


def _made(
    frames: dict[str, pd.DataFrame], name: str, make: Callable[[pd.DataFrame], tables.Table]
) -> tables.Table | None:
    """The table of a frame that a study may not have."""
    return make(frames[name]) if name in frames else None


def resolved(study: Study) -> str:
    """The validated config as YAML, complete with defaults, in the order of its keys."""
    return yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def draw(frames: dict[str, pd.DataFrame]) -> dict[str, str]:
    """All figures as SVG text, by name; those without data are left out."""
    made = {
        "accuracy": figures.accuracy(frames["accuracy"]),
        "recovery": figures.recovery(frames["recovery"]),
        "spectrum": figures.spectrum(frames["singular_values"], frames["norms"]),
        "linearity": figures.linearity(frames["linearity"]),
        "pca": figures.pca(frames["pca"]),
    }
    if "training" in frames and curves.drawn(frames["training"]):
        made["training"] = curves.draw(frames["training"])
    if words.comparisons(frames["forecasts"])["compared"]:
        made["forecasts"] = figures.forecasts(frames["forecasts"])
    if "amplitudes" in frames:
        made["amplitudes"] = figures.amplitudes(frames["amplitudes"], frames["gains"])
    return made
