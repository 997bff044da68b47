"""How large a run's models are: from the headers of what exists, else assumed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from alpharl.checkpoints.adapter import read_model
from alpharl.checkpoints.index import read_config, read_index
from alpharl.spectra.estimate import estimate_run
from alpharl.study.plan import Plan
from alpharl.training.spec import ModelShape

_FLOAT32 = 4
_ASSUMED = (8_000_000_000, 4096, 36, 150_000, 32_768)
"""Parameters, width, layers, vocabulary and context of a model of which nothing is known yet."""
_ASSUMED_BYTES = 2
"""Of a parameter of it on disk."""
_SMALL = (64, 128)
"""Vocabulary and context of the bases that are pretrained here."""


@dataclass(frozen=True)
class Size:
    """One model of a run, and what is made of it. In bytes, where nothing else is said."""

    parameters: int
    """Their number."""
    width: int
    """Of the residual stream."""
    layers: int
    vocabulary: int
    context: int
    """Tokens that it reads at most."""
    checkpoint: int
    """The weights on disk."""
    factor_memory: int
    """Of factoring the largest matrix, beside the process itself."""
    factors: int
    """Written per checkpoint."""
    gram: int
    """Written per run."""
    known: bool
    """Whether it was read off files; else it is assumed."""

    @property
    def per_token(self) -> int:
        """Activations of a token in float32 while training: 34 numbers of 2 bytes per layer and
        unit of width at 16 bit (Korthikanti et al. 2022, section 4, attention's share left out),
        and three copies of the logits."""
        return 2 * 34 * self.width * self.layers + 3 * _FLOAT32 * self.vocabulary

    @property
    def cache_per_token(self) -> int:
        """Keys and values in float32, of attention without shared heads: an upper bound."""
        return 2 * _FLOAT32 * self.width * self.layers


def size_of(plan: Plan, run: str) -> Size:
    """Size of a run's checkpoints; assumed where there is no base yet to read it off.

    Raises:
        CheckpointError: the base or the last checkpoint is there, and broken.
    """
    name = plan.study.runs[run].base
    base = plan.study.bases[name]
    if is_there(plan, run):
        return _read(plan, run, Path(plan.paths.base_model(name)))
    return _of_shape(plan, run, base.pretrain.model) if base.pretrain else _assumed(plan, run)


def is_there(plan: Plan, run: str) -> bool:
    """Whether a run's base is there, whole."""
    name = plan.study.runs[run].base
    # One that is made or fetched here is whole when its manifest is there.
    made = plan.paths.base_model if plan.study.bases[name].path else plan.paths.base_manifest
    return os.path.exists(made(name))


def _read(plan: Plan, run: str, folder: Path) -> Size:
    """From the headers of the base and, where it is there, the last checkpoint."""
    base, steps = read_index(folder), plan.steps(run)
    last = Path(plan.paths.checkpoint(run, steps[-1]))
    index = read_model(last, folder) if last.is_dir() else base
    estimate = estimate_run(base, [index] * len(steps), plan.study.spectra.scope, plan.depth)
    config = read_config(folder)
    return Size(
        estimate.parameters,
        config.get("hidden_size", _ASSUMED[1]),
        config.get("num_hidden_layers", _ASSUMED[2]),
        config.get("vocab_size", _ASSUMED[3]),
        config.get("max_position_embeddings", _ASSUMED[4]),
        sum(info.nbytes for info in base.tensors.values()),
        estimate.peak_memory,
        estimate.factors,
        estimate.gram,
        known=True,
    )


def _of_shape(plan: Plan, run: str, shape: ModelShape) -> Size:
    """The size of a base that is still to be pretrained."""
    width, layers = shape.hidden_size, shape.num_hidden_layers
    layer = 4 * width**2 + 3 * width * shape.intermediate_size
    parameters = layers * layer + 2 * _SMALL[0] * width
    return _rough(plan, run, (parameters, width, layers, *_SMALL), _FLOAT32)


def _assumed(plan: Plan, run: str) -> Size:
    return _rough(plan, run, _ASSUMED, _ASSUMED_BYTES)


def _rough(plan: Plan, run: str, shape: tuple[int, int, int, int, int], bytes_each: int) -> Size:
    """From the numbers of a config alone: seven matrices a layer, the MLP's the largest."""
    parameters, width, layers, _, _ = shape
    tall, tensors = 4 * width, 12 * layers
    rank = plan.depth.of(width, tall)
    return Size(
        *shape,
        checkpoint=bytes_each * parameters,
        factor_memory=_FLOAT32 * (width * tall + 640 * (width + tall)),
        factors=_FLOAT32 * rank * layers * (4 * 2 * width + 3 * (width + tall)),
        gram=8 * len(plan.steps(run)) ** 2 * tensors,
        known=False,
    )
