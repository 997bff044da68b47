"""Computes a sample of a study's results again, from what they were made from."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.reader import ModelReader
from alpharl.dynamics.accuracy import read_accuracy
from alpharl.evaluation.scores import read_score
from alpharl.names import checkpoint_name
from alpharl.progress import SILENT, Progress
from alpharl.spectra.gram import read_gram
from alpharl.spectra.lowrank import read_factors
from alpharl.spectra.scope import matrices
from alpharl.study.plan import Plan
from alpharl.verification.findings import Derived


def derive(
    plan: Plan, sample: int, seed: int = 0, progress: Progress = SILENT
) -> Iterator[Derived]:
    """Compute numbers of each run again.

    All accuracies, from the outcomes of the questions; and of as many tensors as are asked for, an
    inner product of two updates, and the largest singular value of one, from the weights.

    Args:
        plan: of the study, whose files are whole.
        sample: tensors of each run.
        seed: of the choice.
        progress: told of each run.

    Raises:
        CheckpointError: weights are broken.
    """
    for done, run in enumerate(plan.study.runs, start=1):
        progress.step("runs", done, len(plan.study.runs), run)
        yield from _accuracies(plan, run)
        gone = [s for s in plan.steps(run) if not Path(plan.paths.checkpoint(run, s)).is_dir()]
        if not gone:
            yield from _weights(plan, run, sample, random.Random(f"{seed} {run}"))


def _accuracies(plan: Plan, run: str) -> Iterator[Derived]:
    for suite in plan.study.suites:
        table = Path(plan.paths.accuracy(run, suite))
        steps = read_accuracy(table) if table.is_file() else {}
        scores = sorted(Path(plan.paths.scores(run, suite)).glob("*.json"))
        for path in scores:
            told = read_score(path)
            if told["accuracy"] is not None:
                again = float(np.mean(told["correct"]))
                yield _derived(path, "accuracy", told["accuracy"], again)
        for step, accuracy in steps.items():
            path = Path(plan.paths.score(run, suite, checkpoint_name(step)))
            told = read_score(path)
            yield _derived(table, f"accuracy of step {step}", accuracy, told["accuracy"])


def _weights(plan: Plan, run: str, sample: int, chance: random.Random) -> Iterator[Derived]:
    """An inner product of each of some tensors, and of one step norms and singular values."""
    models = _Models(plan, run)
    paths = [Path(plan.paths.gram(run, shard)) for shard in plan.shards]
    if all(map(Path.is_file, paths)):
        gram = read_gram(paths)
        for name in chance.sample(sorted(models.tensors), min(sample, len(models.tensors))):
            i, j = chance.randrange(len(gram.steps)), chance.randrange(len(gram.steps))
            one, other = gram.steps[i], gram.steps[j]
            again = models.update(one, name) @ models.update(other, name)
            what = f"inner product of {name} at steps {one} and {other}"
            yield _derived(paths[0], what, gram.tensors[name][i, j], again)
    step = chance.choice(plan.steps(run))
    paths = [Path(plan.paths.factors(run, step, shard)) for shard in plan.shards]
    if all(map(Path.is_file, paths)):
        factors = read_factors(paths)
        for name in chance.sample(sorted(factors), min(sample, len(factors))):
            delta, low = models.matrix(step, name), factors[name].low
            again, what = float(np.linalg.norm(delta)), f"{name} at step {step}"
            yield _derived(paths[0], f"norm of {what}", factors[name].norm, again)
            top = low.u[:, 0].astype(float) @ delta @ low.v[:, 0].astype(float)
            yield _derived(paths[0], f"singular value of {what}", low.s[0], top)


class _Models:
    """Updates of a run's checkpoints in float64."""

    def __init__(self, plan: Plan, run: str) -> None:
        self._base = Path(plan.paths.base_model(plan.study.runs[run].base))
        self._folders = {s: Path(plan.paths.checkpoint(run, s)) for s in plan.steps(run)}
        index = read_index(self._base)
        self.tensors, self._matrices = list(index.tensors), matrices(index, "all")

    def update(self, step: int, name: str) -> np.ndarray:
        """The update of a whole tensor at a step, flat."""
        after = ModelReader(self._folders[step], base=self._base)
        with ModelReader(self._base) as before, after:
            # In float32 as everywhere, then summed in float64.
            delta = after.float32(name) - before.float32(name)
        flat: np.ndarray = delta.numpy().astype(np.float64).ravel()
        return flat

    def matrix(self, step: int, name: str) -> np.ndarray:
        """The update of a matrix (m, n) at a step."""
        matrix = self._matrices[name]
        flat = self.update(step, matrix.tensor)
        return flat[matrix.start : matrix.start + matrix.size].reshape(matrix.shape)


def _derived(path: Path, what: str, stored: float, again: float) -> Derived:
    return Derived(path=str(path), what=what, stored=float(stored), again=float(again))
