"""What tests of trainers share: a tiny base, an easy problem, short recipes, a process that dies.

Test files import the fixtures by name; `one_thread` and `lenient` are used by each of their tests.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from alpharl.problems import PROBLEMS, TAUGHT, Question
from alpharl.sums import digest_file
from alpharl.training.pretrain import pretrain
from alpharl.training.progress import Progress
from alpharl.training.spec import ModelShape, PretrainSpec, TrainSpec
from alpharl.training.train import train

SHAPE = ModelShape(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
PRETRAIN = PretrainSpec(model=SHAPE, steps=30, batch_size=16)
SMALL_RL = {"per_device_train_batch_size": 32, "num_generations": 4, "warmup_steps": 0}
GRPO = TrainSpec(algorithm="grpo", steps=5, save_every=2, learning_rate=1e-3, args=SMALL_RL)


def easily_right(completion: str, question: Question) -> bool:
    """A grader that an untrained model satisfies now and then: else nothing would be learned."""
    return question["answer"][0] in completion or question["answer"][2] in completion


ADDITION = TAUGHT["addition"]
EASY = SimpleNamespace(
    max_new_tokens=6,
    questions=ADDITION.questions,
    examples=ADDITION.examples,
    extract=lambda completion, question: completion,
    is_correct=easily_right,
    solution=ADDITION.solution,
)


class Killed(BaseException):
    """Stands for a signal that ends the process."""


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="module")
def lenient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROBLEMS, "addition", EASY)
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "base"
    pretrain(PRETRAIN, folder)
    return folder


def changed(spec: TrainSpec, args: dict[str, Any] | None = None, **fields: Any) -> TrainSpec:
    """The recipe with other fields and further trainer options."""
    return spec.model_copy(update={**fields, "args": {**spec.args, **(args or {})}})


def weights(folder: Path) -> str:
    """Digest of a checkpoint's weights: of the model, or of its adapter."""
    whole = folder / "model.safetensors"
    return digest_file(whole if whole.exists() else folder / "adapter_model.safetensors")


def table(out: Path) -> list[dict[str, str]]:
    with (out / "training.csv").open() as file:
        return list(csv.DictReader(file))


def kill_at(
    step: int, monkeypatch: pytest.MonkeyPatch, spec: TrainSpec, base: Path, out: Path,
    teacher: Path | None = None,
) -> None:  # fmt: skip
    """Start a run whose process ends right after the optimizer step `step`, before it is saved."""
    with monkeypatch.context() as patch, pytest.raises(Killed):

        def on_step_end(self: Progress, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == step:
                raise Killed

        patch.setattr(Progress, "on_step_end", on_step_end)
        train(spec, base, out, teacher=teacher)


def goes_on_exactly(
    spec: TrainSpec, restored: int, base: Path, folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], teacher: Path | None = None,
) -> None:  # fmt: skip
    """Check that a run killed before its last step goes on from the step `restored`, exactly."""
    whole, killed = folder / "whole", folder / "killed"
    train(spec, base, whole, teacher=teacher)
    kill_at(spec.steps - 1, monkeypatch, spec, base, killed, teacher)
    assert not (killed / f"step-{spec.steps}").exists()
    capsys.readouterr()
    train(spec, base, killed, teacher=teacher)
    assert f"step {restored + 1}/" in capsys.readouterr().err.splitlines()[0]
    for step in spec.saved_steps():
        assert weights(killed / f"step-{step}") == weights(whole / f"step-{step}")
    without_time = [[{**row, "seconds": ""} for row in table(out)] for out in (whole, killed)]
    assert without_time[0] == without_time[1]
    assert sorted(p.name for p in killed.iterdir()) == sorted(p.name for p in whole.iterdir())
