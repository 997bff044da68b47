"""Manifests: what a base or a checkpoint is made of. Torch-free.

A workflow tracks a model folder by its manifest, because Snakemake does not see a weight file that
is replaced inside a directory.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from typing_extensions import TypedDict

from alpharl.checkpoints.adapter import MergedIndex, read_model
from alpharl.checkpoints.configs import as_json, changes
from alpharl.checkpoints.files import read_record, write_record
from alpharl.checkpoints.finite import digest_weights
from alpharl.checkpoints.fit import require_same_tensors
from alpharl.checkpoints.index import ADAPTER_CONFIG, ModelIndex, read_index
from alpharl.checkpoints.stamps import Stamps, stamps
from alpharl.checkpoints.tied import require_equal
from alpharl.checkpoints.vocabulary import ResizedIndex
from alpharl.errors import ArtefactError
from alpharl.sums import digest_file

VERSION = 2
MAKER = "alpharl manifest"


class _Entry(TypedDict):
    """The part of a manifest that others look at."""

    step: int
    path: str
    digest: str
    stamps: Stamps


class _Row(_Entry):
    """A row of a table of them."""

    manifest: str
    """The file that it comes from."""


class _Table(TypedDict):
    """The same of a table of them."""

    checkpoints: list[_Row]


def digest_part(path: Path) -> str:
    """SHA-256 of a file of a model; of one of weights after a look at every number in it.

    Raises:
        CheckpointError: it holds weights, of which one is not finite.
    """
    return digest_weights(path) if path.suffix == ".safetensors" else digest_file(path)


def digest_json(data: Any) -> str:
    """SHA-256 of data as canonical JSON, as hex."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def digest_of_weights(files: Mapping[str, str]) -> str:
    """One digest of a model's weights, from those of its files and whatever these are called.

    An adapter's config counts too: the same A and B make another update with another alpha.
    """
    ends = (".safetensors", ADAPTER_CONFIG)
    return digest_json(sorted(digest for name, digest in files.items() if name.endswith(ends)))


def describe_model(index: ModelIndex, step: int, base: str = "") -> dict[str, Any]:
    """The manifest of a model folder: files with digests, tensor count, bytes and dtypes.

    Args:
        index: of the folder.
        step: of the checkpoint; 0 for a base.
        base: of an adapter, the digest of the model that it is on.

    Raises:
        CheckpointError: a weight is not finite, or a stored head is not what its config says.
    """
    require_equal(index.folder, index.tied)
    files = {name: digest_part(index.folder / name) for name in index.files}
    infos = index.tensors.values()
    return {
        "version": VERSION,
        "step": step,
        "path": str(index.folder),
        "digest": digest_json([files, base] if base else files),
        "stamps": stamps(index.folder),
        "files": files,
        "companions": {path.name: digest_file(path) for path in _companions(index.folder)},
        "tensors": len(index.tensors),
        "bytes": sum(info.nbytes for info in infos),
        "dtypes": sorted({info.dtype for info in infos}),
    }


def _companions(folder: Path) -> list[Path]:
    """Configs and tokenizer of a model: no part of its digest, and watched all the same."""
    files = (path for path in folder.iterdir() if path.is_file())
    return sorted(path for path in files if path.suffix in {".json", ".jinja", ".model", ".txt"})


def write_manifest(
    folder: Path, step: int, out: Path, base: Path | None = None, known: Iterable[Path] = ()
) -> None:
    """Write a model folder's manifest, after checking that its tensors are those of `base`.

    Where its config changes the base's function, `config` says how; where it has other rows of
    tokens, `rows` says how many.

    The digest of an adapter covers its base, whose own is taken from the `known` manifests.

    Raises:
        CheckpointError: no such folder, broken files, a weight that is not finite, or other
            tensors than the base.
    """
    index = read_model(folder, base)
    if base is not None:
        require_same_tensors(read_index(base), index)
    digest = KnownDigests(known)[os.path.abspath(base)] if base and _is_on_base(index) else ""
    described = describe_model(index if _is_on_base(index) else read_index(folder), step, digest)
    changed = as_json(changes(base, folder)) if base and not _is_on_base(index) else {}
    described |= {"config": changed} if changed else {}
    described |= {"rows": index.rows} if isinstance(index, ResizedIndex) else {}
    write_record(out, described)


def _is_on_base(index: ModelIndex) -> bool:
    return isinstance(index, MergedIndex)


def write_checkpoints(run: str, base: str, manifests: list[Path], out: Path) -> None:
    """Write the table of a run's checkpoints: step, path and digest of each."""
    rows = [_Row(**read_record(path, _Entry, MAKER), manifest=str(path)) for path in manifests]
    rows.sort(key=lambda row: row["step"])
    steps = [row["step"] for row in rows]
    write_record(out, {"run": run, "base": base, "steps": steps, "checkpoints": rows})


class KnownDigests(dict[str, str]):
    """Digests of model folders by absolute path; one without a manifest is read and hashed."""

    def __init__(self, manifests: Iterable[Path], base: Path | None = None) -> None:
        """Take the digests that manifests, or tables of them, hold.

        Args:
            manifests: files that `write_manifest` or `write_checkpoints` wrote.
            base: the model that adapters are on.

        Raises:
            ArtefactError: a file is none of them, or not as it was written.
        """
        super().__init__()
        self._base = base
        either: Any = _Entry | _Table
        files = {path: read_record(path, either, MAKER) for path in manifests}
        self._told: dict[str, _Row] = {
            os.path.abspath(entry["path"]): cast(_Row, {"manifest": str(path), **entry})
            for path, file in files.items()
            for entry in file.get("checkpoints", [file])
        }

    def told(self, folder: Path) -> str | None:
        """What the manifests say of a folder that may be gone or changed; None if they do not."""
        row = self._told.get(os.path.abspath(folder))
        return row["digest"] if row else None

    def __missing__(self, folder: str) -> str:
        """Take the digest of a folder that is as its manifest says, or hash it, once.

        Raises:
            ArtefactError: the folder has other weights than its manifest says.
        """
        row = self._told.get(folder)
        if row and (not os.path.isdir(folder) or stamps(Path(folder)) == row["stamps"]):
            self[folder] = row["digest"]
        else:
            self[folder] = self._hashed(folder)
            if row and self[folder] != row["digest"]:
                raise ArtefactError(
                    f"{row['manifest']}: found other weights in {folder} than when this manifest "
                    f"was made; make it again with `{MAKER}`", Path(row["manifest"]),
                )  # fmt: skip
        return self[folder]

    def _hashed(self, folder: str) -> str:
        index = read_model(Path(folder), self._base)
        below = self[os.path.abspath(self._base)] if self._base and _is_on_base(index) else ""
        return str(describe_model(index, 0, below)["digest"])
