"""All engines: a line each, the first being the default. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from alpharl.errors import StudyError, nearest
from alpharl.evaluation.engines.settings import EngineSettings
from alpharl.registry import registered

_ENTRIES = [
    "hf:Hf",
    "vllm:Vllm",
    "api:Api",
]
ENGINES: dict[str, type[EngineSettings]] = {
    cls.model_fields["engine"].default: cls
    for cls in registered("alpharl.evaluation.engines", _ENTRIES, EngineSettings)  # type: ignore[type-abstract]
}
"""By name, the class that holds an engine's settings and opens it."""
DEFAULT = next(iter(ENGINES))
"""The engine of whoever names none."""


def read_settings(given: Mapping[str, Any]) -> EngineSettings:
    """The settings of the engine that `given` names.

    Raises:
        StudyError: there is no such engine, or a key is another engine's.
        ValidationError: a key is lacking, unknown, or of the wrong kind.
    """
    named = _named(given)
    return ENGINES[named["engine"]].model_validate(named)


def _named(settings: Any) -> Any:
    """Settings with the name of their engine, whose keys alone may stand in them."""
    if isinstance(settings, EngineSettings):
        return settings
    if not isinstance(settings, Mapping):
        raise StudyError(f"found {settings!r}, expected keys, such as {{engine: {DEFAULT}}}")
    name = str(settings.get("engine", DEFAULT))
    if name not in ENGINES:
        raise StudyError(f"unknown engine '{name}', {nearest(name, list(ENGINES))}")
    for key in settings:
        owners = [other for other, cls in ENGINES.items() if key in cls.model_fields]
        if owners and name not in owners:
            others = " or ".join(f"'{owner}'" for owner in owners)
            raise StudyError(
                f"found '{key}' with engine '{name}', expected it with engine {others} alone; drop "
                "it, or take that engine"
            )
    return {**settings, "engine": name}


def _tag(settings: Any) -> str:
    """Names a member of the union; in brackets, so that errors leave it out of the key."""
    name = settings["engine"] if isinstance(settings, Mapping) else settings.engine
    return f"[{name}]"


def _member(name: str) -> Any:
    """An engine in the union; its schema asks for the name of any but the default."""
    extra: Any = {} if name == DEFAULT else {"required": ["engine"]}
    return Annotated[ENGINES[name], Tag(f"[{name}]"), Field(json_schema_extra=extra)]


if TYPE_CHECKING:
    Evaluation = EngineSettings
else:
    Evaluation = Annotated[
        reduce(or_, map(_member, ENGINES)),
        Discriminator(_tag),
        BeforeValidator(_named),
    ]
    """Settings of any engine, told apart by their key `engine`."""
