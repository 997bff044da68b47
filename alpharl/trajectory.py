"""One run as people hold it: a base, its checkpoints, and the scores that are known of them.

The library's front door. It only chooses what the rooms below are given: which steps a window may
see, which factors a method reads, and that nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from alpharl.checkpoints.sources import Given, run_folders
from alpharl.checkpoints.stage import staged
from alpharl.dynamics.accuracy import Scores, accuracy_of
from alpharl.errors import CheckpointError, MethodError
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.method import Method
from alpharl.forecasting.registry import read_method
from alpharl.forecasting.target import target_after
from alpharl.progress import Progress, display
from alpharl.spectra.depth import Depth, some_depth
from alpharl.spectra.gram import Gram
from alpharl.spectra.lowrank import Factors
from alpharl.spectra.run import FactorsOfSteps, RunFactors, RunFolders, RunGram
from alpharl.variants.model import Model, forecast_model, rank_model
from alpharl.variants.recipes import RankKind, recipe

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from alpharl.forecasting.trust import Verdict


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A base and the checkpoints of one run; what follows from them is made once, when needed.

    For example:

        run = Trajectory.open("models/base", "runs/foo/checkpoint-{step}", "scores.csv")
        print(*run.verdict(target_step=200).lines, sep="\\n")
        model = run.forecast("relex", target_step=200, through=80)
        model.save("forecast", dense=True)

    The folders must not change meanwhile. Methods that read weights or files made before raise
    CheckpointError where one is missing, of another model, or not finite.
    """

    base: Path
    """Model folder of step 0."""
    checkpoints: Mapping[int, Path]
    """Model folders by step, increasing, without step 0."""
    accuracy: Mapping[int, float]
    """Validation accuracy per step, maybe of step 0, maybe of none."""
    _run: RunFolders = field(repr=False)
    _gram: RunGram = field(repr=False)
    _factors: RunFactors = field(repr=False)
    _trials: Callable[[Prediction], np.ndarray] | None = field(repr=False)

    @classmethod
    def open(
        cls,
        base: str | Path,
        checkpoints: Given,
        scores: Scores | None = None,
        *,
        steps: Sequence[int] | None = None,
        gram: str | Path | Gram | None = None,
        factors: str | Path | FactorsOfSteps | None = None,
        shards: int = 1,
        trials: Callable[[Prediction], np.ndarray] | None = None,
        progress: bool | Progress = True,
    ) -> Trajectory:
        """Find the checkpoints; no weight is read yet.

        Args:
            base: model folder of step 0.
            checkpoints: a pattern such as `runs/foo/checkpoint-{step}`, `STEP=FOLDER` for each
                checkpoint, or folders by step. A step 0 among them is left out.
            scores: validation accuracy per step: a mapping, or a CSV with columns step,accuracy.
            steps: only these; default: all.
            gram: made before, or its file; with `{shard}` in its name where there are several.
            factors: made before, by step; or a pattern of their files with `{step}` in it.
            shards: number of files of the gram, and of each step's factors.
            trials: scores trial models, such as `alpharl.evaluation.trials.Trials`; methods that
                search, and the verdict, call it.
            progress: whether to show how far a computation is, in bars at a terminal, in lines
                elsewhere; or the object that is told.

        Raises:
            CheckpointError: no base, no checkpoint, a step without a folder, or a file of the gram
                that is missing or lacks a tensor.
            MethodError: the scores are no such table.
        """
        folders = MappingProxyType(run_folders(checkpoints, steps))
        run = RunFolders(Path(base), folders, partial(display, progress))
        return cls(
            run.base, folders, MappingProxyType(accuracy_of(scores)), run,
            RunGram(run, gram, shards), RunFactors(run, factors, shards), trials,
        )  # fmt: skip

    @property
    def steps(self) -> list[int]:
        """Steps of the checkpoints, increasing, without step 0."""
        return list(self.checkpoints)

    @property
    def tensors(self) -> list[str]:
        """Names of all tensors of the model, in file order."""
        return list(self._run.index.tensors)

    @property
    def gram(self) -> Gram:
        """Per tensor, the inner products (T, T) between the updates of all T checkpoints.

        Raises:
            MethodError: the gram that was handed in lacks a step.
        """
        return self._gram.upto(self.steps)

    def factors(
        self, depth: int | Depth = 8, steps: Sequence[int] | None = None
    ) -> dict[int, dict[str, Factors]]:
        """Factors of checkpoints' updates: by step, by matrix of scope `paper`.

        Each step's are made once. Those of an earlier, deeper request, and those that were handed
        in, are returned as they are.

        Args:
            depth: singular triplets of each matrix at least.
            steps: of which checkpoints; default: all.

        Raises:
            CheckpointError: a step has no folder.
            MethodError: the depth is not positive.
        """
        chosen = some_depth(depth)
        for step in steps or ():
            self._folder(step)
        return {step: self._factors.at(step, chosen) for step in steps or self.steps}

    def dynamics(
        self, permutations: int = 200, holdout: float = 0.6, seed: int = 0
    ) -> pd.DataFrame:
        """Fits of every matrix's trajectory, one row per (tensor, measure, null model).

        Its columns: `alpharl.dynamics.table.dynamics_table`.

        Args:
            permutations: draws of each null model.
            holdout: share of the checkpoints that is fitted, the later ones being judged.
            seed: of the null models.

        Raises:
            MethodError: fewer than three checkpoints, or one without an accuracy.
        """
        from alpharl.dynamics.blocks import sample_blocks
        from alpharl.dynamics.fits import Settings
        from alpharl.dynamics.table import dynamics_table, require_scored

        require_scored(self.steps, self.accuracy)
        factors, gram = self.factors(1), self.gram
        blocks = sample_blocks(self.base, factors[self.steps[0]], seed)
        settings = Settings(permutations, holdout, seed)
        with self._run.show() as progress:
            return dynamics_table(factors, gram, self.accuracy, blocks, settings, progress)

    def measure(
        self,
        *names: str,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        stage: str | None = None,
    ) -> dict[str, pd.DataFrame]:
        """The tables of measures, by name; all are made in one pass over the weights.

        Args:
            names: of measures; default: all.
            options: of each measure by its name, such as `{"sparsity": {"seed": 1}}`.
            stage: folder on a faster disk that the weights are copied to first.

        Raises:
            MethodError: no such measure or option.
        """
        from alpharl.measures.registry import read_measures
        from alpharl.measures.run import measure_run, opened

        measures = read_measures(names, options or {})
        taken = {name: measure.steps(self.steps) for name, measure in measures.items()}
        factored = opened(measures, taken, "factors")
        factors = {step: self._factors.at(step, Depth(1)) for step in factored}
        gram = self.gram if any("gram" in m.reads for m in measures.values()) else None
        # A run may have many more checkpoints than are measured: only these are worth a copy.
        read = {step: self.checkpoints[step] for step in opened(measures, taken)}
        with staged({0: self.base, **read}, stage) as copies, self._run.show() as progress:
            base, folders = copies.pop(0), {**self.checkpoints, **copies}
            return measure_run(base, folders, measures, factors, gram, progress)

    def window(
        self,
        method: Method | None = None,
        through: int | None = None,
        *,
        target_step: int | None = None,
        target_multiple: float | None = None,
        target_accuracy: float | None = None,
    ) -> Window:
        """What is known by a step, and what is to be forecast from it. No later file is read.

        The gram is always there: the verdict rests on it, and the size of what is predicted.

        Args:
            method: who looks: it gets factors if it reads them, and trials if it searches. Default:
                the verdict.
            through: last step of the window; default: the last checkpoint's.
            target_step: the step to forecast; at most one target is given.
            target_multiple: the same in units of the window's last step, rounded.
            target_accuracy: the validation accuracy to forecast.

        Raises:
            MethodError: fewer than two checkpoints, two targets, or one not after the window.
        """
        steps = [step for step in self.steps if through is None or step <= through]
        if len(steps) < 2:
            last = self.steps[-1] if through is None else through
            raise MethodError(
                f"window through step {last} holds {len(steps)} checkpoints of {self.steps}, "
                "expected at least 2; widen the window"
            )
        target = target_after(steps[-1], target_step, target_multiple, target_accuracy)
        reads = method.reads if method else {"suite"}
        gram = self._gram.upto(steps)
        factors = self.factors(method.depth, steps) if method and "factors" in reads else None
        accuracy = {step: a for step, a in self.accuracy.items() if step <= steps[-1]}
        trials = self._trials if "suite" in reads else None
        return Window(
            steps, target, self.tensors, gram, factors, accuracy or None, trials, target_accuracy
        )

    def forecast(
        self,
        method: str | Method,
        target_step: int | None = None,
        through: int | None = None,
        *,
        target_multiple: float | None = None,
        target_accuracy: float | None = None,
        amplitude: float = 1.0,
        record_undefined: bool = False,
        **options: Any,
    ) -> Model:
        """The model that a method forecasts from a window; exactly one target is given.

        Args:
            method: its name, see `alpharl methods`; or the method with its options, such as
                `AlphaRLRepo(target_accuracy=1.7)`, where an option has the name of a target.
            target_step: as `window` takes it, like the other targets.
            through: last step of the window; default: the last checkpoint's.
            target_multiple: see `window`.
            target_accuracy: see `window`.
            amplitude: multiplies the whole predicted update.
            record_undefined: where the method gives no forecast on this window, return a model that
                says so.
            options: of the method that is named.

        Raises:
            MethodError: no such method or option, no target, a window that lacks what the method
                needs or on which it gives no forecast, or as `window`.
        """
        chosen = method if isinstance(method, Method) else read_method(method, options)
        if chosen is method and options:
            raise MethodError(
                f"found options {', '.join(options)} next to a method that has its own; set them "
                "on the method, or give its name"
            )
        if target_step is target_multiple is target_accuracy is None:
            raise MethodError(
                "found no target, expected target_step, target_multiple or target_accuracy; give "
                "one of them"
            )
        if not amplitude > 0:
            raise MethodError(f"found amplitude {amplitude:g}, expected a number above 0")
        window = self.window(
            chosen, through, target_step=target_step, target_multiple=target_multiple,
            target_accuracy=target_accuracy,
        )  # fmt: skip
        folders = {step: self.checkpoints[step] for step in window.steps}
        return forecast_model(self.base, folders, chosen, window, amplitude, record_undefined)

    def verdict(
        self,
        target_step: int | None = None,
        through: int | None = None,
        *,
        target_multiple: float | None = None,
        target_accuracy: float | None = None,
        trials: bool = True,
    ) -> Verdict:
        """Whether a forecast beyond the window is supported, by which method, how far, and why.

        Args:
            target_step: as `window` takes it; with no target, twice the window's last step.
            through: last step of the window; default: the last checkpoint's.
            target_multiple: see `window`.
            target_accuracy: see `window`.
            trials: score trial models, if the run was opened with what does; they cost.

        Raises:
            MethodError: as `window`; or no step should reach the accuracy.
        """
        from alpharl.forecasting.trust import assess

        if target_step is target_multiple is target_accuracy is None:
            target_multiple = 2
        window = self.window(
            None, through, target_step=target_step, target_multiple=target_multiple,
            target_accuracy=target_accuracy,
        )  # fmt: skip
        return assess(window if trials else replace(window, validate=None))

    def rank_model(
        self,
        rank: int | Depth = 1,
        step: int | None = None,
        *,
        kind: RankKind = "rank",
        scale: float = 1.0,
        rest: bool = False,
        merged: bool = False,
        seed: int = 0,
    ) -> Model:
        """A rank-k model of a checkpoint's update, a variation of it, or a control.

        AlphaRL (arXiv 2510.00553 v3), section 2.1. Kinds: see `variants.ranks.rank_parts`.

        Args:
            rank: k; of kind `component`, which triplet; `full-update` and `rest-only` ignore it.
            step: of the checkpoint; default: the last.
            kind: what is kept of the update.
            scale: lambda, multiplies the update.
            rest: also take embeddings, head, norms and biases from the checkpoint.
            merged: have it scored as a merged model instead of an adapter on the base.
            seed: of a random control.

        Raises:
            MethodError: no such kind, or a rank below 1.
            CheckpointError: the step has no folder.
        """
        step = self.steps[-1] if step is None else step
        folder, how = self._folder(step), recipe(kind, rank, scale, rest, merged)
        # Nothing in scope is kept of `rest-only`: factors are not needed, and dear to make.
        factors = {} if kind == "rest-only" else self._factors.at(step, how.reads)
        return rank_model(self.base, step, folder, how, factors, seed)

    def save(self, folder: str | Path) -> None:
        """Write the gram and the factors, so that `open` and the verbs take them.

        The files are those of `alpharl.callback.Watch`: `gram.safetensors`, of all steps, made now
        if it was not; and `factors/step-<step>.safetensors` of the steps whose factors are known.
        """
        self._gram.save(Path(folder) / "gram.safetensors")
        self._factors.save(Path(folder) / "factors")

    def plot(self) -> Figure:
        """The run at a glance: how far it moved, its path next to random walks', its accuracy.

        Save the figure with `savefig`. See `alpharl.report.glance`.

        Raises:
            MethodError: fewer than two checkpoints, or none that differs from the base.
        """
        from alpharl.report.glance import draw

        return draw(self.gram, self._run.scope, self.accuracy)

    def _folder(self, step: int) -> Path:
        if step not in self.checkpoints:
            raise CheckpointError(
                f"found no folder of step {step}, expected one of {self.steps}; choose among these"
            )
        return self.checkpoints[step]
