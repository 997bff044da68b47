"""Two processes train one run together: the same files, written once, and it learns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from alpharl.errors import StudyError
from alpharl.training.spec import TrainSpec
from alpharl.training.train import train
from safetensors.torch import load_file
from tests.unit.trainees import SMALL_RL, base, changed, one_thread, table, weights

pytestmark = pytest.mark.slow

__all__ = ["base", "one_thread"]

SFT = TrainSpec(
    algorithm="sft", steps=12, save_every=6, learning_rate=3e-3, processes=2,
    args={"per_device_train_batch_size": 16, "warmup_steps": 0},
)  # fmt: skip
RL = TrainSpec(algorithm="reinforce++", steps=2, save_every=1, processes=2, args={
    **SMALL_RL, "num_generations": 1, "beta": 0.1, "per_device_train_batch_size": 8,
})  # fmt: skip


def command(spec: TrainSpec, base: Path, out: Path) -> list[str]:
    words = [sys.executable, "-m", "alpharl.cli", "train", "--spec", spec.model_dump_json()]
    words += ["--base", str(base), "--out", str(out / "checkpoints")]
    return words + ["--manifests", str(out / "manifests" / "step-{step}.json")]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def run(spec: TrainSpec, base: Path, out: Path) -> subprocess.CompletedProcess[str]:
    words = command(spec, base, out)
    return subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=900)


def kill_when_there(file: Path, spec: TrainSpec, base: Path, out: Path) -> None:
    """Start a run, and kill the process that was started as soon as there is a file."""
    with (out / "killed.log").open("w") as log:
        process = subprocess.Popen(command(spec, base, out), stderr=log, env=environment())
    deadline = time.monotonic() + 600
    while not file.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert file.exists(), (out / "killed.log").read_text()


def files(folder: Path) -> list[str]:
    """All but the list of digests, which the command writes at the end."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".sha256")
    return sorted(str(path.relative_to(folder)) for path in paths)


@pytest.mark.sample
def test_two_processes_leave_what_one_leaves(base: Path, tmp_path: Path) -> None:
    done, two, one = run(SFT, base, tmp_path), tmp_path / "checkpoints", tmp_path / "one"
    assert done.returncode == 0, done.stderr
    train(changed(SFT, {"per_device_train_batch_size": 32}, processes=1), base, one)
    assert files(two) == files(one)
    assert files(tmp_path / "manifests") == ["step-12.json", "step-6.json"]
    lines = [line for line in done.stderr.splitlines() if line.startswith("sft: step")]
    assert len(lines) == SFT.steps  # each step once
    # Both see the same questions in each step, so that they learn the same up to rounding.
    losses = [[float(row["loss"]) for row in table(out)] for out in (two, one)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0][-1] < losses[0][0] - 0.3


def test_rl_in_two_processes(base: Path, tmp_path: Path) -> None:
    done = run(RL, base, tmp_path)
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path / "checkpoints")
    assert [row["step"] for row in rows] == ["1", "2"]
    assert files(tmp_path / "manifests") == ["step-1.json", "step-2.json"]
    saved: dict[str, Any] = load_file(tmp_path / "checkpoints" / "step-2" / "model.safetensors")
    assert all(tensor.isfinite().all() for tensor in saved.values())


@pytest.mark.parametrize(
    ("algorithm", "args"),
    [
        pytest.param("sft", {}, marks=pytest.mark.sample),
        ("grpo", {"num_generations": 4}),
        ("ppo", {"num_generations": 1, "num_iterations": 1}),  # its critic too is to go on
    ],
)
def test_killed_processes_go_on_exactly(
    algorithm: str, args: dict[str, Any], base: Path, tmp_path: Path
) -> None:
    args = {"per_device_train_batch_size": 8, "warmup_steps": 0, **args}
    spec = TrainSpec(algorithm=algorithm, steps=8, save_every=2, processes=2, args=args)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    killed.mkdir()
    assert run(spec, base, whole).returncode == 0
    kill_when_there(killed / "checkpoints" / "step-4", spec, base, killed)
    assert not (killed / "checkpoints" / "step-8").exists()
    done = run(spec, base, killed)
    assert done.returncode == 0, done.stderr
    first = next(line for line in done.stderr.splitlines() if f"{algorithm}: step" in line)
    assert f"{algorithm}: step 1/" not in first, "it began anew"
    for step in spec.saved_steps():
        assert weights(killed / "checkpoints" / f"step-{step}") == weights(
            whole / "checkpoints" / f"step-{step}"
        )
    assert files(killed / "checkpoints") == files(whole / "checkpoints")


def test_failure_of_the_processes_is_one(base: Path, tmp_path: Path) -> None:
    done = run(changed(SFT, {"paking": True}), base, tmp_path)
    assert done.returncode == 1
    *_, line = done.stderr.splitlines()
    assert line.startswith("alpharl train: error: ")
    assert "unknown option 'paking' of SFTConfig" in line
    assert done.stderr.count("alpharl train: ") == 1
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("step-*"))


def test_a_killed_process_is_one_line(base: Path, tmp_path: Path) -> None:
    words = command(changed(SFT, steps=500, save_every=500), base, tmp_path)
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment())
    assert process.stderr
    while "sft: step" not in (line := process.stderr.readline()):
        assert line
    launcher = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
    first, *_ = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    os.kill(int(first), signal.SIGKILL)
    err = process.stderr.read()
    assert process.wait() == 1
    assert err.splitlines()[-1].startswith("alpharl train: error: found a process killed by SIGKIL")
    assert "Traceback" not in err


@pytest.mark.sample
def test_one_process_does_not_pass_for_two(base: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="found 1 that train together, expected 2"):
        train(SFT, base, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
