"""Two `snakemake` at once: on one study, where one is refused, and on two in the same folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.workflow.contents import contents
from tests.workflow.mini import Workflow, environment


def both(folder: Path, commands: list[list[str]]) -> list[tuple[int, str]]:
    """Exit statuses and output of commands that start at once."""
    processes = [
        subprocess.Popen(
            command, cwd=folder, env=environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for command in commands
    ]  # fmt: skip
    printed = [process.communicate()[0] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, printed, strict=True)]


@pytest.mark.parametrize("attempt", range(3))
def test_of_two_that_start_at_once_one_is_refused(tmp_path, finished, mini, attempt):
    workflow = Workflow(tmp_path)
    command = workflow.command(mini(), "--until", "pretrain")
    (first, _), (second, text) = sorted(both(tmp_path, [command, command]))
    assert (first, second) == (0, 1), text
    lines = [line for line in text.splitlines() if "error" in line.lower()]
    assert lines == ["error: another snakemake runs study 'mini'; wait for it or stop it"]
    base = contents(tmp_path / "results/mini/bases")
    assert base and base == contents(finished.folder / "results/mini/bases")


def test_two_studies_in_one_folder_do_not_meet(tmp_path, finished, mini):
    """They train at once, and share Snakemake's folder and that of locks."""
    names, commands = ["one", "two"], []
    for name in names:
        command = Workflow(tmp_path).command(
            mini() | {"study": name}, "--until", "gram", "measures"
        )
        own = (tmp_path / "study.yaml").rename(tmp_path / f"{name}.yaml")
        commands.append([str(own) if word.endswith("study.yaml") else word for word in command])
    for status, text in both(tmp_path, commands):
        assert status == 0, text
    expected = contents(finished.folder / "results/mini/runs")
    for name in names:
        made = contents(tmp_path / "results" / name / "runs")
        # Other files name the study, or list digests of files that do.
        numbers = {each for each in made if each.endswith((".csv", ".parquet", ".safetensors"))}
        assert len(numbers) == 24
        assert [each for each in numbers if made[each] != expected[each]] == []
