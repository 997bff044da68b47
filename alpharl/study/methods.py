"""The forecasting methods by name, with their options and what each needs. Torch-free.

The algorithms themselves are in `alpharl.forecasting`; the names and options stand here, because
the plan validates them and knows from `needs` which files a forecast depends on.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from alpharl.study.base import Frozen
from alpharl.study.depth import Depth

Need = Literal["factors", "gram", "scores", "suite"]
"""Small files of a run; or the validation suite itself, on which a method scores trial models."""


class Method(Frozen):
    """Options of one forecasting method; the class carries what is the same for all uses."""

    source: ClassVar[str]
    """The paper or repository that the method comes from."""
    needs: ClassVar[frozenset[Need]] = frozenset()
    """What a fit reads, besides the list of observed steps, whatever its options are."""
    cost: ClassVar[str]
    """What one forecast costs beyond the files that it needs."""

    update: ClassVar[bool] = True
    """Whether a forecast is an update, which an amplitude can scale."""

    @property
    def reads(self) -> frozenset[Need]:
        """What a fit with these options reads."""
        return self.needs

    @property
    def depth(self) -> Depth:
        """How many triplets of each update a fit reads, where it reads factors."""
        return Depth(1 if "factors" in self.needs else 0)

    @property
    def quick(self) -> bool:
        """Whether a fit takes seconds at most, so that one job makes many."""
        return "suite" not in self.reads


class Last(Method):
    """The window's last checkpoint, unchanged: what you have without any forecast."""

    source = "baseline"
    cost = "nothing"
    method: Literal["last"] = "last"


class Expo(Method):
    """Base + (1 + alpha) times the window's last update."""

    source = "ExPO, arXiv 2404.16792"
    cost = "nothing; with alpha: validation, a validation score for each value of the grid"
    method: Literal["expo"] = "expo"
    alpha: float | Literal["validation"] = 0.5
    """How far to go past the last checkpoint, in units of its own update; `validation`: the value
    of `grid` whose model scores best on the validation suite."""
    grid: list[float] = Field(default=[0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0], min_length=1)
    """Values that `validation` chooses from; of equal scores the smallest counts."""

    @property
    def reads(self) -> frozenset[Need]:
        """The validation suite if alpha is chosen on it."""
        return frozenset({"suite"} if self.alpha == "validation" else ())


class FirstUpdate(Method):
    """Base + gamma times the window's first update."""

    source = "replication of RELEX by Baseten (arXiv 2605.21468)"
    cost = "nothing"
    method: Literal["first-update"] = "first-update"
    gamma: PositiveFloat | None = None
    """Factor of the first update; default: target step / first step, the line through the base."""


class WeightExtrapolation(Method):
    """A straight line through two checkpoints; norm layers stay those of the later one."""

    source = "RLVR-Linearity, arXiv 2601.04537"
    cost = "nothing"
    method: Literal["weight-extrapolation"] = "weight-extrapolation"
    first: PositiveInt | None = None
    """The step of the earlier checkpoint; default: the saved step nearest half the window."""


class Momentum(Method):
    """The last checkpoint, and on along the last increment until the target."""

    source = "baseline"
    cost = "nothing"
    method: Literal["momentum"] = "momentum"


class RawLinear(Method):
    """A least-squares line per parameter against the step: `relex` at full temporal rank."""

    source = "RELEX's raw variant, arXiv 2605.21468"
    cost = "nothing"
    method: Literal["raw-linear"] = "raw-linear"


class _TemporalFit(Method):
    needs = frozenset({"gram"})
    cost = "one T x T eigenproblem per tensor"
    rank: PositiveInt = 1
    """Number of temporal directions kept per tensor."""
    fit: Literal["linear", "quadratic", "saturating"] = "linear"
    """Curve fitted to each direction's coefficient against the step."""


class Relex(_TemporalFit):
    """Temporal SVD per tensor, coefficients fitted against the step, read off at the target."""

    source = "RELEX, arXiv 2605.21468, scripts/svd_extrapolation.py"
    method: Literal["relex"] = "relex"


class RelexPinned(_TemporalFit):
    """As `relex`, but the fitted change is added to the window's last checkpoint."""

    source = "RELEX, pinned as in its replications (see `relex`)"
    method: Literal["relex-pinned"] = "relex-pinned"


class Recent(_TemporalFit):
    """As `relex-pinned`, fitted to the way to the last checkpoint in the window's later part."""

    source = "ours, after RELEX"
    method: Literal["recent"] = "recent"
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the window's checkpoints that is fitted, the latest; at least 3 if it has them."""


class EffOPD(Method):
    """A line search along the last gap, on while the validation score rises."""

    source = "EffOPD, arXiv 2605.11739, released code"
    needs = frozenset({"suite"})
    cost = "one validation score, and one more per trial"
    method: Literal["effopd"] = "effopd"
    first: PositiveInt | None = None
    """The step that the gap starts at; default: the saved step nearest half the window."""
    trials: PositiveInt = 5
    """How many times the move may be lengthened."""


class Auto(Method):
    """What the verdict on the window supports: a method, its amplitude, or the last checkpoint."""

    source = "ours"
    needs = frozenset({"gram", "scores"})
    cost = "rehearsals on the gram, and five validation scores unless trials is false"
    method: Literal["auto"] = "auto"
    trials: bool = True
    """Whether trial models are scored on the validation suite, which then decide."""

    @property
    def reads(self) -> frozenset[Need]:
        """The validation suite too if there are trials."""
        return self.needs | {"suite"} if self.trials else self.needs


class AlphaRLPaper(Method):
    """Norm-rescaled sigma_1 u_1 fitted against accuracy by PLS, added to the base."""

    source = "AlphaRL, arXiv 2510.00553 v3, section 4.1"
    needs = frozenset({"factors", "scores"})
    cost = "one PLS fit per matrix, and the window's validation scores"
    method: Literal["alpharl-paper"] = "alpharl-paper"
    target_accuracy: PositiveFloat = 1.0
    """The accuracy that the fitted line is inverted at; the paper says 1."""


class AlphaRLRepo(Method):
    """As AlphaRL's released code: sigma_1 u_1 unscaled, added to the window's last checkpoint."""

    source = "AlphaRL, released code (AlphaPredVector.py, AlphaRLBuildPerdictModel.py)"
    needs = frozenset({"factors", "scores"})
    cost = "one PLS fit per matrix, and the window's validation scores"
    method: Literal["alpharl-repo"] = "alpharl-repo"
    target_accuracy: PositiveFloat = 1.0
    """The accuracy that the fitted line is inverted at; the released script uses 1.7."""


class AlphaRLStep(Method):
    """Rank-1 parts of the updates, a line through them against the step, cut to rank 1 again."""

    source = "ours, after AlphaRL, arXiv 2510.00553 v3"
    needs = frozenset({"factors"})
    cost = "two QR factorizations of T columns per matrix"
    method: Literal["alpharl-step"] = "alpharl-step"


class Next(Method):
    """Rank-1 jump ahead of the last checkpoint, predicted by networks trained on the window."""

    source = "NExt, arXiv 2604.11446, released code"
    needs = frozenset({"factors"})
    cost = "trains a network per vector length: a minute of one core for 1M parameters"
    method: Literal["next"] = "next"
    horizon: PositiveInt | None = None
    """How many checkpoints ahead a jump leads; default: half of the window's."""
    coefficient: float | None = None
    """Factor of the jump; default: steps to the target / steps of the horizon. Published: the best
    of 0.5, 1, ..., 4 by evaluation."""
    rank: PositiveInt = 8
    """Triplets read of each update; differences of checkpoints are made from them."""
    epochs: PositiveInt = 1000
    """Training steps of each network, each on all pairs of checkpoints."""
    seed: NonNegativeInt = 0
    """Of the networks' initial weights."""

    @property
    def depth(self) -> Depth:
        """As many triplets as `rank` says."""
        return Depth(self.rank)

    @property
    def quick(self) -> bool:
        """Training networks takes minutes."""
        return False


class LogitsExtrapolation(Method):
    """A straight line through the logits of two checkpoints, at every token; it has no weights."""

    source = "RLVR-Linearity, arXiv 2601.04537"
    cost = "nothing; scoring it runs two models side by side"
    update = False
    method: Literal["logits-extrapolation"] = "logits-extrapolation"
    first: PositiveInt | None = None
    """The step of the earlier checkpoint; default: the saved step nearest half the window."""


MethodOptions = Annotated[
    Last
    | Expo
    | FirstUpdate
    | WeightExtrapolation
    | Momentum
    | RawLinear
    | Relex
    | RelexPinned
    | Recent
    | EffOPD
    | Auto
    | AlphaRLPaper
    | AlphaRLRepo
    | AlphaRLStep
    | Next
    | LogitsExtrapolation,
    Field(discriminator="method"),
]

METHODS: dict[str, type[Method]] = {
    "last": Last,
    "expo": Expo,
    "first-update": FirstUpdate,
    "weight-extrapolation": WeightExtrapolation,
    "momentum": Momentum,
    "raw-linear": RawLinear,
    "relex": Relex,
    "relex-pinned": RelexPinned,
    "recent": Recent,
    "effopd": EffOPD,
    "auto": Auto,
    "alpharl-paper": AlphaRLPaper,
    "alpharl-repo": AlphaRLRepo,
    "alpharl-step": AlphaRLStep,
    "next": Next,
    "logits-extrapolation": LogitsExtrapolation,
}
