"""Models of a hub as local folders: safetensors, configs and tokenizers, and nothing that runs.

Needs a network. `HF_ENDPOINT` names another hub, `HF_TOKEN` opens gated repositories.
"""

from __future__ import annotations

import fnmatch
import shutil
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, is_offline_mode, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import disable_progress_bars

from alpharl.checkpoints.files import write_json
from alpharl.errors import CheckpointError

WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja"]
"""Pickles and code are never fetched."""
UNWANTED = ["*/*", "consolidated*", "training_args.json", "trainer_state.json"]
"""Other models in folders of their own, the same weights in another layout, a trainer's notes."""


def download(repo: str, revision: str, out: Path, record: Path) -> None:
    """Fetch one model into a folder, and write what it was: repository, commit, files.

    What a killed call has fetched is kept beside `out` and not fetched again; `out` itself is
    there as a whole or not at all.

    Raises:
        CheckpointError: no network, no such model, or one without safetensors.
    """
    if is_offline_mode():
        raise CheckpointError(
            f"{repo}: found HF_HUB_OFFLINE set, expected a network; unset it on a machine that has "
            "one, or give the model's folder as a path"
        )
    disable_progress_bars()
    partial = out.with_name(f".{out.name}.partial")
    try:
        commit, files = _listed(repo, revision)
        snapshot_download(
            repo,
            revision=commit,
            local_dir=partial,
            allow_patterns=WANTED,
            ignore_patterns=UNWANTED,
        )
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        raise CheckpointError(f"{repo} at {revision}: {_reason(error)}") from None
    # The client is content with less where the network goes away meanwhile.
    missing = [name for name in files if not (partial / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{repo} at {revision}: lacks {missing[0]} after the download; call it again"
        )
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    for path in partial.iterdir():
        if path.name not in files:  # of an earlier call, for another commit
            path.unlink()
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    write_json(record, {"repo": repo, "revision": revision, "commit": commit, "files": files})


def _listed(repo: str, revision: str) -> tuple[str, list[str]]:
    """The commit that a revision is now, and the files that are wanted of it."""
    info = HfApi().model_info(repo, revision=revision)
    names = sorted(sibling.rfilename for sibling in info.siblings or [])
    files = [name for name in names if _matches(name, WANTED) and not _matches(name, UNWANTED)]
    if not any(name.endswith(".safetensors") for name in files):
        raise CheckpointError(
            f"{repo} at {revision}: found no safetensors among its {len(names)} files, expected "
            "weights in that format; ask its authors, or convert it and give the folder as a path"
        )
    return str(info.sha), files


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _reason(error: Exception) -> str:
    """One line that says what went wrong and what to do."""
    match error:
        case GatedRepoError():
            return "found a gated repository; accept its terms on the hub and set HF_TOKEN"
        case RevisionNotFoundError():
            return "found no such revision, expected a branch, tag or commit; mend 'revision'"
        case RepositoryNotFoundError():
            return "found no such repository, or a private one; mend 'repo', or set HF_TOKEN"
    words = " ".join(str(error).split())[:300] or type(error).__name__
    return f"found no answer that can be used ({words}); call it again where the hub is in reach"
