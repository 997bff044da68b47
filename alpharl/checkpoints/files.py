"""Small files: written as a whole or not at all, and read strictly. Torch-free."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from alpharl.checkpoints.header import finite_json
from alpharl.checkpoints.seal import BLANK, KEY, require_sealed, sealed
from alpharl.errors import ArtefactError, not_as_written
from alpharl.frozen import describe_error
from alpharl.partials import partial_files

Form = TypeVar("Form")
_SEAL = f',\n "{KEY}": "'.encode()
_END = re.compile(rb'[0-9a-f]{64}"\n}\n')
"""What follows in a record, to its end."""


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a text file: a reader sees the old one or the whole new one."""
    with partial_files([path], mode) as (partial,):
        partial.write_text(text)


def write_json(path: Path, data: Any) -> None:
    """Write JSON, readable by people, equal data giving equal bytes."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def write_record(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON that holds its own digest, so that `read_record` notices any change of it."""
    content = {key: value for key, value in data.items() if key != KEY}
    text = json.dumps(content | {KEY: BLANK}, indent=1, allow_nan=False) + "\n"
    write_text(path, sealed(text))


def read_record(path: Path, form: type[Form], maker: str) -> Form:
    """Read what `write_record` wrote.

    Args:
        path: the file.
        form: as `read_json` takes it.
        maker: the command that wrote it.

    Raises:
        ArtefactError: as `read_json`, or it is not byte for byte as it was written.
    """
    data = _read(path, form, maker, _without_seal)
    require_sealed(path, maker)
    return data


def _without_seal(content: bytes) -> bytes:
    """The content of a record; all of it where it does not end as one.

    Raises:
        ValueError: something follows the seal, which would be left out.
    """
    head, seal, end = content.rpartition(_SEAL)
    if seal and not _END.fullmatch(end):
        raise ValueError("something follows its digest")
    return head + b"}" if seal else content


def read_json(path: Path, form: type[Form], maker: str) -> Form:
    """Read JSON that an earlier command wrote.

    Args:
        path: the file.
        form: what it has to be, such as a TypedDict; keys that this does not name are ignored.
        maker: the command that wrote it.

    Raises:
        ArtefactError: no file that can be read, or not of this form.
    """
    return _read(path, form, maker, lambda content: content)


def _read(path: Path, form: type[Form], maker: str, content: Callable[[bytes], bytes]) -> Form:
    try:
        data = path.read_bytes()
        value = TypeAdapter(form).validate_json(content(data), strict=True)
        # What pydantic passes over: it takes the last of two equal keys, and numbers that are none.
        finite_json(data.decode())
    except OSError as error:
        wrong = error.strerror or str(error)
        raise ArtefactError(
            f"{path}: {wrong}; expected a file that `{maker}` wrote: make it again"
        ) from None
    except ValidationError as error:
        raise not_as_written(path, describe_error(error.errors()[0]), maker) from None
    except ValueError as error:
        raise not_as_written(path, str(error), maker) from None
    return value
