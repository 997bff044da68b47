"""Once gram, factors and scores are made, checkpoints may be deleted: what still works does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from alpharl.errors import CheckpointError
from alpharl.trajectory import Trajectory

SCORES = {0: 0.2, 10: 0.3, 20: 0.42, 35: 0.5, 60: 0.61, 90: 0.68}


@pytest.fixture
def made(make_trajectory, tmp_path, cli):
    """A run with gram and factors."""
    here = make_trajectory()
    run = SimpleNamespace(
        base=here.base, folders=here.folders, steps=here.steps,
        pattern=str(here.folders[10]).replace("step-10", "step-{step}"),
        gram=tmp_path / "gram.safetensors", factors=tmp_path / "factors/step-{step}",
        scores=tmp_path / "scores.csv",
    )  # fmt: skip
    common = ["--base", run.base]
    assert cli("gram", *common, "--checkpoints", run.pattern, "--out", run.gram).status == 0
    call = ["factors", *common, "--checkpoints", run.pattern, "--rank", 4, "--out", run.factors]
    assert cli(*call).status == 0
    rows = "".join(f"{step},{accuracy}\n" for step, accuracy in SCORES.items())
    run.scores.write_text("step,accuracy\n" + rows)
    return run


def delete(run, *steps: int) -> None:
    for step in steps or run.steps:
        shutil.rmtree(run.folders[step])


def trust(run, cli, *more: object):
    """The verdict, from files alone."""
    given = ["--base", run.base, "--checkpoints", run.pattern, "--gram", run.gram]
    return cli("trust", *given, "--scores", run.scores, *more)


@pytest.mark.parametrize("gone", [[10], [35, 90], []], ids=["first", "some", "all"])
def test_the_verdict_is_the_same(made, cli, gone):
    before = trust(made, cli)
    assert before.status == 0
    delete(made, *gone)
    after = trust(made, cli)
    assert (after.status, after.out) == (0, before.out)
    some = trust(made, cli, "--steps", 10, 20, 35, 60)
    assert some.status == 0, some.err


def test_forecasts_that_are_adapters_still_are_made(made, cli, tmp_path):
    call = ["forecast", "--base", made.base, "--checkpoints", made.pattern, "--gram", made.gram,
            "--factors", made.factors, "--scores", made.scores, "--through", 60,
            "--target-step", 90, "--method", "alpharl-step"]  # fmt: skip
    assert cli(*call, "--out", tmp_path / "before").status == 0
    delete(made)
    done = cli(*call, "--out", tmp_path / "after")
    assert done.status == 0, done.err
    name = "adapter/adapter_model.safetensors"
    assert (tmp_path / "after" / name).read_bytes() == (tmp_path / "before" / name).read_bytes()
    assert cli("export", tmp_path / "after", "--out", tmp_path / "model").status == 0


def test_what_needs_the_weights_says_so(made, cli, tmp_path):
    delete(made)
    common = ["--base", made.base, "--checkpoints", made.pattern]
    blend = ["forecast", *common, "--gram", made.gram, "--method", "relex", "--target-step", 120]
    assert cli(*blend, "--out", tmp_path / "blend").status == 0, "a blend is a few numbers"
    for call in (
        ["export", tmp_path / "blend", "--out", tmp_path / "model"],
        ["gram", *common, "--out", tmp_path / "new"],
        ["forecast", *common, "--method", "relex", "--target-step", 120, "--out", tmp_path / "new"],
    ):
        done = cli(*call)
        assert done.status == 1
        assert "no such checkpoint folder" in done.err or "no folder matches" in done.err


def test_a_config_that_is_gone_is_not_taken_for_the_bases(make_trajectory, tmp_path):
    run = make_trajectory()
    for folder in (run.base, *run.folders.values()):
        config = {"model_type": "qwen2", "rms_norm_eps": 1e-6 if folder == run.base else 0.5}
        (folder / "config.json").write_text(json.dumps(config))
    here = Trajectory.open(run.base, run.folders, progress=False)
    here.save(tmp_path)
    pattern = str(run.folders[10]).replace("step-10", "step-{step}")
    for folder in run.folders.values():
        shutil.rmtree(folder)
    gram = tmp_path / "gram.safetensors"
    again = Trajectory.open(run.base, pattern, gram=gram, progress=False)
    assert again.verdict(120).lines
    with pytest.raises(CheckpointError, match=r"step-10: found no folder, expected its config"):
        again.forecast("relex", 120)


def test_folders_that_moved_with_their_times_are_the_same(made, cli, tmp_path):
    """As with `rsync --times` or `mv`."""
    shutil.copytree(Path(made.pattern).parent, tmp_path / "moved")
    made.pattern = f"{tmp_path}/moved/step-{{step}}"
    done = trust(made, cli)
    assert done.status == 0, done.err
