"""The contract of a forecasting method: its options, what a fit reads and costs, and the fit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from alpharl.bounds import MOST_SCALE, Rank
from alpharl.forecasting.contract import Prediction, Window
from alpharl.frozen import Frozen
from alpharl.spectra.depth import Depth

Multiple = Annotated[float, Field(ge=-MOST_SCALE, le=MOST_SCALE, allow_inf_nan=False)]
"""An option that an update, or a part of it, is multiplied by."""
Reads = Literal["factors", "gram", "scores", "suite"]
"""Small files of a run; or the validation suite itself, on which a method scores trial models."""


class Method(Frozen, ABC):
    """One method: a subclass holds its options as fields, and what is the same for all uses."""

    method: str
    """Name of the method; a subclass narrows it to one literal, which is the default."""

    source: ClassVar[str]
    """The paper or repository that the method comes from."""
    needs: ClassVar[frozenset[Reads]] = frozenset()
    """What a fit reads, besides the list of observed steps, whatever its options are."""
    cost: ClassVar[str]
    """What one forecast costs beyond the files that it needs."""

    update: ClassVar[bool] = True
    """Whether a forecast is an update, which an amplitude can scale."""

    @property
    def reads(self) -> frozenset[Reads]:
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

    def require_steps(self, steps: Sequence[int]) -> None:
        """Refuse a window whose steps do not suit the options, before anything is computed.

        Args:
            steps: those of the window, increasing.

        Raises:
            MethodError: they do not.
        """
        return

    @abstractmethod
    def forecast(self, window: Window) -> Prediction:
        """The predicted update at the window's target.

        Raises:
            MethodError: the method is not defined on this window.
        """


class TemporalFit(Method):
    """Options that the fits along temporal directions share."""

    needs = frozenset({"gram"})
    cost = "one T x T eigenproblem per tensor"
    rank: Rank = 1
    """Number of temporal directions kept per tensor."""
    fit: Literal["linear", "quadratic", "saturating"] = "linear"
    """Curve fitted to each direction's coefficient against the step."""
