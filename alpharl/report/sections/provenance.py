"""Where scores and checkpoints come from: engines, decoding, suites, sources, software."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd
import yaml

from alpharl.report.collect import Results, Score
from alpharl.report.frames import Frames
from alpharl.report.numbers import number
from alpharl.report.section import Section
from alpharl.report.tables import Cell, Column, Table, table
from alpharl.study.config import Study
from alpharl.study.runs import Run

_SOFTWARE = ("alpharl", "torch", "transformers", "lm-eval")


class Provenance(Section):
    """What was scored with what, and the whole study."""

    name = "provenance"
    nav = "Provenance"
    title = "Provenance"
    text = """
    <h3>Suites</h3>
    <p>Scored by {{ engines | join("; ") }}.</p>
    {{ grid(suites) }}
    <h3>Runs</h3>
    {{ grid(sources) }}
    <h3>Software that made this report</h3>
    <p>{% for name, number in software %}{{ name }} {{ number }}{{ ", " if not loop.last }}
    {%- endfor %}</p>
    <h3>Study</h3>
    <pre>{{ config }}</pre>
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """All checkpoints with their digests."""
        return {"checkpoints": results.checkpoints}

    def context(self, results: Results, frames: Frames) -> dict[str, Any]:
        """Engines, suites, sources, software and study."""
        return {
            "engines": engines(results),
            "suites": suites_table(results),
            "sources": sources_table(results),
            "software": software(),
            "config": resolved(results.study),
        }


def resolved(study: Study) -> str:
    """The validated config as YAML, complete with defaults, in the order of its keys."""
    return yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def software() -> list[tuple[str, str]]:
    """Packages that made the report, with their versions."""
    return [(name, _version(name)) for name in _SOFTWARE]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def engines(results: Results) -> list[str]:
    """Each engine, dtype and set of versions that scores of the study were made with."""
    counts: dict[str, int] = {}
    for score in _defined(results):
        libraries = ", ".join(f"{name} {v}" for name, v in sorted(score.raw["versions"].items()))
        engine = f"{score.raw['engine']} in {score.raw['dtype']} ({libraries})"
        counts[engine] = counts.get(engine, 0) + 1
    return [
        f"{engine}: {count} {'score' if count == 1 else 'scores'}"
        for engine, count in counts.items()
    ]


def _defined(results: Results) -> Iterable[Score]:
    """Scores that an engine made; of an undefined forecast nothing was asked."""
    return (score for score in results.scores.values() if score.correct_n.size)


def suites_table(results: Results) -> Table:
    """The suites as they were scored."""
    rows = []
    for name, spec in results.study.suites.items():
        raws = [score.raw for score in _defined(results) if score.suite == name]
        rows.append(
            {
                **{"suite": name, "role": spec.role, "n": raws[0]["n"]},
                "tasks": ", ".join(f"{t.task} {t.split or ''}".strip() for t in spec.tasks),
                **{key: _distinct(raw[key] for raw in raws) for key in _SUITE},
                "decoding": _distinct(_decoding(raw["decoding"]) for raw in raws),
            }
        )
    columns = [
        Column("suite", lambda r: r.suite, kind="word"),
        Column("role", lambda r: r.role, kind="word"),
        Column("tasks", lambda r: r.tasks, kind="text"),
        Column("questions", lambda r: str(r.n)),
        Column("engine", lambda r: f"{r.engine}, {r.dtype}", kind="word"),
        Column("decoding", lambda r: Cell(r.decoding, r.seed_note), kind="text"),
        Column("digest", lambda r: r.suite_digest[:16], kind="word"),
    ]
    return table(pd.DataFrame(rows), columns)


_SUITE = ("suite_digest", "engine", "dtype", "seed_note")


def _distinct(values: Iterable[Any]) -> str:
    return ", ".join(sorted({str(value) for value in values}))


def _decoding(settings: dict[str, Any]) -> str:
    """How answers were decoded, in words; what has no effect is left out."""
    words = [f"temperature {settings['temperature']:g}" if settings["temperature"] else "greedy"]
    if settings["temperature"]:
        words += [f"top-p {settings['top_p']:g}"] if settings["top_p"] < 1 else []
        words += [f"top-k {settings['top_k']}"] if settings["top_k"] else []
        count = settings["samples"]
        words += [f"{count} sample{'s' if count > 1 else ''} per question, seed {settings['seed']}"]
    words += [_budgets(settings["max_new_tokens"])]
    words += ["chat template"] if settings["chat_template"] else []
    stops = " ".join(repr(stop) for stop in settings["stop"])
    return ", ".join([*words, f"stop at {stops}"] if stops else words)


def _budgets(tokens: dict[str, int]) -> str:
    """The token budget, or that of each task where they differ."""
    if len(set(tokens.values())) == 1:
        return f"at most {number(min(tokens.values()), 0)} tokens"
    each = [f"{number(count, 0)} ({task})" for task, count in tokens.items()]
    return f"at most {', '.join(each)} tokens"


def _source(run: Run) -> str:
    """Where a run's checkpoints came from, in a few words."""
    if run.train:
        return f"trained here, {run.train.algorithm}"
    if run.hub:
        return f"{run.hub.repo} at {run.hub.revision}"
    if isinstance(run.checkpoints, dict):
        return run.source(run.saved_steps()[-1])
    return f"{run.checkpoints}{', merged by verl' if run.merge else ''}"


def sources_table(results: Results) -> Table:
    """Where each run's base and checkpoints came from."""
    rows = []
    for name, spec in results.study.runs.items():
        steps = results.plan.steps(name)
        saved = results.checkpoints[results.checkpoints["run"] == name]
        rows.append(
            {
                **{"run": name, "base": spec.base, "steps": f"{steps[0]} to {steps[-1]}"},
                "source": _source(spec),
                "checkpoints": len(steps),
                "digest": saved["digest"].iloc[-1],
            }
        )
    columns = [
        Column("run", lambda r: r.run, kind="word"),
        Column("base", lambda r: r.base, kind="word"),
        Column("source", lambda r: r.source, kind="word"),
        Column("checkpoints", lambda r: str(r.checkpoints)),
        Column("steps", lambda r: r.steps),
        Column("digest of the last", lambda r: r.digest[:16], kind="word"),
    ]
    return table(pd.DataFrame(rows), columns)
