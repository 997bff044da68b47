"""A study of models of a hub: they are compared before a byte of weights is fetched."""

from __future__ import annotations

import os

import pytest
from alpharl.checkpoints.files import read_record

from tests.unit.hub_server import serving
from tests.workflow.mini import Workflow

UNTIL = ("--until", "download", "download_base")


@pytest.fixture
def hub(tmp_path, monkeypatch, trajectory):
    """A hub whose step 60 holds the weights of step 50; the workflow asks no other."""
    folders = {**trajectory.folders, 60: trajectory.folders[50]}
    models = {("org/run", f"step_{s}"): path for s, path in folders.items()}
    for name in [name for name in os.environ if name.startswith("HF_")]:
        monkeypatch.delenv(name)
    with serving({("org/base", "main"): trajectory.base, **models}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        yield server


def weights(hub) -> list[str]:
    """Weights that were fetched."""
    return [name for name in hub.got if name.endswith(".safetensors")]


def test_equal_revisions_stop_a_study_before_the_fetch(tmp_path, mini, hub):
    run = {"base": "hub", "hub": {"repo": "org/run", "revision": "step_{step}"},
           "steps": [10, 20, 50, 60, 90]}  # fmt: skip
    config = {**mini(), "bases": {"hub": {"hub": {"repo": "org/base"}}}, "runs": {"r": run}}
    workflow, root = Workflow(tmp_path), tmp_path / "results/mini"
    done = workflow.run(config, "--keep-going", *UNTIL)
    assert done.returncode == 1 and "Error in rule download" in done.stdout, done.stdout
    for job in ("hub", "r/step-10"):
        fault, last = (root / f"logs/download/{job}.log").read_text().splitlines()
        assert fault.startswith("duplicate: steps 50 and 60 are equal; likely one file under")
        assert last.startswith("alpharl published: error: found these faults, expected checkpoints")
    assert weights(hub) == []

    run["leave_out"] = [60]
    done = workflow.run(config, *UNTIL)
    assert done.returncode == 0, done.stdout
    assert len(weights(hub)) == 5, "a base and four checkpoints"
    record = read_record(root / "runs/r/published.json", dict, "alpharl published")
    assert [*record] == ["0", "10", "20", "50", "90"]

    run["leave_out"], run["accept"] = [], ["duplicate"]
    assert workflow.planned(config, *UNTIL) == {"download": 1}
    done = workflow.run(config, *UNTIL)
    assert done.returncode == 0, done.stdout
    assert len(weights(hub)) == 6, "what was fetched is not fetched again"
    assert (root / "logs/download/r/step-60.log").read_text().startswith("accepted: duplicate: ")
