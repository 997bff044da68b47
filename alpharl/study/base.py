"""The common base of all config models: frozen, and strict about its keys."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


class Frozen(BaseModel):
    """A config section: immutable, unknown keys refused with the nearest valid key named."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        """Raise for the first key that is not a field; pydantic adds where it stands."""
        if not isinstance(data, dict):
            return data
        for key in data:
            if key not in cls.model_fields:
                raise PydanticCustomError(
                    "unknown_key",
                    "unknown key '{key}', {hint}",
                    {"key": str(key), "hint": nearest(str(key), list(cls.model_fields))},
                )
        return data


def nearest(found: str, valid: list[str]) -> str:
    """Words for an error: the nearest valid name if one is close, else all of them."""
    close = difflib.get_close_matches(found, valid, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return "expected one of: " + ", ".join(valid)
