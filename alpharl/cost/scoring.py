"""What a scoring job needs: models loaded one after the other, each asked all of a suite."""

from __future__ import annotations

from alpharl.cost.need import Need
from alpharl.cost.rates import GIB, PROCESS, PROMPT, QUESTIONS, READ, START, WIDTHS, rate
from alpharl.cost.sizes import Size
from alpharl.evaluation.engines.settings import EngineSettings
from alpharl.evaluation.settings import Suite

_COPIES = 3
"""Models in memory at a time: the base, the scored one, and the earlier of two whose logits are
mixed."""
_ANSWER = 4
"""Bytes of a token of text."""


def scoring(
    size: Size, suite: Suite, settings: EngineSettings, models: int, threads: int, gpus: int
) -> Need:
    """Need of one job that scores `models` models on a suite, all answers of full length."""
    questions = sum(task.limit or QUESTIONS for task in suite.tasks) * suite.samples
    tokens = min(PROMPT + suite.max_new_tokens, size.context)
    if settings.remote:
        return Need(PROCESS, START + models * questions, _ANSWER * questions * tokens * models)
    gpus = gpus if settings.splits else min(gpus, 1)
    flops = 2 * size.parameters * questions * tokens * models
    seconds = (
        START + models * size.checkpoint / READ + flops / rate(gpus, threads, settings.gpu_flops)
    )
    return Need(
        _memory(size, settings, tokens, gpus),
        seconds,
        disk=_ANSWER * questions * suite.max_new_tokens * models,
        scratch=size.checkpoint,
        threads=threads,
        gpus=gpus,
    )


def _memory(size: Size, settings: EngineSettings, tokens: int, gpus: int) -> float:
    """Bytes of the machine: with a GPU, weights only pass through."""
    weights = WIDTHS[settings.dtype] * size.parameters
    if settings.process_gib:
        return PROCESS + settings.process_gib * GIB + 2 * weights
    if gpus:
        return PROCESS + 2 * GIB + 2 * weights
    batch = settings.batch_size * (tokens * size.cache_per_token + 8 * size.vocabulary)
    return PROCESS + _COPIES * weights + batch
