"""A whole study, and the same again with vLLM in place of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.mini import MINI, Workflow


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """The shrunken study with one run; no method that starts an engine for its trials."""
    config: dict[str, Any] = yaml.safe_load(MINI.read_text())
    config["runs"] = {"rl": config["runs"]["rl"]}
    config["forecast"]["methods"] = {"last": {}, "relex": {}, "alpharl-step": {}}
    return config


def scores(folder: Path) -> dict[str, dict[str, Any]]:
    found = (folder / "results/mini/runs/rl/scores").glob("*/*.json")
    return {f"{path.parent.name}/{path.stem}": json.loads(path.read_text()) for path in found}


@pytest.mark.sample
def test_another_engine_scores_again_and_nothing_else(config, vllm_environment, tmp_path):
    workflow = Workflow(tmp_path)
    done = workflow.run(config)
    assert done.returncode == 0, done.stdout
    before = scores(tmp_path)
    vllm = {"engine": "vllm", "environment": str(vllm_environment.absolute())}
    config["evaluation"] = {**config["evaluation"], **vllm}
    planned = workflow.planned(config)
    assert not [n for n in planned if n.startswith(("pretrain", "train", "factors", "gram"))]
    assert planned["tokens"] == 1
    done = workflow.run(config)
    assert done.returncode == 0, done.stdout
    after = scores(tmp_path)
    assert after.keys() == before.keys()
    differ = [
        sum(a != b for a, b in zip(after[name]["correct"], score["correct"], strict=True))
        for name, score in before.items()
    ]
    print(f"{sum(differ)} of {40 * len(differ)} outcomes differ")
    assert sum(differ) <= 0.01 * 40 * len(differ), "near ties may turn by rounding, no more"
    assert {score["engine"] for score in after.values()} == {"vllm"}
    page = (tmp_path / "results/mini/report/index.html").read_text()
    assert "vllm" in page
    assert workflow.planned(config) == {}
