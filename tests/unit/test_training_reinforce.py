"""RLOO and REINFORCE++: advantages and losses as published, by hand in float64; that they learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from alpharl.training.progress import quiet
from alpharl.training.recipe import Lora
from alpharl.training.reinforce import ReinforceTrainer, rewards_to_go
from alpharl.training.spec import TrainSpec
from alpharl.training.train import train
from tests.unit.setups import setup_of, trainer_of
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
from torch import Tensor
from transformers import AutoModelForCausalLM, Trainer

__all__ = ["base", "lenient", "one_thread"]

RLOO = changed(GRPO, algorithm="rloo")
REINFORCE = changed(GRPO, {"num_generations": 1}, algorithm="reinforce++")
TWICE = {"steps_per_generation": 2, "num_iterations": 2}


def built(spec: TrainSpec, base: Path, out: Path) -> Any:
    """A trainer whose policy has moved off its base, so that there is a divergence."""
    quiet()
    trainer = trainer_of(setup_of(spec, base, out))
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in trainer.model.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=noise)
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def sampled(trainer: Trainer) -> dict[str, Any]:
    """A batch of completions with their advantages."""
    trainer.model.train()
    rows = next(iter(trainer.get_train_dataloader()))
    batch: dict[str, Any] = trainer._generate_and_score_completions(rows)
    return batch


def log_probabilities(model: Any, batch: dict[str, Any]) -> Tensor:
    """Of each token of the completions, (B, T), float64, from the plain model's logits."""
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    seen = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    with torch.no_grad():
        logits = model.double()(ids, attention_mask=seen).logits
    width = batch["completion_ids"].shape[1]
    logps = logits[:, -width - 1 : -1].log_softmax(-1)
    return logps.gather(2, batch["completion_ids"].unsqueeze(2)).squeeze(2)


def divergence(trainer: Any, base: Path, batch: dict[str, Any]) -> Tensor:
    """Log-ratio of the policy to its base at each token, (B, T), float64, zero in padding."""
    policy = AutoModelForCausalLM.from_pretrained(base)
    policy.load_state_dict(trainer.model.state_dict())
    reference = AutoModelForCausalLM.from_pretrained(base)
    ratio = log_probabilities(policy, batch) - log_probabilities(reference, batch)
    return ratio * batch["completion_mask"]


def outcomes(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Will hold the rewards of the batch that is sampled next."""
    kept: list[float] = []
    calculate = trainer._calculate_rewards

    def calculated(*args: Any, **kwargs: Any) -> Tensor:
        rewards: Tensor = calculate(*args, **kwargs)
        kept.extend(rewards[:, 0].tolist())
        return rewards

    monkeypatch.setattr(trainer, "_calculate_rewards", calculated)
    return kept


# --- formulas ---


def test_reward_comes_last_and_tokens_pay_their_way() -> None:
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    penalties = torch.tensor([[0.5, -0.25, 0.125], [0.5, 0.25, 9.0]], dtype=torch.float64)
    found = rewards_to_go(torch.tensor([1.0, 0.0], dtype=torch.float64), penalties, mask)
    expected = [[1 - 0.375, 1 + 0.125, 1 - 0.125], [-0.75, -0.25, 0.0]]
    assert found.tolist() == expected
    plain = rewards_to_go(torch.tensor([1.0, 0.0]), None, mask)
    assert plain.tolist() == [[1, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("args", [{}, TWICE], ids=["on-policy", "off-policy"])
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_reinforce_advantages_are_the_published_ones(
    args: dict[str, Any], beta: float, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = built(changed(REINFORCE, {**args, "beta": beta}), base, tmp_path)
    assert isinstance(trainer, ReinforceTrainer)
    rewards = outcomes(trainer, monkeypatch)
    batch = sampled(trainer)
    assert 0 < sum(rewards) < len(rewards)
    kl = divergence(trainer, base, batch)
    raw = []  # equations 8 to 10, one token after the other
    lengths = batch["completion_mask"].sum(1).tolist()
    for reward, row, length in zip(rewards, kl.tolist(), lengths, strict=True):
        raw.append([reward - beta * sum(row[t:length]) for t in range(length)])
    tokens = torch.tensor([value for row in raw for value in row], dtype=torch.float64)
    mean, deviation = tokens.mean(), tokens.std(correction=0)
    for row, found in zip(raw, batch["advantages"].tolist(), strict=True):
        expected = [(value - float(mean)) / float(deviation) for value in row]
        assert found == pytest.approx(expected + [0.0] * (len(found) - len(row)), abs=2e-4)


def test_reinforce_pays_for_divergence_in_the_advantages_alone(base: Path, tmp_path: Path) -> None:
    trainer = built(changed(REINFORCE, {"beta": 0.3}), base, tmp_path)
    batch = sampled(trainer)
    loss = trainer._compute_loss(trainer.model, batch).item()
    mask = batch["completion_mask"]
    by_completion = (batch["advantages"].double() * mask).sum(1) / mask.sum(1)
    assert loss == pytest.approx(-float(by_completion.mean()), abs=1e-6)
    assert trainer.beta == 0.3
    kl = (divergence(trainer, base, batch).sum() / mask.sum()).item()
    assert trainer._metrics["train"]["kl"] == [pytest.approx(kl, abs=1e-5)]


def test_rloo_advantages_leave_one_out(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = built(changed(RLOO, {"beta": 0.3}), base, tmp_path)
    rewards = outcomes(trainer, monkeypatch)
    batch = sampled(trainer)
    kl = divergence(trainer, base, batch).sum(1)
    penalised = (torch.tensor(rewards, dtype=torch.float64) - 0.3 * kl).view(-1, 4).tolist()
    expected = [own - (sum(group) - own) / (len(group) - 1) for group in penalised for own in group]
    assert batch["advantages"].tolist() == pytest.approx(expected, abs=2e-4)


# --- runs ---


def test_each_question_gets_one_completion(base: Path, tmp_path: Path) -> None:
    spec = TrainSpec(algorithm="reinforce++", steps=2, args={"per_device_train_batch_size": 8})
    trainer = built(spec, base, tmp_path)
    assert (trainer.num_generations, trainer.args.num_generations) == (1, 1)
    assert len(trainer.train_dataset) == 16
    assert len({tuple(ids) for ids in sampled(trainer)["prompt_ids"].tolist()}) == 8


@pytest.mark.parametrize(
    ("spec", "restored"),
    [
        (RLOO, 2),
        (changed(RLOO, {**TWICE, "beta": 0.1}, steps=7, save_every=1), 4),
        (REINFORCE, 2),
        (changed(REINFORCE, {**TWICE, "beta": 0.1}, steps=7, save_every=1, lora=Lora()), 4),
    ],
    ids=["rloo", "rloo-off-policy", "reinforce", "reinforce-off-policy-lora"],
)
def test_killed_run_goes_on_exactly(
    spec: TrainSpec, restored: int, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    goes_on_exactly(spec, restored, base, tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("spec", [RLOO, REINFORCE], ids=["rloo", "reinforce++"])
def test_what_is_rewarded_is_learned(spec: TrainSpec, base: Path, tmp_path: Path) -> None:
    batch = {"per_device_train_batch_size": 64}
    train(changed(spec, batch, steps=15, save_every=15, learning_rate=3e-3), base, tmp_path)
    rewards = [float(row["reward"]) for row in table(tmp_path)]
    assert 0 < sum(rewards[:3]) / 3 < sum(rewards[-3:]) / 3 - 0.2


def test_algorithms_differ_off_policy(base: Path, tmp_path: Path) -> None:
    specs = [changed(spec, TWICE, steps=4, save_every=4) for spec in (GRPO, RLOO, REINFORCE)]
    for spec in specs:
        train(spec, base, tmp_path / spec.algorithm)
    assert len({weights(tmp_path / spec.algorithm / "step-4") for spec in specs}) == 3


@pytest.mark.parametrize("algorithm", ["grpo", "rloo", "reinforce++"])
def test_beta_measures_and_holds_back_divergence(
    algorithm: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "alpharl.training.progress.Log.add", lambda self, entry: logged.append(entry)
    )
    for beta in (0.0, 0.5):
        spec = changed(GRPO, {"beta": beta}, algorithm=algorithm, steps=3, save_every=3)
        train(spec, base, tmp_path / str(beta))
    without, penalised = logged[:3], logged[3:]
    assert not any("kl" in entry for entry in without)
    assert penalised[-1]["kl"] != 0  # GRPO's estimate is never negative, the others' can be
    assert weights(tmp_path / "0.0" / "step-3") != weights(tmp_path / "0.5" / "step-3")
