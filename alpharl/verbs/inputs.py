"""What verbs read from the command line beyond single values: options, and names with paths."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from alpharl.checkpoints.header import unique_json
from alpharl.checkpoints.sources import find_steps
from alpharl.errors import MethodError, StudyError
from alpharl.frozen import describe_error
from alpharl.yaml_text import NotYaml, read_yaml

Model = TypeVar("Model", bound=BaseModel)
_NAME = re.compile(r"(?!\.)[\w.+@%-]*(\{step\})?[\w.+@%-]*(?<!^)")
"""Results are files of these names."""
_LONGEST = 200
"""Bytes of a name: file systems take 255, endings included."""
_FORM = "letters, digits and ._+@=-, not a dot first, 200 bytes at most"


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Spec = TypeVar("Spec", bound=_Named)


def option_pair(pair: str, form: str = "KEY=VALUE") -> tuple[str, Any]:
    """The key and the value of `--option KEY=VALUE`; the value is YAML, as in a study file.

    Raises:
        MethodError: there is no `=`, or the value is not YAML.
    """
    key, equals, text = pair.partition("=")
    if not equals:
        raise MethodError(f"option '{pair}': found no '=', expected {form}")
    try:
        return key, read_yaml(text, f"option '{pair}'")
    except NotYaml:
        raise MethodError(
            f"option '{pair}': found '{text}', expected a value as a study file has it"
        ) from None
    except StudyError as error:
        raise MethodError(str(error)) from None


def json_value(text: str, option: str) -> Any:
    """What an option says as JSON.

    Raises:
        StudyError: it is not JSON, or a key stands twice in a mapping.
    """
    try:
        return unique_json(text)
    except (ValueError, RecursionError) as error:
        raise StudyError(f"found '{text}' as {option}, expected JSON ({error})") from None


def _can_name(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and len(name.encode()) <= _LONGEST


def file_name(text: str) -> str:
    """An argument that names a run, a base or a suite, after which files are called.

    Raises:
        ArgumentTypeError: no file can have the name.
    """
    if not _can_name(text) or "{" in text:
        raise argparse.ArgumentTypeError(
            f"found '{text[:80]}', expected a name that a file can have: {_FORM}"
        )
    return text


def spec_value(adapter: TypeAdapter[list[Spec]], text: str) -> list[Spec]:
    """What `--spec` says as JSON: a list of what is made, a folder each.

    Raises:
        StudyError: it is not what is expected, or a name is none of a folder.
    """
    try:
        values = adapter.validate_json(text)
    except ValidationError as error:
        raise StudyError("--spec: " + "; ".join(map(describe_error, error.errors()))) from None
    for value in values:
        if not _can_name(value.name) or "{" in value.name:
            raise StudyError(
                f"--spec: found the name '{value.name[:80]}', expected one that a folder can have: "
                f"{_FORM}; correct it"
            )
    return values


def validated(model: type[Model], values: Any) -> Model:
    """A model of values from the command line.

    Raises:
        StudyError: one line that names the key and what is wrong with it.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise StudyError("; ".join(describe_error(e) for e in error.errors())) from None


def named_paths(entries: list[str], files: bool = False) -> dict[str, Path]:
    """Paths by name, from entries `NAME=PATH`; with `{step}` in both, one for each step.

    For example, `step-{step}=runs/foo/checkpoint-{step}` names every checkpoint of a run.

    Args:
        entries: as the command line has them.
        files: paths of a pattern are files, not folders.

    Raises:
        CheckpointError: nothing matches a pattern.
        StudyError: an entry has no `=`, a name is none of a file, or two are equal.
    """
    pairs: list[tuple[str, Path]] = []
    for entry in entries:
        name, equals, path = entry.partition("=")
        if not equals:
            raise StudyError(f"found '{entry}', expected NAME={entry}")
        if not _can_name(name) or ("{step}" in name) > ("{step}" in path):
            raise StudyError(
                f"found '{name[:80]}' as a name, expected one that can name a file: {_FORM}, and "
                "{step} only before a path with {step}; give another"
            )
        steps = find_steps(path, files) if "{step}" in path else {}
        pairs += [(name.replace("{step}", str(step)), p) for step, p in steps.items()]
        pairs += [] if steps else [(name, Path(path))]
    named = dict(pairs)
    if len(named) < len(pairs):
        raise StudyError(
            f"found {len(pairs)} paths with {len(named)} names, expected a name each; put {{step}} "
            "into the name of a pattern"
        )
    return named


def paths_at(entries: list[str], files: bool = False) -> list[Path]:
    """The folders that entries name, or the files, each a path or a pattern with `{step}`.

    Raises:
        CheckpointError: nothing matches a pattern.
    """
    paths: list[Path] = []
    for entry in entries:
        paths += find_steps(entry, files).values() if "{step}" in entry else [Path(entry)]
    return paths
