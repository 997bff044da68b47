"""DPO and online DPO: the pairs, the losses by hand, ties, and that killed runs go on exactly."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from alpharl.errors import StudyError
from alpharl.problems import PROBLEMS
from alpharl.training.dpo import dpo_trainer
from alpharl.training.online_dpo import online_dpo_trainer, preference_loss
from alpharl.training.recipe import Lora
from alpharl.training.sampling import Sampler
from alpharl.training.setup import Setup
from alpharl.training.spec import TrainSpec
from alpharl.training.train import train
from safetensors.torch import load_file
from tests.unit.setups import logps, moved, setup_of
from tests.unit.trainees import (
    EASY,
    base,
    changed,
    goes_on_exactly,
    kill_at,
    lenient,
    one_thread,
    table,
    weights,
)
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

__all__ = ["base", "lenient", "one_thread"]

DPO = TrainSpec(
    algorithm="dpo", steps=5, save_every=2, learning_rate=1e-3,
    args={"per_device_train_batch_size": 8, "num_generations": 4, "warmup_steps": 0},
)  # fmt: skip
ONLINE = TrainSpec(
    algorithm="online-dpo", steps=5, save_every=2, learning_rate=1e-3,
    args={"per_device_train_batch_size": 16, "warmup_steps": 0},
)  # fmt: skip


def graded(monkeypatch: pytest.MonkeyPatch, right: bool) -> None:
    """Let every completion be right, or none."""
    problem = {**vars(EASY), "is_correct": lambda completion, question: right}
    monkeypatch.setitem(PROBLEMS, "addition", SimpleNamespace(**problem))


def texts(setup: Setup, ids: list[int]) -> str:
    return str(setup.tokenizer.decode(ids, skip_special_tokens=True))


# --- pairs ---


def test_pairs_are_right_and_wrong_samples_of_one_question(base: Path, tmp_path: Path) -> None:
    setup = setup_of(DPO, base, tmp_path)
    rows = list(dpo_trainer(setup)[0].train_dataset)
    assert len(rows) == 5 * 8
    places = {tuple(setup.asking.ids(i)): i for i in range(len(setup.asking.questions.texts))}
    for row in rows:
        place = places[tuple(row["prompt_ids"])]
        answers = [texts(setup, row[name]) for name in ("chosen_ids", "rejected_ids")]
        assert setup.asking.rewards([place, place], answers) == [1.0, 0.0]
    # Samples end where they ended: with the end token, or cut short at the problem's budget.
    samples = [row[name] for row in rows for name in ("chosen_ids", "rejected_ids")]
    ended = [ids[-1] == setup.tokenizer.eos_token_id for ids in samples]
    assert set(ended) == {True, False}
    assert all(end or len(ids) == 6 for end, ids in zip(ended, samples, strict=True))
    assert all(setup.tokenizer.eos_token_id not in ids[:-1] for ids in samples)


def test_pairs_follow_the_seed(base: Path, tmp_path: Path) -> None:
    once, again, other = (
        list(dpo_trainer(setup_of(spec, base, tmp_path))[0].train_dataset)
        for spec in (DPO, DPO, changed(DPO, seed=1))
    )
    assert once == again != other


def test_samples_are_the_models_own(base: Path, tmp_path: Path) -> None:
    setup = setup_of(DPO, base, tmp_path)
    options = SimpleNamespace(
        device=torch.device("cpu"), temperature=1.0, max_completion_length=1,
        generation_batch_size=1000,
    )  # fmt: skip
    # A setting of the model's own would forbid most tokens, and is not asked for.
    setup.model.generation_config.repetition_penalty = 50.0
    setup.model.generation_config.top_k = 1
    samples = Sampler(setup, setup.model, options)([7] * 4000)
    found = torch.bincount(torch.tensor(samples).flatten(), minlength=64) / 4000
    expected = logps(base, setup.asking.ids(7), [0])[0].exp()
    assert torch.all(
        (found - expected).abs() < 5 * (expected * (1 - expected) / 4000).sqrt() + 1e-3
    )


def test_pairs_are_used_in_order(base: Path, tmp_path: Path) -> None:
    trainer, _ = dpo_trainer(setup_of(DPO, base, tmp_path))
    rows = list(trainer.train_dataset)
    for start, batch in zip(range(0, 40, 8), trainer.get_train_dataloader(), strict=True):
        for row, ids, mask in zip(
            rows[start : start + 8],
            batch["input_ids"][:8],
            batch["attention_mask"][:8],
            strict=True,
        ):
            assert ids[mask.bool()].tolist() == row["prompt_ids"] + row["chosen_ids"]


@pytest.mark.parametrize("right", [True, False])
def test_base_without_pairs_is_refused(
    right: bool, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graded(monkeypatch, right)
    spec = changed(DPO, {"per_device_train_batch_size": 1}, steps=2)
    with pytest.raises(
        StudyError, match=r"found 0 pairs .* in 32 questions .*expected 2 "
    ) as error:
        train(spec, base, tmp_path)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spec", "args", "message"),
    [
        (DPO, {"num_generations": 1}, "found num_generations 1"),
        (DPO, {"temperature": 0.0}, "found temperature 0.0"),
        (DPO, {"generation_batch_size": 0}, "must be 1 or more"),
        (DPO, {"betta": 1}, "unknown option 'betta' of PairsConfig.*'beta'"),
        (ONLINE, {"max_new_token": 1}, "unknown option .* of OnlineDPOConfig.*'max_new_tokens'"),
        (ONLINE, {"loss_type": "ipo"}, "found 'loss_type', .*leave it out"),
    ],
)
def test_bad_options_are_refused(
    spec: TrainSpec, args: dict[str, Any], message: str, base: Path, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match=message):
        train(changed(spec, args), base, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_killed_run_samples_no_more(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at(1, monkeypatch, DPO, base, tmp_path)  # before a state of the trainer is stored

    def refuse(*_: Any) -> None:
        raise AssertionError("sampled again")

    with monkeypatch.context() as patch:
        patch.setattr(Sampler, "__call__", refuse)
        kill_at(3, monkeypatch, DPO, base, tmp_path)
        with pytest.raises(AssertionError, match="sampled again"):
            train(changed(DPO, seed=1), base, tmp_path)
        train(DPO, base, tmp_path)
    train(DPO, base, tmp_path.with_name("whole"))
    assert weights(tmp_path / "step-5") == weights(tmp_path.with_name("whole") / "step-5")


# --- losses ---


def test_dpo_loss_is_the_published_one(base: Path, tmp_path: Path) -> None:
    setup = setup_of(changed(DPO, {"beta": 0.3}), base, tmp_path)
    trainer, _ = dpo_trainer(setup)
    rows, model = list(trainer.train_dataset)[:8], moved(trainer.model)
    found = float(trainer.compute_loss(model, next(iter(trainer.get_train_dataloader()))))

    def gain(row: dict[str, list[int]], name: str) -> torch.Tensor:
        """Log-ratio of a completion between policy and base."""
        ids = torch.tensor(row[name])[:, None]
        policy, reference = (
            logps(m, row["prompt_ids"], row[name]).gather(1, ids).sum() for m in (model, base)
        )
        return policy - reference

    margins = [gain(row, "chosen_ids") - gain(row, "rejected_ids") for row in rows]
    expected = -torch.nn.functional.logsigmoid(0.3 * torch.stack(margins)).mean()
    assert abs(found - float(expected)) < 1e-5
    assert abs(found - 0.6931) > 0.01  # which any loss gives where policy and base agree


def test_online_loss_is_the_published_one_without_ties() -> None:
    policy = torch.tensor([-1.0, -2.0, -3.0, -4.0, -4.5, -1.5], dtype=torch.float64)
    reference = torch.tensor([-2.0, -2.5, -1.0, -3.0, -4.0, -2.0], dtype=torch.float64)
    policy.requires_grad_()
    rewards = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 1.0])  # the third question is a tie
    loss = preference_loss(policy, reference, rewards, beta=0.5)
    first = 0.5 * ((-1.0 + 2.0) - (-4.0 + 3.0))  # the first completion is the right one
    second = 0.5 * ((-4.5 + 4.0) - (-2.0 + 2.5))
    expected = -(torch.tensor([first, second]).sigmoid().log().sum()) / 3
    assert abs(float(loss.detach()) - float(expected)) < 1e-6
    loss.backward()
    slopes = policy.grad
    assert slopes is not None
    assert slopes[[2, 5]].tolist() == [0.0, 0.0]
    assert slopes[0] < 0 < slopes[3] and slopes[4] < 0 < slopes[1]


@pytest.mark.parametrize("right", [True, False])
def test_ties_teach_nothing(
    right: bool, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graded(monkeypatch, right)
    train(changed(ONLINE, steps=2), base, tmp_path)
    one, other = (load_file(f / "model.safetensors") for f in (base, tmp_path / "step-2"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert {float(row["reward"]) for row in table(tmp_path)} == {float(right)}


def test_accumulated_batches_are_averaged(base: Path, tmp_path: Path) -> None:
    trainer, _ = online_dpo_trainer(setup_of(ONLINE, base, tmp_path))
    batches = list(trainer.get_train_dataloader())[:2]

    def gradient(*chosen: int) -> torch.Tensor:
        """Of a step that accumulates these batches, each with samples of its own."""
        trainer.model.zero_grad()
        trainer.current_gradient_accumulation_steps = len(chosen)
        for i in chosen:
            torch.manual_seed(i)
            trainer.training_step(trainer.model, batches[i])
        return torch.cat([p.grad.flatten() for p in trainer.model.parameters()])

    first, second, both = gradient(0), gradient(1), gradient(0, 1)
    assert float(both.norm()) > 0
    assert torch.allclose(both, (first + second) / 2, atol=1e-6)


def test_online_run_reports_what_it_did(base: Path, tmp_path: Path) -> None:
    train(ONLINE, base, tmp_path)
    rows = table(tmp_path)
    assert all(0 <= float(row["reward"]) <= 1 for row in rows)
    assert any(0 < float(row["reward"]) < 1 for row in rows)
    assert all(1 <= float(row["completion_length"]) <= 6 for row in rows)
    # The base is close to guessing among its 64 tokens, far from it among sums over padding.
    assert all(1 < float(row["entropy"]) < 4.2 for row in rows)


@pytest.mark.parametrize("start", ["", "<bos>"])
def test_online_prompts_are_tokenized_as_elsewhere(start: str, base: Path, tmp_path: Path) -> None:
    setup = setup_of(ONLINE, base, tmp_path)
    if start:
        bos = setup.tokenizer.bos_token
        setup.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, setup.tokenizer.bos_token_id)]
        )
    assert (setup.asking.ids(0)[0] == setup.tokenizer.bos_token_id) == bool(start)
    trainer, _ = online_dpo_trainer(setup)
    batch = next(iter(trainer.get_train_dataloader()))
    ids, mask, *_ = trainer._generate(trainer.model, batch["prompt"])
    for row, kept, place in zip(ids, mask, 2 * batch["index"], strict=True):
        assert row[kept.bool()].tolist() == setup.asking.ids(place)


def test_chat_template_is_used_by_both(base: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}>"
    setup = setup_of(DPO, base, tmp_path)
    setup.model.save_pretrained(tmp_path / "chat")
    tokenizer.save_pretrained(tmp_path / "chat")
    for spec in (DPO, ONLINE):
        spec = changed(spec, chat_template=True, steps=1)
        setup = setup_of(spec, tmp_path / "chat", tmp_path / spec.algorithm)
        assert texts(setup, setup.asking.ids(0)) == setup.asking.questions.texts[0] + ">"
        train(spec, tmp_path / "chat", tmp_path / spec.algorithm)
        assert weights(tmp_path / spec.algorithm / "step-1") != weights(base)
    trainer, _ = online_dpo_trainer(setup)
    batch = next(iter(trainer.get_train_dataloader()))
    ids, mask, *_ = trainer._generate(trainer.model, batch["prompt"])
    assert ids[0][mask[0].bool()].tolist() == setup.asking.ids(batch["index"][0])


# --- runs ---


@pytest.mark.parametrize(
    "spec",
    [
        DPO,
        changed(DPO, {"gradient_accumulation_steps": 2}, optimizer="sgd"),
        changed(DPO, lora=Lora(rank=4, dropout=0.1)),
        ONLINE,
        changed(ONLINE, {"gradient_accumulation_steps": 2}, optimizer="sgd"),
        changed(ONLINE, lora=Lora(rank=4, dropout=0.1)),
    ],
    ids=["dpo", "dpo-sgd", "dpo-lora", "online", "online-sgd", "online-lora"],
)
def test_killed_run_goes_on_exactly(
    spec: TrainSpec, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    goes_on_exactly(spec, 2, base, tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("spec", [DPO, ONLINE], ids=["dpo", "online"])
def test_checkpoints_hold_what_the_base_holds(spec: TrainSpec, base: Path, tmp_path: Path) -> None:
    train(changed(spec, steps=1), base, tmp_path)
    before, after = (load_file(f / "model.safetensors") for f in (base, tmp_path / "step-1"))
    assert {n: (t.shape, t.dtype) for n, t in before.items()} == {
        n: (t.shape, t.dtype) for n, t in after.items()
    }
    assert (tmp_path / "step-1" / "config.json").read_text() == (base / "config.json").read_text()


def test_online_learns_what_is_rewarded(base: Path, tmp_path: Path) -> None:
    batch = {"per_device_train_batch_size": 32}
    train(changed(ONLINE, batch, steps=15, learning_rate=3e-3), base, tmp_path)
    rewards = [float(row["reward"]) for row in table(tmp_path)]
    assert 0 < sum(rewards[:3]) / 3 < sum(rewards[-3:]) / 3 - 0.15
