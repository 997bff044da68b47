"""Hashes every file of a study's results again. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from typing_extensions import TypedDict

from alpharl.checkpoints.files import read_record
from alpharl.checkpoints.manifest import MAKER as MANIFEST
from alpharl.checkpoints.seal import require_sealed
from alpharl.errors import AlpharlError, StudyError
from alpharl.evaluation.journal import is_whole
from alpharl.evaluation.suites import read_suite
from alpharl.progress import SILENT, Progress
from alpharl.study.plan import Plan
from alpharl.sums import digest_file, read_sums, require_summed
from alpharl.variants.store import read_variant
from alpharl.verification.findings import Wrong

Check = Callable[[Path], Iterator[Wrong]]
_PASSED = {"logs", "benchmarks", "tables", "figures", "adapter"}
"""Folders with nothing in them but logs, or what a file next to them speaks for."""


class _Manifest(TypedDict):
    """The part of a manifest that says what a model's files are."""

    path: str
    files: dict[str, str]
    companions: dict[str, str]


class _About(TypedDict):
    """The part of a note on fetched questions that says what they are."""

    sha256: str


def checks(plan: Plan) -> Iterator[tuple[Path, Check]]:
    """Each file of a study that speaks for itself or for others, with what looks at it.

    Raises:
        StudyError: there are no results.
    """
    root, data = Path(plan.paths.root), Path(plan.paths.data_folder)
    if not root.is_dir():
        raise StudyError(
            f"{root.absolute()}: found no such folder, expected the results of study "
            f"'{plan.study.study}'; call this where the study's paths are relative to"
        )
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        check = _check_of(path.relative_to(root))
        if check:
            yield path, check
    for path in sorted(data.glob("*.jsonl.json")):
        yield path, _questions


def wrong_files(looks: Mapping[Path, Check], progress: Progress = SILENT) -> Iterator[Wrong]:
    """The files that are not as they were written.

    Models that are gone are passed over: what was made of them still is of use.

    Args:
        looks: what looks at each file.
        progress: told of each file.
    """
    for done, (path, look) in enumerate(looks.items(), start=1):
        progress.step("files", done, len(looks), str(path))
        try:
            yield from look(path)
        except (AlpharlError, OSError) as error:
            yield Wrong(path=str(path), text=str(error))


def _check_of(path: Path) -> Check | None:
    """What looks at a file, by its place below the study's folder; None where another file does."""
    if _PASSED & {*path.parts} or any(part.startswith(".") for part in path.parts):
        return None
    match path.parts:
        case ("bases", _, "model", *_) | ("runs", _, "checkpoints", _, _, *_):
            return None
        case ("bases", _, "manifest.json") | ("runs", _, "manifests", _):
            return _model
        case ("report", "index.sha256"):
            return _report
        case ("suites", _, "suite.json"):
            return _suite
    by_name: dict[str, Check] = {"variant.json": _variant}
    by_end: dict[str, Check] = {
        ".safetensors": _sealed, ".json": _sealed, ".jsonl": _journal, ".parquet": _table,
        ".csv": _table, ".yaml": _table,
    }  # fmt: skip
    # What a variant, a report or a suite lists.
    other = path.name == "blend.json" or path.parts[0] == "report"
    other |= path.parts[0] == "suites" and path.suffix == ".jsonl"
    return by_name.get(path.name) or (None if other else by_end.get(path.suffix))


def _sealed(path: Path) -> Iterator[Wrong]:
    require_sealed(path, "alpharl")
    return iter(())


def _table(path: Path) -> Iterator[Wrong]:
    require_summed(path, "alpharl", told=True)
    return iter(())


def _variant(path: Path) -> Iterator[Wrong]:
    read_variant(path.parent)
    return iter(())


def _journal(path: Path) -> Iterator[Wrong]:
    if not is_whole(path):
        text = "found a line that is not as it was written; delete the file, it is made again"
        yield Wrong(path=str(path), text=f"{path}: {text} when something is scored anew")


def _model(path: Path) -> Iterator[Wrong]:
    told = read_record(path, _Manifest, MANIFEST)
    folder = Path(told["path"])
    if folder.is_dir():
        yield from _compared(folder, {**told["files"], **told["companions"]}, path)


def _suite(path: Path) -> Iterator[Wrong]:
    suite = read_suite(path)
    files = {task["data"]: task["sha256"] for task in suite.tasks if task["data"]}
    yield from _compared(suite.folder, files, path)


def _report(path: Path) -> Iterator[Wrong]:
    yield from _compared(path.parent, read_sums(path), path)


def _questions(path: Path) -> Iterator[Wrong]:
    told = read_record(path, _About, "alpharl fetch")
    data = path.with_suffix("")
    yield from _compared(data.parent, {data.name: told["sha256"]}, path)


def _compared(folder: Path, digests: dict[str, str], told_by: Path) -> Iterator[Wrong]:
    """The files of a folder that have other digests, or are not there."""
    for path, digest in ((folder / name, digest) for name, digest in digests.items()):
        if not path.is_file() or digest_file(path) != digest:
            what = "other content" if path.is_file() else "no such file"
            text = f"{path}: found {what}, expected what {told_by} lists; put it back, or make both"
            yield Wrong(path=str(path), text=f"{text} again")
