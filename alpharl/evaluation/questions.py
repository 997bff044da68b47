"""A suite as one tokenizer reads it: prompts in tokens, budgets, and the grading of answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.task import ConfigurableTask

from alpharl.checkpoints.index import read_config
from alpharl.errors import EvaluationError
from alpharl.evaluation.engines.engine import Decoding
from alpharl.evaluation.lm_tasks import (
    grade,
    instances_of,
    load_task,
    prompt_tokens,
    questions_of,
)
from alpharl.evaluation.suites import SuiteFiles, question_digest


class TaskQuestions:
    """The questions of one task of a suite."""

    def __init__(self, suite: SuiteFiles, entry: dict[str, Any], tokenizer: Any) -> None:
        """Build the prompts.

        Args:
            suite: what is asked, and how answers are decoded.
            entry: the task's part of the suite.
            tokenizer: the base's.
        """
        settings = suite.settings
        self.name: str = entry["task"]
        self.private: bool = entry["private"]
        self.budget: int = entry["max_new_tokens"]
        data = suite.folder / entry["data"] if entry["data"] else None
        self._task = load_task(entry["task"], data, suite.include_path)
        _require_fixed(suite, entry, self._task)
        self._instances = instances_of(
            self._task, len(entry["questions"]), tokenizer,
            settings["chat_template"], settings["system"],
        )  # fmt: skip
        self.tokens = [prompt_tokens(one.args[0], tokenizer) for one in self._instances]
        until = self._task.config.generation_kwargs.get("until") or []
        stop = [until] if isinstance(until, str) else until
        self.decoding = Decoding(
            settings["temperature"], settings["top_p"], settings["top_k"],
            tuple(dict.fromkeys([*stop, *settings["stop"]])),
        )  # fmt: skip

    def grade(self, questions: Sequence[int], texts: Sequence[str]) -> list[tuple[float, str]]:
        """How right each answer to the question of its number is, and what was extracted."""
        return grade(self._task, [self._instances[number] for number in questions], texts)


def _require_fixed(suite: SuiteFiles, entry: dict[str, Any], task: ConfigurableTask) -> None:
    """Refuse questions that are not those which the suite was fixed with."""
    prompts = [prompt for prompt, _ in questions_of(task)[: len(entry["questions"])]]
    if [question_digest(prompt) for prompt in prompts] != entry["questions"]:
        raise EvaluationError(
            f"suite '{suite.name}', task '{entry['task']}': found other questions than the suite "
            "was fixed with; its data or its task file has changed: make the suite again with "
            "`alpharl suite`, or by deleting its suite.json and running the workflow"
        )


def read_questions(suite: SuiteFiles, base: Path) -> list[TaskQuestions]:
    """All tasks of a suite, for a base.

    Raises:
        EvaluationError: a prompt and its answer do not fit into the base's context.
    """
    from alpharl.checkpoints.loaded import load_tokenizer

    tokenizer = load_tokenizer(base)
    tasks = [TaskQuestions(suite, entry, tokenizer) for entry in suite.tasks]
    context = read_config(base).get("max_position_embeddings")
    for task in tasks:
        longest = max(map(len, task.tokens))
        if context is not None and longest + task.budget > context:
            raise EvaluationError(
                f"task '{task.name}': found a prompt of {longest} tokens and a budget of "
                f"{task.budget}, expected at most {context} together, the base's context; lower "
                "max_new_tokens"
            )
    return tasks


def longest_sequence(tasks: Sequence[TaskQuestions]) -> int:
    """Tokens of the longest prompt with its whole budget."""
    return max(len(tokens) + task.budget for task in tasks for tokens in task.tokens)
