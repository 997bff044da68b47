"""All measures: a line each. Torch-free."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    create_model,
    field_validator,
    model_serializer,
)

from alpharl.errors import MethodError, nearest
from alpharl.frozen import Frozen, describe_error
from alpharl.measures.measure import Measure
from alpharl.registry import registered

_ENTRIES = [
    "sparsity:Sparsity",
    "floor:Floor",
]
MEASURES: dict[str, type[Measure]] = dict(
    zip(
        [entry.partition(":")[0] for entry in _ENTRIES],
        registered("alpharl.measures", _ENTRIES, Measure),  # type: ignore[type-abstract]
        strict=True,
    )
)
"""By name, which is that of its file."""


def read_measures(
    names: Sequence[str], options: Mapping[str, Mapping[str, Any]]
) -> dict[str, Measure]:
    """The named measures with their options; none named is all.

    Raises:
        MethodError: there is no such measure, or options are not valid or of another measure.
    """
    names = list(names) or list(MEASURES)
    for name in names:
        if name not in MEASURES:
            raise MethodError(f"unknown measure '{name}', {nearest(name, list(MEASURES))}")
    for name in options:
        if name not in names:
            raise MethodError(
                f"found options of '{name}', expected one of the measures that are made: "
                f"{', '.join(names)}; name it too, or drop them"
            )
    return {name: _measure(name, options.get(name, {})) for name in names}


def _measure(name: str, options: Mapping[str, Any]) -> Measure:
    try:
        return MEASURES[name].model_validate(dict(options))
    except ValidationError as error:
        lines = "; ".join(describe_error(e) for e in error.errors())
        raise MethodError(f"{name}: option {lines}") from None


class _Chosen(Frozen):
    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_default(cls, options: Any) -> Any:
        """A name without options chooses the measure as it is."""
        return {} if options is None else options

    @model_serializer(mode="wrap")
    def _leave_out_the_others(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out measures that are not made, so that what is written reads back the same."""
        return {name: options for name, options in serialize(self).items() if options is not None}


def _field(cls: type[Measure]) -> Any:
    """None where the measure is not named."""
    return Field(default=None, validate_default=False, description=inspect.getdoc(cls))


MeasureOptions = create_model(
    "Measures",
    __base__=_Chosen,
    __doc__="The measures that are made of every run, each with its options.",
    **{name: (cls | None, _field(cls)) for name, cls in MEASURES.items()},
)  # type: ignore[call-overload]
"""Names of measures to their options; one that is not named is not made."""


def all_measures() -> Any:
    """The options of every measure as they are by default."""
    return MeasureOptions(**{name: {} for name in MEASURES})


def chosen(options: Any) -> dict[str, Measure]:
    """The measures that are made, by name, in the registry's order."""
    pairs = ((name, getattr(options, name)) for name in MEASURES)
    return {name: measure for name, measure in pairs if measure is not None}
