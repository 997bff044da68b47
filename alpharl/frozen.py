"""The common base of all config models: frozen, and strict about its keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from alpharl.errors import nearest as nearest

_INTERNAL = re.compile(r"\[|^constrained-")


MOST_SHOWN = 100
"""Characters of a value, or of an unknown name, that an error shows."""

_LONGEST = 600
"""Characters of one error."""


def describe_error(error: Any) -> str:
    """One line for one pydantic error: dotted key, message, and the value found."""
    # Parts like these are pydantic's: the key of a mapping, or a member of a union.
    key = ".".join(part for part in map(str, error["loc"]) if not _INTERNAL.search(part))
    message = error["msg"].removeprefix("Value error, ")
    value = error["input"]
    plain = isinstance(value, str | int | float | bool | date)
    shown = value[:MOST_SHOWN] if isinstance(value, str) else value
    told = f"{value}, a date without quotes" if isinstance(value, date) else repr(shown)
    tail = f" (found {told})" if plain and error["type"] != "value_error" else ""
    line = f"{key}: {message}{tail}" if key else f"{message}{tail}"
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]}...{line[-_LONGEST // 2 :]}"


class Frozen(BaseModel):
    """A config section: immutable, unknown keys refused with the nearest valid key named."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True
    )

    renamed: ClassVar[Mapping[str, str]] = {}
    """Keys of earlier versions, with the names that they have now."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        """Raise for the first key that is not a field; pydantic adds where it stands."""
        if not isinstance(data, dict):
            return data
        for key, value in data.items():
            if isinstance(key, str) and key in cls.renamed:
                raise PydanticCustomError(
                    "renamed_key",
                    "key '{key}' is now '{new}'; rename it",
                    {"key": str(key), "new": cls.renamed[key]},
                )
            if key not in cls.model_fields:
                raise PydanticCustomError(
                    "unknown_key",
                    "unknown key '{key}', {hint}",
                    {
                        "key": str(key)[:MOST_SHOWN],
                        "hint": nearest(str(key)[:MOST_SHOWN], list(cls.model_fields)),
                    },
                )
            if _has_switch(value) and _is_number(cls, key):
                raise PydanticCustomError(
                    "switch",
                    "found true or false for key '{key}', expected a number",
                    {"key": str(key)},
                )
        return data


def _has_switch(value: Any) -> bool:
    """Whether a value is true or false, or a list with one: pydantic takes them for 1 and 0."""
    return isinstance(value, bool) or (isinstance(value, list) and any(map(_has_switch, value)))


@cache
def _is_number(model: type[BaseModel], key: str) -> bool:
    """Whether a field takes numbers, alone or in lists, and no switch."""
    kinds = list(_kinds(model.model_fields[key].annotation))
    numbers = any(kind in (int, float) for kind in kinds)
    return numbers and not any(kind in (bool, Any) for kind in kinds)


def _kinds(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _kinds(part)
