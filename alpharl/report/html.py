"""The page: one file with its style and figures inside, nothing that reaches for the network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml

from alpharl.report import figures, fits, floor, pca, tables, words
from alpharl.report.collect import Results
from alpharl.report.verdicts import verdicts
from alpharl.study.config import Study

_HERE = Path(__file__).parent
_SOFTWARE = ("alpharl", "torch", "transformers", "lm-eval")


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
        return template.render(**self._context(), **self._tables())

    def _context(self) -> dict[str, Any]:
        frames, study = self.frames, self.results.study
        return {
            "study": study.study,
            "style": (_HERE / "style.css").read_text("utf-8"),
            "figures": self.figures,
            "notice": words.toy_notice(self.results),
            "verdicts": verdicts(self.results, frames["forecasts"]),
            "summary": words.summary(frames["gains"], frames["recovery"], frames["forecasts"]),
            "comparisons": words.comparisons(frames["forecasts"]),
            "software": software(),
            "target_accuracy": study.forecast.target_accuracy,
            "config": resolved(study),
        }

    def _tables(self) -> dict[str, Any]:
        frames = self.frames
        return {
            "gains": tables.gains(frames["gains"]),
            "recovery": tables.recovery(frames["recovery"]),
            "spectrum": tables.spectrum(frames["spectrum"]),
            "floors": floor.floor_tables(frames["floor"]),
            "forecasts": tables.forecasts(frames["forecasts"]),
            "linearity": fits.linearity(frames["linearity"]),
            "modules": fits.modules_tables(frames["linearity_modules"]),
            "pca": pca.pca_table(frames["pca"]),
            "stages": tables.stages(frames["cost_stages"]),
            "runs": tables.runs(frames["cost_runs"]),
            "savings": tables.savings(frames["forecasts"]),
            "suites": _suites(self.results),
            "sources": _sources(self.results),
        }


def resolved(study: Study) -> str:
    """The validated config as YAML, complete with defaults, in the order of its keys."""
    return yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def draw(results: Results, frames: dict[str, pd.DataFrame]) -> dict[str, str]:
    """All figures as SVG text, by name; those without data are left out."""
    made = {
        "accuracy": figures.accuracy(frames["accuracy"]),
        "recovery": figures.recovery(frames["recovery"]),
        "spectrum": figures.spectrum(frames["singular_values"], frames["norms"]),
        "linearity": figures.linearity(frames["linearity"]),
        "pca": figures.pca(frames["pca"]),
    }
    if "reward" in results.training and results.training["reward"].notna().any():
        made["training"] = figures.training(results.training)
    if words.comparisons(frames["forecasts"])["compared"]:
        made["forecasts"] = figures.forecasts(frames["forecasts"])
    if "amplitudes" in frames:
        made["amplitudes"] = figures.amplitudes(frames["amplitudes"], frames["gains"])
    return made


def software() -> list[tuple[str, str]]:
    """Packages that make the numbers, with their versions."""
    return [(name, _version(name)) for name in _SOFTWARE]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _suites(results: Results) -> tables.Table:
    """The suites as they were scored."""
    rows = []
    for name, spec in results.study.suites.items():
        raws = [score.raw for key, score in results.scores.items() if key[1] == name]
        rows.append(
            {
                **{"suite": name, "role": spec.role, "n": raws[0]["n"]},
                "tasks": ", ".join(f"{t.task} {t.split or ''}".strip() for t in spec.tasks),
                **{key: _distinct(raws, key) for key in ("suite_digest", "engine", "dtype")},
            }
        )
    columns = [
        tables.Column("suite", lambda r: r.suite, kind="word"),
        tables.Column("role", lambda r: r.role, kind="word"),
        tables.Column("tasks", lambda r: r.tasks, kind="word"),
        tables.Column("questions", lambda r: str(r.n)),
        tables.Column("engine", lambda r: f"{r.engine}, {r.dtype}", kind="word"),
        tables.Column("digest", lambda r: r.suite_digest[:16], kind="word"),
    ]
    return tables.table(pd.DataFrame(rows), columns)


def _distinct(raws: Iterable[dict[str, Any]], key: str) -> str:
    return ", ".join(sorted({str(raw[key]) for raw in raws}))


def _sources(results: Results) -> tables.Table:
    """Where each run's base and checkpoints came from."""
    rows = []
    for name, spec in results.study.runs.items():
        steps = results.plan.steps(name)
        saved = results.checkpoints[results.checkpoints["run"] == name]
        rows.append(
            {
                **{"run": name, "base": spec.base, "steps": f"{steps[0]} to {steps[-1]}"},
                "source": spec.checkpoints
                or f"trained here, {spec.train and spec.train.algorithm}",
                "checkpoints": len(steps),
                "digest": saved["digest"].iloc[-1],
            }
        )
    columns = [
        tables.Column("run", lambda r: r.run, kind="word"),
        tables.Column("base", lambda r: r.base, kind="word"),
        tables.Column("source", lambda r: r.source, kind="word"),
        tables.Column("checkpoints", lambda r: str(r.checkpoints)),
        tables.Column("steps", lambda r: r.steps),
        tables.Column("digest of the last", lambda r: r.digest[:16], kind="word"),
    ]
    return tables.table(pd.DataFrame(rows), columns)
