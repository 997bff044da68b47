"""A variant on disk: a small folder that says how to make a model from a base.

    variant.json   what it is: kind, base, checkpoints, and how it was made
    blend.json     per tensor, the weight of each observed update        (optional)
    adapter/       low-rank updates as a PEFT LoRA adapter, scaling 1    (optional)

The model is base + blend + adapter. Or there is no single model, but a line through the logits of
two checkpoints, which `variant.json` names under `logits`. Torch-free.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

import numpy as np
from pydantic import ConfigDict, Field, FiniteFloat
from typing_extensions import TypedDict

from alpharl.checkpoints.adapter import read_model
from alpharl.checkpoints.array_files import write_arrays
from alpharl.checkpoints.files import read_json, read_record, write_json, write_record
from alpharl.checkpoints.index import (
    ADAPTER,
    ADAPTER_CONFIG,
)
from alpharl.checkpoints.manifest import digest_json, digest_part
from alpharl.checkpoints.stamps import Stamps, stamps
from alpharl.errors import ArtefactError, CheckpointError, not_as_written
from alpharl.forecasting.contract import Blend, LogitsLine
from alpharl.partials import partial_folder
from alpharl.spectra.lowrank import LowRank
from alpharl.steps import StepKey
from alpharl.sums import digest_file
from alpharl.variants.peft import loads, pairs, peft_adapter

VERSION = 2
BLEND = "blend.json"
PARTS = (BLEND, f"adapter/{ADAPTER_CONFIG}", f"adapter/{ADAPTER}")
"""Files of a variant, next to its `variant.json`."""
MAKER = "alpharl forecast or rank"


class _Ranked(TypedDict):
    """The part of an adapter's config that says its rank."""

    r: int


class _Config(TypedDict):
    """Which config the model has: `alpharl.variants.model.config_of`."""

    step: int
    changes: dict[str, Any]


class _Line(TypedDict):
    """A line through logits: `alpharl.forecasting.contract.LogitsLine`."""

    a: int
    b: int
    beta: float


class _Meta(TypedDict):
    """What `variant.json` holds, next to how the variant was made."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    version: Literal[2]
    base: str
    checkpoints: dict[StepKey, str]
    files: dict[str, str]
    """Digests of its other files."""
    models: dict[StepKey, Stamps]
    """Sizes and times of the files of what it depends on: the base as 0, and checkpoints."""
    peft: bool
    kind: NotRequired[str]
    merged: NotRequired[bool]
    config: NotRequired[_Config]
    logits: NotRequired[_Line | None]
    undefined: NotRequired[str | None]
    window_steps: NotRequired[Annotated[list[int], Field(min_length=1)]]
    target_step: NotRequired[int | None]
    target_accuracy: NotRequired[Annotated[float, Field(gt=0, le=1)] | None]


@dataclass(frozen=True)
class Variant:
    """A variant as read from its folder."""

    folder: Path
    base: Path
    checkpoints: dict[int, Path]
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def adapter(self) -> Path | None:
        """Folder of the PEFT adapter, if there is one."""
        path = self.folder / "adapter"
        return path if path.is_dir() else None

    @property
    def merged(self) -> bool:
        """Whether it is to be scored as a merged model, though an adapter."""
        return bool(self.meta.get("merged"))

    @property
    def config_step(self) -> int:
        """The checkpoint whose config the model has; 0 is the base's."""
        return int(self.meta.get("config", {}).get("step", 0))

    @property
    def pure_adapter(self) -> bool:
        """Whether the whole variant is put on a loaded base.

        PEFT can, it is not `merged`, and it computes as the base does.
        """
        fits = bool(self.meta.get("peft", True)) and not self.merged and not self.config_step
        return self.adapter is not None and not self.blend and fits

    @property
    def blend(self) -> Blend:
        """Per tensor, the weight of each observed step; empty for a pure adapter."""
        path = self.folder / BLEND
        return (
            read_json(path, dict[str, dict[StepKey, FiniteFloat]], MAKER) if path.is_file() else {}
        )

    @property
    def logits(self) -> LogitsLine | None:
        """The line through two checkpoints' logits, where the variant is one."""
        line = self.meta.get("logits")
        return LogitsLine(**line) if line else None

    def digest(self, known: Mapping[str, str]) -> str:
        """Digest of everything that the model depends on.

        Whether it is `merged` is no part of it: that is the same model, held in another way.

        Args:
            known: digests of model folders by absolute path, as manifests hold them.

        Raises:
            CheckpointError: a number of its adapter is not finite.
        """
        parts = [self.folder / BLEND, *sorted(self.folder.glob("adapter/*"))]
        files = {path.name: digest_part(path) for path in parts if path.is_file()}
        if self.logits:
            files["logits"] = digest_json(asdict(self.logits))
        steps = sorted(used_steps(self.blend, self.logits))
        parents = [self.base, *(self.checkpoints[step] for step in steps)]
        return digest_json([files, [known[os.path.abspath(path)] for path in parents]])


def used_steps(blend: Blend, line: LogitsLine | None) -> set[int]:
    """Steps of the checkpoints that a variant depends on, next to its own files."""
    used = {step for row in blend.values() for step in row}
    return used | ({line.a, line.b} if line else set())


def write_variant(
    out: Path,
    base: Path,
    checkpoints: Mapping[int, Path],
    meta: Mapping[str, Any],
    blend: Blend | None = None,
    adapter: Mapping[str, LowRank] | None = None,
) -> None:
    """Write a variant in place of an old one, as a whole or not at all.

    Args:
        out: the variant's folder.
        base: model folder of step 0.
        checkpoints: model folders that the blend may name.
        meta: how the variant was made; goes into `variant.json` as it is.
        blend: weights of observed updates per tensor.
        adapter: low-rank updates per matrix name.

    Raises:
        CheckpointError: `out` is a folder that holds something else, or a number of the update is
            not finite in float32; an old variant stays then.
    """
    require_variant_folder(out)
    paths = {str(step): _relative(path, out) for step, path in checkpoints.items()}
    head = {"version": VERSION, "base": _relative(base, out), "checkpoints": paths}
    line = LogitsLine(**meta["logits"]) if meta.get("logits") else None
    models = {0: base, **{step: checkpoints[step] for step in used_steps(blend or {}, line)}}
    head["models"] = {step: stamps(folder) for step, folder in models.items()}
    _require_finite(out, meta, blend or {}, adapter or {})
    made = peft_adapter(base, adapter) if adapter else None
    with partial_folder(out) as new:
        if blend:
            write_json(new / BLEND, blend)
        if made:
            write_arrays(new / "adapter" / ADAPTER, made[0])
            write_json(new / "adapter" / ADAPTER_CONFIG, made[1])
        head |= {"peft": loads(new / "adapter", base) if made else True}
        head["files"] = {name: digest_file(new / name) for name in PARTS if (new / name).is_file()}
        write_record(new / "variant.json", head | dict(meta))


def _require_finite(
    out: Path, meta: Mapping[str, Any], blend: Blend, adapter: Mapping[str, LowRank]
) -> None:
    """Refuse what cannot be written before the old variant is gone."""
    try:
        json.dumps(dict(meta), allow_nan=False)
    except ValueError:
        raise CheckpointError(
            f"{out}: found a number in the variant that is not finite, expected finite ones; check "
            "the scores and options that it was made from"
        ) from None
    largest = {name: max(map(abs, row.values()), default=0.0) for name, row in blend.items()}
    largest |= {name: np.abs(low.s).max(initial=0) for name, low in adapter.items()}
    limit = float(np.finfo(np.float32).max)
    bad = [name for name, size in largest.items() if not size <= limit]
    bad += [n for n, low in adapter.items() if not np.isfinite(low.u.sum() + low.v.sum())]
    if bad:
        raise CheckpointError(
            f"{bad[0]}: found an update with a factor of {largest[bad[0]]:g}, expected finite "
            "numbers that float32 holds; lower the scale, or look at what it was made from"
        )


def require_variant_folder(out: Path) -> None:
    """Refuse to write a variant where something else is.

    Raises:
        CheckpointError: `out` is a file, or a folder that holds something else.
    """
    if out.exists() and not out.is_dir():
        raise CheckpointError(f"{out}: found a file, expected a folder for a variant; name another")
    known = {"variant.json", "blend.json", "adapter", "variant.json.damaged"}
    strange = (
        [path.name for path in out.iterdir() if path.name not in known] if out.exists() else []
    )
    if strange:
        raise CheckpointError(
            f"{out}: holds {strange[0]}, which is no part of a variant; name a new folder"
        )


def read_variant(folder: Path) -> Variant:
    """Read a variant's folder.

    Raises:
        CheckpointError: there is no complete variant.
        ArtefactError: one of its files is not as it was written.
    """
    path = folder / "variant.json"
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder, expected an adapter or a blend")
    if not path.is_file():
        raise CheckpointError(f"{folder}: found no variant.json, expected an adapter or a blend")
    meta = read_record(path, _Meta, MAKER)
    for name, digest in meta["files"].items():
        if not (folder / name).is_file() or digest_file(folder / name) != digest:
            raise ArtefactError(
                f"{folder / name}: found no such file or another one than the variant was made "
                f"with, expected it as `{MAKER}` wrote it: make the variant again", path,
            )  # fmt: skip
    checkpoints = {step: _resolve(p, folder) for step, p in meta["checkpoints"].items()}
    variant = Variant(folder, _resolve(meta["base"], folder), checkpoints, dict(meta))
    _require_whole(variant)
    for step, told in meta["models"].items():
        require_model(variant, checkpoints[step] if step else variant.base, told)
    return variant


def _require_whole(variant: Variant) -> None:
    """Refuse a variant that does not say of all its files, or of all its models, what they were.

    Raises:
        ArtefactError: it has a file, or needs a model, that `variant.json` does not list.
    """
    meta, path = variant.meta, variant.folder / "variant.json"
    files = [name for name in PARTS if (variant.folder / name).exists()]
    if sorted(meta["files"]) != sorted(files):
        raise not_as_written(path, f"lists other files than {files}, which are there", MAKER)
    known, used = {0, *variant.checkpoints}, used_steps(variant.blend, variant.logits)
    told = {0, *used} <= meta["models"].keys() <= known and variant.config_step in known
    if not told or not used <= variant.checkpoints.keys():
        raise not_as_written(path, "lacks a model that it depends on", MAKER)


def require_model(variant: Variant, model: Path, told: Stamps) -> None:
    """Refuse a variant that was made from another model than a folder holds now.

    A model that is gone is missed where its weights are needed.

    Raises:
        ArtefactError: its files have other sizes or times.
    """
    now = stamps(model)
    if now and now != told:
        raise ArtefactError(
            f"{variant.folder}: found that it was made from other weights than {model} holds now; "
            f"make it again with `{MAKER}`", variant.folder / "variant.json",
        )  # fmt: skip


def read_adapter(variant: Variant) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Per matrix name, B (m, r) and A (r, n) of a variant's adapter, B with PEFT's scaling.

    Raises:
        CheckpointError: PEFT would not load all of it, or a number is not finite.
    """
    if variant.adapter is None:
        return {}
    if variant.meta.get("peft", True):
        read_model(variant.adapter, variant.base)
    return pairs(variant.adapter, variant.base)


def adapter_rank(source: Path | Variant) -> int:
    """Rank of the adapter that is put on a base for a model; 0 where there is none."""
    if isinstance(source, Path) or source.adapter is None or not source.pure_adapter:
        return 0
    return read_json(source.adapter / ADAPTER_CONFIG, _Ranked, MAKER)["r"]


def _relative(path: Path, folder: Path) -> str:
    """A relative path is kept relative to the variant, so that a study can be moved as a whole."""
    return str(path) if path.is_absolute() else os.path.relpath(path, folder)


def _resolve(path: str, folder: Path) -> Path:
    return Path(os.path.normpath(folder / path))
