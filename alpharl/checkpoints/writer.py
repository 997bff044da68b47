"""Writes a model folder tensor by tensor: shards of bounded size, atomic as a whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from alpharl.checkpoints.index import INDEX, SINGLE, ModelIndex
from alpharl.errors import CheckpointError
from alpharl.partials import Partial

SHARD_BYTES = 4 << 30
_WEIGHT_SUFFIXES = {".safetensors", ".bin", ".pt", ".pth", ".gguf"}


class ModelWriter:
    """Collects tensors into shards under a temporary folder, then renames it into place."""

    def __init__(
        self,
        out: Path,
        like: ModelIndex,
        shard_bytes: int = SHARD_BYTES,
        without: str = "",
        replace: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Start a model folder at `out` with the config and tokenizer of `like`.

        Args:
            out: the folder.
            like: of the model whose config and tokenizer it gets.
            shard_bytes: of a file, at most.
            without: key that is left out of the config.
            config: what it gets instead of the config of `like`.
            replace: put it in place of a model folder that stands there, once it is whole.

        Raises:
            CheckpointError: `out` exists already, or is no model folder to replace.
        """
        require_free(out, replace)
        self._partial, self._limit = Partial(out, folder=True), shard_bytes
        self._temporary = self._partial.path
        self._buffer: dict[str, Tensor] = {}
        self._shards: list[list[str]] = []
        self._total = 0
        _copy_companions(like.folder, self._temporary)
        file = self._temporary / "config.json"
        if config is None and without and file.is_file():
            config = json.loads(file.read_text())
        if config is not None:
            described = {key: value for key, value in config.items() if key != without}
            file.write_text(json.dumps(described, indent=1))

    def add(self, name: str, tensor: Tensor) -> None:
        """Append a tensor; a full shard is written at once and its memory freed."""
        size = tensor.numel() * tensor.element_size()
        buffered = sum(t.numel() * t.element_size() for t in self._buffer.values())
        if self._buffer and buffered + size > self._limit:
            self._flush()
        self._buffer[name] = tensor.contiguous().cpu()
        self._total += size

    def finish(self) -> None:
        """Write what is left, name the shards and put the folder in place."""
        self._flush()
        count = len(self._shards)
        names = [f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]
        names = [SINGLE] if count == 1 else names
        for i, name in enumerate(names):
            (self._temporary / f"part-{i}").rename(self._temporary / name)
        if count > 1:
            weights = {t: n for n, shard in zip(names, self._shards, strict=True) for t in shard}
            index = {"metadata": {"total_size": self._total}, "weight_map": weights}
            (self._temporary / INDEX).write_text(json.dumps(index, indent=1))
        self._partial.commit()

    def discard(self) -> None:
        """Remove everything written so far."""
        self._partial.discard()

    def _flush(self) -> None:
        if self._buffer:
            part = self._temporary / f"part-{len(self._shards)}"
            save_file(self._buffer, part, metadata={"format": "pt"})
            part.chmod(0o644)
            self._shards.append(list(self._buffer))
            self._buffer = {}


def require_free(out: Path, replace: bool) -> None:
    """Refuse to write a model folder where something else stands.

    Raises:
        CheckpointError: `out` exists, and is not to be replaced or no model folder.
    """
    if out.exists() and not replace:
        raise CheckpointError(f"{out}: exists already; remove it or name another folder")
    if out.exists() and not (out / "config.json").is_file():
        raise CheckpointError(f"{out}: found no config.json, expected a model folder to replace")


def _copy_companions(source: Path, target: Path) -> None:
    """Copy config and tokenizer, never weights or a weight index; contents only, no metadata."""
    for path in sorted(source.iterdir()):
        weights = path.suffix in _WEIGHT_SUFFIXES or path.name.endswith(".index.json")
        if path.is_file() and not weights and not path.name.startswith("."):
            shutil.copyfile(path, target / path.name)
