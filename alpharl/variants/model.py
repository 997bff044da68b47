"""A model made from a run, before it is written: base + blend + adapter, and how it was made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from alpharl.checkpoints.configs import as_json
from alpharl.checkpoints.differences import shared_config
from alpharl.checkpoints.index import read_index
from alpharl.errors import CheckpointError, MethodError, UndefinedForecast
from alpharl.forecasting import VERSION
from alpharl.forecasting.contract import Blend, Prediction, Window, norm_ratio
from alpharl.forecasting.method import Method
from alpharl.progress import Progress, display
from alpharl.scratch import scratch
from alpharl.spectra.lowrank import Factors, LowRank
from alpharl.spectra.scope import require_paper_scope
from alpharl.variants import RANK_VERSION
from alpharl.variants.ranks import rank_parts
from alpharl.variants.recipes import Recipe
from alpharl.variants.store import read_variant, require_variant_folder, write_variant


@dataclass(frozen=True)
class Model:
    """A rank-k model or a forecast; no weights, until it is saved with `dense`.

    For example:

        model = trajectory.forecast("relex", target_step=120, through=48)
        print(model.fit)
        model.save("forecast")                    # a few numbers, or a LoRA adapter
        model.save("forecast-model", dense=True)  # a folder that transformers loads
    """

    base: Path
    """Model folder of step 0."""
    checkpoints: Mapping[int, Path]
    """Model folders by step that the blend may name."""
    meta: Mapping[str, Any]
    """How it was made, as `variant.json` says it: of a forecast `method`, `options`,
    `window_steps`, `target_step`, `norm_ratio`, `fit` and more; of a rank-k model `kind`, `rank`,
    `step`, `scale` and more."""
    blend: Blend = field(default_factory=dict, repr=False)
    """Per tensor, the weight of each observed step's update."""
    adapter: Mapping[str, LowRank] = field(default_factory=dict, repr=False)
    """Low-rank updates per matrix."""
    relative: frozenset[Path] = field(default=frozenset(), repr=False)
    """Those of the folders that are written relative to the model's own, so that all of them can be
    moved together."""

    @property
    def fit(self) -> Mapping[str, Any]:
        """What a method fitted, JSON-ready; empty for a rank-k model."""
        fit: Mapping[str, Any] = self.meta.get("fit", {})
        return fit

    @property
    def undefined(self) -> str | None:
        """Why the method gives no forecast on its window; None where there is a model."""
        return self.meta.get("undefined")

    def save(self, out: str | Path, dense: bool = False, progress: bool | Progress = True) -> None:
        """Write `variant.json` and an adapter or a blend; or the model that they stand for.

        Args:
            out: the folder.
            dense: write a normal model folder in the base's dtypes instead.
            progress: whether to show how far a dense model is, or the object that is told.

        Raises:
            CheckpointError: `out` holds something else, or a checkpoint is missing or broken.
            MethodError: `dense`, but the forecast is undefined on its window, or of logits.
        """
        if not dense:
            folders = {step: self._named(path) for step, path in self.checkpoints.items()}
            parts = (self.meta, self.blend, self.adapter)
            write_variant(Path(out), self._named(self.base), folders, *parts)
            return
        if self.undefined:
            raise MethodError(f"{out}: there is no model to write: {self.undefined}")
        # Torch only here.
        from alpharl.variants.build import build_dense

        with (
            scratch("model") as folder,
            display(progress) as told,
        ):
            self.absolute().save(folder / "variant")
            build_dense(read_variant(folder / "variant"), Path(out), told)

    def _named(self, path: Path) -> Path:
        return Path(os.path.relpath(path)) if path in self.relative else path

    def absolute(self) -> Model:
        """The same with absolute paths, so that a folder elsewhere finds the weights."""
        folders = {step: path.absolute() for step, path in self.checkpoints.items()}
        return Model(self.base.absolute(), folders, self.meta, self.blend, self.adapter)


def require_free(out: Path, dense: bool) -> None:
    """Refuse a folder that `Model.save` would refuse, before anything is computed for it.

    Raises:
        CheckpointError: something else is there; with `dense`, anything.
    """
    if not dense:
        require_variant_folder(out)
    elif out.exists():
        raise CheckpointError(f"{out}: exists already; remove it or name another folder")


def forecast_model(
    base: Path,
    checkpoints: Mapping[int, Path],
    method: Method,
    window: Window,
    amplitude: float = 1.0,
    record_undefined: bool = False,
) -> Model:
    """A method's forecast from a window.

    Args:
        base: model folder of step 0.
        checkpoints: model folder of each of the window's steps.
        method: with its options.
        window: what the method sees.
        amplitude: multiplies the whole predicted update.
        record_undefined: where the method is undefined on the window, return a model that says so.

    Raises:
        MethodError: the window lacks what the method needs, or the method is undefined on it.
    """
    undefined = None
    try:
        prediction = method.forecast(window).scaled(amplitude)
    except UndefinedForecast as error:
        if not record_undefined:
            raise
        prediction, undefined = Prediction(), f"{method.method}: {error}"
    meta = {
        "kind": "forecast",
        "method": method.method,
        "options": method.model_dump(mode="json"),
        "algorithm": VERSION,
        "window_steps": window.steps,
        "target_step": _target_step(window),
        "target_accuracy": window.target_accuracy,
        "amplitude": float(amplitude),
        "norm_ratio": None if undefined else norm_ratio(window, prediction),
        "undefined": undefined,
        "logits": asdict(prediction.logits) if prediction.logits else None,
        "fit": prediction.fit,
        "config": config_of(base, checkpoints),
    }
    return Model(base, checkpoints, meta, prediction.blend, prediction.adapter)


def _target_step(window: Window) -> int | None:
    """The step that is forecast, also where a method does not ask; None where no step is."""
    try:
        return window.need_target_step()
    except UndefinedForecast:
        return None


def rank_model(
    base: Path,
    step: int,
    checkpoint: Path,
    recipe: Recipe,
    factors: Mapping[str, Factors],
    seed: int = 0,
) -> Model:
    """A rank-k model of one checkpoint's update, a variation of it, or a control.

    Args:
        base: model folder of step 0.
        step: of the checkpoint.
        checkpoint: its model folder.
        recipe: the kind, k, and what else is asked for.
        factors: by matrix, as deep as the recipe reads; none for `rest-only`.
        seed: of random directions.

    Raises:
        CheckpointError: fewer triplets are stored than asked for, no matrix has the component, or
            the model has matrices that scope `paper` does not know.
    """
    index = read_index(base)
    require_paper_scope(index)
    blend, adapter = rank_parts(recipe, step, factors, seed, index.tensors)
    meta = {"kind": recipe.kind, "scale": recipe.scale, "rest": recipe.rest, **asdict(recipe.depth)}
    meta |= {"step": step, "seed": seed, "merged": recipe.merged, "algorithm": RANK_VERSION}
    meta |= {"config": config_of(base, {step: checkpoint})}
    return Model(base, {step: checkpoint}, meta, blend, adapter)


def config_of(base: Path, checkpoints: Mapping[int, Path]) -> dict[str, Any]:
    """Which config a model that is made of checkpoints has, as `variant.json` says it.

    Returns:
        `step`: of the checkpoint whose config it is, 0 being the base; and `changes`, what that
        changes of the function that the base's config describes.

    Raises:
        CheckpointError: the checkpoints' configs change different things.
    """
    step, changed = shared_config(base, checkpoints)
    return {"step": step, "changes": as_json(changed)}
