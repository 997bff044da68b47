"""Questions from the Hub or a local file, written as JSON lines with their own columns.

<out>         one row a line
<out>.json    where it comes from, how many rows, SHA-256: the same for the same data
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from alpharl.checkpoints.files import read_record, write_record, write_text
from alpharl.errors import ArtefactError, EvaluationError, nearest
from alpharl.evaluation.datasets import Dataset, Role, role_of
from alpharl.evaluation.settings import Task
from alpharl.evaluation.task_names import require_split
from alpharl.redact import words
from alpharl.sums import digest_file

Row = dict[str, Any]


def fetch(task: Task, datasets: Mapping[str, Dataset], out: Path) -> None:
    """Write a task's questions to `out`, and where they come from next to it.

    Args:
        task: names a data set, and perhaps a local file and the SHA-256 to expect: of that file as
            it is, else of what is written.
        datasets: known data sets by task.
        out: JSON lines; readable by its owner only if the data set is private.

    Raises:
        EvaluationError: no such data, not readable as rows, or with another SHA-256; nothing is
            left at `out`.
    """
    if task.data is None and _is_there(task, out):
        return
    known = datasets.get(task.task)
    private = known is not None and known.private
    if task.data is not None:
        source: Row = {"file": task.data, "file_sha256": _require_file(task)}
        rows = read_rows(Path(task.data))
    else:
        source, rows = _from_hub(task.task, role_of(task), datasets)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    if task.data is None:
        _require_same(task, sha256, f"{source['hub']} {source['hub_split']}")
    mode = 0o600 if private else 0o644
    write_text(out, text, mode)
    head = {"task": task.task, "split": role_of(task), "private": private}
    write_record(about(out), head | source | {"rows": len(rows), "sha256": sha256})


class _About(TypedDict):
    """The part of the note next to questions that says which of the Hub's they are."""

    hub: Any
    task: str
    split: str
    sha256: str


def _is_there(task: Task, out: Path) -> bool:
    """Whether the Hub's rows are there already, whole, and with the SHA-256 that is wanted."""
    if not out.is_file() or not about(out).is_file():
        return False
    try:
        told = read_record(about(out), _About, "alpharl fetch")
    except ArtefactError:
        return False  # damaged, or of a file of the user's
    if (told["task"], told["split"]) != (task.task, role_of(task)):
        return False
    return bool(digest_file(out) == told["sha256"] == (task.sha256 or told["sha256"]))


def about(data: Path) -> Path:
    """The file next to fetched questions that says where they come from."""
    return data.with_name(f"{data.name}.json")


def require_as_noted(data: Path) -> None:
    """Refuse fetched questions that are not those which the note next to them tells of.

    Raises:
        ArtefactError: the note is damaged.
        EvaluationError: they have another SHA-256. Without a note they are the user's own.
    """
    if not about(data).is_file():
        return
    told = read_record(about(data), _Note, "alpharl fetch")["sha256"]
    if (found := digest_file(data)) != told:
        raise EvaluationError(
            f"{data}: found sha256 {found[:12]}, expected {told[:12]} as {about(data).name} says; "
            "fetch the questions again with `alpharl fetch`"
        )


class _Note(TypedDict):
    sha256: str


def read_rows(path: Path) -> list[Row]:
    """Rows of a local file: .json (a list), .jsonl or .parquet.

    Raises:
        EvaluationError: not readable; the message holds no part of a row.
    """
    readers = {".json": _json_rows, ".jsonl": _json_lines, ".parquet": _parquet_rows}
    if path.suffix not in readers:
        raise EvaluationError(f"{path}: expected a file that ends in {', '.join(readers)}")
    rows = readers[path.suffix](path)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise EvaluationError(f"{path}: expected a list of at least one row with named columns")
    return rows


def _json_rows(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise EvaluationError(f"{path}: not JSON ({_broken_at(error)}); correct the file") from None


def _json_lines(path: Path) -> Any:
    rows = []
    # str.splitlines would also cut at separators such as U+2028, which JSON allows inside a string.
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        try:
            rows += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            where = f"line {number}: not JSON ({_broken_at(error)})"
            raise EvaluationError(f"{path}: {where}; correct the file") from None
    return rows


def _parquet_rows(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise EvaluationError(f"{path}: not Parquet ({type(error).__name__})") from None


def _broken_at(error: ValueError) -> str:
    """Where JSON is broken, without the text around it."""
    return (
        f"{error.msg} at column {error.colno}"
        if isinstance(error, json.JSONDecodeError)
        else "not UTF-8"
    )


def require_rows(task: Task) -> None:
    """Refuse a local file that is not there, not as expected, or holds no rows.

    Raises:
        EvaluationError: says which.
    """
    _require_file(task)
    read_rows(Path(task.data or ""))


def _require_file(task: Task) -> str:
    """SHA-256 of a local file, which must be there and be the expected one."""
    path = Path(task.data or "")
    if not path.is_file():
        raise EvaluationError(f"{path}: no such file, which task '{task.task}' names as its data")
    sha256 = digest_file(path)
    _require_same(task, sha256, str(path))
    return sha256


def _require_same(task: Task, sha256: str, what: str) -> None:
    if task.sha256 not in (None, sha256):
        raise EvaluationError(
            f"{what}: found sha256 {sha256}, expected {task.sha256}; get the data that the study "
            "means, or correct its 'sha256'"
        )


def _from_hub(name: str, role: Role, datasets: Mapping[str, Dataset]) -> tuple[Row, list[Row]]:
    """Rows of a data set's split, and its source with the revision."""
    if name not in datasets:
        raise EvaluationError(f"unknown data task '{name}', {nearest(name, [*datasets])}")
    known = datasets[name]
    require_split(name, role, known)
    split = known.splits[role]
    # The library reads the offline switch when it is imported.
    from datasets import load_dataset_builder

    try:
        builder = load_dataset_builder(known.hub, known.name)
        builder.download_and_prepare()
        rows = builder.as_dataset(split=split).to_list()
    except Exception as error:  # Of a dozen kinds: no network, not cached, gated, gone.
        # Readers quote what they trip over; of private data, only the kind is told.
        reason = "" if known.private or not str(error) else f": {words(error)}"
        raise EvaluationError(
            f"task '{name}': cannot get {known.hub} from the Hub ({type(error).__name__}{reason}); "
            "run `alpharl fetch` or `snakemake --until fetch` on a machine with network and, where "
            "the data is gated, a login, or give the task 'data:' with a local file"
        ) from None
    source = {"hub": known.hub, "name": known.name, "hub_split": split, "revision": builder.hash}
    return source, rows
