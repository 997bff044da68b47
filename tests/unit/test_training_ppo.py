"""PPO: advantages and losses as published, by hand in float64; a critic that learns."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from alpharl.errors import StudyError
from alpharl.problems import PROBLEMS, Question
from alpharl.training import gae
from alpharl.training.ppo import PPOTrainer
from alpharl.training.progress import quiet
from alpharl.training.spec import TrainSpec
from alpharl.training.train import train
from safetensors.torch import load_file
from tests.unit.setups import setup_of, trainer_of
from tests.unit.trainees import (
    EASY,
    GRPO,
    base,
    changed,
    goes_on_exactly,
    kill_at,
    lenient,
    one_thread,
    table,
)
from tests.unit.trainees import weights as digest
from torch import Tensor
from transformers import AutoModelForCausalLM

__all__ = ["base", "lenient", "one_thread"]

REUSE = {"num_generations": 1, "steps_per_generation": 2, "num_iterations": 2}
PPO = changed(GRPO, REUSE, algorithm="ppo")
LENGTHS = (5, 1, 3, 0)


def tokens(seed: int) -> Tensor:
    return torch.randn(len(LENGTHS), 5, generator=torch.Generator().manual_seed(seed))


def mask() -> Tensor:
    return torch.tensor([[float(t < length) for t in range(5)] for length in LENGTHS])


def counted(x_bt: Tensor, mask_bt: Tensor) -> list[float]:
    """The numbers at the tokens that count, row by row."""
    return [
        float(x)
        for row, keep in zip(x_bt, mask_bt, strict=True)
        for x, k in zip(row, keep, strict=True)
        if k
    ]


def built(spec: TrainSpec, base: Path, out: Path) -> PPOTrainer:
    quiet()
    trainer = trainer_of(setup_of(spec, base, out))
    assert isinstance(trainer, PPOTrainer)
    return trainer


# --- the sums, by hand ---


def by_hand(
    rewards: list[float], values: list[float], gamma: float, lam: float
) -> tuple[list[float], list[float]]:
    """Advantages as the sum over what is ahead of (gamma lam)^l delta, and the returns."""
    ahead = [*values, 0.0][1:]
    deltas = [r + gamma * w - v for r, v, w in zip(rewards, values, ahead, strict=True)]
    found = [
        sum((gamma * lam) ** i * delta for i, delta in enumerate(deltas[t:]))
        for t in range(len(deltas))
    ]
    return found, [a + v for a, v in zip(found, values, strict=True)]


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.8), (1.0, 1.0), (0.9, 0.0)])
def test_advantages_and_returns(gamma: float, lam: float) -> None:
    rewards, values = tokens(0), tokens(1)
    found, returns = gae.advantages(rewards * mask(), values, mask(), gamma, lam)
    for row, length in enumerate(LENGTHS):
        expected = by_hand(
            rewards[row, :length].tolist(), values[row, :length].tolist(), gamma, lam
        )
        for x, want in zip((found, returns), expected, strict=True):
            assert x[row, :length].tolist() == pytest.approx(want, abs=1e-5)
            assert not x[row, length:].any()


def test_full_lambda_returns_what_is_ahead() -> None:
    rewards = tokens(0) * mask()
    _, returns = gae.advantages(rewards, tokens(1), mask(), 1.0, 1.0)
    assert torch.allclose(returns, rewards.flip(1).cumsum(1).flip(1) * mask(), atol=1e-5)


def test_outcome_comes_at_the_last_token_and_each_pays_its_divergence() -> None:
    outcome, kl = torch.tensor([1.0, 0.0, 2.0, 9.0]), tokens(0)
    found = gae.token_rewards(outcome, kl, 0.1, mask())
    for row, length in enumerate(LENGTHS):
        for t in range(5):
            earned = float(outcome[row]) * (t == length - 1) - 0.1 * float(kl[row, t])
            assert float(found[row, t]) == pytest.approx(earned if t < length else 0.0, abs=1e-6)


@pytest.mark.parametrize("shift", [True, False])
def test_whitening_is_over_the_tokens_that_count(shift: bool) -> None:
    x = 3 * tokens(0) + 5
    found = counted(gae.whiten(x, mask(), lambda total: total, shift), mask())
    plain = counted(x, mask())
    mean = sum(plain) / len(plain)
    deviation = (sum((v - mean) ** 2 for v in plain) / len(plain)) ** 0.5
    expected = [(v - mean) / deviation + (0.0 if shift else mean) for v in plain]
    assert found == pytest.approx(expected, abs=1e-5)


def test_value_loss_is_clipped() -> None:
    values, old = tokens(0), tokens(1)
    returns = 0.8 * values + 0.2 * tokens(2)
    errors, cut = [], 0
    for v, o, r in zip(*(counted(x, mask()) for x in (values, old, returns)), strict=True):
        near = min(max(v, o - 0.5), o + 0.5)
        errors.append(max((v - r) ** 2, (near - r) ** 2))
        cut += (near - r) ** 2 > (v - r) ** 2
    assert 0 < cut < len(errors)  # the clip plays a part here
    found = float(gae.value_loss(values, old, returns, mask(), 0.5))
    assert found == pytest.approx(0.5 * sum(errors) / len(errors), abs=1e-6)


def test_explained_variance() -> None:
    returns = tokens(0)
    assert gae.explained_variance(returns + 3, returns, mask()) == pytest.approx(1.0)
    assert gae.explained_variance(torch.zeros_like(returns), returns, mask()) == pytest.approx(0.0)
    assert gae.explained_variance(returns, torch.ones_like(returns), mask()) == 0.0


# --- the trainer ---


def logps_and_hidden(model: Any, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Of the completions' tokens, from the model's own forward pass, in float64."""
    ids, attention = (
        torch.cat([batch[f"prompt_{kind}"], batch[f"completion_{kind}"]], dim=1)
        for kind in ("ids", "mask")
    )
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=attention, output_hidden_states=True)
    start = batch["prompt_ids"].shape[1]
    logps = out.logits[:, start - 1 : -1].double().log_softmax(-1)
    completion = batch["completion_ids"].unsqueeze(-1)
    return logps.gather(-1, completion).squeeze(-1), out.hidden_states[-1][:, start - 1 : -1]


def shaken(trainer: PPOTrainer, size: float) -> None:
    """Move the policy and the critic, so that ratios, divergence and values are not trivial."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in [*trainer.model.parameters(), *trainer.critic.parameters()]:
            weights += size * torch.randn(weights.shape, generator=rng)


@pytest.fixture(scope="module")
def scored(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[PPOTrainer, Any]:
    """A trainer that has drifted off its base, and a batch with whatever it makes of it."""
    options = {"beta": 0.3, "gamma": 0.9, "lam": 0.7, "epsilon": 0.1, "cliprange_value": 0.05}
    trainer = built(changed(PPO, options), base, tmp_path_factory.mktemp("scored"))
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    shaken(trainer, 0.1)
    rows = [trainer.train_dataset[place] for place in range(64)]
    return trainer, trainer._generate_and_score_completions(rows)


def test_batch_holds_the_published_advantages(scored: tuple[PPOTrainer, Any], base: Path) -> None:
    trainer, batch = scored
    reference = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    logps, hidden = logps_and_hidden(trainer.model, batch)
    kl = logps - logps_and_hidden(reference, batch)[0]
    values = trainer.critic(hidden).squeeze(-1).double()
    keep, found = batch["completion_mask"], []
    assert trainer._outcomes is not None and 0 < trainer._outcomes.sum() < 64
    for row, outcome in enumerate(trainer._outcomes.tolist()):
        length = int(keep[row].sum())
        rewards = [-0.3 * x for x in kl[row, :length].tolist()]
        rewards[-1] += outcome
        each, returns = by_hand(rewards, values[row, :length].tolist(), 0.9, 0.7)
        assert batch["returns"][row, :length].tolist() == pytest.approx(returns, abs=1e-4)
        found += each
    whole = torch.tensor(found, dtype=torch.float64)
    white = (whole - whole.mean()) / whole.std(correction=0)
    assert counted(batch["advantages"], keep) == pytest.approx(white.tolist(), abs=1e-3)
    assert trainer._metrics["train"]["kl"][-1] == pytest.approx(
        sum(counted(kl, keep)) / int(keep.sum()), abs=1e-5
    )


def test_loss_is_the_published_one(scored: tuple[PPOTrainer, Any]) -> None:
    trainer, batch = scored
    shaken(trainer, 0.03)
    logps, hidden = logps_and_hidden(trainer.model, batch)
    keep, policy, clipped = batch["completion_mask"], [], 0
    old, found = (counted(batch[key], keep) for key in ("old_per_token_logps", "advantages"))
    for logp, before, advantage in zip(counted(logps, keep), old, found, strict=True):
        ratio = float(torch.tensor(logp - before).exp())
        near = min(max(ratio, 0.9), 1.1)
        policy.append(-min(ratio * advantage, near * advantage))
        clipped += near * advantage < ratio * advantage
    assert clipped
    values = trainer.critic(hidden).squeeze(-1)
    error = gae.value_loss(values, batch["values"], batch["returns"], keep, 0.05)
    expected = sum(policy) / len(policy) + 0.1 * float(error.detach())
    loss = trainer._compute_loss(trainer.model, batch)
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-4)


def test_critic_does_not_move_the_policy(scored: tuple[PPOTrainer, Any]) -> None:
    trainer, batch = scored
    nothing = {**batch, "advantages": torch.zeros_like(batch["advantages"])}
    trainer.model.zero_grad()
    trainer._compute_loss(trainer.model, nothing).backward()
    assert all(p.grad is None or not p.grad.any() for p in trainer.model.parameters())
    assert trainer.critic.weight.grad is not None and trainer.critic.weight.grad.any()


def test_on_policy_too(base: Path, tmp_path: Path) -> None:
    once = {"steps_per_generation": 1, "num_iterations": 1, "beta": 0.1, "whiten_rewards": True}
    train(changed(PPO, once, steps=2), base, tmp_path)
    assert all(0 <= float(row["reward"]) <= 1 for row in table(tmp_path))


def test_questions_are_asked_once(base: Path, tmp_path: Path) -> None:
    trainer = built(PPO, base, tmp_path)
    assert len(trainer.train_dataset) == 2 * 64  # two batches of completions for five steps
    sampled = list(trainer._get_train_sampler())
    assert sampled[:64] == list(range(64))


def logged(trainer: PPOTrainer, name: str) -> list[float]:
    """A metric over the batches of completions of a run."""
    trainer.train()
    return [row[name] for row in trainer.state.log_history if name in row]


def test_policy_learns_what_is_rewarded(base: Path, tmp_path: Path) -> None:
    options = {"per_device_train_batch_size": 64}
    trainer = built(changed(PPO, options, steps=28, learning_rate=2e-3), base, tmp_path)
    rewards = logged(trainer, "reward")
    assert 0 < sum(rewards[:2]) / 2 < sum(rewards[-2:]) / 2 - 0.15


def test_critic_learns_what_is_ahead(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first of two tokens decides: nothing is known before it, and everything after it. So no
    # critic explains more than half; this one is on its way there.
    def digit(completion: str, question: Question) -> bool:
        return completion[:1].isdigit()

    problem = SimpleNamespace(**{**vars(EASY), "is_correct": digit})
    monkeypatch.setitem(PROBLEMS, "addition", problem)
    options = {"max_completion_length": 2, "value_learning_rate": 3e-2}
    options |= {"per_device_train_batch_size": 64}
    trainer = built(changed(PPO, options, steps=40, learning_rate=1e-8), base, tmp_path)
    explained = logged(trainer, "explained_variance")
    assert explained[0] == pytest.approx(0.0, abs=1e-6)  # a critic that knows nothing
    assert sum(explained[-3:]) / 3 > 0.05


def test_checkpoint_is_a_model_like_its_base(base: Path, tmp_path: Path) -> None:
    train(PPO, base, tmp_path)
    before, after = (load_file(f / "model.safetensors") for f in (base, tmp_path / "step-5"))
    assert before.keys() == after.keys()
    assert {p.name for p in (tmp_path / "step-5").iterdir()} == {p.name for p in base.iterdir()}


@pytest.mark.parametrize("options", [{}, {"beta": 0.1}], ids=["plain", "kl"])
def test_killed_run_goes_on_exactly(
    options: dict[str, Any], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    # Completions serve four optimizer steps, so that only every fourth step has none left over.
    spec = changed(PPO, options, steps=7, save_every=1)
    goes_on_exactly(spec, 4, base, tmp_path, monkeypatch, capsys)


def test_critic_is_stored_with_the_state(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at(5, monkeypatch, changed(PPO, save_every=1, steps=7), base, tmp_path)
    (state,) = (tmp_path / ".resume").glob("checkpoint-*")
    critic = load_file(state / "critic.safetensors")
    assert critic["weight"].any()
    assert json.loads((state / "trainer_state.json").read_text())["global_step"] == 4


def test_ppo_is_no_other_algorithm(base: Path, tmp_path: Path) -> None:
    specs = {
        "ppo": PPO,
        "grpo": changed(PPO, {"num_generations": 4}, algorithm="grpo"),
        "reinforce++": changed(PPO, algorithm="reinforce++"),
        "blind": changed(PPO, {"value_learning_rate": 0.0}),
    }
    for name, spec in specs.items():
        train(changed(spec, steps=5, save_every=5), base, tmp_path / name)
    assert len({digest(tmp_path / name / "step-5") for name in specs}) == len(specs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cliprange_values": 0.1}, "unknown option 'cliprange_values'.*'cliprange_value'"),
        (
            {"scale_rewards": "none"},
            "PPOConfig refuses them: found 'scale_rewards', of which PPO makes no use",
        ),
        ({"gamma": 1.5}, "PPOConfig refuses them: found gamma 1.5, expected 0 to 1"),
    ],
)
def test_bad_options_are_refused(
    options: dict[str, Any], message: str, base: Path, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match=message):
        train(changed(PPO, options), base, tmp_path)
    assert list(tmp_path.iterdir()) == []
