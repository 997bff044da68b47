"""Files of the results tree to tidy frames and per-question outcomes. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open

from alpharl.checkpoints.files import read_record
from alpharl.checkpoints.seal import require_sealed
from alpharl.dynamics.table import COLUMNS
from alpharl.errors import EvaluationError
from alpharl.evaluation.scores import read_score
from alpharl.names import BASE
from alpharl.report.statistics import Outcomes
from alpharl.spectra.findings import Audit
from alpharl.study.config import Study
from alpharl.study.earlier import refuse_earlier
from alpharl.study.forecasts import ForecastVariant
from alpharl.study.plan import Plan
from alpharl.study.stages import STAGES
from alpharl.sums import require_summed
from alpharl.variants.truth import NUMBERS, OVERALL

_COLUMNS = {
    "dynamics": [*COLUMNS, "run"],
    "pca": ["component", "explained", "null_q05", "null_q50", "null_q95", "p", "step", "coordinate",
            "walk", "run"],
    "training": ["step", "run"],
    "truth": ["tensor", "forecast", *NUMBERS, "run"],
    "reading": ["run"],
    "prefix": ["run"],
}  # fmt: skip
"""Tables that a study may have of no run, with the columns that are asked for."""


@dataclass(frozen=True)
class Score:
    """One variant's result on a suite; `accuracy` is nan where a method is undefined."""

    run: str
    suite: str
    variant: str
    accuracy: float
    stderr: float
    correct_n: Outcomes
    """Per-question outcomes (n,); empty where the method is undefined."""
    raw: dict[str, Any]
    """The file's content."""


@dataclass(frozen=True)
class Results:
    """All that a report is made from.

    Frames: `matrices` has run, step, tensor, m, n, norm, shares (k,); `jobs` has stage, run, job,
    seconds, cpu_seconds, memory_mb; `checkpoints` has run, step, path, digest.
    """

    study: Study
    scores: dict[tuple[str, str, str], Score]
    forecasts: dict[tuple[str, str], dict[str, Any]]
    truth: dict[tuple[str, str], dict[str, float]]
    """Per run and forecast, its weights against the trained ones over all matrices, where known."""
    tables: dict[str, pd.DataFrame]
    """The tables of the stages and measures by name, each with the column `run`."""
    matrices: pd.DataFrame
    jobs: pd.DataFrame
    checkpoints: pd.DataFrame
    audits: dict[str, Audit]
    """Per run, what its audit says."""

    @property
    def plan(self) -> Plan:
        """The study's plan."""
        return Plan(self.study)

    def target_step(self, run: str, forecast: ForecastVariant) -> float:
        """The step that was forecast; of an accuracy, the fit's; nan where no step reaches it."""
        fitted = self.forecasts[run, forecast.name]
        step = forecast.target_step or fitted["target_step"]
        return float("nan") if step is None else step


def collect(study: Study) -> Results:
    """Read the results of a study.

    Raises:
        EvaluationError: there are no results, a file is missing, or two variants of a run answered
            different questions.
        ArtefactError: a file is not as it was written.
    """
    plan = Plan(study)
    _require_results(plan)
    refuse_earlier(plan)
    tables = _tables(plan)
    return Results(
        study=study,
        scores=_scores(plan),
        forecasts=_forecasts(plan),
        truth=_truth(tables["truth"]),
        tables=tables,
        matrices=_matrices(plan),
        jobs=_jobs(plan),
        checkpoints=_checkpoints(plan),
        audits={run: _audit(plan, run) for run in study.runs},
    )


def _require_results(plan: Plan) -> None:
    folder = Path(plan.paths.root).absolute()
    if not folder.is_dir():
        raise EvaluationError(
            f"{folder}: found no such folder, expected the results of study '{plan.study.study}'; "
            "make them with `snakemake --configfile STUDY`, or call this in the folder that the "
            "study's paths are relative to"
        )


def present(path: str | Path) -> Path:
    """The path, if there is a file.

    Raises:
        EvaluationError: there is none.
    """
    path = Path(path)
    if not path.is_file():
        raise EvaluationError(
            f"{path.absolute()}: no such file; the report needs it, run the workflow until it "
            "exists"
        )
    return path


def _read(path: str, stage: str) -> dict[str, Any]:
    """What a stage wrote as JSON.

    Raises:
        ArtefactError: it is not as it was written.
    """
    return read_record(present(path), dict[str, Any], f"alpharl {stage}")


def _audit(plan: Plan, run: str) -> Audit:
    return read_record(present(plan.paths.audit(run)), Audit, "alpharl audit")


def _scores(plan: Plan) -> dict[tuple[str, str, str], Score]:
    scores: dict[tuple[str, str, str], Score] = {}
    for batch in plan.batches():
        for variant in batch.variants:
            score = _score(plan, batch.run, batch.suite, variant)
            _same_questions(plan, score, scores.get((batch.run, batch.suite, BASE), score))
            scores[batch.run, batch.suite, variant] = score
    return scores


def _score(plan: Plan, run: str, suite: str, variant: str) -> Score:
    path, samples = present(plan.paths.score(run, suite, variant)), plan.study.suites[suite].samples
    raw = read_score(path)
    defined = raw["accuracy"] is not None
    if defined and raw["samples"] != samples:
        raise EvaluationError(
            f"{path}: found {raw['samples']} answers per question, expected {samples} as the study "
            f"says; score suite '{suite}' again"
        )
    return Score(
        run=run,
        suite=suite,
        variant=variant,
        accuracy=raw["accuracy"] if defined else float("nan"),
        stderr=raw["stderr"] if defined else float("nan"),
        correct_n=np.asarray(raw["correct"] if defined else [], dtype=np.float64),
        raw=raw,
    )


def _same_questions(plan: Plan, score: Score, first: Score) -> None:
    """Paired differences need the same questions in the same order."""
    if score.correct_n.size and score.raw["question_ids"] != first.raw["question_ids"]:
        path = plan.paths.score(score.run, score.suite, score.variant)
        raise EvaluationError(
            f"{path}: its questions differ from those of {first.variant}; expected the same "
            f"questions in the same order, score all of suite '{score.suite}' again"
        )


def _forecasts(plan: Plan) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (run, forecast.name): _read(
            f"{plan.paths.forecast(run, forecast.name)}/variant.json", "forecast"
        )
        for run in plan.study.runs
        for forecast in plan.forecasts(run)
    }


def _truth(table: pd.DataFrame) -> dict[tuple[str, str], dict[str, float]]:
    overall = table[table["tensor"] == OVERALL].to_dict("records")
    return {(row["run"], row["forecast"]): {n: row[n] for n in NUMBERS} for row in overall}


def _tables(plan: Plan) -> dict[str, pd.DataFrame]:
    """The tables of all stages by name, of all runs together; empty ones have their columns too."""
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in [*_COLUMNS, *plan.measures]}
    for stage in STAGES:
        for run in stage.names(plan):
            tables = {**stage.tables(plan, run), **stage.logs(plan, run)}
            for name, path in tables.items():
                parts[name].append(_table(present(path), stage.name).assign(run=run))
    return {name: _together(of_runs, _COLUMNS.get(name, [])) for name, of_runs in parts.items()}


def _together(of_runs: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """One table; one without rows may lack columns that are asked for."""
    table = pd.concat(of_runs, ignore_index=True) if of_runs else pd.DataFrame()
    return table.reindex(columns=list(dict.fromkeys([*table.columns, *columns])))


def _table(path: Path, stage: str) -> pd.DataFrame:
    require_summed(path, f"alpharl {stage}", told=True)
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def _matrices(plan: Plan) -> pd.DataFrame:
    rows = [
        {"run": run, "step": step, **row}
        for run in plan.study.runs
        for step in plan.steps(run)
        for shard in plan.shards
        for row in _factors(present(plan.paths.factors(run, step, shard)))
    ]
    columns = ["run", "step", "tensor", "m", "n", "norm", "shares"]
    return pd.DataFrame(rows, columns=columns)


def _factors(path: Path) -> Iterable[dict[str, Any]]:
    """Per matrix: shape, norm and the share of squared norm per singular value (k,).

    Reads only the small tensors; of the singular vectors, only the shapes.
    """
    require_sealed(path, "alpharl factors")
    with safe_open(path, framework="numpy") as file:
        tensors = sorted(key.removesuffix("/s") for key in file.keys() if key.endswith("/s"))  # noqa: SIM118
        for tensor in tensors:
            norm = float(file.get_tensor(f"{tensor}/norm"))
            squares_k = np.square(file.get_tensor(f"{tensor}/s").astype(np.float64))
            yield {
                "tensor": tensor,
                "m": file.get_slice(f"{tensor}/u").get_shape()[0],
                "n": file.get_slice(f"{tensor}/v").get_shape()[0],
                "norm": norm,
                # A matrix that did not move has no spectrum.
                "shares": squares_k / norm**2 if norm else np.full_like(squares_k, np.nan),
            }


def _checkpoints(plan: Plan) -> pd.DataFrame:
    rows = [
        {"run": run, **checkpoint}
        for run in plan.study.runs
        for checkpoint in _read(plan.paths.checkpoints(run), "checkpoints")["checkpoints"]
    ]
    return pd.DataFrame(rows, columns=["run", "step", "path", "digest"])


def _jobs(plan: Plan) -> pd.DataFrame:
    """Snakemake's benchmark files; none where the tree was made without the workflow.

    The report's own is left out: it would change the report at each rerun.
    """
    folder = Path(plan.paths.root) / "benchmarks"
    tables = [
        _job(path, path.relative_to(folder).with_suffix("").as_posix(), list(plan.study.runs))
        for path in sorted(folder.rglob("*.tsv"))
        if path != Path(plan.paths.benchmark("report"))
    ]
    columns = ["stage", "run", "job", "seconds", "cpu_seconds", "memory_mb"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _job(path: Path, job: str, runs: list[str]) -> pd.DataFrame:
    """A job's benchmark; its name is `stage/run/...`, or `stage/...` where runs share the job."""
    table = pd.read_csv(path, sep="\t")
    numbers = {"seconds": "s", "cpu_seconds": "cpu_time", "memory_mb": "max_rss"}
    stage, run = [*job.split("/"), ""][:2]
    return pd.DataFrame(
        {
            "stage": stage,
            "run": run if run in runs else "",
            "job": job,
            # Snakemake writes "-" or "NA" for what it had no time to measure.
            **{name: pd.to_numeric(table[column], "coerce") for name, column in numbers.items()},
        }
    )
