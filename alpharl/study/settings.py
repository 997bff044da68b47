"""Sections of the study file about spectra, the audit, dynamics and forecasts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from alpharl.bounds import MOST_JOBS, MOST_LISTED, MOST_SCALE, Draws, Rank, Seed
from alpharl.forecasting.registry import METHODS, MethodOptions
from alpharl.frozen import MOST_SHOWN, Frozen, nearest
from alpharl.names import FilePath, require_apart, require_own_names
from alpharl.spectra.findings import Fault
from alpharl.steps import Step, StepOrEarly
from alpharl.study.runs import Name


class Spectra(Frozen):
    """Which matrices are factored, and how deep."""

    scope: Literal["paper", "all"] = "paper"
    """`paper`: q, k, v, o, gate, up, down, of experts too. `all`: every matrix. Fused projections
    and stacked experts are split."""
    rank: Rank = 16
    """Singular triplets stored per matrix; raised where `rank` or a forecast reads
    more."""
    shards: Annotated[int, Field(gt=0, le=MOST_JOBS)] = 1
    """Parts of equal bytes that a checkpoint's tensors are divided into; each is a job."""
    checkpoints_per_job: Annotated[int, Field(gt=0, le=MOST_JOBS)] = 1
    """Consecutive checkpoints that one job factors. It reads the base once for all of them and
    starts each from the vectors of the one before, but fewer jobs run side by side. Raise it for
    small models."""
    spectrum: bool = False
    """Store all singular values of each update too. Costs more than the factors."""
    stage: FilePath | None = None
    """Node-local folder, such as `$TMPDIR`, that a job first copies its weight files to."""


class Audit(Frozen):
    """What the checkpoints' audit lets pass."""

    accept: list[Fault] = Field(default=[])
    """Kinds of faults that do not stop the study: `base`, `duplicate`, `serves-last`, `swapped`,
    `misordered`, `foreign`. The report names what was accepted."""


class Dynamics(Frozen):
    """Null models and hold-out of the trajectory fits."""

    permutations: Draws = 200
    """Draws of each null model."""
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.6
    """Forward hold-out: fit on this first share of the checkpoints, and judge on the rest."""
    seed: Seed = 0
    """Seed of the null models."""


class Forecast(Frozen):
    """Which forecasts are made, from which windows."""

    windows: list[StepOrEarly] = Field(default=[0.2, 0.4], max_length=MOST_LISTED)
    """Early checkpoints that a method may see: a fraction of the run, or a last step."""
    target_step: Step | None = None
    """The step to forecast; default: the run's last."""
    target_multiple: Annotated[float, Field(gt=1, le=MOST_SCALE, allow_inf_nan=False)] | None = None
    """Instead of `target_step`: a multiple of each window's last step, rounded. A step that is not
    saved has no trained weights to be compared with."""
    target_accuracy: Annotated[float, Field(gt=0, le=1)] | None = None
    """Instead of a step: the validation accuracy to forecast. Methods that fit accuracy take it
    for their own option `target_accuracy`. The others forecast the step, rounded up, at which the
    least-squares line of the window's validation accuracies (without the base) reaches it; they
    are undefined where these accuracies do not rise or are there already."""
    amplitudes: Annotated[
        list[Annotated[float, Field(gt=0, le=MOST_SCALE, allow_inf_nan=False)]],
        AfterValidator(require_own_names),
    ] = Field(default=[], max_length=MOST_LISTED)
    """Next to each forecast, its whole update (from the base) times each of these:
    `relex@0.4x0.5`."""
    methods: dict[Name, MethodOptions] = Field(default={})
    """Label to options. The label is the method's name; a second use of a method needs a label of
    its own and `method:`."""

    @property
    def count(self) -> int:
        """Forecasts of a run, each one counted."""
        return len(self.windows) * len(self.methods) * (1 + len(self.amplitudes))

    @model_validator(mode="after")
    def _one_target(self) -> Forecast:
        names = ("target_step", "target_multiple", "target_accuracy")
        given = [f"'{name}'" for name in names if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"found {' and '.join(given)}, expected one; keep one")
        return self

    @field_validator("methods", mode="before")
    @classmethod
    def _label_names_method(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {label: _with_method(label, options) for label, options in value.items()}

    @model_validator(mode="after")
    def _labels_and_windows(self) -> Forecast:
        require_apart(self.methods, "label")
        if self.methods and not self.windows:
            raise ValueError(
                "found methods and no window, expected one to forecast from; give 'windows', or "
                "leave 'methods' out"
            )
        return self


def _with_method(label: Any, options: Any) -> Any:
    """The options of a forecast with the name of their method.

    Raises:
        ValueError: they are no keys, or there is no such method.
    """
    if not isinstance(options, dict | Frozen | None):
        raise ValueError(
            f"found {options!r:.60} for '{label}', expected the options of a method, or {{}}"
        )
    if isinstance(options, Frozen):
        return options
    named = {"method": label, **(options or {})}
    method = named["method"]
    if not isinstance(method, str) or method not in METHODS:
        hint = nearest(str(method)[:MOST_SHOWN], list(METHODS))
        raise ValueError(f"unknown method '{str(method)[:MOST_SHOWN]}', {hint}")
    return named
