"""One run as people hold it: what was observed of it, and the models that follow from that.

It only chooses what the rooms below are given: which steps a window may see, and which files a
method reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from alpharl.bounds import MOST_SCALE
from alpharl.errors import MethodError
from alpharl.forecasting.contract import Window
from alpharl.forecasting.method import Method
from alpharl.forecasting.registry import read_method
from alpharl.forecasting.target import target_after
from alpharl.spectra.depth import Depth
from alpharl.spectra.scope import require_paper_scope
from alpharl.trajectory.observed import Observed
from alpharl.variants.model import Model, forecast_model, rank_model
from alpharl.variants.recipes import RankKind, recipe

if TYPE_CHECKING:
    from alpharl.forecasting.trust import Verdict


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory(Observed):
    """A base and the checkpoints of one run; their weights are read once, and only when needed.

    For example:

        run = Trajectory.open("models/base", "runs/foo/checkpoint-{step}", "scores.csv")
        print(run.verdict(target_step=200))
        model = run.forecast("relex", target_step=200, through=80)
        model.save("forecast", dense=True)

    Gram, factors and measures are made once and kept; fits, forecasts and the verdict follow from
    them, and are computed at each call. The folders must not change meanwhile. Methods that read
    weights or files made before raise CheckpointError where one is missing, of another model, or
    not finite.
    """

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
            MethodError: fewer than two checkpoints, two targets, one that is not after the window,
                an accuracy where a step has none, or a method that searches without trials.
            CheckpointError: a method that reads factors would leave out matrices of the model.
        """
        steps = [step for step in self.steps if through is None or step <= through]
        # A verdict on one checkpoint says what it lacks; a forecast has nothing to go by.
        if len(steps) < (2 if method else 1):
            last = self.steps[-1] if through is None else through
            raise MethodError(
                f"window through step {last} holds {len(steps)} checkpoints of {self.steps}, "
                f"expected at least {2 if method else 1}; widen the window"
            )
        target = target_after(steps[-1], target_step, target_multiple, target_accuracy)
        reads = method.reads if method else {"suite"}
        window = Window(
            steps,
            target,
            self.tensors,
            accuracy={step: a for step, a in self.accuracy.items() if step <= steps[-1]} or None,
            validate=self._trials if "suite" in reads else None,
            target_accuracy=target_accuracy,
        )
        # First what may be refused, then what reads all checkpoints.
        if method and "factors" in reads:
            require_paper_scope(self._run.index)
        if method and "suite" in reads:
            window.need_validate()
        fits_accuracy = method and {"factors", "scores"} <= reads
        if fits_accuracy or target_accuracy is not None:
            window.need_accuracy()
        factors = self.factors(method.depth, steps) if method and "factors" in reads else None
        return replace(window, gram=self._gram.upto(steps), factors=factors)

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
        if not 0 < amplitude <= MOST_SCALE:
            raise MethodError(
                f"found amplitude {amplitude:g}, expected a number above 0 and at most "
                f"{MOST_SCALE:g}"
            )
        window = self.window(
            chosen, through, target_step=target_step, target_multiple=target_multiple,
            target_accuracy=target_accuracy,
        )  # fmt: skip
        self._require_configs(window.steps)
        folders = {step: self.checkpoints[step] for step in window.steps}
        model = forecast_model(self.base, folders, chosen, window, amplitude, record_undefined)
        return replace(model, relative=self._relative)

    def verdict(
        self,
        target_step: int | None = None,
        through: int | None = None,
        *,
        target_multiple: float | None = None,
        target_accuracy: float | None = None,
        trials: bool = True,
        accept: Sequence[str] = (),
    ) -> Verdict:
        """Whether a forecast beyond the window is supported, by which method, how far, and why.

        Nothing is where the window's checkpoints are not what their names say (`audit`).

        Args:
            target_step: as `window` takes it; with no target, twice the window's last step.
            through: last step of the window; default: the last checkpoint's.
            target_multiple: see `window`.
            target_accuracy: see `window`.
            trials: score trial models, if the run was opened with what does; they cost.
            accept: kinds of faults of the checkpoints that do not count, see `audit`.

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
        faults = [fault.text for fault in self.audit(window.last, accept=accept).faults]
        return assess(window if trials else replace(window, validate=None), faults)

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
        step = self.steps[-1] if step is None else int(step)
        self._require_configs([step])
        folder, how = self._folder(step), recipe(kind, rank, scale, rest, merged)
        # Nothing in scope is kept of `rest-only`: factors are not needed, and dear to make.
        factors = {} if kind == "rest-only" else self._factors.at(step, how.reads)
        model = rank_model(self.base, step, folder, how, factors, seed)
        return replace(model, relative=self._relative)
