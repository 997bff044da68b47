"""The common base of all config models: frozen, and strict about its keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from alpharl.errors import nearest as nearest


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
