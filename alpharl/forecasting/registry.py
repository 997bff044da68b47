"""All forecasting methods: a line each. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError

from alpharl.errors import MethodError, nearest
from alpharl.forecasting.method import Method
from alpharl.frozen import describe_error
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


def read_method(name: str, options: Mapping[str, Any]) -> Method:
    """A method with its options.

    Raises:
        MethodError: there is no such method, or an option is unknown or not valid.
    """
    if name not in METHODS:
        raise MethodError(f"unknown method '{name}', {nearest(name, list(METHODS))}")
    try:
        return METHODS[name].model_validate(dict(options))
    except ValidationError as error:
        lines = "; ".join(describe_error(e) for e in error.errors())
        raise MethodError(f"{name}: option {lines}") from None


if TYPE_CHECKING:
    MethodOptions = Method
else:
    MethodOptions = Annotated[reduce(or_, METHODS.values()), Field(discriminator="method")]
    """Options of any method, told apart by their key `method`."""
