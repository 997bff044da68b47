"""The stages of a study, each once: its files, its jobs, and what the report reads of it.

Workflow, status, costs and report go through this list. A stage has one name, from which those of
its verb, rules, log and benchmark are made. Torch-free, touches no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from alpharl.study.plan import Plan

Job = tuple[Any, ...]
"""A job that a scheduler gets: name of a method of `alpharl.cost.Needs`, and its arguments."""


@dataclass(frozen=True)
class Stage:
    """One step of a study."""

    name: str
    made_of: str
    """What it reads, in words."""
    folders: tuple[str, ...]
    """Where its results lie below the study's folder; names stand in angle brackets."""
    files: Callable[[Plan, str], Iterable[str]]
    """The files that say it is done, of a run (or a base, or a suite); none where it has no part in
    the run."""
    jobs: Callable[[Plan, str], Iterable[Job]] = lambda plan, run: ()
    """Its jobs for a run; none for what runs where Snakemake does."""
    tables: Callable[[Plan, str], Mapping[str, str]] = lambda plan, run: {}
    """Tables that the report reads of a run, by name."""
    logs: Callable[[Plan, str], Mapping[str, str]] = lambda plan, run: {}
    """Tables that the report reads too, and that no rule makes: a training writes its own."""
    awaited: Callable[[Plan, str], Iterable[str]] = lambda plan, run: ()
    """Files of a run that the report's job waits for besides the tables. Those that stand behind
    another stage's are left out: a plan of ten thousand jobs is no place to list them twice."""
    of: Literal["runs", "bases", "suites"] = "runs"
    """What it is made for each of."""

    def names(self, plan: Plan) -> Iterable[str]:
        """The runs (or bases, or suites) that it is made for."""
        names: Mapping[str, object] = getattr(plan.study, self.of)
        return plan.bases if self.of == "bases" else names

    def all_files(self, plan: Plan) -> list[str]:
        """Its files in the whole study."""
        return [path for name in self.names(plan) for path in self.files(plan, name)]

    def all_jobs(self, plan: Plan) -> list[Job]:
        """Its jobs in the whole study."""
        return [job for name in self.names(plan) for job in self.jobs(plan, name)]


def _of_tables(
    name: str,
    made_of: str,
    folder: str,
    tables: Callable[[Plan, str], Mapping[str, str]],
    exists: Callable[[Plan, str], bool] = lambda plan, run: True,
) -> Stage:
    """A stage whose one job per run makes tables that the report reads."""

    def tables_of(plan: Plan, run: str) -> Mapping[str, str]:
        return tables(plan, run) if exists(plan, run) else {}

    return Stage(
        name,
        made_of,
        (folder,),
        files=lambda plan, run: tables_of(plan, run).values(),
        jobs=lambda plan, run: [(name, run)] if tables_of(plan, run) else [],
        tables=tables_of,
    )


def _manifests(plan: Plan, run: str) -> list[str]:
    return [plan.paths.checkpoint_manifest(run, step) for step in plan.steps(run)]


def _forecast_jobs(plan: Plan, run: str) -> list[Job]:
    quick: list[Job] = [("forecasts", run)] if plan.quick_forecasts(run) else []
    return [*quick, *(("forecast", run, forecast) for forecast in plan.slow_forecasts(run))]


def _variant_files(folders: Iterable[str]) -> list[str]:
    return [f"{folder}/variant.json" for folder in folders]


def _factor_files(plan: Plan, run: str) -> list[str]:
    return [plan.paths.factors(run, step, i) for step in plan.steps(run) for i in plan.shards]


def _accuracies(plan: Plan, run: str) -> list[str]:
    return [plan.paths.accuracy(run, suite) for suite in plan.study.suites]


STAGES = [
    Stage(
        "pretrain",
        "a problem",
        ("bases/<base>/",),
        of="bases",
        files=lambda plan, base: (
            [plan.paths.base_manifest(base)] if plan.study.bases[base].pretrain else []
        ),
        jobs=lambda plan, base: [("pretrain",)] if plan.study.bases[base].pretrain else [],
    ),
    Stage(
        "bases",
        "a model folder, a hub or a GGUF file",
        ("bases/<base>/",),
        of="bases",
        files=lambda plan, base: (
            [] if plan.study.bases[base].pretrain else [plan.paths.base_manifest(base)]
        ),
        jobs=lambda plan, base: (
            [("bases", base)] if plan.study.bases[base].path or plan.study.bases[base].hub else []
        ),
    ),
    Stage(
        "train",
        "base, training questions, perhaps a teacher",
        ("runs/<run>/checkpoints/", "runs/<run>/manifests/"),
        files=lambda plan, run: _manifests(plan, run) if plan.study.runs[run].train else [],
        jobs=lambda plan, run: [("train", run)] if plan.study.runs[run].train else [],
        logs=lambda plan, run: (
            {"training": plan.paths.training(run)} if plan.study.runs[run].train else {}
        ),
    ),
    Stage(
        "merge",
        "shards that verl saved",
        ("runs/<run>/checkpoints/", "runs/<run>/made/"),
        files=lambda plan, run: [
            plan.paths.checkpoint_made(run, step)
            for step in plan.steps(run) if plan.study.runs[run].merge
        ],
        jobs=lambda plan, run: [
            ("merge", run) for _ in plan.steps(run) if plan.study.runs[run].merge
        ],
    ),
    Stage(
        "manifest",
        "base, a checkpoint that exists already",
        ("runs/<run>/manifests/",),
        files=lambda plan, run: [] if plan.study.runs[run].train else _manifests(plan, run),
        jobs=lambda plan, run: [
            ("manifest", run) for _ in plan.steps(run) if not plan.study.runs[run].train
        ],
    ),
    Stage(
        "checkpoints",
        "the run's manifests",
        ("runs/<run>/checkpoints.json",),
        files=lambda plan, run: [plan.paths.checkpoints(run)],
        awaited=lambda plan, run: [plan.paths.checkpoints(run)],
    ),
    Stage(
        "factors",
        "base, one or several checkpoints",
        ("runs/<run>/factors/step-<step>/",),
        files=_factor_files,
        jobs=lambda plan, run: [
            ("factors", run, len(steps)) for steps in plan.factor_jobs(run) for _ in plan.shards
        ],
        # Dynamics stand before all factors of a run that is a path.
        awaited=lambda plan, run: [] if run in plan.trajectories else _factor_files(plan, run),
    ),
    Stage(
        "gram",
        "base, all checkpoints",
        ("runs/<run>/gram/",),
        files=lambda plan, run: [plan.paths.gram(run, i) for i in plan.shards],
        jobs=lambda plan, run: [("gram", run) for _ in plan.shards],
    ),
    Stage(
        "audit",
        "gram, digests of base and checkpoints",
        ("runs/<run>/audit.json",),
        files=lambda plan, run: [plan.paths.audit(run)],
        # It stands before the dynamics of a run that is a path.
        awaited=lambda plan, run: [] if run in plan.trajectories else [plan.paths.audit(run)],
    ),
    _of_tables(
        "measures",
        "base, some checkpoints, factors or gram",
        "runs/<run>/measures/<name>.parquet",
        lambda plan, run: {name: plan.paths.measure(run, name) for name in plan.measures},
    ),
    Stage(
        "suite",
        "tasks and their questions",
        ("suites/<suite>/suite.json",),
        of="suites",
        files=lambda plan, suite: [plan.paths.suite(suite)],
    ),
    Stage(
        "evaluate",
        "a suite, models and adapters",
        ("runs/<run>/scores/<suite>/<variant>.json",),
        files=lambda plan, run: [
            plan.paths.score(run, batch.suite, variant)
            for batch in plan.batches_of(run) for variant in batch.variants
        ],
        jobs=lambda plan, run: [
            ("evaluate", run, batch.suite, len(batch.variants)) for batch in plan.batches_of(run)
        ],
        # Accuracies stand before the scores of checkpoints.
        awaited=lambda plan, run: [
            *_accuracies(plan, run),
            *(
                plan.paths.score(run, batch.suite, variant)
                for batch in plan.batches_of(run) if batch.group == "variants"
                for variant in batch.variants
            ),
        ],
    ),
    _of_tables(
        "dynamics",
        "factors, gram, validation scores",
        "runs/<run>/dynamics/",
        lambda plan, run: {"dynamics": plan.paths.dynamics(run), "pca": plan.paths.pca(run)},
        exists=lambda plan, run: run in plan.trajectories,
    ),
    Stage(
        "rank",
        "factors",
        ("runs/<run>/rank/<variant>/",),
        files=lambda plan, run: _variant_files(
            plan.paths.rank(run, variant.name) for variant in plan.rank_variants(run)
        ),
        jobs=lambda plan, run: [("rank", run)] if plan.rank_variants(run) else [],
    ),
    Stage(
        "forecast",
        "gram, factors and validation scores, as the method needs",
        ("runs/<run>/forecasts/<method>@<window>/",),
        files=lambda plan, run: _variant_files(
            plan.paths.forecast(run, forecast.name) for forecast in plan.forecasts(run)
        ),
        jobs=_forecast_jobs,
    ),
    _of_tables(
        "truth",
        "forecasts, the checkpoints that they forecast",
        "runs/<run>/truth.parquet",
        lambda plan, run: {"truth": plan.paths.truth(run)},
        exists=lambda plan, run: bool(plan.known(run)),
    ),
    _of_tables(
        "tokens",
        "answers to a test suite",
        "runs/<run>/tokens/",
        lambda plan, run: {
            name: f"{plan.paths.tokens(run)}/{name}.csv" for name in ("reading", "prefix")
        },
        exists=lambda plan, run: plan.study.tokens.suite is not None,
    ),
]  # fmt: skip
"""In the order of the data, but for the report."""


def report_inputs(plan: Plan) -> list[str]:
    """The files that the report's job waits for; all others that it reads stand behind these."""
    return [
        path
        for stage in STAGES if stage.of == "runs"
        for run in plan.study.runs
        for path in [*stage.awaited(plan, run), *stage.tables(plan, run).values()]
    ]  # fmt: skip
