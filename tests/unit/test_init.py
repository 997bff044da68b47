"""`alpharl init`: the runs in a folder, and a study file for them that `alpharl check` accepts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from alpharl.checkpoints.discover import find_runs
from alpharl.errors import CheckpointError
from alpharl.study.config import load_study
from tests.conftest import make_run


@pytest.fixture
def run(tmp_path):
    """`run("out/checkpoint-{step}", steps)` writes models there; gives the base's folder."""

    def write(pattern: str, steps=(10, 20, 30, 40, 50)) -> Path:
        made = make_run(tmp_path / "made", steps)
        for step, folder in made.folders.items():
            target = tmp_path / pattern.replace("{step}", str(step))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(folder, target)
        return made.base

    return write


def started(cli, tmp_path, folder, *more) -> dict:
    """The study file that `init` writes, after `check` has accepted it."""
    out = tmp_path / "study.yaml"
    done = cli("init", folder, "--out", out, *more)
    assert done.status == 0, done.err
    assert cli("check", out).status == 0
    return yaml.safe_load(out.read_text())


@pytest.mark.parametrize(
    "pattern",
    [
        "out/checkpoint-{step}",
        "out/step-{step}",
        "out/step_{step}",
        "out/{step}",
        "out/global_step_{step}",
        "out/global_step_{step}/actor/huggingface",
        "out/global_step_{step}/actor",
    ],
)
def test_trainers_layouts_are_found(cli, tmp_path, run, pattern):
    base = run(pattern)
    for step in (10, 20):  # what trainers leave beside the weights does not matter
        (tmp_path / pattern.replace("{step}", str(step)) / "optimizer.pt").write_bytes(b"x")
    study = started(cli, tmp_path, tmp_path / "out", "--base", base)
    assert study["runs"]["out"] == {
        "base": "base",
        "checkpoints": str(tmp_path / pattern),
        "steps": {"first": 10, "last": 50, "every": 10},
    }
    assert study["bases"] == {"base": {"path": str(base)}}
    assert load_study(tmp_path / "study.yaml").validation_suite == "validation"


def test_steps_that_are_not_regular_are_listed(cli, tmp_path, run):
    base = run("out/checkpoint-{step}", (5, 10, 35, 36, 90))
    assert started(cli, tmp_path, tmp_path / "out", "--base", base)["runs"]["out"]["steps"] == [
        5, 10, 35, 36, 90
    ]  # fmt: skip


def test_numbers_with_zeros_before_become_a_folder_each(cli, tmp_path, run):
    base = run("out/step-00{step}")
    shutil.move(tmp_path / "out" / "step-0050", tmp_path / "out" / "step-0100")
    found = started(cli, tmp_path, tmp_path / "out", "--base", base)["runs"]["out"]
    assert found["checkpoints"][100] == str(tmp_path / "out" / "step-0100")
    assert list(found["checkpoints"]) == [10, 20, 30, 40, 100]


def test_several_runs_and_their_own_bases(cli, tmp_path, run):
    base = run("all/a/checkpoint-{step}")
    run("all/sub/b/checkpoint-{step}")
    for name, own in (("a", "one/base"), ("sub/b", "two/base")):
        shutil.copytree(base, tmp_path / own)
        config = tmp_path / "all" / name / "checkpoint-10" / "config.json"
        config.write_text(json.dumps({"_name_or_path": str(tmp_path / own)}))
    study = started(cli, tmp_path, tmp_path / "all")
    assert set(study["runs"]) == {"a", "sub-b"}
    paths = {n: study["bases"][r["base"]]["path"] for n, r in study["runs"].items()}
    assert paths == {"a": str(tmp_path / "one/base"), "sub-b": str(tmp_path / "two/base")}


def test_step_0_is_the_base(cli, tmp_path, run):
    base = run("out/step-{step}")
    shutil.copytree(base, tmp_path / "out" / "step-0")
    study = started(cli, tmp_path, tmp_path / "out")
    assert study["bases"] == {"step-0": {"path": str(tmp_path / "out" / "step-0")}}
    assert study["runs"]["out"]["steps"]["first"] == 10


def test_a_folder_of_seeds_is_no_run(tmp_path, run):
    run("seeds/0/checkpoint-{step}")
    run("seeds/1/checkpoint-{step}")
    runs, left_out = find_runs(tmp_path / "seeds")
    assert [found.name for found in runs] == ["0", "1"]
    assert left_out == []


def test_steps_without_weights_are_told(cli, tmp_path, run):
    base = run("out/global_step_{step}/actor/huggingface")
    (tmp_path / "out" / "global_step_20" / "actor" / "huggingface" / "model.safetensors").unlink()
    done = cli("init", tmp_path / "out", "--base", base, "--out", tmp_path / "s.yaml")
    assert "found 4 models, steps 10 to 50 in" in done.out
    assert "left out global_step_20: holds no weights\n" in done.out
    assert "# 4 models, steps 10 to 50; 1 left out\n" in (tmp_path / "s.yaml").read_text()
    assert load_study(tmp_path / "s.yaml").runs["out"].saved_steps() == [10, 30, 40, 50]
    told = json.loads(
        cli("init", tmp_path / "out", "--base", base, "--out", tmp_path / "t.yaml", "--json").out
    )
    assert told["written"] == str(tmp_path / "t.yaml") and told["site"] is None
    (found,) = told["runs"]
    assert found["steps"] == [10, 30, 40, 50]
    assert found["note"] == "4 models, steps 10 to 50"
    (left_out,) = told["left_out"]
    assert left_out == {
        "folders": [str(tmp_path / "out" / "global_step_20")], "reason": "holds no weights"
    }  # fmt: skip


def test_steps_that_go_on_counting_through_epochs_are_one_run(cli, tmp_path, run):
    base = run("out/step-{step}")
    for step, epoch in {10: 0, 20: 0, 30: 1, 40: 1, 50: 2}.items():
        shutil.move(tmp_path / f"out/step-{step}", tmp_path / f"out/epoch_{epoch}_step_{step}")
    found = started(cli, tmp_path, tmp_path / "out", "--base", base)["runs"]["out"]
    assert found["checkpoints"][50] == str(tmp_path / "out/epoch_2_step_50")
    assert list(found["checkpoints"]) == [10, 20, 30, 40, 50]


def test_steps_that_start_again_in_each_epoch_are_not(cli, tmp_path, run):
    """Nothing tells how many steps an epoch has: the first one's are taken, the others named."""
    base = run("out/step-{step}")
    for step, name in {10: "0_step_10", 20: "0_step_20", 30: "0_step_30", 40: "1_step_10"}.items():
        shutil.move(tmp_path / f"out/step-{step}", tmp_path / f"out/epoch_{name}")
    shutil.rmtree(tmp_path / "out/step-50")
    out = tmp_path / "s.yaml"
    done = cli("init", tmp_path / "out", "--base", base, "--out", out)
    assert "left out epoch_1_step_10: has a step in its name that another has\n" in done.out
    assert load_study(out).runs["out"].saved_steps() == [10, 20, 30]


def test_whatever_looks_like_a_checkpoint_is_taken_or_named(cli, tmp_path, run):
    base, out = run("out/checkpoint-{step}"), tmp_path / "out"
    shutil.copytree(out / "checkpoint-50", out / "final")
    shutil.copytree(out / "checkpoint-50", out / "checkpoint-060")
    shutil.copytree(out / "checkpoint-50", out / "checkpoint-60")
    shutil.copytree(out / "checkpoint-50", out / "step_55")
    shutil.copytree(out / "checkpoint-10", out / "other" / "checkpoint-10")
    for step in (70, 80):
        (out / f"checkpoint-{step}").mkdir()
        (out / f"checkpoint-{step}" / "pytorch_model.bin").write_bytes(b"")
    (out / "checkpoint-90").mkdir()
    (out / "logs").mkdir()
    (out / "latest").symlink_to("checkpoint-50")
    (out / "checkpoint-100").symlink_to("checkpoint-50")
    (out / "checkpoint-110").symlink_to("nowhere")
    file = out / "checkpoint-30" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    told = cli("init", out, "--base", base, "--out", tmp_path / "s.yaml", "--json").out
    left_out = {
        Path(folder).name: group["reason"]
        for group in json.loads(told)["left_out"]
        for folder in group["folders"]
    }
    damage = left_out.pop("checkpoint-30")
    assert damage.startswith("is damaged: model.safetensors: ")
    assert left_out == {
        "checkpoint-70": "holds pytorch_model.bin, no safetensors",
        "checkpoint-80": "holds pytorch_model.bin, no safetensors",
        "checkpoint-90": "holds no weights",
        "checkpoint-100": "is a link to checkpoint-50",
        "checkpoint-110": "is a link to nothing",
        "checkpoint-060": "has a step in its name that another has",
        "final": "has no step in its name",
        "latest": "is a link to checkpoint-50",
        "other": "holds a run of its own: name that folder to init",
        "step_55": "is named in another way than the others",
    }
    assert load_study(tmp_path / "s.yaml").runs["out"].saved_steps() == [10, 20, 40, 50, 60]
    shown = cli("init", out, "--base", base, "--out", tmp_path / "t.yaml").out.splitlines()
    lines = [line for line in shown if line.startswith("left out ")]
    assert len(lines) == 6
    assert all(any(name in line for line in lines) for name in left_out)
    assert (
        lines[1] == "left out checkpoint-70, checkpoint-80: holds pytorch_model.bin, no safetensors"
    )


def test_a_run_without_weights_next_to_another_is_named(cli, tmp_path, run):
    base = run("all/a/step-{step}")
    for step in (10, 20):
        (tmp_path / f"all/b/step-{step}").mkdir(parents=True)
        (tmp_path / f"all/b/step-{step}/pytorch_model.bin").write_bytes(b"")
    done = cli("init", tmp_path / "all", "--base", base, "--out", tmp_path / "s.yaml")
    assert "left out step-10, step-20: holds pytorch_model.bin, no safetensors\n" in done.out


def test_a_chat_template_is_used(cli, tmp_path, run):
    base = run("out/step-{step}")
    (base / "chat_template.jinja").write_text("{{ messages }}")
    study = started(cli, tmp_path, tmp_path / "out", "--base", base)
    assert all(suite["chat_template"] for suite in study["suites"].values())


def test_a_hub_repository_as_base(cli, tmp_path, run):
    run("out/step-{step}")
    study = started(cli, tmp_path, tmp_path / "out", "--base", "Qwen/Qwen2.5-0.5B")
    assert study["bases"] == {"Qwen2.5-0.5B": {"hub": {"repo": "Qwen/Qwen2.5-0.5B"}}}


def test_names_that_yaml_would_read_as_something_else(cli, tmp_path, run):
    base = run("2024 #1: yes/step-{step}")
    study = started(cli, tmp_path, tmp_path / "2024 #1: yes", "--base", base)
    assert study["study"] == "2024-1-yes"
    assert study["runs"]["2024-1-yes"]["checkpoints"].endswith("2024 #1: yes/step-{step}")


def test_too_few_checkpoints_for_a_forecast(cli, tmp_path, run):
    base = run("out/step-{step}", (10, 20))
    assert started(cli, tmp_path, tmp_path / "out", "--base", base)["forecast"] == {"methods": {}}


def test_refusals_are_one_line(cli, tmp_path, run):
    run("out/step-{step}")
    out = tmp_path / "s.yaml"

    def error(*args) -> str:
        done = cli("init", *args, "--out", out)
        assert len(done.err.splitlines()) == 1
        assert not (tmp_path / "s.yaml").exists() or out.read_text() == "mine"
        return done.error

    assert "name the model before RL with --base" in error(tmp_path / "out")
    assert "expected one as the base" in error(tmp_path / "out", "--base", tmp_path)
    assert "no such folder" in error(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "expected folders such as checkpoint-100" in error(tmp_path / "empty")
    out.write_text("mine")
    assert "exists already" in error(tmp_path / "out", "--base", tmp_path / "made" / "base")


@pytest.mark.parametrize(
    ("shard", "backend"),
    [("model_world_size_2_rank_0.pt", "fsdp"), ("model/dist_ckpt/x", "megatron")],
)
def test_unmerged_shards_name_their_command(tmp_path, shard, backend):
    path = tmp_path / "run" / "global_step_5" / "actor" / shard
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    with pytest.raises(CheckpointError) as error:
        find_runs(tmp_path / "run")
    actor = tmp_path / "run" / "global_step_5" / "actor"
    assert (
        f"`python -m verl.model_merger merge --backend {backend} --local_dir {actor} "
        f"--target_dir {actor}/huggingface`"
    ) in str(error.value)


def test_init_is_fast_to_start():
    code = "import sys; from alpharl.cli import main; main(['init', '/nowhere']); "
    code += "sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_the_suites_ask_the_named_task(cli, tmp_path, run):
    base = run("out/step-{step}")
    study = started(cli, tmp_path, tmp_path / "out", "--base", base, "--task", "addition")
    asked = {role: suite["tasks"][0] for role, suite in study["suites"].items()}
    assert asked["validation"] == {"task": "addition", "split": "validation", "limit": 200}
    assert asked["test"]["split"] == "test"
    assert {suite["max_new_tokens"] for suite in study["suites"].values()} == {9}


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("additon", "did you mean 'addition'?"),
        ("math500", "has test questions alone, expected one that a validation suite can ask"),
        ("rg-nothing", "rg-nothing"),
    ],
)
def test_a_task_that_cannot_be_asked_is_refused(cli, tmp_path, run, task, message):
    base, out = run("out/step-{step}"), tmp_path / "study.yaml"
    done = cli("init", tmp_path / "out", "--base", base, "--task", task, "--out", out)
    assert done.status == 1
    assert message in done.error
    assert not out.exists()
