"""Whether prompts and their answers fit into the bases, as far as can be seen without torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpharl.checkpoints.index import read_config
from alpharl.evaluation.datasets import needs_data
from alpharl.evaluation.settings import Task
from alpharl.problems import Split, get_problem, is_generated
from alpharl.problems.prompts import require_room
from alpharl.study.plan import Plan
from alpharl.study.runs import Run
from alpharl.training.registry import ALGORITHMS
from alpharl.training.spec import BUDGETS, POSITIONS, TrainSpec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_LOOKED_AT = 256
"""Questions of a split that are counted in tokens: the longest in characters."""
_ROOMY = 4096
"""Positions besides the budget into which any prompt is taken to fit, unlooked at."""


def require_budgets(plan: Plan) -> None:
    """Refuse prompts that do not fit into a base's context together with their answers.

    Prompts of data sets, which lm-eval makes, count as one token here; a chat as its question.

    Raises:
        PromptError: they do not fit.
    """
    positions = {base: _positions(plan, base) for base in plan.study.bases}
    for run in plan.study.runs.values():
        room = positions[run.base]
        if room is not None:
            for what, task, split, budget, option in _asked(plan, run):
                longest = _longest(plan, run.base, task, split) if room - budget < _ROOMY else 1
                require_room(longest, budget, room, what, option)


def _positions(plan: Plan, base: str) -> int | None:
    """Tokens that a base can read and write together; None if it is not known here."""
    if plan.study.bases[base].pretrain:
        return POSITIONS
    folder = Path(plan.paths.base_model(base))
    if not folder.is_dir():
        return None
    config = read_config(folder)
    positions = config.get("max_position_embeddings", config.get("n_positions"))
    return positions if isinstance(positions, int) else None


def _asked(plan: Plan, run: Run) -> Iterator[tuple[str, Task, Split, int, str]]:
    """What a run's base is asked: by what, the task, its split, and the budget with its key."""
    for name, suite in plan.study.suites.items():
        for task in suite.tasks:
            what = f"base '{run.base}', suite '{name}', task '{task.task}'"
            budget = task.max_new_tokens or suite.max_new_tokens
            yield what, task, task.split or "test", budget, "max_new_tokens"
    if run.train:
        task = Task(task=run.train.problem, data=run.train.data, options=run.train.options)
        what = f"base '{run.base}', {run.train.algorithm}"
        option = "the tokens of a completion in 'args'"
        yield what, task, "train", _training_budget(run.train, task), option


def _training_budget(spec: TrainSpec, task: Task) -> int:
    if not ALGORITHMS[spec.algorithm].samples:
        return 0
    given = [spec.args.get(option) for option in BUDGETS]
    least = 1 if needs_data(task) else get_problem(task.task, task.options).max_new_tokens
    return next((budget for budget in given if isinstance(budget, int)), least)


def _longest(plan: Plan, base: str, task: Task, split: Split) -> int:
    """Tokens of the longest prompt, as far as it is known here."""
    if not is_generated(task.task):
        return 1
    questions = get_problem(task.task, task.options).questions(split, task.limit)
    texts = sorted((question["prompt"] for question in questions), key=len)[-_LOOKED_AT:]
    if plan.study.bases[base].pretrain:
        return max(map(len, texts))  # a token for each character
    tokenizer = _tokenizer(Path(plan.paths.base_model(base)))
    return max((_tokens(tokenizer, text) for text in texts), default=1) if tokenizer else 1


def _tokenizer(folder: Path) -> Tokenizer | None:
    """The base's fast tokenizer; None where it has none, or is broken, which scoring will say."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception:  # the library raises nothing narrower
        return None


def _tokens(tokenizer: Any, text: str) -> int:
    """Tokens of a text and those in front of it; an end token is left out, as an answer follows."""
    mask: list[int] = tokenizer.encode(text).special_tokens_mask
    after = next((i for i, special in enumerate(reversed(mask)) if not special), 0)
    return max(len(mask) - after, 1)
