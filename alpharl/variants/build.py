"""Makes a dense model of a variant, tensor by tensor: base + blend + adapter, rounded once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alpharl.checkpoints.fit import require_same_tensors
from alpharl.checkpoints.index import read_config
from alpharl.checkpoints.reader import ModelReader, best_device, count_not_finite
from alpharl.checkpoints.writer import ModelWriter
from alpharl.errors import CheckpointError, MethodError
from alpharl.progress import SILENT, Progress
from alpharl.spectra.scope import Matrix, split
from alpharl.variants.store import Variant, read_adapter


def build_dense(variant: Variant, out: Path, progress: Progress = SILENT) -> None:
    """Write the variant as a normal model folder, in the base's dtypes, with its tokenizer.

    Updates are subtracted and summed in float32 and rounded once at the end.

    Raises:
        MethodError: the variant is a forecast that is undefined on its window, or of logits.
        CheckpointError: `out` exists, a checkpoint is missing, does not fit or is not finite, or
            the variant would not be finite.
    """
    if variant.meta.get("undefined"):
        raise MethodError(f"{variant.folder}: there is no model: {variant.meta['undefined']}")
    if variant.logits:
        raise MethodError(
            "found a line through two models' logits, expected weights; there is no single model, "
            "so score the forecast itself with `alpharl evaluate`"
        )
    blend = variant.blend
    adapter = read_adapter(variant)
    steps = sorted({step for row in blend.values() for step in row})
    device = best_device()
    with ExitStack() as stack:
        base = stack.enter_context(ModelReader(variant.base, device))
        runs = {
            s: stack.enter_context(ModelReader(variant.checkpoints[s], device, variant.base))
            for s in steps
        }
        for reader in runs.values():
            require_same_tensors(base.index, reader.index)
        _require_known({*blend, *adapter}, base)
        writer = ModelWriter(out, base.index)
        try:
            for done, name in enumerate(base.index.tensors, start=1):
                tensor = _tensor(name, base, runs, blend, adapter)
                if count_not_finite(tensor):
                    raise _not_finite(out, name, tensor, [base, *runs.values()])
                writer.add(name, tensor)
                progress.step("model", done, len(base.index.tensors), name)
            writer.finish()
        except BaseException:
            writer.discard()
            raise


def _not_finite(
    out: Path, name: str, tensor: Tensor, parents: list[ModelReader]
) -> CheckpointError:
    """The error of a tensor that must not be written; raises at once that of a parent's tensor."""
    for parent in parents:
        parent.float32(name)
    dtype = str(tensor.dtype).removeprefix("torch.")
    return CheckpointError(
        f"{out}: {name} would hold {count_not_finite(tensor)} values that are not finite in "
        f"{dtype}, expected none; the update is too large: lower its scale"
    )


def _tensor(
    name: str,
    base: ModelReader,
    runs: dict[int, ModelReader],
    blend: dict[str, dict[int, float]],
    adapter: dict[str, tuple[np.ndarray, np.ndarray]],
) -> Tensor:
    """One tensor of the built model; one that is not changed, or taken over, is not rounded."""
    stored, pieces = base.stored(name), _pieces(base, name)
    weights = {key: {s: w for s, w in blend.get(key, {}).items() if w != 0} for key in pieces}
    if not any(weights.values()) and not any(key in adapter for key in pieces):
        return stored
    if list(weights[name].values()) == [1.0] and not any(key in adapter for key in pieces):
        # The checkpoint's own tensor: base + (checkpoint - base) would round it once more.
        (step,) = weights[name]
        return runs[step].float32(name).to(stored.dtype)
    origin = base.float32(name)
    change = torch.zeros_like(origin)
    for step in sorted({step for row in weights.values() for step in row}):
        delta = runs[step].float32(name) - origin
        for key, view in pieces.items():
            view(change).add_(view(delta), alpha=weights[key].get(step, 0.0))
    for key in filter(adapter.__contains__, pieces):
        b_mr, a_rn = (torch.from_numpy(x).to(origin.device) for x in adapter[key])
        pieces[key](change).add_(b_mr @ a_rn)
    return (origin + change).to(stored.dtype)


def _pieces(base: ModelReader, name: str) -> dict[str, Callable[[Tensor], Tensor]]:
    """What may change of a stored tensor: itself, and the matrices that it holds, as views."""
    pieces: dict[str, Callable[[Tensor], Tensor]] = {name: lambda whole: whole}
    for part in split(base.index.tensors[name], read_config(base.index.folder)):
        if part.name != name:
            pieces[part.name] = partial(_view, part)
    return pieces


def _view(part: Matrix, whole: Tensor) -> Tensor:
    return whole.view(-1)[part.start : part.start + part.size].view(part.shape)


def _require_known(names: set[str], base: ModelReader) -> None:
    unknown = sorted(names - {key for name in base.index.tensors for key in _pieces(base, name)})
    if unknown:
        raise CheckpointError(
            f"{base.index.folder}: has no tensor {unknown[0]} that the variant changes; "
            "name the base that the variant was made from"
        )
