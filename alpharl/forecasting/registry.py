"""All forecasting methods: a line each. Torch-free."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from alpharl.forecasting.method import Method
from alpharl.registry import registered

_ENTRIES = [
    "last:Last",
    "expo:Expo",
    "first_update:FirstUpdate",
    "weight_extrapolation:WeightExtrapolation",
    "momentum:Momentum",
    "raw_linear:RawLinear",
    "relex:Relex",
    "relex:RelexPinned",
    "recent:Recent",
    "effopd:EffOPD",
    "auto:Auto",
    "alpharl_pls:AlphaRLPaper",
    "alpharl_pls:AlphaRLRepo",
    "alpharl_step:AlphaRLStep",
    "next:Next",
    "logits_extrapolation:LogitsExtrapolation",
]
METHODS: dict[str, type[Method]] = {
    cls.model_fields["method"].default: cls
    for cls in registered("alpharl.forecasting", _ENTRIES, Method)  # type: ignore[type-abstract]
}
"""By name, the class that holds a method's options and makes its forecasts."""

if TYPE_CHECKING:
    MethodOptions = Method
else:
    MethodOptions = Annotated[reduce(or_, METHODS.values()), Field(discriminator="method")]
    """Options of any method, told apart by their key `method`."""
