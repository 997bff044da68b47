"""Every command of the README is run, in the README's order; `make` targets are run by CI."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from alpharl.study.config import parse_study

from tests.workflow.mini import REPO, Workflow, environment

pytestmark = [pytest.mark.slow, pytest.mark.sample]

README = (REPO / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


STUDY, TRAINED, SCORING = blocks("yaml")
COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def place(mini: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README assumes it: a clone, a base model, three checkpoints, a study."""
    folder = tmp_path_factory.mktemp("readme")
    workflow = Workflow(tmp_path_factory.mktemp("trained"))
    config = mini()
    del config["runs"]["sft"]
    done = workflow.run(config, "--until", "train")
    assert done.returncode == 0, done.stdout
    made = workflow.folder / "results/mini"
    shutil.copytree(made / "bases/tiny/model", folder / "models/base")
    for ours, readme in ((2, 50), (4, 100), (6, 150)):
        source = made / f"runs/rl/checkpoints/step-{ours}"
        shutil.copytree(source, folder / f"runs/foo/checkpoint-{readme}")
    for name in ("workflow", "profiles"):
        (folder / name).symlink_to(REPO / name)
    (scores,) = blocks("csv")
    (folder / "my-study.yaml").write_text(STUDY)
    (folder / "scores.csv").write_text(scores)
    return folder


def test_the_make_targets_are_run_by_ci():
    targets = {command for command in COMMANDS if command.startswith("make")}
    assert targets == {"make demo", "make test"}
    assert targets <= set((REPO / ".ci/run").read_text().splitlines())


def test_the_settings_of_scoring_are_valid():
    study = parse_study({**yaml.safe_load(STUDY), **yaml.safe_load(SCORING)})
    assert study.evaluation.engine == "vllm"
    assert study.suites["test"].samples == 4


def test_the_trained_runs_are_valid():
    study = parse_study({**yaml.safe_load(STUDY), **yaml.safe_load(TRAINED)})
    assert list(study.runs) == ["grpo-seed0", "grpo-seed1", "grpo-seed2"]


def test_every_study_that_ships_is_named():
    for path in (REPO / "config/studies").glob("*.yaml"):
        assert f"`{path.name}`" in README or path.stem.startswith("calibration")


@pytest.mark.parametrize("command", [c for c in COMMANDS if not c.startswith("make")])
def test_command(place: Path, command: str):
    done = subprocess.run(
        ["bash", "-c", command], cwd=place, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_what_the_commands_made(place: Path):
    assert (place / "results/mine/report/index.html").is_file()
    assert (place / "forecast-model/model.safetensors").is_file()
    assert (place / "rank-1/adapter/adapter_config.json").is_file()
    assert (place / "dynamics.csv").is_file()
