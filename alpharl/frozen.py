"""The common base of all config models: frozen, and strict about its keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from alpharl.errors import nearest as nearest


def describe_error(error: Any) -> str:
    """One line for one pydantic error: dotted key, message, and the value found."""
    # Parts in brackets are pydantic's: the key of a mapping, or a member of a union.
    key = ".".join(part for part in map(str, error["loc"]) if part[:1] != "[")
    message = error["msg"].removeprefix("Value error, ")
    value = error["input"]
    plain = isinstance(value, str | int | float | bool)
    tail = f" (found {value!r})" if plain and error["type"] != "value_error" else ""
    return f"{key}: {message}{tail}" if key else f"{message}{tail}"


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
        for key in data:
            if key in cls.renamed:
                raise PydanticCustomError(
                    "renamed_key",
                    "key '{key}' is now '{new}'; rename it",
                    {"key": str(key), "new": cls.renamed[key]},
                )
            if key not in cls.model_fields:
                raise PydanticCustomError(
                    "unknown_key",
                    "unknown key '{key}', {hint}",
                    {"key": str(key), "hint": nearest(str(key), list(cls.model_fields))},
                )
        return data
