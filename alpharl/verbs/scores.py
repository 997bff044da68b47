"""Tasks, suites and scores: tasks, fetch, suite, disjoint, evaluate, accuracy."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from alpharl.checkpoints.files import write_json, write_text
from alpharl.errors import EvaluationError
from alpharl.names import checkpoint_name, checkpoint_step
from alpharl.verbs.engine_options import settings_of
from alpharl.verbs.inputs import LINES


def tasks(args: Namespace) -> None:
    """List what a suite can ask."""
    from alpharl.evaluation.datasets import DATASETS
    from alpharl.problems import PREFIX, PROBLEMS

    if args.generators:
        from alpharl.problems.reasoning_gym import generators

        print("\n".join(PREFIX + name for name in generators()))
        return
    for name in PROBLEMS:
        print(f"{name}\n  source: made here\n  splits: validation, test")
    print(f"{PREFIX}<generator>\n  source: made here by reasoning-gym; names of the generators:")
    print(
        "    alpharl tasks --generators\n  splits: validation, test\n  options: the generator's own"
    )
    for name, known in DATASETS.items():
        part = f", {known.name}" if known.name else ""
        shown = "; its text is never shown" if known.private else ""
        print(
            f"{name}\n  source: {known.hub}{part} on the Hub\n  splits: {', '.join(known.splits)}"
        )
        print(f"  licence: {known.licence}{shown}")


def fetch(args: Namespace) -> None:
    """Write a data task's questions as JSON lines."""
    from alpharl.evaluation.datasets import DATASETS
    from alpharl.evaluation.fetching import fetch as write
    from alpharl.evaluation.settings import Task

    task = Task(task=args.task, split=args.split, data=args.data, sha256=args.sha256)
    write(task, DATASETS, args.out)


def suite(args: Namespace) -> None:
    """Fix a suite's questions."""
    from alpharl.evaluation.settings import Suite
    from alpharl.evaluation.suites import write_suite

    write_suite(args.name, Suite.model_validate_json(args.spec), args.out, args.data)


def disjoint(args: Namespace) -> None:
    """Refuse questions that validation and test suites share."""
    from alpharl.evaluation.suites import read_suite, require_disjoint

    write_json(args.out, require_disjoint([read_suite(path) for path in args.suites]))


def evaluate(args: Namespace) -> None:
    """Score variants that have no result yet; one file each."""
    evaluation = settings_of(args)
    go_offline()
    from alpharl.evaluation.runner import score_variants
    from alpharl.evaluation.suites import read_suite

    named = [entry.partition("=") for entry in args.variant]
    variants = {name: Path(folder) for name, _, folder in named}
    files = read_suite(args.suite)
    known = _digests(args.manifests, args.base)
    cut_off = score_variants(
        files, args.base, variants, known, args.out, evaluation,
        {"run": args.run}, LINES, args.gpus or 0,
    )  # fmt: skip
    if cut_off and not args.allow_truncation:
        raise EvaluationError(
            f"suite '{files.name}': more than {files.settings['max_truncated']:.0%} of the answers "
            f"ran out of tokens, of {', '.join(cut_off)}; such an accuracy measures the budget: "
            "raise max_new_tokens, or allow it with max_truncated"
        )


def go_offline() -> None:
    """Ask no model hub for anything, and show no bar per batch.

    The libraries read both when they are imported, so call this before.
    """
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}


def accuracy(args: Namespace) -> None:
    """Collect the checkpoints' results into a table."""
    results = [json.loads(path.read_text()) for path in args.scores]
    by_step = {checkpoint_step(result["variant"]): result for result in results}
    if None in by_step:
        raise EvaluationError(
            f"found a result of {by_step[None]['variant']}, expected results of checkpoints, such "
            f"as {checkpoint_name(10)}.json; leave it out"
        )
    lines = ["step,accuracy,stderr,n"]
    for step, result in sorted(by_step.items()):
        lines.append(f"{step},{result['accuracy']:.6g},{result['stderr']:.6g},{result['n']}")
    write_text(args.out, "\n".join(lines) + "\n")


def _digests(manifests: list[Path], base: Path) -> Mapping[str, str]:
    """Digests of model folders by absolute path; a folder without a manifest is read and hashed."""
    from alpharl.checkpoints.manifest import KnownDigests

    return KnownDigests(manifests, base)
