"""What a training job needs: weights, optimizer state, and the activations of one batch."""

from __future__ import annotations

from alpharl.cost.need import Need
from alpharl.cost.rates import (
    FLOAT32,
    GIB,
    GPU_TRAINING,
    PROCESS,
    PROMPT,
    READ,
    START,
    STEP,
    WIDTHS,
    rate,
)
from alpharl.cost.sizes import Size
from alpharl.training.registry import ALGORITHMS
from alpharl.training.spec import TrainSpec

_COMPLETION = 256
"""Tokens of a completion, where a recipe says none."""


def training(size: Size, spec: TrainSpec, checkpoints: int, threads: int, gpu: bool) -> Need:
    """Need of a run that is trained here."""
    algorithm = ALGORITHMS[spec.algorithm]
    answer = int(spec.args.get("max_completion_length", _COMPLETION))
    tokens = min(PROMPT + answer, size.context)
    rows, rounds = (int(spec.args.get(*option)) for option in (algorithm.rows, algorithm.rounds))
    flops = algorithm.passes * size.parameters * rows * rounds * tokens * spec.steps
    speed = rate(spec.processes if gpu else 0, threads, GPU_TRAINING) / (
        1 if gpu else spec.processes
    )
    saved = WIDTHS[spec.dtype] * size.parameters * checkpoints
    memory = _held(size, spec, gpu) + _batch(size, rows, tokens, gpu)
    return Need(
        spec.processes * (PROCESS + 2 * GIB + memory),
        START + spec.steps * STEP + flops / speed + saved / READ,
        disk=saved,
        threads=threads * spec.processes,
        gpus=spec.processes if gpu else 0,
    )


def _held(size: Size, spec: TrainSpec, gpu: bool) -> float:
    """Weights, gradients, moments, a reference, a teacher; with a GPU what is read or saved."""
    if gpu or not ALGORITHMS[spec.algorithm].gradient:
        return 2 * FLOAT32 * size.parameters
    copies = 6 if spec.lora is None else 3
    return copies * FLOAT32 * size.parameters


def _batch(size: Size, rows: int, tokens: int, gpu: bool) -> float:
    """Activations in the machine's memory."""
    return 0 if gpu else rows * tokens * size.per_token
