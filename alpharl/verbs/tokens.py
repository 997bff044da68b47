"""Token-level analyses of a suite's saved answers: tokens."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpharl.errors import EvaluationError
from alpharl.verbs.inputs import log, write_csv
from alpharl.verbs.scores import go_offline

if TYPE_CHECKING:
    from alpharl.evaluation.hf import HfEngine
    from alpharl.evaluation.questions import TaskQuestions
    from alpharl.evaluation.tokens import Written

BASE = "base"


def tokens(args: Namespace) -> None:
    """Let models read, and the base continue, what others wrote; write two tables."""
    go_offline()
    from alpharl.evaluation.hf import HfEngine
    from alpharl.evaluation.questions import read_questions
    from alpharl.evaluation.suites import read_suite

    suite = read_suite(args.suite)
    tasks = [task for task in read_questions(suite, args.base) if not task.private]
    if not tasks:
        raise EvaluationError(
            f"{args.suite}: found only private tasks, whose answers are not kept as text; expected "
            "at least one other"
        )
    for prefix in args.prefix:
        if prefix >= min(task.budget for task in tasks):
            raise EvaluationError(
                f"found a prefix of {prefix} tokens, expected fewer than the budget of an answer; "
                "shorten it"
            )
    engine = HfEngine(args.base, args.dtype, args.batch_size)
    written = _written(args, tasks, suite.settings, engine.tokenizer)
    write_csv(_reading(args, engine, written), args.out / "reading.csv")
    write_csv(_prefixes(args, engine, tasks, written), args.out / "prefix.csv")


def _named(entries: list[str]) -> dict[str, Path]:
    named = [entry.partition("=") for entry in entries]
    return {name: Path(path) for name, _, path in named}


def _written(
    args: Namespace, tasks: list[TaskQuestions], settings: dict[str, Any], tokenizer: Any
) -> dict[str, list[list[Written]]]:
    """Per writer and task, its first answer to each question."""
    from alpharl.evaluation.answers import open_answers
    from alpharl.evaluation.asking import asked_of
    from alpharl.evaluation.tokens import written

    found = {}
    for name, path in _named(args.writer).items():
        kept = open_answers(path)
        asked = [asked_of(task, 1, settings["seed"], "") for task in tasks]
        missing = [one for places in asked for one in places if one.place not in kept.rows]
        if missing:
            raise EvaluationError(
                f"{path}: lacks {len(missing)} of the suite's answers; delete the result beside it "
                "and score the variant again"
            )
        found[name] = [written(places, kept, tokenizer) for places in asked]
    return found


def _reading(args: Namespace, engine: HfEngine, written: dict[str, list[list[Written]]]) -> Any:
    """Each reader on each writer's answers: non-greedy share and perplexity."""
    import pandas as pd

    from alpharl.evaluation.statistics import mean_and_error
    from alpharl.evaluation.tokens import read
    from alpharl.variants.adapters import read_source

    rows = []
    for reader, folder in {BASE: args.base, **_named(args.reader)}.items():
        with engine.weights(read_source(folder, args.base)) as model:
            for writer, tasks in written.items():
                texts = [text for answers in tasks for text in answers if text.tokens]
                if not texts:
                    continue
                measured = read(model, texts, args.batch_size)
                (share, share_se), (perplexity, perplexity_se) = map(mean_and_error, measured)
                rows.append({
                    "writer": writer, "reader": reader, "n": len(texts),
                    "tokens": sum(len(text.tokens) for text in texts),
                    "nongreedy": share, "nongreedy_se": share_se,
                    "perplexity": perplexity, "perplexity_se": perplexity_se,
                })  # fmt: skip
                log(f"{reader} reads {writer}: {share:.3f} not its likeliest token")
    columns = ["writer", "reader", "n", "tokens", "nongreedy", "nongreedy_se", "perplexity",
               "perplexity_se"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _prefixes(
    args: Namespace,
    engine: HfEngine,
    tasks: list[TaskQuestions],
    written: dict[str, list[list[Written]]],
) -> Any:
    """The base on the first tokens of each writer's answers, and the writer alone: accuracy."""
    import pandas as pd

    from alpharl.evaluation.statistics import accuracy
    from alpharl.evaluation.tokens import continue_from, own_grades

    rows = []
    with engine.model(args.base) as generate:
        for writer, answers in written.items():
            own, _ = accuracy(
                [grade for task, texts in zip(tasks, answers, strict=True)
                 for grade in own_grades(task, texts)]
            )  # fmt: skip
            for prefix in sorted(args.prefix):
                correct, whole = [], 0.0
                for task, texts in zip(tasks, answers, strict=True):
                    found = continue_from(task, texts, prefix, generate, engine.tokenizer)
                    correct += found.correct
                    whole += found.whole * len(texts)
                value, error = accuracy(correct)
                rows.append({
                    "writer": writer, "prefix": prefix, "n": len(correct), "accuracy": value,
                    "stderr": error, "own": own, "whole": whole / len(correct),
                })  # fmt: skip
                log(f"base after {prefix} tokens of {writer}: accuracy {value:.3f}")
    return pd.DataFrame(
        rows, columns=["writer", "prefix", "n", "accuracy", "stderr", "own", "whole"]
    )
