"""Arguments of the verbs about suites and scores."""

from __future__ import annotations

import argparse
from pathlib import Path

from alpharl.arguments.shared import Adder, engine, gpus, manifests, verb


def score_verbs(add: Adder[argparse.ArgumentParser]) -> None:
    """tasks, fetch, suite, disjoint, evaluate, tokens, accuracy."""
    tasks = verb(add, "tasks", "List the tasks that a suite can ask, with source and splits.")
    tasks.add_argument(
        "--generators", action="store_true", help="list the names of reasoning-gym's instead"
    )
    fetch = verb(add, "fetch", "Write a data task's questions; needs a network, or a file.")
    fetch.add_argument("--task", required=True, help="see `alpharl tasks`")
    fetch.add_argument("--split", choices=["validation", "test"], default="test")
    fetch.add_argument("--data", help="local .json, .jsonl or .parquet instead of the Hub")
    fetch.add_argument("--sha256", help="expected: of that file, or of the lines that are written")
    fetch.add_argument("--out", type=Path, required=True, help="JSON lines, described in OUT.json")
    suite = verb(add, "suite", "Fix the questions of a suite.")
    suite.add_argument("--name", required=True)
    suite.add_argument("--spec", required=True, help="Suite as JSON")
    suite.add_argument("--data", type=Path, help="folder of what `alpharl fetch` wrote")
    suite.add_argument("--out", type=Path, required=True)
    disjoint = verb(add, "disjoint", "Refuse questions shared by validation and test suites.")
    disjoint.add_argument("--suites", type=Path, nargs="+", required=True)
    disjoint.add_argument("--out", type=Path, required=True)
    evaluate = verb(add, "evaluate", "Score models and variants of one base on a suite.")
    evaluate.add_argument("--suite", type=Path, required=True, help="suite.json")
    evaluate.add_argument("--base", type=Path, required=True)
    evaluate.add_argument("--variant", action="append", required=True, metavar="NAME=FOLDER")
    manifests(evaluate)
    evaluate.add_argument("--run", default="")
    evaluate.add_argument(
        "--allow-truncation", action="store_true",
        help="do not fail where more answers ran out of tokens than the suite's max_truncated",
    )  # fmt: skip
    engine(evaluate)
    evaluate.add_argument("--out", type=Path, required=True, help="folder of the results")
    tokens = verb(add, "tokens", "Let models read, and the base continue, a suite's answers.")
    tokens.add_argument("--suite", type=Path, required=True, help="suite.json")
    tokens.add_argument("--base", type=Path, required=True)
    tokens.add_argument(
        "--writer", action="append", required=True, metavar="NAME=FILE",
        help="answers that `alpharl evaluate` kept, such as step-120.answers.jsonl",
    )  # fmt: skip
    tokens.add_argument(
        "--reader", action="append", default=[], metavar="NAME=FOLDER", help="besides the base"
    )
    manifests(tokens)
    tokens.add_argument("--prefix", type=int, nargs="*", default=[], help="numbers of tokens")
    tokens.add_argument("--dtype", default="float32")
    tokens.add_argument("--batch-size", type=int, default=64)
    gpus(tokens)
    tokens.add_argument("--out", type=Path, required=True, help="folder of two CSV tables")
    accuracy = verb(add, "accuracy", "Collect checkpoint results into a step,accuracy table.")
    accuracy.add_argument("--scores", type=Path, nargs="+", required=True)
    accuracy.add_argument("--out", type=Path, required=True)
