"""Adapters and bfloat16: what checkpoints hold, and that killed runs go on exactly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from alpharl.errors import StudyError
from alpharl.training.recipe import Lora
from alpharl.training.spec import TrainSpec
from alpharl.training.train import train
from peft import PeftModel
from safetensors.torch import load_file
from tests.unit.trainees import (
    GRPO,
    base,
    changed,
    goes_on_exactly,
    lenient,
    one_thread,
    table,
    weights,
)
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import AutoModelForCausalLM, AutoTokenizer

__all__ = ["base", "lenient", "one_thread"]

LORA = Lora(rank=4, alpha=8.0, targets=["q_proj", "down_proj"])
SFT = TrainSpec(
    algorithm="sft", steps=5, save_every=2, learning_rate=1e-3,
    args={"per_device_train_batch_size": 8, "warmup_steps": 0},
)  # fmt: skip


@pytest.fixture(scope="module")
def adapted(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("lora")
    train(changed(GRPO, lora=LORA), base, out)
    return out


def test_checkpoint_is_the_adapter_alone(adapted: Path, base: Path) -> None:
    assert sorted(p.name for p in adapted.iterdir()) == [
        "step-2", "step-4", "step-5", "training.csv"
    ]  # fmt: skip
    names = {p.name for p in (adapted / "step-5").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= names
    assert not names & {"model.safetensors", "README.md"}
    config = json.loads((adapted / "step-5" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(base)
    assert (config["r"], config["lora_alpha"]) == (4, 8.0)
    assert set(config["target_modules"]) == {"q_proj", "down_proj"}
    tensors = load_file(adapted / "step-5" / "adapter_model.safetensors")
    assert len(tensors) == 2 * 2 * 2  # layers, targets, factors
    assert all(4 in tensor.shape and tensor.dtype == torch.float32 for tensor in tensors.values())


def test_adapter_moves_the_base_at_its_targets_alone(adapted: Path, base: Path) -> None:
    before = AutoModelForCausalLM.from_pretrained(base)
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base), adapted / "step-5"
    )
    after = model.merge_and_unload().state_dict()
    moved = {name for name, old in before.state_dict().items() if not torch.equal(old, after[name])}
    assert moved == {
        f"model.layers.{layer}.{name}.weight"
        for layer in (0, 1)
        for name in ("self_attn.q_proj", "mlp.down_proj")
    }
    assert AutoTokenizer.from_pretrained(adapted / "step-5").pad_token_id == 0


@pytest.mark.parametrize(
    "spec",
    [
        changed(GRPO, {"beta": 0.1}, lora=Lora(rank=4, dropout=0.1)),
        changed(SFT, lora=Lora(rank=4)),
        changed(GRPO, dtype="bfloat16"),
        changed(GRPO, dtype="bfloat16", lora=LORA),
        changed(SFT, dtype="bfloat16", optimizer="sgd"),
    ],
    ids=["lora-grpo", "lora-sft", "bf16-grpo", "bf16-lora", "bf16-sft"],
)
def test_killed_run_goes_on_exactly(
    spec: TrainSpec, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    goes_on_exactly(spec, 2, base, tmp_path, monkeypatch, capsys)


def test_adapter_learns(base: Path, tmp_path: Path) -> None:
    spec = changed(SFT, {"per_device_train_batch_size": 32}, steps=20, lora=Lora(rank=8))
    train(changed(spec, learning_rate=1e-2), base, tmp_path)
    losses = [float(row["loss"]) for row in table(tmp_path)]
    assert losses[-1] < losses[0] - 0.3


def test_unknown_target_is_refused_by_name(base: Path, tmp_path: Path) -> None:
    spec = changed(GRPO, lora=Lora(targets=["q_proj", "gate_prj"]))
    with pytest.raises(StudyError, match=r"lora: found target 'gate_prj'.*'gate_proj'"):
        train(spec, base, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spec", [GRPO, SFT], ids=["grpo", "sft"])
def test_bfloat16_weights_stay_bfloat16(spec: TrainSpec, base: Path, tmp_path: Path) -> None:
    seen: list[set[torch.dtype]] = []
    spec = changed(spec, dtype="bfloat16", steps=2)

    def watch(optimizer: torch.optim.Optimizer, *_: object) -> None:
        group = optimizer.param_groups[0]["params"]
        seen.append({p.dtype for p in group} | {p.grad.dtype for p in group if p.grad is not None})

    handle = register_optimizer_step_pre_hook(watch)
    try:
        train(spec, base, tmp_path)
    finally:
        handle.remove()
    assert seen == [{torch.bfloat16}, {torch.bfloat16}]
    saved = load_file(tmp_path / "step-2" / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.bfloat16}
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "step-2").dtype == torch.bfloat16
    assert weights(tmp_path / "step-2") != weights(base)
