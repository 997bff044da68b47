"""lm-eval tasks: ours, or the user's own in a folder; their prompts and their grading."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets.exceptions import DatasetGenerationError
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager
from pydantic import TypeAdapter, ValidationError

from alpharl.checkpoints.header import finite_json
from alpharl.errors import AlpharlError, EvaluationError
from alpharl.evaluation.confined_tasks import rehearse
from alpharl.evaluation.tasks import filters as filters  # registers the filter of task files
from alpharl.failures import pass_on
from alpharl.frozen import describe_error
from alpharl.problems import PREFIX, PROBLEMS, Problem, get_problem, is_generated
from alpharl.problems.chat import Messages
from alpharl.problems.problem import Question
from alpharl.problems.prompts import Prompts
from alpharl.scratch import lasting
from alpharl.yaml_text import require_plain

OWN_TASKS = Path(__file__).parent / "tasks"


def load_task(name: str, data: Path | None, include_path: str | None) -> ConfigurableTask:
    """An lm-eval task object.

    Args:
        name: of a problem that makes its own questions, or of a task in its YAML file.
        data: JSON lines that replace the task's test split.
        include_path: a folder of the user's own task files, searched after ours.

    Raises:
        EvaluationError: no such task, or one whose answers are not generated.
        StudyError: its file has a key twice, or numbers that YAML reads as others.
    """
    override = {} if data is None else {"dataset_kwargs": _files(data)}
    if is_generated(name):
        config = {**_generated(get_problem(name)), **override, "task": name}
        if data:
            _require_questions(name, data)
        with _readable(data, "`alpharl suite`"):
            return ConfigurableTask(config=config)
    load = _loader(name, override, include_path)
    if include_path:
        rehearse(name, load)
    with _readable(data, "`alpharl fetch`"), _in_words(name, None if data else include_path):
        task = load()
    if task.OUTPUT_TYPE != "generate_until":
        raise EvaluationError(
            f"task '{name}': found output_type {task.OUTPUT_TYPE}, expected generate_until; the "
            "engines generate answers, so let the task ask for one"
        )
    return task


def _loader(
    name: str, override: dict[str, Any], include_path: str | None
) -> Callable[[], ConfigurableTask]:
    """What loads a task from its YAML file."""
    folders = [OWN_TASKS, *([Path(include_path)] if include_path else [])]
    with _in_words(name, include_path):
        manager = TaskManager(include_path=list(folders), include_defaults=False)
    if name not in manager.all_tasks:
        raise EvaluationError(
            f"task '{name}': not found in {', '.join(map(str, folders))}; expected one of: "
            + ", ".join([*PROBLEMS, f"{PREFIX}<generator>", *sorted(manager.all_tasks)])
        )
    path = manager.task_index[name].yaml_path
    if path is not None:
        require_plain(Path(path).read_text("utf-8"), str(path))

    def load() -> ConfigurableTask:
        # A task inside an inline group is lm-eval's public way to override a part of its config.
        loaded = manager.load({"group": "suite", "task": [{"task": name, **override}]})
        (task,) = loaded["tasks"].values()
        return task

    return load


_QUESTION = TypeAdapter(Question)


def _require_questions(name: str, data: Path) -> None:
    """Refuse a file with a line that is none of a problem's own questions.

    Raises:
        EvaluationError: names the first such line.
    """
    for number, line in enumerate(data.read_bytes().removesuffix(b"\n").split(b"\n"), start=1):
        try:
            _QUESTION.validate_python(finite_json(line.decode()), strict=True)
        except ValueError as error:
            wrong = (
                describe_error(error.errors()[0]) if isinstance(error, ValidationError) else error
            )
            raise EvaluationError(
                f"{data}: line {number}: found no question of '{name}' ({wrong}), expected one as "
                "`alpharl suite` writes it; make the suite again, or name the task of this file"
            ) from None


@contextmanager
def _readable(data: Path | None, maker: str) -> Iterator[None]:
    """Tell in one line that a file holds no questions that its task can ask."""
    try:
        with _copying():
            yield
    except (
        DatasetGenerationError,
        OSError,
        StopIteration,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        pass_on(error)
        if data is None or isinstance(error, AlpharlError):
            raise
        raise EvaluationError(
            f"{data}: found no questions that the task can ask ({error!r:.99}), expected the data "
            f"set's columns in lines of JSON, as {maker} writes them; make it again with that"
        ) from None


@contextmanager
def _in_words(name: str, include_path: str | None) -> Iterator[None]:
    """Tell in one line what is wrong with task files of the user's own."""
    try:
        yield
    except Exception as error:  # whatever their functions raise
        if not include_path or isinstance(error, AlpharlError):
            raise
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise EvaluationError(
            f"task '{name}': lm-eval cannot load it from {include_path} ({said}), expected task "
            "files as it reads them; correct them"
        ) from None


def _generated(problem: Problem) -> dict[str, Any]:
    """The config of a task whose questions `alpharl suite` writes, graded as training rewards."""

    def extract_all(resps: list[list[str]], docs: list[Any]) -> list[list[str]]:
        pairs = zip(resps, docs, strict=True)
        return [[problem.extract(text, doc) for text in texts] for texts, doc in pairs]

    def process_results(doc: Any, results: list[str]) -> dict[str, float]:
        return {"exact_match": float(problem.is_correct(results[0], doc))}

    custom = {"function": "custom", "filter_fn": extract_all}
    return {
        "dataset_path": "json",
        "test_split": "test",
        "output_type": "generate_until",
        # Names of columns, not templates: lm-eval would compile a template for every question.
        "doc_to_text": "prompt",
        "doc_to_target": "answer",
        "target_delimiter": "",
        "generation_kwargs": {"until": list(problem.stop), "do_sample": False},
        "filter_list": [{"name": "answer", "filter": [custom, {"function": "take_first"}]}],
        "process_results": process_results,
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }


def _files(data: Path) -> dict[str, Any]:
    """Arguments of `load_dataset` for a file of questions.

    The copy that it makes goes away with this process: it may be of a private set.
    """
    return {"data_files": {"test": str(data)}, "cache_dir": str(lasting("data"))}


@contextmanager
def _copying() -> Iterator[None]:
    """Where a disk is full, it is that of the copies, not that of the questions."""
    try:
        yield
    except Exception as error:
        pass_on(error, writes=str(lasting("data")))
        raise


def questions_of(task: ConfigurableTask) -> list[tuple[str, str]]:
    """The texts that the task asks and the answers that it wants, in order."""
    try:
        docs: list[Any] = list(task.eval_docs)
        return [(str(task.doc_to_text(doc)), str(task.doc_to_target(doc))) for doc in docs]
    except Exception as error:  # of a template, or of a function of the user's own
        said = " ".join(repr(error).split())[:200]
        raise EvaluationError(
            f"task '{task.config.task}': found a question that it cannot ask ({said}), expected "
            "the columns of its data set; fetch it again, or correct the file it came from"
        ) from None


Template = Callable[..., str]
"""What lm-eval calls to make a text of messages."""


def instances_of(
    task: ConfigurableTask, count: int, template: Template | None = None, system: str | None = None
) -> list[Instance]:
    """lm-eval's instances of the task's first questions, in order.

    Args:
        task: what is asked.
        count: number of questions.
        template: makes a chat of them.
        system: system prompt of the chat.
    """
    task.build_all_requests(
        samples=list(range(count)), system_instruction=system,
        apply_chat_template=template is not None, chat_template=template,
    )  # fmt: skip
    instances: list[Instance] = sorted(task.instances, key=lambda instance: instance.doc_id)
    return instances


def asked(
    task: ConfigurableTask, count: int, prompts: Prompts, chat: bool, system: str | None
) -> tuple[list[Instance], list[tuple[int, ...]]]:
    """The same instances, and the prompt of each in tokens.

    Args:
        task: what is asked.
        count: number of questions.
        prompts: makes the tokens.
        chat: whether the questions go into the chat template.
        system: system prompt of the chat.

    Raises:
        PromptError: the chat template makes no prompt of a question.
    """
    if not chat:
        instances = instances_of(task, count)
        return instances, [tuple(prompts.ids(instance.args[0])) for instance in instances]
    tokens: dict[str, tuple[int, ...]] = {}

    def template(history: Messages, add_generation_prompt: bool = True) -> str:
        text, ids = prompts.chat(history, continued=not add_generation_prompt)
        tokens[text] = tuple(ids)
        return text

    instances = instances_of(task, count, template, system)
    return instances, [tokens[instance.args[0]] for instance in instances]


def grade(
    task: ConfigurableTask, instances: Sequence[Instance], texts: Sequence[str]
) -> list[tuple[float, str]]:
    """How right each answer is, and what the task's filter extracts from it.

    Each is graded on its own. Of several filters and metrics the first counts.

    Args:
        task: the task.
        instances: the one that each text answers.
        texts: the answers.
    """
    answered = [copy.copy(instance) for instance in instances]
    for instance, text in zip(answered, texts, strict=True):
        instance.resps, instance.filtered_resps = [text], {}
    first = task._filters[0]  # public methods apply all filters, to the task's own instances only
    first.apply(answered)
    extracted = [instance.filtered_resps[first.name] for instance in answered]
    metrics = [task.process_results(instance.doc, [answer])
               for instance, answer in zip(answered, extracted, strict=True)]  # fmt: skip
    return [(float(next(iter(metric.values()))), str(answer))
            for metric, answer in zip(metrics, extracted, strict=True)]  # fmt: skip
