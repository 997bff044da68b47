"""The forecasts of a study, as its plan lists them and `alpharl forecasts` takes them."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter

from alpharl.forecasting.method import Reads
from alpharl.forecasting.registry import MethodOptions


@dataclass(frozen=True)
class ForecastVariant:
    """One method's forecast from one window."""

    name: str
    label: str
    window: str
    through: int
    target_step: int | None
    """None where the target is an accuracy: only the fit says which step that is."""
    options: MethodOptions
    amplitude: float = 1.0
    """Multiplies the whole predicted update."""
    target_accuracy: float | None = None

    @property
    def reads(self) -> frozenset[Reads]:
        """What the fit reads; an accuracy is reached only on a line of scores."""
        reads = self.options.reads
        return reads if self.target_accuracy is None else reads | {"scores"}

    @property
    def quick(self) -> bool:
        """Whether the fit takes seconds at most."""
        return bool(self.options.quick)

    @property
    def target_option(self) -> str:
        """The target as the command line takes it."""
        if self.target_accuracy is not None:
            return f"--target-accuracy={self.target_accuracy}"
        return f"--target-step={self.target_step}"

    @property
    def option_pairs(self) -> list[str]:
        """Options that are set, as the command line takes them: `key=value`."""
        given = self.options.model_dump(mode="json", exclude={"method"}, exclude_none=True)
        return [f"{key}={value}" for key, value in given.items()]


FORECAST_VARIANTS = TypeAdapter(list[ForecastVariant])
"""Reads and writes them as JSON, as `alpharl forecasts` takes them."""
