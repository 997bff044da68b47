"""Models of a hub as local folders: safetensors, configs and tokenizers, and nothing that runs.

Needs a network. `HF_ENDPOINT` names another hub, `HF_TOKEN` opens gated repositories.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, RepoFile, is_offline_mode, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import disable_progress_bars

from alpharl.checkpoints.files import write_record
from alpharl.checkpoints.unmoved import BESIDE
from alpharl.errors import CheckpointError
from alpharl.redact import words

WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja"]
"""Pickles and code are never fetched."""
UNWANTED = ["*/*", "consolidated*", "training_args.json", "trainer_state.json"]
"""Other models in folders of their own, the same weights in another layout, a trainer's notes."""
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Published:
    """A model as a hub lists it."""

    repo: str
    revision: str
    """The name that was asked for: a branch, a tag or a commit."""
    commit: str
    """What the name stands for now."""
    files: dict[str, str]
    """Digests of the wanted files: SHA-256 where the hub keeps one in LFS, else git's SHA-1."""
    adapter: str | None
    """Folder of an adapter next to the model, if there is one."""


def listed(repo: str, revision: str) -> Published:
    """What a revision holds now, without its files.

    Raises:
        CheckpointError: no network, no such model, or one without safetensors.
    """
    with _refusing(repo, revision):
        api = HfApi()
        commit = str(api.model_info(repo, revision=revision).sha)
        entries = list(api.list_repo_tree(repo, revision=commit))
    _require_plain(f"{repo} at {revision}", commit, [entry.path for entry in entries])
    stored = [entry for entry in entries if isinstance(entry, RepoFile)]
    files = {
        file.path: file.lfs.sha256 if file.lfs else file.blob_id
        for file in sorted(stored, key=lambda file: file.path)
        if _matches(file.path, WANTED) and not _matches(file.path, UNWANTED)
    }
    if not any(name.endswith(".safetensors") for name in files):
        raise CheckpointError(
            f"{repo} at {revision}: found no safetensors among its {len(stored)} files, expected "
            "weights in that format; ask its authors, or convert it and give the folder as a path"
        )
    adapter = next((entry.path for entry in entries if entry.path == BESIDE), None)
    return Published(repo, revision, commit, files, adapter)


def download(repo: str, revision: str, out: Path, record: Path) -> None:
    """Fetch one model into a folder, and write what it was: repository, commit, files.

    Files that a killed call has fetched are kept next to `out` and not fetched again; `out` itself
    is there as a whole or not at all, and each of its files has the digest that the hub lists.

    Raises:
        CheckpointError: no network, no such model, one without safetensors, or a file that is not
            what the hub lists.
    """
    disable_progress_bars()
    partial = out.with_name(f".{out.name}.partial")
    model = listed(repo, revision)
    with _refusing(repo, revision):
        snapshot_download(
            repo,
            revision=model.commit,
            local_dir=partial,
            # Names and not patterns: the client asks the hub for its list once more.
            allow_patterns=[glob.escape(name) for name in model.files],
        )
    _require_whole(model, partial)
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    for path in partial.iterdir():
        if path.name not in model.files:  # of an earlier call, for another commit
            path.unlink()
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    write_record(
        record,
        {"repo": repo, "revision": revision, "commit": model.commit, "files": [*model.files]},
    )


def _require_plain(where: str, commit: str, names: list[str]) -> None:
    """Refuse a list whose names lead out of the folder that they are joined to."""
    if not _COMMIT.fullmatch(commit):
        raise CheckpointError(
            f"{where}: found {commit[:80]!r} as its commit, expected 40 hexadecimal digits; check "
            "HF_ENDPOINT"
        )
    for name in names:
        if name.startswith("/") or {"", ".", ".."} & {*name.split("/")} or not name.isprintable():
            raise CheckpointError(
                f"{where}: found a file named {name[:80]!r}, expected names inside its folder; do "
                "not use this model"
            )


def _require_whole(model: Published, folder: Path) -> None:
    """Refuse a download that lacks a file, or has another one than the hub lists.

    The client compares no digests, and is content with less where the network goes away meanwhile.
    """
    where = f"{model.repo} at {model.revision}"
    for name, digest in model.files.items():
        file = folder / name
        if file.is_symlink() or not file.is_file():
            raise CheckpointError(f"{where}: lacks {name} after the download; call it again")
        found = _digest(file, git=len(digest) == 40)
        if found != digest:
            file.unlink()  # so that it is fetched anew
            raise CheckpointError(
                f"{where}: {name} came with the digest {found[:12]}, expected {digest[:12]}; call "
                "it again, and if that does not help, empty the hub's cache in HF_HOME"
            )


def _digest(path: Path, git: bool) -> str:
    """The digest of a file as a hub lists it: git's own, or SHA-256."""
    hashed = hashlib.sha1(usedforsecurity=False) if git else hashlib.sha256()
    if git:
        hashed.update(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashed).hexdigest()


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


@contextmanager
def _refusing(repo: str, revision: str) -> Iterator[None]:
    """Make one line of whatever goes wrong between here and the hub."""
    if is_offline_mode():
        raise CheckpointError(
            f"{repo}: found HF_HUB_OFFLINE set, expected a network; unset it on a machine that has "
            "one, or give the model's folder as a path"
        )
    try:
        yield
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        raise CheckpointError(f"{repo} at {revision}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """One line that says what went wrong and what to do."""
    match error:
        case GatedRepoError():
            return "found a gated repository; accept its terms on the hub and set HF_TOKEN"
        case RevisionNotFoundError():
            return "found no such revision, expected a branch, tag or commit; correct 'revision'"
        case RepositoryNotFoundError():
            return "found no such repository, or a private one; correct 'repo', or set HF_TOKEN"
    said = words(error) or type(error).__name__
    return f"found no answer that can be used ({said}); call it again where the hub is in reach"
