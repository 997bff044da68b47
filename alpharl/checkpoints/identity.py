"""Which models a file was made from, and whether a folder still holds the same. Torch-free.

Weights are hashed once, when their manifest is made. Whoever reads them later compares sizes and
times of the files, and hashes again only where these differ.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from alpharl.checkpoints.configs import as_json, changes
from alpharl.checkpoints.manifest import KnownDigests
from alpharl.checkpoints.stamps import Stamps, stamps
from alpharl.errors import ArtefactError, CheckpointError
from alpharl.steps import StepKey


class Identity(TypedDict):
    """A model folder as a file that was made from it says it."""

    path: str
    files: Stamps
    digest: NotRequired[str]
    """As the model's manifest has it, where that was known."""
    config: NotRequired[dict[str, Any]]
    """What its config changes of the function that the base's describes, if anything."""


class MadeFrom(TypedDict):
    """The models that a file was made from."""

    base: Identity
    checkpoints: dict[StepKey, Identity]


def made_from(
    base: Path, checkpoints: Mapping[int, Path], known: KnownDigests | None = None
) -> MadeFrom:
    """What a file says of the models that it is made from.

    Args:
        base: model folder of step 0.
        checkpoints: model folders by step.
        known: digests of the folders; those that it does not know are not noted.

    Raises:
        ArtefactError: a folder has other weights than its manifest says.
    """

    def identity(folder: Path, changed: dict[str, Any]) -> Identity:
        told = Identity(path=str(folder), files=stamps(folder))
        if known is not None and known.told(folder):
            told["digest"] = known[os.path.abspath(folder)]
        if changed:
            told["config"] = changed
        return told

    return MadeFrom(
        base=identity(base, {}),
        checkpoints={
            step: identity(folder, as_json(changes(base, folder)))
            for step, folder in checkpoints.items()
        },
    )


def require_unchanged(models: MadeFrom) -> None:
    """Refuse to go on with what was read of models that have changed since they were noted.

    Raises:
        CheckpointError: names the first of them.
    """
    for told in (models["base"], *models["checkpoints"].values()):
        if stamps(Path(told["path"])) != told["files"]:
            raise CheckpointError(
                f"{told['path']}: found that its weights changed while they were read, expected "
                "them to stay; run it again when nobody writes there"
            )


def read_made_from(about: Mapping[str, Any], version: int, file: Path, maker: str) -> MadeFrom:
    """What a file says of the models that it was made from.

    Args:
        about: its metadata: `version`, and the models under `from`.
        version: of the algorithm that it has to come from.
        file: the file.
        maker: the command that makes it.

    Raises:
        ArtefactError: another version wrote it.
    """
    try:
        if about.get("version") == version:
            # As JSON, which is where it comes from: its keys are texts, and nothing else is.
            return TypeAdapter(MadeFrom).validate_json(json.dumps(about.get("from")), strict=True)
    except ValidationError:
        pass
    raise ArtefactError(
        f"{file}: found what another version of `{maker}` wrote, expected this one's; make it "
        "again", file,
    )  # fmt: skip


def require_same(
    told: Identity, folder: Path, file: Path, maker: str, base: Path | None = None
) -> None:
    """Refuse a file that was made from another model than the one that is meant.

    A model that is gone may be the one: its path has to be the same.

    Args:
        told: what the file says of the model.
        folder: the model that is meant.
        file: the file.
        maker: the command that makes it.
        base: of an adapter, the model that it is on.

    Raises:
        ArtefactError: the folder is another one, or has changed since.
    """
    now = stamps(folder)
    if not now:
        if os.path.abspath(told["path"]) != os.path.abspath(folder):
            raise ArtefactError(
                f"{file}: found that it was made from {told['path']}, expected {folder}, which is "
                f"gone; name the folder that it was made from, or make it again with `{maker}`"
            )
    elif told["files"] != now and not _is_same(told, folder, base):
        raise ArtefactError(
            f"{file}: found that it was made from other weights than {folder} holds now "
            f"({_difference(told, folder, now)}); make it again with `{maker}`", file,
        )  # fmt: skip


def _is_same(told: Identity, folder: Path, base: Path | None) -> bool:
    return "digest" in told and KnownDigests([], base)[str(folder.absolute())] == told["digest"]


def _difference(told: Identity, folder: Path, now: Stamps) -> str:
    if os.path.abspath(told["path"]) != os.path.abspath(folder):
        return f"from {told['path']}"
    changed = [
        name for name in {**told["files"], **now} if told["files"].get(name) != now.get(name)
    ]
    return f"{changed[0]} has changed" if changed else "they have changed"


def require_one(parts: Sequence[MadeFrom], files: Sequence[Path], maker: str) -> MadeFrom | None:
    """What all parts of one result say; None of none.

    Raises:
        ArtefactError: names the first part that is of other models.
    """
    for part, file in zip(parts, files, strict=True):
        if not _are_one(part, parts[0]):
            raise ArtefactError(
                f"{file}: found that it was made from other models than {files[0]}, expected parts "
                f"of one result; make both again with `{maker}`", file,
            )  # fmt: skip
    return parts[0] if parts else None


def _are_one(part: MadeFrom, other: MadeFrom) -> bool:
    ours, theirs = ({0: p["base"], **p["checkpoints"]} for p in (part, other))
    return ours.keys() == theirs.keys() and all(
        one["files"] == theirs[step]["files"]
        or one.get("digest", "no") == theirs[step].get("digest", "none")
        for step, one in ours.items()
    )
