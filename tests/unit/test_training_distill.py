"""Distillation: whose answers are learned, which divergence shrinks, which teachers are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from alpharl.errors import StudyError
from alpharl.training.distill import distill_trainer, on_policy_distill_trainer
from alpharl.training.pretrain import pretrain
from alpharl.training.recipe import Lora
from alpharl.training.sft import sft_trainer
from alpharl.training.spec import PretrainSpec, TrainSpec
from alpharl.training.tokenizer import IGNORED
from alpharl.training.train import train
from pydantic import ValidationError
from safetensors.torch import load_file
from tests.unit.setups import logps, setup_of
from tests.unit.trainees import (
    SHAPE,
    base,
    changed,
    goes_on_exactly,
    lenient,
    one_thread,
    table,
    weights,
)
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

__all__ = ["base", "lenient", "one_thread"]

DISTILL = TrainSpec(
    algorithm="distill", teacher="teacher", steps=5, save_every=2, learning_rate=1e-3,
    args={"per_device_train_batch_size": 8, "warmup_steps": 0},
)  # fmt: skip
ON_POLICY = changed(DISTILL, algorithm="on-policy-distill")
SFT = changed(DISTILL, algorithm="sft", teacher=None)
BOTH = pytest.mark.parametrize("spec", [DISTILL, ON_POLICY], ids=["off-policy", "on-policy"])


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the base's shape that was taught otherwise."""
    folder = tmp_path_factory.mktemp("teacher") / "teacher"
    spec = PretrainSpec(model=SHAPE, steps=40, batch_size=16, learning_rate=1e-2, seed=1)
    pretrain(spec, folder)
    return folder


def likely(folder: Path, prompt: list[int], completion: list[int]) -> float:
    """Mean log-probability of a completion's tokens."""
    places = torch.tensor(completion)[:, None]
    return float(logps(folder, prompt, completion).gather(1, places).mean())


def test_student_imitates_what_the_teacher_samples(
    base: Path, teacher: Path, tmp_path: Path
) -> None:
    setup = setup_of(DISTILL, base, tmp_path, teacher)
    rows = list(distill_trainer(setup)[0].train_dataset)
    assert [
        [token for token, label in zip(row["input_ids"], row["labels"], strict=True)
         if label == IGNORED]
        for row in rows
    ] == [setup.asking.ids(place) for place in setup.asking.draw(0, 5 * 8)]  # fmt: skip
    taught = [[label for label in row["labels"] if label != IGNORED] for row in rows]
    assert all(1 <= len(ids) <= 6 for ids in taught)
    # They are the teacher's: it finds them likelier than the base does.
    gains = [
        likely(teacher, row["input_ids"][: -len(ids)], ids)
        - likely(base, row["input_ids"][: -len(ids)], ids)
        for row, ids in zip(rows, taught, strict=True)
    ]
    assert sum(gains) / len(gains) > 0.3


@BOTH
def test_student_comes_closer_to_the_teacher(
    spec: TrainSpec, base: Path, teacher: Path, tmp_path: Path
) -> None:
    batch = {"per_device_train_batch_size": 32}
    train(changed(spec, batch, steps=20, learning_rate=3e-3), base, tmp_path, teacher=teacher)
    setup = setup_of(spec, base, tmp_path, teacher)

    def divergence(student: Path) -> float:
        """Forward KL from teacher to student at the first token of answers."""
        models = [AutoModelForCausalLM.from_pretrained(folder) for folder in (teacher, student)]
        pairs = [[logps(m, setup.asking.ids(i), [0]) for m in models] for i in range(20)]
        return float(sum((t.exp() * (t - s)).sum() for t, s in pairs)) / len(pairs)

    assert divergence(tmp_path / "step-20") < 0.5 * divergence(base)


@pytest.mark.parametrize("beta", [1.0, 0.0], ids=["reverse", "forward"])
def test_divergence_runs_in_the_stated_direction(
    beta: float, base: Path, teacher: Path, tmp_path: Path
) -> None:
    spec = ON_POLICY if beta == 1.0 else changed(ON_POLICY, {"beta": beta})
    trainer, _ = on_policy_distill_trainer(setup_of(spec, base, tmp_path, teacher))
    trainer.model.train()
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    found = float(trainer.compute_loss(trainer.model, batch))
    terms: list[Tensor] = []
    for i in range(len(batch["prompt_ids"])):
        prompt, rest = (
            batch[f"{part}_ids"][i][batch[f"{part}_mask"][i].bool()].tolist()
            for part in ("prompt", "completion")
        )
        student, taught = logps(base, prompt, rest), logps(teacher, prompt, rest)
        weight = student.exp() if beta else -taught.exp()
        terms.append((weight * (student - taught)).sum(-1))
    expected = float(torch.cat(terms).mean())
    assert expected > 0.05
    assert abs(found - expected) < 1e-5


def test_prompts_come_in_order(base: Path, teacher: Path, tmp_path: Path) -> None:
    setup = setup_of(ON_POLICY, base, tmp_path, teacher)
    trainer, _ = on_policy_distill_trainer(setup)
    asked = [row["prompt"] for batch in trainer.get_train_dataloader() for row in batch]
    assert asked == [setup.asking.prompt(place) for place in setup.asking.draw(0, 5 * 8)]


def test_table_says_how_it_went(base: Path, teacher: Path, tmp_path: Path) -> None:
    train(ON_POLICY, base, tmp_path, teacher=teacher)
    rows = table(tmp_path)
    assert len(rows) == 5
    assert all(float(row["loss"]) > 0 and float(row["entropy"]) > 0 for row in rows)
    assert all(1 <= float(row["completion_length"]) <= 6 for row in rows)
    assert {row["reward"] for row in rows} == {""}


@BOTH
def test_teacher_of_another_tokenizer_is_refused(
    spec: TrainSpec, base: Path, teacher: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(teacher, tmp_path / "other"))
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.add_tokens(["<more>"])
    tokenizer.save_pretrained(other)
    out = tmp_path / "out"
    with pytest.raises(StudyError, match=r"another tokenizer in the teacher .*same") as error:
        train(spec, base, out, teacher=other)
    assert "\n" not in str(error.value) and not out.exists()


def test_teacher_of_another_width_is_refused(base: Path, teacher: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(teacher)
    model.resize_token_embeddings(80)
    model.save_pretrained(tmp_path / "wide")
    AutoTokenizer.from_pretrained(teacher).save_pretrained(tmp_path / "wide")
    out = tmp_path / "out"
    with pytest.raises(StudyError, match=r"found 80 logits of the teacher .*expected 64"):
        train(ON_POLICY, base, out, teacher=tmp_path / "wide")
    train(changed(DISTILL, steps=1), base, out, teacher=tmp_path / "wide")
    assert (out / "step-1").is_dir()


def test_teacher_is_named_by_the_recipe_alone(base: Path, teacher: Path, tmp_path: Path) -> None:
    spec = changed(ON_POLICY, {"teacher_model_name_or_path": "other"})
    with pytest.raises(StudyError, match="use 'teacher' of the run"):
        train(spec, base, tmp_path, teacher=teacher)


def test_recipes_name_a_teacher_where_one_is_needed() -> None:
    with pytest.raises(ValidationError, match="no teacher"):
        TrainSpec(algorithm="distill")
    with pytest.raises(ValidationError, match="learns from none"):
        TrainSpec(algorithm="sft", teacher="run")


@pytest.mark.parametrize(
    "spec",
    [
        DISTILL,
        changed(DISTILL, lora=Lora(rank=4, dropout=0.1)),
        ON_POLICY,
        changed(ON_POLICY, {"gradient_accumulation_steps": 2}, optimizer="sgd"),
        changed(ON_POLICY, lora=Lora(rank=4, dropout=0.1)),
    ],
    ids=["distill", "distill-lora", "on-policy", "on-policy-sgd", "on-policy-lora"],
)
def test_killed_run_goes_on_exactly(
    spec: TrainSpec, base: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    goes_on_exactly(spec, 2, base, tmp_path, monkeypatch, capsys, teacher)


@BOTH
def test_checkpoints_hold_what_the_base_holds(
    spec: TrainSpec, base: Path, teacher: Path, tmp_path: Path
) -> None:
    train(changed(spec, steps=1), base, tmp_path, teacher=teacher)
    before, after = (load_file(f / "model.safetensors") for f in (base, tmp_path / "step-1"))
    assert {n: (t.shape, t.dtype) for n, t in before.items()} == {
        n: (t.shape, t.dtype) for n, t in after.items()
    }
    assert (tmp_path / "step-1" / "config.json").read_text() == (base / "config.json").read_text()


# --- supervised fine-tuning in a chat template ---


@pytest.fixture(scope="module")
def chatty(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base with a chat template, and a context that holds the longest solution."""
    folder = Path(shutil.copytree(base, tmp_path_factory.mktemp("chat") / "base"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 256}))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}>"
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "spec", [SFT, DISTILL, ON_POLICY], ids=["sft", "distill", "on-policy-distill"]
)
def test_chat_template_frames_the_question(
    spec: TrainSpec, chatty: Path, teacher: Path, tmp_path: Path
) -> None:
    spec = changed(spec, chat_template=True, steps=1)
    train(spec, chatty, tmp_path / "out", teacher=teacher if spec.teacher else None)
    assert weights(tmp_path / "out" / "step-1") != weights(chatty)
    setup = setup_of(spec, chatty, tmp_path, teacher)
    assert setup.tokenizer.decode(setup.asking.ids(0)) == setup.asking.questions.texts[0] + ">"


def test_solutions_of_generated_problems_are_imitated(chatty: Path, tmp_path: Path) -> None:
    spec = changed(SFT, problem="rg-products", chat_template=True, steps=1)
    setup = setup_of(spec, chatty, tmp_path)
    row = sft_trainer(setup)[0].train_dataset[0]
    place = setup.asking.draw(0, 1)[0]
    taught = [label for label in row["labels"] if label != IGNORED]
    text = setup.tokenizer.decode(taught, skip_special_tokens=True)
    assert taught[-1] == setup.tokenizer.eos_token_id
    assert setup.asking.rewards([place], [text]) == [1.0], json.dumps(text)
