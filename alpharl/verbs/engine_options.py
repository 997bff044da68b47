"""An engine's settings as options of the command line, made from the fields of all engines.

An option is named after its field, and says what the field's description says. It takes a text,
which pydantic reads as the field's type: JSON where that is a mapping or a list.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from alpharl.errors import StudyError
from alpharl.evaluation.engines.registry import DEFAULT, ENGINES, read_settings
from alpharl.evaluation.engines.settings import EngineSettings
from alpharl.frozen import describe_error
from alpharl.verbs.inputs import json_value

_STUDY = {"models_per_job"}
"""Fields that divide a study into jobs; one call of the command line is one job."""
_EMPTY: tuple[Any, ...] = (None, {}, [])


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add `--engine` and the options of all engines; what is not given stays None.

    A verb's function takes them together, as `**engine`.
    """
    group = parser.add_argument_group("engine, which generates answers")
    engines = "; ".join(f"{name}: {_words(cls.__doc__)}" for name, cls in ENGINES.items())
    words = f"what generates answers (default: {DEFAULT}). {engines}"
    group.add_argument("--engine", choices=[*ENGINES], help=words.replace("%", "%%"))
    for name, users in _fields().items():
        form = "JSON" if _is_json(ENGINES[users[0]].model_fields[name]) else "VALUE"
        group.add_argument(_option(name), metavar=form, help=_help(name, users).replace("%", "%%"))


def engine_settings(options: Mapping[str, str | None]) -> EngineSettings:
    """The engine's settings from what the command line has: texts, None where nothing was said.

    Raises:
        StudyError: one is not valid, lacking, or another engine's.
    """
    given: dict[str, Any] = {name: text for name, text in options.items() if text is not None}
    for name, field in ENGINES[given.get("engine", DEFAULT)].model_fields.items():
        if name in given and _is_json(field):
            given[name] = json_value(given[name], _option(name))
    try:
        return read_settings(given)
    except ValidationError as error:
        raise StudyError("; ".join(describe_error(e) for e in error.errors())) from None


def arguments_of(settings: EngineSettings) -> list[str]:
    """Settings as the command line takes them; what is empty is left out."""
    values = settings.model_dump(mode="json", exclude=_STUDY)
    return [
        f"{_option(name)}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in values.items()
        if value not in _EMPTY
    ]


def _fields() -> dict[str, list[str]]:
    """All fields but the engine's name, with the engines that have them."""
    users: dict[str, list[str]] = {}
    for engine, cls in ENGINES.items():
        for name in cls.model_fields:
            if name not in {"engine", *_STUDY}:
                users.setdefault(name, []).append(engine)
    return users


def _help(name: str, users: list[str]) -> str:
    """What an option says: whose it is, what the field says, its form, its default."""
    field = ENGINES[users[0]].model_fields[name]
    words = _words(field.description)
    if len(users) < len(ENGINES):
        words = f"{' and '.join(users)}: {words}"
    if _is_json(field):
        words += ", as JSON"
    if not field.is_required() and field.default not in _EMPTY:
        words += f" (default: {field.default})"
    return words


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _words(text: str | None) -> str:
    """The first paragraph on one line."""
    return " ".join((text or "").split("\n\n")[0].split()).rstrip(".")


def _is_json(field: FieldInfo) -> bool:
    return get_origin(field.annotation) in (dict, list)
