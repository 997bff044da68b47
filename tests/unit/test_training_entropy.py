"""Entropy-controlled sampling: which completions take part, and what is left of the loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from alpharl.training.entropy import edges, takes_part
from alpharl.training.progress import quiet
from alpharl.training.recipe import EntropyBand
from alpharl.training.spec import TrainSpec
from tests.unit.setups import setup_of, trainer_of
from tests.unit.trainees import GRPO, base, changed, goes_on_exactly, lenient, one_thread
from torch import Tensor

__all__ = ["base", "lenient", "one_thread"]

BELOW = EntropyBand(low=(50.0, 50.0), high=(60.0, 60.0))
"""The policy's entropy is always below this band."""
ABOVE = EntropyBand(low=(1e-7, 1e-7), high=(1e-6, 1e-6))
RL = ["grpo", "dr-grpo", "dapo", "gspo", "rloo", "reinforce++"]


def test_edges_move_on_a_line() -> None:
    band = EntropyBand(low=(0.6, 0.1), high=(0.7, 0.2))
    assert edges(band, 0, 11) == (0.6, 0.7)
    assert edges(band, 5, 11) == pytest.approx((0.35, 0.45))
    assert edges(band, 10, 11) == pytest.approx((0.1, 0.2))
    assert edges(band, 0, 1) == (0.6, 0.7)


@pytest.mark.parametrize(
    ("entropy", "kept"),
    [(0.15, [False, True, True]), (0.3, [True, True, True]), (0.5, [True, True, False])],
    ids=["too low", "inside", "too high"],
)
def test_completions_that_drive_entropy_away_are_left_out(entropy: float, kept: list[bool]) -> None:
    mask = torch.tensor([[1, 1], [1, 1], [1, 0]])
    by_completion = torch.tensor([1.5, 0.0, -0.5])
    assert takes_part(by_completion, mask, entropy, 0.2, 0.4).tolist() == kept
    # By token: means of 1, 0 and -1; what stands in padding does not count.
    by_token = torch.tensor([[3.0, -1.0], [-2.0, 2.0], [-1.0, 9.0]])
    assert takes_part(by_token, mask, entropy, 0.2, 0.4).tolist() == kept


def built(spec: TrainSpec, base: Path, out: Path) -> Any:
    quiet()
    trainer = trainer_of(setup_of(spec, base, out))
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    return trainer


def gradient(trainer: Any, batch: dict[str, Any]) -> Tensor:
    trainer.model.zero_grad()
    trainer._compute_loss(trainer.model, batch).backward()
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters()])


@pytest.mark.parametrize("algorithm", RL)
def test_loss_is_that_of_the_kept_completions(algorithm: str, base: Path, tmp_path: Path) -> None:
    spec = changed(GRPO, {"steps_per_generation": 1, "num_iterations": 2}, algorithm=algorithm)
    plain = built(spec, base, tmp_path)
    rows = next(iter(plain.get_train_dataloader()))
    torch.manual_seed(3)
    whole = plain._generate_and_score_completions(rows)
    banded = built(changed(spec, entropy=ABOVE), base, tmp_path)
    torch.manual_seed(3)
    found = banded._generate_and_score_completions(rows)
    mask, advantages = whole["completion_mask"], whole["advantages"]
    assert torch.equal(whole["completion_ids"], found["completion_ids"])
    means = advantages if advantages.dim() == 1 else (advantages * mask).sum(1) / mask.sum(1)
    kept = means >= 0
    assert 0 < kept.sum() < len(kept)
    assert torch.equal(found["completion_mask"], mask * kept.unsqueeze(1))
    alone = {name: value[kept] if value.dim() else value for name, value in whole.items()}
    alone["num_items_in_batch"] = alone["completion_mask"].sum()
    expected = gradient(plain, alone)
    assert torch.allclose(
        gradient(banded, found), expected, atol=1e-6 + 1e-4 * expected.abs().max()
    )
    everyone = gradient(plain, whole)
    assert not torch.allclose(everyone, expected, atol=1e-2 * float(expected.abs().max()))
    # What is logged is the entropy of all that was sampled.
    logged = plain._metrics["train"]["entropy"][-1]
    assert banded._metrics["train"]["entropy"] == [pytest.approx(logged, abs=1e-5)]
    assert banded._metrics["train"]["entropy/kept"] == [pytest.approx(float(kept.float().mean()))]


def test_no_completion_left_is_no_update(base: Path, tmp_path: Path) -> None:
    trainer = built(changed(GRPO, entropy=BELOW), base, tmp_path)
    rows = next(iter(trainer.get_train_dataloader()))
    batch = trainer._generate_and_score_completions(rows)
    assert batch["completion_mask"].any() and (batch["advantages"] <= 0).all()
    batch["completion_mask"] = torch.zeros_like(batch["completion_mask"])
    trainer._kept_share = 0.0
    assert not gradient(trainer, batch).any()


@pytest.mark.parametrize("algorithm", ["dapo", "rloo"])
def test_killed_run_goes_on_exactly(
    algorithm: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    band = EntropyBand(low=(3.4, 3.0), high=(3.5, 3.1))
    args = {"steps_per_generation": 2}
    spec = changed(GRPO, args, algorithm=algorithm, entropy=band)
    goes_on_exactly(spec, 2, base, tmp_path, monkeypatch, capsys)
