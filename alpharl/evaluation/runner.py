"""Scores variants on a suite: one process, one file per variant, nothing scored twice."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from alpharl.checkpoints.files import write_json
from alpharl.checkpoints.manifest import digest_json
from alpharl.evaluation import SCORE_VERSION
from alpharl.evaluation.statistics import accuracy
from alpharl.evaluation.suites import SuiteFiles
from alpharl.variants.store import Variant, read_variant


def score_variants(
    suite: SuiteFiles,
    base: Path,
    variants: Mapping[str, Path],
    digests: Mapping[str, str],
    out: Path,
    settings: Mapping[str, Any],
    head: Mapping[str, Any],
    progress: Callable[[str], None] = lambda line: None,
) -> None:
    """Score every variant that has no result yet for exactly this model, suite and setting.

    Args:
        suite: what is asked.
        base: model folder of step 0.
        variants: by name, a model folder or a variant's folder.
        digests: of model folders by absolute path, as manifests hold them.
        out: folder of the results, `<variant>.json` each.
        settings: `engine`, `dtype` and `batch_size`.
        head: goes into each result as it is, such as the run's name.
        progress: called with a line per variant.
    """
    pending = {}
    for name, folder in variants.items():
        source = read_variant(folder) if (folder / "variant.json").is_file() else folder
        model = _model_digest(source, digests)
        key = digest_json(
            [SCORE_VERSION, model, suite.digest, settings["engine"], settings["dtype"]]
        )
        if not _is_current(out / f"{name}.json", key):
            pending[name] = (source, {"model_digest": model, "key": key})
    progress(f"{len(variants) - len(pending)} of {len(variants)} variants are scored already")
    if not pending:
        return
    scorer = Scorer(suite, base, settings)
    started = time.monotonic()
    for done, (name, (source, identity)) in enumerate(pending.items(), start=1):
        result = {"variant": name, "suite": suite.name, "role": suite.role} | scorer.score(source)
        write_json(out / f"{name}.json", {**head, **result, **identity, **scorer.settings})
        left = (time.monotonic() - started) / done * (len(pending) - done)
        line = f"{done}/{len(pending)} {name} accuracy {_shown(result['accuracy'])}"
        progress(f"{line}, about {left:.0f} s left")


def _model_digest(source: Path | Variant, digests: Mapping[str, str]) -> str:
    if isinstance(source, Variant):
        return source.digest(digests)
    return digests[os.path.abspath(source)]


def _is_current(path: Path, key: str) -> bool:
    return path.is_file() and json.loads(path.read_text()).get("key") == key


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


class Scorer:
    """The engine and the suite's tasks, both loaded once."""

    def __init__(self, suite: SuiteFiles, base: Path, settings: Mapping[str, Any]) -> None:
        """Load the base into the engine, and the suite's tasks.

        Args:
            suite: what is asked.
            base: model folder of step 0.
            settings: `engine`, `dtype` and `batch_size`.
        """
        from alpharl.evaluation.hf import HfEngine
        from alpharl.evaluation.lm_tasks import load_task

        self.suite = suite
        self.settings = {
            "suite_digest": suite.digest,
            "engine": settings["engine"],
            "dtype": settings["dtype"],
            "versions": {
                name: version(name) for name in ("torch", "transformers", "lm-eval", "peft")
            },
        }
        self._engine = HfEngine(base, settings["dtype"], settings["batch_size"])
        self._tasks = [
            load_task(
                entry["task"],
                suite.folder / entry["data"] if entry["data"] else None,
                suite.include_path,
            )
            for entry in suite.tasks
        ]
        for task in self._tasks:
            task.set_config(
                "generation_kwargs", {"max_gen_toks": suite.max_new_tokens}, update=True
            )

    def score(self, source: Path | Variant) -> dict[str, Any]:
        """The result of one model: accuracy, standard error, outcome of each question.

        A forecast that is undefined on its window has no model, and so no accuracy.
        """
        if isinstance(source, Variant) and source.meta.get("undefined"):
            return {"n": 0, "accuracy": None, "stderr": None, "truncated": None, "seconds": 0.0,
                    "question_ids": [], "correct": []}  # fmt: skip
        started = time.monotonic()
        correct: list[float] = []
        truncated = 0
        with self._engine.model(source) as model:
            for task, entry in zip(self._tasks, self.suite.tasks, strict=True):
                for sample in self._ask(model, task, len(entry["questions"])):
                    correct.append(float(sample[sample["metrics"][0]]))
                    tokens = self._engine.answer_tokens(sample["resps"][0][0])
                    truncated += tokens >= self.suite.max_new_tokens
        mean, error = accuracy(correct)
        return {
            "n": len(correct),
            "accuracy": mean,
            "stderr": error,
            "truncated": truncated / len(correct),
            "seconds": round(time.monotonic() - started, 3),
            "question_ids": self.suite.questions,
            "correct": correct,
        }

    def _ask(self, model: Any, task: Any, count: int) -> list[dict[str, Any]]:
        """lm-eval's samples of one task's first questions, in their order."""
        from lm_eval.evaluator import evaluate

        name = task.task_name
        found = evaluate(
            lm=model,
            task_dict={name: task},
            samples={name: list(range(count))},
            bootstrap_iters=0,
        )
        samples = found["samples"][name]
        # A task may grade through several filters; its first one counts, each question once.
        first = [sample for sample in samples if sample["filter"] == samples[0]["filter"]]
        return sorted(first, key=lambda sample: sample["doc_id"])
