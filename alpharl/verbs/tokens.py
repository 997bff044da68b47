"""Token-level analyses of a suite's saved answers: tokens."""

from __future__ import annotations

from argparse import Namespace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpharl.errors import EvaluationError
from alpharl.evaluation.journal import RowFile
from alpharl.verbs.inputs import log, write_csv
from alpharl.verbs.scores import go_offline

if TYPE_CHECKING:
    from alpharl.evaluation.engines.engine import Generate
    from alpharl.evaluation.engines.hf import HfEngine
    from alpharl.evaluation.questions import TaskQuestions
    from alpharl.evaluation.tokens import Written

BASE = "base"


def tokens(args: Namespace) -> None:
    """Let models read, and the base continue, what others wrote; write two tables."""
    go_offline()
    from alpharl.evaluation.engines.hf import HfEngine
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
    rows = RowFile(args.out / ".rows.jsonl", _stamp(args, suite.digest))
    write_csv(_reading(args, engine, written, rows), args.out / "reading.csv")
    write_csv(_prefixes(args, engine, tasks, written, rows), args.out / "prefix.csv")
    rows.remove()


def _stamp(args: Namespace, suite: str) -> dict[str, Any]:
    """What rows depend on: of what is left by a killed job, others are worthless."""
    from alpharl.checkpoints.manifest import KnownDigests, digest_file
    from alpharl.evaluation import TOKENS_VERSION
    from alpharl.variants.adapters import read_source, source_digest

    known = KnownDigests(args.manifests, args.base)
    readers = {BASE: args.base, **_named(args.reader)}
    return {
        "version": TOKENS_VERSION,
        "suite": suite,
        "dtype": args.dtype,
        "writers": {name: digest_file(path) for name, path in _named(args.writer).items()},
        "readers": {
            name: source_digest(read_source(folder, args.base), known)
            for name, folder in readers.items()
        },
    }


def _named(entries: list[str]) -> dict[str, Path]:
    named = [entry.partition("=") for entry in entries]
    return {name: Path(path) for name, _, path in named}


def _written(
    args: Namespace, tasks: list[TaskQuestions], settings: dict[str, Any], tokenizer: Any
) -> dict[str, list[list[Written]]]:
    """Per writer and task, its first answer to each question."""
    from alpharl.evaluation.answering import requests_of
    from alpharl.evaluation.answers import open_answers
    from alpharl.evaluation.tokens import written

    texts = {}
    for name, path in _named(args.writer).items():
        answers = open_answers(path)
        requests = [requests_of(task, 1, settings["seed"], "") for task in tasks]
        missing = {request.answer_key for request in chain(*requests)} - answers.rows.keys()
        if missing:
            raise EvaluationError(
                f"{path}: lacks {len(missing)} of the suite's answers; delete the result next to "
                "it and score the variant again"
            )
        texts[name] = [written(of_task, answers, tokenizer) for of_task in requests]
    return texts


def _reading(
    args: Namespace, engine: HfEngine, written: dict[str, list[list[Written]]], rows: RowFile
) -> Any:
    """Each reader on each writer's answers: non-greedy share and perplexity."""
    import pandas as pd

    from alpharl.variants.adapters import read_source

    texts = {
        writer: [text for answers in tasks for text in answers if text.tokens]
        for writer, tasks in written.items()
    }
    keys: list[str] = []
    for reader, folder in {BASE: args.base, **_named(args.reader)}.items():
        readings = {f"{reader} reads {writer}": writer for writer in texts if texts[writer]}
        missing = {key: writer for key, writer in readings.items() if key not in rows}
        if missing:
            with engine.weights(read_source(folder, args.base)) as model:
                for key, writer in missing.items():
                    names = {"writer": writer, "reader": reader}
                    rows[key] = names | _read(model, texts[writer], args.batch_size)
                    log(f"{key}: {rows[key]['nongreedy']:.3f} not its likeliest token")
        keys += readings
    columns = ["writer", "reader", "n", "tokens", "nongreedy", "nongreedy_se", "perplexity",
               "perplexity_se"]  # fmt: skip
    return pd.DataFrame([rows[key] for key in keys], columns=columns)


def _read(model: Any, texts: list[Written], batch_size: int) -> dict[str, float]:
    from alpharl.evaluation.statistics import mean_and_error
    from alpharl.evaluation.tokens import read

    measured = read(model, texts, batch_size)
    (share, share_se), (perplexity, perplexity_se) = map(mean_and_error, measured)
    return {
        "n": len(texts), "tokens": sum(len(text.tokens) for text in texts),
        "nongreedy": share, "nongreedy_se": share_se,
        "perplexity": perplexity, "perplexity_se": perplexity_se,
    }  # fmt: skip


def _prefixes(
    args: Namespace,
    engine: HfEngine,
    tasks: list[TaskQuestions],
    written: dict[str, list[list[Written]]],
    rows: RowFile,
) -> Any:
    """The base on the first tokens of each writer's answers, and the writer alone: accuracy."""
    import pandas as pd

    keys = {
        f"base after {prefix} tokens of {writer}": (writer, prefix)
        for writer in written
        for prefix in sorted(args.prefix)
    }
    missing = {key: pair for key, pair in keys.items() if key not in rows}
    if missing:
        with engine.model(args.base) as generate:
            for key, (writer, prefix) in missing.items():
                names = {"writer": writer, "prefix": prefix}
                rows[key] = names | _continued(engine, generate, tasks, written[writer], prefix)
                log(f"{key}: accuracy {rows[key]['accuracy']:.3f}")
    columns = ["writer", "prefix", "n", "accuracy", "stderr", "own", "whole"]
    return pd.DataFrame([rows[key] for key in keys], columns=columns)


def _continued(
    engine: HfEngine,
    generate: Generate,
    tasks: list[TaskQuestions],
    answers: list[list[Written]],
    prefix: int,
) -> dict[str, float]:
    """One writer's answers, begun by it and continued by the base."""
    from alpharl.evaluation.statistics import accuracy
    from alpharl.evaluation.tokens import continue_from, plain_grades

    correct, plain, whole = list[float](), list[float](), 0.0
    for task, texts in zip(tasks, answers, strict=True):
        continued = continue_from(task, texts, prefix, generate, engine.tokenizer)
        correct += continued.correct
        plain += plain_grades(task, texts)
        whole += continued.whole * len(texts)
    value, error = accuracy(correct)
    return {
        "n": len(correct), "accuracy": value, "stderr": error, "own": accuracy(plain)[0],
        "whole": whole / len(correct),
    }  # fmt: skip
