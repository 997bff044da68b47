"""What jobs ask for: of a 7B model by hand, and before anything is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from alpharl.cost.needs import Needs
from alpharl.cost.sizes import size_of
from alpharl.cost.table import costs, stages
from alpharl.study.config import parse_study
from alpharl.study.plan import Plan
from tests.unit.headers import HIDDEN, LAYERS, MLP, header_model, qwen_7b

GB = 1e9
PARAMETERS = 7_615_616_512
STEPS = range(10, 310, 10)


def suite(role: str) -> dict[str, Any]:
    task = {"task": "addition", "split": role, "limit": 500}
    return {"role": role, "tasks": [task], "max_new_tokens": 1024}


def study(folder: Path, **sections: Any) -> dict[str, Any]:
    """Thirty checkpoints of a run of the user's."""
    return {
        "study": "big",
        "bases": {"base": {"path": str(folder / "base")}},
        "runs": {
            "rl": {
                "base": "base", "checkpoints": str(folder / "step-{step}"), "steps": list(STEPS),
            }
        },
        "suites": {role: suite(role) for role in ("validation", "test")},
        "evaluation": {"dtype": "bfloat16"},
        "forecast": {"windows": [0.4], "methods": {"last": {}, "relex": {}}},
        **sections,
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base and last checkpoint of a 7B model in bfloat16; jobs are planned from these two."""
    folder = tmp_path_factory.mktemp("big")
    for name in ("base", "step-300"):
        model = header_model(folder / name, qwen_7b(), files=4)
        (model / "config.json").write_text(
            f'{{"hidden_size": {HIDDEN}, "num_hidden_layers": {LAYERS}, "vocab_size": 152064}}'
        )
    return folder


def plan(config: dict[str, Any]) -> Plan:
    return Plan(parse_study(config, "test"))


def test_memory_follows_the_model(folder):
    needs = Needs(plan(study(folder)))
    matrix = 4 * MLP * HIDDEN + 8 * 320 * (MLP + HIDDEN)
    factors = needs.factors("rl", 1).memory
    assert matrix + GB < factors < matrix + 2 * GB
    assert needs.gram("rl").memory < 4 * GB, "checkpoints stream, they are not held"
    score = needs.evaluate("rl", "test", 31)
    assert score.memory > 2 * 2 * PARAMETERS, "base and scored model"


def test_time_follows_the_bytes(folder):
    needs = Needs(plan(study(folder)))
    one, ten = needs.factors("rl", 1), needs.factors("rl", 10)
    assert ten.seconds - 30 == pytest.approx(10 * (one.seconds - 30))
    read = 2 * 2 * PARAMETERS / 1e8
    assert one.seconds > read + 30
    assert one.minutes == int(3 * one.seconds / 60) + 1
    assert needs.rank("rl").minutes == 10, "nothing asks for less than ten minutes"


def test_shards_divide(folder):
    whole = Needs(plan(study(folder)))
    parts = Needs(plan(study(folder, spectra={"shards": 8})))
    assert 7 < (whole.gram("rl").seconds - 30) / (parts.gram("rl").seconds - 30) < 9
    assert parts.factors("rl", 1).disk == whole.factors("rl", 1).disk / 8


def test_only_what_can_use_several_gpus_asks_for_them(folder):
    vllm = {"engine": "vllm", "environment": ".venv-vllm", "dtype": "bfloat16"}
    planned = plan(study(folder, gpus=4, evaluation=vllm))
    gpus = {stage: need.gpus for stage, need in stages(planned)}
    assert gpus["evaluate"] == 4, "vLLM's tensor-parallel size"
    assert gpus["factors"] == gpus["gram"] == 1
    assert gpus["rank"] == gpus["dynamics"] == gpus["measures"] == gpus["truth"] == 0
    alone = plan(study(folder, gpus=4))
    assert {need.gpus for stage, need in stages(alone) if stage == "evaluate"} == {1}


def test_training_holds_gradients_and_moments(tmp_path, folder):
    runs = {"rl": {"base": "base", "train": {"steps": 300, "save_every": 10}}}
    needs = Needs(plan(study(folder, runs=runs)))
    assert needs.train("rl").memory > 16 * PARAMETERS
    assert needs.train("rl").disk == pytest.approx(30 * 4 * PARAMETERS)
    spread = {"rl": {"base": "base", "train": {"steps": 300, "save_every": 10, "processes": 8}}}
    eight = Needs(plan(study(folder, runs=spread, gpus=1))).train("rl")
    assert eight.gpus == 8


def test_the_costs_add_up(folder):
    found = costs(plan(study(folder, gpus=1)))
    factors = next(stage for stage in found.stages if stage.stage == "factors")
    assert found.total.jobs == sum(stage.jobs for stage in found.stages)
    assert factors.jobs == len(STEPS)
    assert factors.disk_gb == pytest.approx(
        len(STEPS) * size_of(plan(study(folder)), "rl").factors / GB
    )
    assert found.total.gpu_hours == pytest.approx(sum(s.gpu_hours for s in found.stages))
    assert found.total.gpu_hours > 0
    assert found.total.peak_memory_gb == max(stage.peak_memory_gb for stage in found.stages)


def test_an_unknown_base_is_assumed_until_it_is_there(folder, tmp_path):
    bases = {"base": {"hub": {"repo": "someone/model"}}}
    planned = plan(study(folder, bases=bases, results=str(tmp_path)))
    needs = Needs(planned)
    assert not needs.size("rl").known
    made = Path(planned.paths.base_manifest("base"))
    made.parent.mkdir(parents=True)
    Path(planned.paths.base_model("base")).symlink_to(folder / "base")
    made.write_text("{}")
    assert needs.size("rl").known
    assert needs.size("rl").parameters == PARAMETERS


def test_check_prints_the_costs(folder, tmp_path, cli):
    for step in STEPS:
        if not (folder / f"step-{step}").exists():
            (folder / f"step-{step}").symlink_to(folder / "step-300")
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(study(folder)))
    shown = cli("check", "--cost", file)
    assert shown.status == 0, shown.err
    assert "GPU hours" in shown.out
    assert "not here yet" not in shown.out
    cost = json.loads(cli("check", "--cost", "--json", file).out)["cost"]
    assert cost["total"]["jobs"] == sum(stage["jobs"] for stage in cost["stages"])
    assert ["all", str(cost["total"]["jobs"])] in [
        line.split()[:2] for line in shown.out.splitlines()
    ]
    assert cost["assumed"] == [] and cost["assumed_parameters"] is None


def test_a_reader_that_stops_early_sees_no_traceback(folder, tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(study(folder)))
    command = f"{sys.executable} -m alpharl.cli methods | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout == "last\n"
    assert done.stderr == ""
