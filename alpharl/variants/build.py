"""Makes a dense model of a variant, tensor by tensor: base + blend + adapter, rounded once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alpharl.checkpoints.index import require_same_tensors
from alpharl.checkpoints.reader import ModelReader, best_device
from alpharl.checkpoints.writer import ModelWriter
from alpharl.errors import CheckpointError, MethodError
from alpharl.variants.store import Variant, read_adapter


def build_dense(
    variant: Variant, out: Path, progress: Callable[[str], None] = lambda line: None
) -> None:
    """Write the variant as a normal model folder, in the base's dtypes, with its tokenizer.

    Updates are subtracted and summed in float32 and rounded once at the end.

    Raises:
        MethodError: the variant is a forecast that is undefined on its window.
        CheckpointError: `out` exists, or a checkpoint is missing, does not fit or is not finite.
    """
    if variant.meta.get("undefined"):
        raise MethodError(f"{variant.folder}: there is no model: {variant.meta['undefined']}")
    blend = variant.blend
    adapter = read_adapter(variant.adapter) if variant.adapter else {}
    steps = sorted({step for row in blend.values() for step in row})
    device = best_device()
    with ExitStack() as stack:
        base = stack.enter_context(ModelReader(variant.base, device))
        runs = {s: stack.enter_context(ModelReader(variant.checkpoints[s], device)) for s in steps}
        for reader in runs.values():
            require_same_tensors(base.index, reader.index)
        _require_known({*blend, *adapter}, base)
        writer = ModelWriter(out, base.index)
        try:
            for done, name in enumerate(base.index.tensors, start=1):
                writer.add(name, _tensor(name, base, runs, blend, adapter))
                progress(f"{done}/{len(base.index.tensors)} {name}")
            writer.finish()
        except BaseException:
            writer.discard()
            raise


def _tensor(
    name: str,
    base: ModelReader,
    runs: dict[int, ModelReader],
    blend: dict[str, dict[int, float]],
    adapter: dict[str, tuple[np.ndarray, np.ndarray]],
) -> Tensor:
    """One tensor of the built model; one that is not changed, or taken over, is not rounded."""
    stored = base.stored(name)
    weights = {step: w for step, w in blend.get(name, {}).items() if w != 0}
    if not weights and name not in adapter:
        return stored
    if list(weights.values()) == [1.0] and name not in adapter:
        # The checkpoint's own tensor: base + (checkpoint - base) would round it once more.
        (step,) = weights
        return runs[step].float32(name).to(stored.dtype)
    origin = base.float32(name)
    change = torch.zeros_like(origin)
    for step, weight in weights.items():
        change += weight * (runs[step].float32(name) - origin)
    if name in adapter:
        b_mr, a_rn = (torch.from_numpy(x).to(origin.device) for x in adapter[name])
        change += b_mr @ a_rn
    return (origin + change).to(stored.dtype)


def _require_known(names: set[str], base: ModelReader) -> None:
    unknown = sorted(names - set(base.index.tensors))
    if unknown:
        raise CheckpointError(
            f"{base.index.folder}: has no tensor {unknown[0]} that the variant changes; "
            "name the base that the variant was made from"
        )
