"""A small results tree with made-up but consistent numbers, for tests of the report."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from alpharl.checkpoints.array_files import write_arrays
from alpharl.checkpoints.files import write_record
from alpharl.evaluation.runner import UNDEFINED as UNDEFINED_SCORE
from alpharl.evaluation.statistics import Graded, per_task, summarize
from alpharl.report import write_report
from alpharl.study.config import Study, parse_study
from alpharl.study.forecasts import ForecastVariant
from alpharl.study.plan import Plan
from alpharl.sums import write_summed
from alpharl.verbs.outputs import write_table

QUESTIONS = 200
LAST = 60
CONFIG = {
    "study": "toy",
    "bases": {"base": {"pretrain": {"problem": "addition"}}},
    "runs": {
        "grpo": {"base": "base", "train": {"steps": LAST, "save_every": 6}},
        "grpo-own": {
            "base": "base",
            "checkpoints": "elsewhere/step-{step}",
            "steps": {"first": 6, "last": LAST, "every": 6},
        },
    },
    "suites": {
        "validation": {
            "role": "validation",
            "tasks": [{"task": "addition", "split": "validation"}],
        },
        "test": {"role": "test", "tasks": [{"task": "addition", "split": "test"}]},
    },
    "rank": {"ranks": [1, 4], "unscaled": [1], "without": [1], "at": [0.2, 1.0]},
    "forecast": {
        "windows": [0.2, 0.5],
        "methods": {"last": {}, "expo": {}, "relex": {}, "alpharl-paper": {}},
    },
}
MEASURES = [
    ("pls_r2", "permutation", 0.97, 0.93, 0.04),
    ("pls_r2", "random-walk", 0.97, 0.96, 0.4),
    ("line_r2", "random-walk", 0.95, 0.96, 0.6),
    ("temporal_share", "noise", 0.85, 0.2, 0.001),
    ("holdout_pls_mae", "keep-last", 0.08, 0.05, None),
    ("holdout_line_ratio", "keep-last", 0.7, 1.0, None),
]
FLOOR_REST = [
    "noise_norm_ratio", "noise_s1_ratio", "noise_share", "rounded_s1_ratio", "rounded_unmoved",
]  # fmt: skip
SECONDS = {
    "pretrain/base": 130.0,
    "train/grpo": 300.0,
    "gram/grpo/0": 20.0,
    "evaluate/grpo/validation/checkpoints-1": 40.0,
    "evaluate/grpo/validation/checkpoints-2": 4.0,
    "evaluate/grpo/test/checkpoints-1": 50.0,
    "gram/grpo-own/0": 21.0,
    "report": 9.0,
}
UNDEFINED = "alpharl-paper@0.2"
SEED_NOTE = "answers do not depend on the batch"
DECODING = {"temperature", "top_p", "top_k", "samples", "seed", "stop", "chat_template"}
REASON = "accuracy does not change inside the window"


def _graded(i: int, right: bool) -> Graded:
    """The i-th sample of a question; wrong answers are of two kinds, so that votes can tie."""
    return Graded(float(right), "right" if right else f"wrong {i % 2}", truncated=False, tokens=7)


class Tree:
    """A results tree with made-up but consistent numbers."""

    def __init__(
        self,
        folder: Path,
        no_gain: str | None = None,
        forecast: dict[str, object] | None = None,
        **changes: object,
    ) -> None:
        wanted = {**CONFIG["forecast"], **(forecast or {})}
        config = {**CONFIG, "results": str(folder), "forecast": wanted, **changes}
        self.study: Study = parse_study(config)
        self.plan = Plan(self.study)
        self.no_gain = no_gain
        self.rng = np.random.default_rng(0)
        self.correct: dict[tuple[str, str, str], np.ndarray] = {}
        for run in self.study.runs:
            self._run(run)
        self._scores()
        self._benchmarks()

    @property
    def root(self) -> Path:
        return Path(self.plan.paths.root)

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.root / "report" / "tables" / f"{name}.csv")

    def write(self, path: str | Path, content: object) -> None:
        if isinstance(content, dict):
            write_record(Path(path), content)
        else:
            write_summed({Path(path): lambda partial: partial.write_text(str(content))})

    def _run(self, run: str) -> None:
        steps = self.plan.steps(run)
        for step in steps:
            self._factors(run, step)
        self._truth(run)
        audit = {"steps": steps, "faults": [], "accepted": [], "notes": []}
        self.write(self.plan.paths.audit(run), audit)
        if self.study.tokens.suite:
            self._tokens(run)
        self._dynamics(run)
        self._floor(run)
        self._sparsity(run)
        points = [{"step": s, "path": f"step-{s}", "digest": f"d{s}"} for s in steps]
        table = {"run": run, "base": "base", "steps": steps, "checkpoints": points}
        self.write(self.plan.paths.checkpoints(run), table)
        for forecast in self.plan.forecasts(run):
            undefined = None
            if forecast.name.startswith(UNDEFINED):
                undefined = f"alpharl-paper: {REASON}"
            variant: dict[str, object] = {
                "kind": "forecast",
                "undefined": undefined,
                "norm_ratio": None if undefined else 1.5 * forecast.amplitude,
                "fit": {},
            }
            variant |= {"window_steps": [s for s in steps if s <= forecast.through]}
            variant |= {"target_step": self._target_step(forecast)}
            self.write(f"{self.plan.paths.forecast(run, forecast.name)}/variant.json", variant)
        if self.study.runs[run].train:
            log = pd.DataFrame({"step": range(1, 121), "reward": np.linspace(0.2, 0.9, 120)})
            log = log.assign(loss=0.5, entropy=None, seconds=log["step"])
            self.write(self.plan.paths.training(run), log.to_csv(index=False))

    def _target_step(self, forecast: ForecastVariant) -> int | None:
        """Of an accuracy, step 45; in the early window, none reaches it."""
        if forecast.target_step is not None:
            return forecast.target_step
        return None if forecast.window == "0.2" else 45

    def _truth(self, run: str) -> None:
        rows = [
            {
                **{"forecast": f.name, "target_step": f.target_step, "tensor": tensor},
                **{"cosine": 0.72, "norm_ratio": 1.26},
                "relative_error": 1.0 if f.label == "last" else 0.5 + shift,
            }
            for f in self.plan.known(run)
            if not f.name.startswith(UNDEFINED)
            for tensor, shift in (("layers.0.q_proj", 7.0), ("overall", 0.2))
        ]
        if rows:
            write_table(pd.DataFrame(rows), Path(self.plan.paths.truth(run)))

    def _factors(self, run: str, step: int) -> None:
        tensors: dict[str, np.ndarray] = {}
        for layer in range(2):
            s = (0.01 * step * 0.6 ** np.arange(8)).astype(np.float32)
            name = f"model.layers.{layer}.self_attn.q_proj.weight"
            tensors |= {f"{name}/u": np.zeros((32, 8), np.float32), f"{name}/s": s}
            tensors |= {f"{name}/v": np.zeros((48, 8), np.float32)}
            tensors |= {f"{name}/norm": np.array(1.1 * np.linalg.norm(s), np.float32)}
            tensors |= {f"{name}/residual": np.zeros((), np.float32)}
        write_arrays(Path(self.plan.paths.factors(run, step, 0)), tensors, {})

    def _dynamics(self, run: str) -> None:
        rows = [
            {
                **{"tensor": f"layers.{i}.q_proj", "layer": i, "module": "q_proj"},
                **{"measure": measure, "null": null, "p": p},
                "value": value + 0.01 * (i - 1.5),
                **{"null_q05": median - 0.1, "null_q50": median, "null_q95": median + 0.02},
            }
            for measure, null, value, median, p in MEASURES
            for i in range(4)
        ]
        write_table(pd.DataFrame(rows), Path(self.plan.paths.dynamics(run)))

        points = pd.DataFrame({"step": range(0, LAST + 1, 6)})
        shares = {1: 0.8, 2: 0.1, 3: 0.05}
        paths = [
            points.assign(
                **{"component": k, "explained": share, "p": 0.3},
                **{"null_q05": 0.58, "null_q50": 0.61, "null_q95": 0.64},
                **{
                    "coordinate": np.cos(k * points.step / 20),
                    "walk": np.cos(k * points.step / 19),
                },
            )
            for k, share in shares.items()
        ]
        self.write(self.plan.paths.pca(run), pd.concat(paths).to_csv(index=False))

    def _tokens(self, run: str) -> None:
        models = ["base", *self.plan.token_variants(run)]
        reading = [
            {"writer": writer, "reader": reader, "n": 9, "tokens": 50,
             "nongreedy": 0.0 if writer == reader else 0.125, "nongreedy_se": 0.01,
             "perplexity": 1.5, "perplexity_se": 0.1}
            for reader in models for writer in models
        ]  # fmt: skip
        prefix = [
            {"writer": writer, "prefix": n, "n": 9, "accuracy": 0.1 * n, "stderr": 0.02,
             "own": 0.5 + 0.1 * models.index(writer),
             "whole": 0.25}
            for writer in models for n in sorted(self.study.tokens.prefix)
        ]  # fmt: skip
        for name, rows in (("reading", reading), ("prefix", prefix)):
            text = pd.DataFrame(rows).to_csv(index=False)
            self.write(f"{self.plan.paths.tokens(run)}/{name}.csv", text)

    def _floor(self, run: str) -> None:
        # The first run lies at the floor, the second far above it.
        rounded = 0.43 if run == "grpo" else 0.99
        rows = [
            {
                **{"tensor": f"layers.{i}.{module}", "layer": i, "module": module},
                **{"unmoved": 0.9 + 0.02 * i, "share": 0.3, "rounded_share": rounded},
                **dict.fromkeys(FLOOR_REST, 0.5),
            }
            for module in ("q_proj", "k_proj")
            for i in range(2)
        ]
        self._measure(run, "floor", rows)

    def _sparsity(self, run: str) -> None:
        """Of two tensors, of which all entries together are no mean."""
        rows = [
            {
                **{"step": step, "tensor": tensor, "entries": entries, "norm": 0.02 * step},
                **{"equal": shift - 0.001 * step, "close": shift, "bf16": shift},
                **{"null_norm": 0.02 * step, "null_equal": 0.1, "null_close": 0.2},
                "null_bf16": 0.3,
            }
            for step in self.plan.measures["sparsity"].steps(self.plan.steps(run))
            for tensor, entries, shift in (("a", 100, 0.9), ("b", 300, 0.5), ("overall", 400, 0.6))
        ]
        self._measure(run, "sparsity", rows)

    def _measure(self, run: str, name: str, rows: list[dict[str, Any]]) -> None:
        write_table(pd.DataFrame(rows), Path(self.plan.paths.measure(run, name)))

    def _scores(self) -> None:
        for batch in self.plan.batches():
            hardness = np.random.default_rng(len(batch.suite)).random(QUESTIONS)
            for variant in batch.variants:
                self._score(batch.run, batch.suite, variant, hardness)

    def _score(self, run: str, suite: str, variant: str, hardness: np.ndarray) -> None:
        spec = self.study.suites[suite]
        shape = (QUESTIONS, spec.samples)
        level = self._level(run, variant) + self.rng.normal(0, 0.1, shape)
        correct = hardness[:, None] < level
        if run == self.no_gain:
            correct = self.rng.random(shape) < 0.5
        self.correct[run, suite, variant] = correct.mean(axis=1)
        graded = [[_graded(i, right) for i, right in enumerate(row)] for row in correct]
        names = [task.task for task in spec.tasks]
        tasks = [names[i * len(names) // QUESTIONS] for i in range(QUESTIONS)]
        numbers = {**summarize(graded), "tasks": per_task(graded, tasks), "truncated": 0.01}
        numbers |= {"question_ids": [f"q{i}" for i in range(QUESTIONS)]}
        if variant.startswith(UNDEFINED):
            numbers = UNDEFINED_SCORE
        score = {
            **{"variant": variant, "run": run, "suite": suite, "role": spec.role},
            **{**numbers, "model_digest": "m", "seconds": 3.0},
            **{"suite_digest": "abc", "engine": "hf", "dtype": "float32"},
            **{"versions": {"torch": "2.9", "lm-eval": "0.4"}, "seed_note": SEED_NOTE},
            "decoding": {
                **spec.model_dump(include=DECODING),
                "max_new_tokens": {t.task: t.max_new_tokens or 256 for t in spec.tasks},
            },
        }
        self.write(self.plan.paths.score(run, suite, variant), score)

    def _level(self, run: str, variant: str) -> float:
        """A made-up chance of a right answer."""
        name, _, where = variant.partition("@")
        levels = {"rank-1": 0.7, "rank-4": 0.92, "random-1": 0.4, "without-1": 0.8, "relex": 0.3}
        if name.startswith("step-"):
            return 0.4 + 0.55 * (1 - math.exp(-int(name.removeprefix("step-")) / 15))
        if name in levels:
            return levels[name]
        end = 12 if where.startswith("0.2") else 30
        return 0.4 + 0.55 * (1 - math.exp(-end / 15)) + (0.1 if name == "expo" else 0)

    def _benchmarks(self) -> None:
        seconds = dict(SECONDS)
        for run in self.study.runs:
            seconds |= {f"factors/{run}/step-{s}-0": 2.0 for s in self.plan.steps(run)}
            quick, slow = self.plan.quick_forecasts(run), self.plan.slow_forecasts(run)
            seconds |= {f"forecast/{run}/{f.name}": 1.5 for f in slow}
            seconds |= {f"forecast/{run}": 1.5 * len(quick)}
        for name, value in seconds.items():
            head = "s\th:m:s\tmax_rss\tmax_vms\tmean_load\tcpu_time"
            row = f"{value}\t0:00:02\t512.5\t900\t-\t{2 * value}"
            self.write(self.plan.paths.benchmark(name), f"{head}\n{row}\n")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A study whose report is written."""
    made = Tree(tmp_path_factory.mktemp("results"))
    assert write_report(made.study) == made.root / "report" / "index.html"
    return made


def row_of(frame: pd.DataFrame, **values: object) -> pd.Series:
    for column, value in values.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1
    return frame.iloc[0]
