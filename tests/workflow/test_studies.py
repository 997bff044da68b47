"""The studies that ship: each is valid, and Snakemake plans it without a file of it being there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from alpharl.study.config import load_study
from alpharl.study.plan import Plan

from tests.workflow.mini import REPO, Workflow

pytestmark = pytest.mark.slow

SAMPLE = {"byo-verl", "contrast", "relex-paper"}
"""A study of each kind: of a trainer's shards, trained here, fetched."""
STUDIES = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.sample] if path.stem in SAMPLE else [])
    for path in sorted((REPO / "config" / "studies").glob("*.yaml"))
]


@pytest.mark.parametrize("path", STUDIES)
def test_study_is_planned_to_the_report(path: Path, tmp_path: Path) -> None:
    plan = Plan(load_study(path))
    planned = Workflow(tmp_path).planned(yaml.safe_load(path.read_text()))
    assert planned["report"] == 1
    assert planned["checkpoints"] == len(plan.study.runs)
    assert planned["dynamics"] == len(plan.trajectories)
    assert planned["manifest" if "download" in planned else "checkpoints"] > 0
    scores = sum(count for name, count in planned.items() if name.startswith("evaluate_"))
    assert scores == len(plan.batches())


@pytest.mark.parametrize("path", STUDIES)
def test_study_bears_its_file_s_name(path: Path) -> None:
    assert load_study(path).study == path.stem
    assert path.read_text().startswith("# yaml-language-server: $schema=../../workflow/schemas/")
