"""Whether the files of a study can have their names. Torch-free, touches no file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from alpharl.errors import StudyError
from alpharl.evaluation.datasets import data_file
from alpharl.names import checkpoint_name
from alpharl.study.plan import Plan

_PART, _PATH = 255, 4095
"""Bytes of one part of a path, and of a whole one, that Linux takes."""
_ADDED = 48
"""Bytes that a file's name has more while it is written."""
_RECORDED = 4 / 3
"""Snakemake keeps notes under names that encode the path in so many times its length."""


def require_names(plan: Plan) -> None:
    """Refuse a study whose longest file names are longer than a disk takes.

    Raises:
        StudyError: shows the name.
    """
    here = len(os.fsencode(os.getcwd()))
    for path in _longest_files(plan):
        part = max(map(os.fsencode, path.split("/")), key=len)
        if len(part) + _ADDED > _PART:
            raise StudyError(
                f"found the file name {os.fsdecode(part[:60])}... of {len(part)} bytes, expected "
                f"at most {_PART - _ADDED}; shorten the names in it"
            )
        if here + _ADDED + _RECORDED * len(os.fsencode(path)) > _PATH:
            raise StudyError(
                f"found the path {path[:60]}... of {len(os.fsencode(path))} bytes, expected at "
                f"most {int((_PATH - here - _ADDED) / _RECORDED)} from this folder; shorten "
                "'results' or the names in it"
            )


def _longest_files(plan: Plan) -> Iterator[str]:
    """The file with the longest name, of each kind whose names are made of others."""
    study, paths = plan.study, plan.paths
    for base in study.bases:
        yield paths.base_manifest(base)
    for suite, spec in study.suites.items():
        yield paths.suite(suite)
        for task in spec.tasks:
            yield f"{paths.data(data_file(task))}.json"
            yield f"{os.path.dirname(paths.suite(suite))}/{data_file(task)}"
    for run in study.runs:
        last = checkpoint_name(plan.steps(run)[-1])
        ranks = [variant.name for variant in plan.rank_variants(run)]
        forecasts = [forecast.name for forecast in plan.forecasts(run)]
        variant, suite = _longest([last, *ranks, *forecasts]), _longest(study.suites)
        yield paths.answers(run, suite, variant)
        yield paths.log(f"evaluate/{run}/{suite}/checkpoints-{plan.steps(run)[-1]}")
        if forecasts:
            yield f"{paths.forecast(run, _longest(forecasts))}/adapter/adapter_model.safetensors"


def _longest(names: Iterable[str]) -> str:
    return max(names, key=lambda name: len(os.fsencode(name)))
