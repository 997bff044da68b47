"""A suite as one tokenizer reads it: prompts in tokens, budgets, and the grading of answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.task import ConfigurableTask

from alpharl.checkpoints.index import read_config
from alpharl.errors import EvaluationError
from alpharl.evaluation.confined_tasks import ConfinedGrader
from alpharl.evaluation.engines.end_tokens import embedding_rows, end_tokens
from alpharl.evaluation.engines.engine import Decoding
from alpharl.evaluation.lm_tasks import asked, grade, load_task, questions_of
from alpharl.evaluation.suites import SuiteFiles, question_digest
from alpharl.problems.prompts import Prompts, require_room
from alpharl.problems.tokenizers import load_tokenizer
from alpharl.sums import digest_file


class TaskQuestions:
    """The questions of one task of a suite."""

    def __init__(self, suite: SuiteFiles, entry: dict[str, Any], prompts: Prompts) -> None:
        """Build the prompts.

        Args:
            suite: what is asked, and how answers are decoded.
            entry: the task's part of the suite.
            prompts: makes tokens of what is asked, for the base.
        """
        settings = suite.settings
        self.name: str = entry["task"]
        self.private: bool = entry["private"]
        self.budget: int = entry["max_new_tokens"]
        data = suite.folder / entry["data"] if entry["data"] else None
        if data and not (data.is_file() and digest_file(data) == entry["sha256"]):
            raise _changed(suite, entry["task"], f"{data} is not as")
        self._task = load_task(entry["task"], data, suite.include_path)
        _require_fixed(suite, entry, self._task)
        instances, self.tokens = asked(
            self._task, len(entry["questions"]), prompts,
            settings["chat_template"], settings["system"],
        )  # fmt: skip
        self._instances = instances
        self._confined = suite.include_path and ConfinedGrader(
            self.name, lambda number, text: grade(self._task, [instances[number]], [text])[0]
        )
        until = self._task.config.generation_kwargs.get("until") or []
        stop = [until] if isinstance(until, str) else until
        self.decoding = Decoding(
            settings["temperature"], settings["top_p"], settings["top_k"],
            tuple(dict.fromkeys([*stop, *settings["stop"]])),
        )  # fmt: skip

    def grade(self, questions: Sequence[int], texts: Sequence[str]) -> list[tuple[float, str]]:
        """How right each answer to the question of its number is, and what was extracted."""
        if self._confined:
            return self._confined(questions, texts)
        return grade(self._task, [self._instances[number] for number in questions], texts)


def _require_fixed(suite: SuiteFiles, entry: dict[str, Any], task: ConfigurableTask) -> None:
    """Refuse questions that are not those which the suite was fixed with."""
    prompts = [prompt for prompt, _ in questions_of(task)[: len(entry["questions"])]]
    if [question_digest(prompt) for prompt in prompts] != entry["questions"]:
        raise _changed(suite, entry["task"], "found other questions than")


def _changed(suite: SuiteFiles, task: str, what: str) -> EvaluationError:
    return EvaluationError(
        f"suite '{suite.name}', task '{task}': {what} the suite was fixed with; its data or its "
        "task file has changed: make the suite again with `alpharl suite`, or by deleting its "
        "suite.json and running the workflow"
    )


def read_questions(suite: SuiteFiles, base: Path) -> list[TaskQuestions]:
    """All tasks of a suite, for a base.

    Raises:
        PromptError: the base's tokenizer makes no prompt that the base can answer, or a prompt and
            its answer do not fit into the base's context.
    """
    tokenizer, config = load_tokenizer(base), read_config(base)
    prompts = Prompts(tokenizer, tuple(end_tokens(base, tokenizer)), embedding_rows(base))
    if suite.settings["chat_template"]:
        prompts.require_chat()
    tasks = [TaskQuestions(suite, entry, prompts) for entry in suite.tasks]
    context = config.get("max_position_embeddings", config.get("n_positions"))
    context = context if isinstance(context, int) else None
    for task in tasks:
        longest = max(map(len, task.tokens))
        require_room(longest, task.budget, context, f"task '{task.name}'", "max_new_tokens")
    return tasks


def longest_sequence(tasks: Sequence[TaskQuestions]) -> int:
    """Tokens of the longest prompt with its whole budget."""
    return max(len(tokens) + task.budget for task in tasks for tokens in task.tokens)
