"""The commands and code of README.md and of the pages under docs/ run, page by page, in one folder.

Blocks marked `sh` and `python` run, so a page indents or leaves unmarked what cannot: Slurm, the
Hub, vLLM. CI runs the `make` targets.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from alpharl.study.config import load_study, parse_study

from tests.workflow.mini import REPO, Workflow, environment

pytestmark = [pytest.mark.slow, pytest.mark.sample]

PAGES = [
    "README.md",
    "docs/own-run.md",
    "docs/without-the-workflow.md",
    "docs/scoring.md",
    "docs/verdict.md",
    "docs/python.md",
]
"""In the order in which they run: a page may take what an earlier one has made, to save time."""


def blocks(page: str, language: str) -> list[str]:
    """The texts of a page's fenced blocks in a language."""
    text = (REPO / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


@dataclass(frozen=True)
class Script:
    """What is run at once: a block of commands, or all the Python of a page."""

    page: str
    name: str
    command: list[str]
    first: bool
    """Whether it begins its page."""


def scripts_of(page: str) -> list[Script]:
    """A page's scripts in their order, Python last."""
    shell = [text for text in blocks(page, "sh") if not text.startswith("make ")]
    commands = [["bash", "-exc", text] for text in shell]
    if python := blocks(page, "python"):
        commands.append([sys.executable, "-c", "\n".join(python)])
    return [
        Script(page, f"{page}-{number}", command, number == 1)
        for number, command in enumerate(commands, start=1)
    ]


SCRIPTS = [script for page in PAGES for script in scripts_of(page)]
(SCORES,) = blocks("docs/without-the-workflow.md", "csv")
OWN_RUN, OWN_LANGUAGE_MODEL = blocks("docs/own-run.md", "yaml")


@pytest.fixture(scope="module")
def project(mini: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the pages assume it: a clone, a base model, three checkpoints, scores."""
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
    (folder / "scores.csv").write_text(SCORES)
    return folder


def test_the_make_targets_are_run_by_ci():
    lines = [line for block in blocks("README.md", "sh") for line in block.splitlines()]
    targets = {line for line in lines if line.startswith("make")}
    assert targets == {"make demo", "make test"}
    assert targets <= set((REPO / ".ci/run").read_text().splitlines())


def test_the_readme_shows_the_same_scores():
    assert blocks("README.md", "csv") == [SCORES]


@pytest.mark.parametrize("page", ["docs/own-run.md", "docs/scoring.md", "docs/training.md"])
def test_settings_are_valid(page: str):
    """Each block of a page is a study, or replaces sections of the study of `own-run.md`."""
    study = yaml.safe_load(OWN_RUN)
    for block in blocks(page, "yaml"):
        parse_study({**study, **yaml.safe_load(block)}, page)


def test_the_language_model_is_scored_on_a_gpu():
    study = parse_study({**yaml.safe_load(OWN_RUN), **yaml.safe_load(OWN_LANGUAGE_MODEL)})
    assert study.evaluation.engine == "vllm"
    assert study.gpus == 1


def test_every_study_that_ships_is_named():
    page = (REPO / "docs/studies.md").read_text()
    for path in (REPO / "config/studies").glob("*.yaml"):
        assert f"`{path.name}`" in page


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.name for script in SCRIPTS])
def test_script(project: Path, script: Script):
    if script.first:
        # `alpharl init` writes over no study; the pages that need one have it written.
        (project / "my-study.yaml").unlink(missing_ok=True)
    done = subprocess.run(
        script.command, cwd=project, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    if script.page == "docs/own-run.md" and script.first:
        assert load_study(project / "my-study.yaml") == parse_study(yaml.safe_load(OWN_RUN))


def test_python_says_what_the_commands_say(project: Path, tmp_path: Path):
    """README: "the same in Python, to the last bit"."""
    for name in ("models", "runs", "scores.csv"):
        (tmp_path / name).symlink_to(project / name)
    (commands,) = (text for text in blocks("README.md", "sh") if "alpharl trust" in text)
    (python,) = blocks("README.md", "python")
    shell, library = (
        subprocess.run(
            command, cwd=tmp_path, env=environment(), text=True, capture_output=True, check=True
        ).stdout
        for command in (["bash", "-ec", commands], [sys.executable, "-c", python])
    )
    assert library
    assert shell.startswith(library), "the verdict"
    for made in ("forecast", "forecast-model"):
        ours, theirs = (contents(tmp_path / name) for name in (made, f"{made}-in-python"))
        assert ours == theirs
        assert ours


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_the_commands_made(project: Path):
    assert list(project.glob("results/*/report/index.html"))
    assert (project / "relex-150-model/model.safetensors").is_file()
    assert (project / "rank-1/adapter/adapter_config.json").is_file()
    assert (project / "dynamics.csv").is_file()
    assert (project / "scores/rank-4.json").is_file()
    assert (project / "watch/gram.safetensors").is_file()
