"""The text of a first study file for checkpoints that exist. Torch-free, touches no file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import yaml

from alpharl.errors import StudyError
from alpharl.evaluation.datasets import DATASETS
from alpharl.evaluation.task_names import require_task
from alpharl.problems import get_problem, is_generated
from alpharl.study.config import parse_study
from alpharl.study.plan import Plan
from alpharl.study.windows import window_end

_WINDOWS = (0.2, 0.4, 0.6, 0.8)
_QUESTIONS = {"validation": 200, "test": 500}
_TOKENS = 1024
"""Budget of an answer to a public data set's question."""


@dataclass(frozen=True)
class StarterRun:
    """A run as the study file names it."""

    base: str
    """Name of its base."""
    source: str | Mapping[int, str]
    """Folder pattern with `{step}` in it, or the folder of each step."""
    steps: list[int]
    note: str
    """What was found, in a few words."""


def study_text(
    name: str,
    bases: Mapping[str, Mapping[str, object]],
    runs: Mapping[str, StarterRun],
    chat: bool,
    task: str = "gsm8k",
) -> str:
    """A commented study file that `alpharl check` accepts.

    Args:
        name: of the study.
        bases: by name, the keys of each: `path`, or `hub`.
        runs: by name.
        chat: whether the base's tokenizer has a chat template.
        task: what both suites ask.

    Raises:
        StudyError: what was found makes no valid study.
        EvaluationError: no such task.
    """
    windows = _windows([run.steps for run in runs.values()])
    text = "\n".join(
        [
            "# Written by `alpharl init`. All keys: config/README.md.",
            f"study: {_word(name)}",
            *["", "# The model that the runs began from.", "bases:"],
            *[f"  {_word(base)}: {_inline(keys)}" for base, keys in bases.items()],
            *["", "runs:"],
            *[line for run, starter in runs.items() for line in _run_lines(run, starter)],
            *["", *_suite_lines(chat, task)],
            *["", *_forecast_lines(windows)],
            "",
        ]
    )
    Plan(parse_study(yaml.safe_load(text), "init"))
    return text


def _run_lines(name: str, run: StarterRun) -> list[str]:
    lines = [f"  # {run.note}", f"  {_word(name)}:", f"    base: {_word(run.base)}"]
    if isinstance(run.source, str):
        source = [f"    checkpoints: {_word(run.source)}", f"    steps: {_steps(run.steps)}"]
    else:
        source = ["    checkpoints:", *[f"      {s}: {_word(p)}" for s, p in run.source.items()]]
    return lines + source


def _steps(steps: list[int]) -> str:
    """First, last and every where steps are regular, else the list."""
    gaps = {after - before for before, after in pairwise(steps)}
    if len(gaps) == 1:
        return f"{{first: {steps[0]}, last: {steps[-1]}, every: {gaps.pop()}}}"
    return str(steps)


def _suite_lines(chat: bool, task: str) -> list[str]:
    template = ["    chat_template: true"] if chat else []
    tokens = _budget(task)
    lines = [
        "# Forecasts may be fitted on scores of the validation suite, never on those of a test.",
        "# Put in what the runs were trained for: `alpharl tasks` lists what there is.",
        "suites:",
    ]
    for role, limit in _QUESTIONS.items():
        lines += [
            f"  {role}:",
            f"    role: {role}",
            f"    tasks: [{{task: {_word(task)}, split: {role}, limit: {limit}}}]",
            f"    max_new_tokens: {tokens}",
            *template,
        ]
    return lines


def _budget(task: str) -> int:
    """Tokens that an answer to the task's questions may have.

    Raises:
        StudyError: it has no questions for a validation suite.
        EvaluationError: no such task, or reasoning-gym has no such generator.
    """
    require_task(task)
    if is_generated(task):
        return get_problem(task).max_new_tokens
    if "validation" not in DATASETS[task].splits:
        able = [name for name, data in DATASETS.items() if "validation" in data.splits]
        raise StudyError(
            f"task '{task}' has test questions alone, expected one that a validation suite can "
            f"ask, such as {', '.join(able)}; put '{task}' into the test suite afterwards"
        )
    return _TOKENS


def _forecast_lines(windows: list[float]) -> list[str]:
    if not windows:
        return [
            "# Too few checkpoints to forecast any from earlier ones.",
            "forecast: {methods: {}}",
        ]
    return [
        "# `alpharl methods` lists the methods.",
        "forecast:",
        "  # Shares of the run that a method may see.",
        f"  windows: {windows}",
        "  methods:",
        *[f"    {method}: {{}}" for method in ("last", "weight-extrapolation", "relex", "auto")],
    ]


def _windows(runs: Sequence[list[int]]) -> list[float]:
    """The first two windows that hold three checkpoints of every run, and not all.

    A verdict needs three. Where runs have too few for that, two.
    """
    for least in (3, 2):
        fitting = [w for w in _WINDOWS if all(_fits(steps, w, least) for steps in runs)]
        if fitting:
            return fitting[:2]
    return []


def _fits(steps: list[int], window: float, least: int) -> bool:
    try:
        end = window_end(steps, window)
    except StudyError:
        return False
    return end < steps[-1] and sum(step <= end for step in steps) >= least


def _word(text: str) -> str:
    """A YAML scalar that is read as this text."""
    plain = yaml.safe_dump(text, width=10_000, allow_unicode=True).removesuffix("...\n").strip()
    return plain if "\n" not in plain else json.dumps(text)


def _inline(keys: Mapping[str, object]) -> str:
    return yaml.safe_dump(keys, default_flow_style=True, width=10_000, allow_unicode=True).strip()
