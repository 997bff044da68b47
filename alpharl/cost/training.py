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
from alpharl.training.spec import RL, TrainSpec

_BATCH, _COMPLETION, _MEMBERS = 8, 256, 30
"""Rows of a batch, tokens of a completion, members of a population, where a recipe says none."""
_PASSES = {"rl": 12, "es": 2}
"""Floating point operations per token and parameter: 2 forward, 6 with a gradient; RL generates,
scores what it generated, and learns from it."""
_LEARNING = 8
"""Of all others: a gradient, and a teacher's or reference's opinion."""


def training(size: Size, spec: TrainSpec, checkpoints: int, threads: int, gpu: bool) -> Need:
    """Need of a run that is trained here. A walk and evolution strategies hold no gradient."""
    answer = int(spec.args.get("max_completion_length", _COMPLETION))
    tokens = min(PROMPT + answer, size.context)
    rows, repeated = _rows(spec)
    passes = _PASSES.get("rl" if spec.algorithm in RL else spec.algorithm, _LEARNING)
    flops = passes * size.parameters * rows * repeated * tokens * spec.steps
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


def _rows(spec: TrainSpec) -> tuple[int, int]:
    """Completions that a process works on at once, and how often it does so per step."""
    if spec.algorithm == "es":
        return int(spec.args.get("num_questions", _BATCH)), int(
            spec.args.get("population_size", _MEMBERS)
        )
    return int(spec.args.get("per_device_train_batch_size", _BATCH)), int(
        spec.args.get("gradient_accumulation_steps", 1)
    )


def _held(size: Size, spec: TrainSpec, gpu: bool) -> float:
    """Weights, gradients, moments, a reference, a teacher; with a GPU what is read or saved."""
    if gpu or spec.algorithm in ("es", "random-walk"):
        return 2 * FLOAT32 * size.parameters
    copies = 6 if spec.lora is None else 3
    return copies * FLOAT32 * size.parameters


def _batch(size: Size, rows: int, tokens: int, gpu: bool) -> float:
    """Activations in the machine's memory."""
    return 0 if gpu else rows * tokens * size.per_token
