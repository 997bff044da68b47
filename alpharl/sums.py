"""Digests of files that cannot hold their own, such as tables: a list next to them. Torch-free.

`modules.sha256` lists `modules.parquet` and `modules.csv` as the command `sha256sum` does, so that
`sha256sum --check` takes it too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alpharl.errors import ArtefactError
from alpharl.partials import partial_files

_END = ".sha256"


def digest_file(path: Path) -> str:
    """SHA-256 of a file's content, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_summed(writers: Mapping[Path, Callable[[Path], Any]]) -> None:
    """Write files of one folder that differ by their suffix, with the list of their digests.

    Args:
        writers: what fills each file, called with the path to write to.
    """
    listed = next(iter(writers)).with_suffix(_END)
    with partial_files([*writers, listed]) as partials:
        lines = ""
        for (path, write), partial in zip(writers.items(), partials, strict=False):
            write(partial)
            lines += f"{digest_file(partial)}  {path.name}\n"
        partials[-1].write_text(lines)


def write_sums(listed: Path, files: list[Path]) -> None:
    """Write the list of digests of files that are there, which lie in its folder or below."""
    lines = (f"{digest_file(path)}  {path.relative_to(listed.parent)}\n" for path in files)
    with partial_files([listed]) as (partial,):
        partial.write_text("".join(lines))


def read_sums(listed: Path) -> dict[str, str]:
    """Digests by name; none where there is no list, or another one's."""
    try:
        lines = listed.read_text("utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return {}
    pairs = (line.split("  ", 1) for line in lines)
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


def require_summed(path: Path, maker: str, *, told: bool = False) -> None:
    """Refuse a file with another content than is listed next to it.

    Args:
        path: the file.
        maker: the command that wrote it.
        told: refuse it too where no list names it; people's own tables have none.

    Raises:
        ArtefactError: it is not as it was written.
    """
    digest = read_sums(path.with_suffix(_END)).get(path.name)
    if (told and not digest) or (digest and digest_file(path) != digest):
        raise ArtefactError(
            f"{path}: found other content than {path.with_suffix(_END).name} lists, expected it as "
            f"`{maker}` wrote it: make it again, or remove that list if you changed the file", path,
        )  # fmt: skip
