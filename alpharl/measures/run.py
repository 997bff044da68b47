"""Several measures of a run in one pass over its weights, tensor by tensor in file order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from alpharl.checkpoints.fit import require_same_tensors
from alpharl.checkpoints.index import read_config
from alpharl.checkpoints.reader import ModelReader
from alpharl.checkpoints.stream import Span, streamer
from alpharl.errors import CheckpointError
from alpharl.measures.measure import Input, Measure, Row, TensorPath
from alpharl.progress import SILENT, Progress
from alpharl.spectra.gram import Gram
from alpharl.spectra.lowrank import Factors
from alpharl.spectra.scope import in_paper_scope, split


def measure_run(
    base: Path,
    checkpoints: Mapping[int, Path],
    measures: Mapping[str, Measure],
    factors: Mapping[int, Mapping[str, Factors]] | None = None,
    gram: Gram | None = None,
    progress: Progress = SILENT,
) -> dict[str, pd.DataFrame]:
    """The table of each measure.

    Args:
        base: model folder of step 0.
        checkpoints: model folder of each saved step; opened are those that a measure takes.
        measures: by name, with their options.
        factors: per step, of the steps of measures that read factors.
        gram: of the run, where a measure reads it.
        progress: told of each tensor.

    Raises:
        CheckpointError: a missing folder, other tensors than the base, a value not finite, or
            factors that lack a matrix.
    """
    steps = {name: m.steps(sorted(checkpoints)) for name, m in measures.items()}
    rows: dict[str, list[Row]] = defaultdict(list)
    with ExitStack() as stack:
        before = stack.enter_context(ModelReader(base))
        after = {
            step: stack.enter_context(ModelReader(checkpoints[step], base=base))
            for step in opened(measures, steps)
        }
        for reader in after.values():
            require_same_tensors(before.index, reader.index)
        stream = stack.enter_context(streamer("cpu"))
        config, infos = read_config(base), list(before.index.tensors.values())
        readers = [before, *after.values()]
        coming = stream.announced(infos, readers, lambda i: Span(i.name, 0, i.size))
        for done, info in enumerate(coming, start=1):
            scoped = [matrix for matrix in split(info, config) if in_paper_scope(matrix.name)]
            products = _products(gram, info.name) if gram else None
            whole = TensorPath(
                info.name, info.size, before, after, stream, scoped, factors or {}, products
            )
            for name, measure in measures.items():
                at = {step: after[step] for step in steps[name] if step in after}
                rows[name] += measure.rows(replace(whole, checkpoints=at))
            progress.step("measures", done, len(infos), info.name)
    return {name: measure.table(pd.DataFrame(rows[name])) for name, measure in measures.items()}


def opened(
    measures: Mapping[str, Measure], steps: Mapping[str, Sequence[int]], file: Input = "weights"
) -> list[int]:
    """The steps whose weights, or other files, some measure reads, increasing."""
    reading = [name for name, measure in measures.items() if file in measure.reads]
    return sorted({step for name in reading for step in steps[name]})


def _products(gram: Gram, name: str) -> np.ndarray:
    if name not in gram.tensors:
        raise CheckpointError(
            f"{gram.name}: found no {name} among {len(gram.tensors)} tensors; give all shards of "
            "the run's gram"
        )
    return gram.tensors[name]
