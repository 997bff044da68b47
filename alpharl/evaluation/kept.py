"""Rows of a table that a killed job had made already."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class KeptRows:
    """Rows by key, each on disk as soon as it is made; a JSON line each, after what they are of."""

    def __init__(self, path: Path, stamp: Mapping[str, Any]) -> None:
        """Take the rows of a file of the same stamp, up to a line that a kill broke off."""
        self._path, self._rows = path, dict[str, Row]()
        first, *lines = _lines(path) or [None]
        if first == stamp:
            self._rows = {line["key"]: line["row"] for line in lines}
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            kept = [{"key": key, "row": row} for key, row in self._rows.items()]
            file.writelines(json.dumps(line) + "\n" for line in [dict(stamp), *kept])

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __getitem__(self, key: str) -> Row:
        return self._rows[key]

    def __setitem__(self, key: str, row: Row) -> None:
        """Keep a row."""
        self._rows[key] = row
        with self._path.open("a") as file:
            file.write(json.dumps({"key": key, "row": row}) + "\n")

    def remove(self) -> None:
        """Remove the file: the table is made."""
        self._path.unlink()


def _lines(path: Path) -> list[Any]:
    found: list[Any] = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found
