"""Training: what is saved, that a killed run goes on exactly, and that each algorithm is itself."""

from __future__ import annotations

import shutil
import stat
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from alpharl.errors import CheckpointError, StudyError
from alpharl.training.pretrain import pretrain
from alpharl.training.progress import Log
from alpharl.training.spec import ModelShape, PretrainSpec, TrainSpec
from alpharl.training.tokenizer import IGNORED, character_tokenizer, encode
from alpharl.training.train import train
from pydantic import ValidationError
from safetensors.torch import load_file
from tests.unit.trainees import (
    GRPO,
    PRETRAIN,
    Killed,
    base,
    changed,
    goes_on_exactly,
    kill_at,
    lenient,
    one_thread,
    table,
    weights,
)
from transformers import AutoModelForCausalLM, AutoTokenizer

__all__ = ["base", "lenient", "one_thread"]

SFT = TrainSpec(
    algorithm="sft", steps=5, save_every=2, learning_rate=1e-3,
    args={"per_device_train_batch_size": 8, "warmup_steps": 0},
)  # fmt: skip


# --- recipes ---


def test_saved_steps_end_with_the_last_step() -> None:
    assert TrainSpec(steps=120, save_every=6).saved_steps() == list(range(6, 121, 6))
    assert TrainSpec(steps=10, save_every=4).saved_steps() == [4, 8, 10]
    assert TrainSpec(steps=3, save_every=9).saved_steps() == [3]
    assert TrainSpec(steps=9, save_every=9, save_at=[4, 1, 2]).saved_steps() == [1, 2, 4, 9]
    with pytest.raises(ValueError, match=r"save_at \[12\].* which ends at step 9"):
        TrainSpec(steps=9, save_at=[12])


@pytest.mark.parametrize(
    "data",
    [{"algorithm": "pppo"}, {"steps": 0}, {"learning_rate": -1}, {"stepz": 3}],
)
def test_bad_recipes_are_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainSpec.model_validate(data)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValidationError, match="does not split into 3 heads"):
        ModelShape(hidden_size=32, num_attention_heads=3)


def test_every_field_is_documented() -> None:
    for model in (TrainSpec, PretrainSpec, ModelShape):
        assert all(field.description for field in model.model_fields.values())


# --- the base ---


def test_base_loads_as_an_ordinary_model(base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    assert model.config.model_type == "qwen2" and not model.config.tie_word_embeddings
    assert model.dtype == torch.float32
    ids = tokenizer(["07+45=", "1"], return_tensors="pt", padding=True)
    assert ids["input_ids"].tolist() == [[3, 10, 13, 7, 8, 16], [0, 0, 0, 0, 0, 4]]
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    out = model.generate(**ids, max_new_tokens=3, do_sample=False)
    assert tokenizer.decode(out[0], skip_special_tokens=True).startswith("07+45=")


def test_pretraining_follows_its_seed(base: Path, tmp_path: Path) -> None:
    pretrain(PRETRAIN, tmp_path / "again")
    pretrain(PRETRAIN.model_copy(update={"seed": 1}), tmp_path / "other")
    assert weights(tmp_path / "again") == weights(base) != weights(tmp_path / "other")


def test_pretraining_learns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pretrain(PRETRAIN.model_copy(update={"steps": 120, "learning_rate": 1e-2}), tmp_path / "base")
    lines = capsys.readouterr().err.splitlines()
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in lines]
    assert len(losses) == 20
    assert losses[0] > 3.5 and losses[-1] < 2.0  # a uniform guess among 64 tokens costs 4.16


def test_loss_covers_the_completion_and_its_end() -> None:
    tokenizer = character_tokenizer()
    (text,) = encode([{"prompt": "1+2=", "completion": "3"}], tokenizer)
    assert text.ids == [4, 13, 5, 16, 6, 2]
    assert text.labels == [IGNORED] * 4 + [6, 2]


# --- checkpoints ---


@pytest.fixture(scope="module")
def grpo(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("grpo")
    train(GRPO, base, out)
    return out


def test_run_leaves_checkpoints_and_a_table(grpo: Path) -> None:
    assert sorted(p.name for p in grpo.iterdir()) == ["step-2", "step-4", "step-5", "training.csv"]
    assert len({weights(grpo / f"step-{step}") for step in GRPO.saved_steps()}) == 3


def test_checkpoints_can_be_read_by_everyone(grpo: Path) -> None:
    for folder in grpo.glob("step-*"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755
        assert {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {0o644}


def test_checkpoint_is_a_model_folder_like_its_base(grpo: Path, base: Path) -> None:
    assert {p.name for p in (grpo / "step-5").iterdir()} == {p.name for p in base.iterdir()}
    assert (grpo / "step-5" / "config.json").read_text() == (base / "config.json").read_text()
    before, after = (load_file(f / "model.safetensors") for f in (base, grpo / "step-5"))
    assert before.keys() == after.keys()
    assert all(t.dtype == torch.float32 and t.shape == before[n].shape for n, t in after.items())


def test_table_has_a_full_row_per_step(grpo: Path) -> None:
    rows = table(grpo)
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert any(float(row["reward"]) > 0 for row in rows)
    # Without a penalty on it, the divergence from the base is not measured.
    assert all((value == "") == (name == "kl") for row in rows for name, value in row.items())
    assert all(0 <= float(row["reward"]) <= 1 for row in rows)
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds) and seconds[0] > 0


def test_same_recipe_same_run(grpo: Path, base: Path, tmp_path: Path) -> None:
    train(GRPO, base, tmp_path)
    assert weights(tmp_path / "step-5") == weights(grpo / "step-5")


# --- going on after a kill ---


@pytest.mark.parametrize(
    ("spec", "restored"),
    [
        (GRPO, 2),
        (SFT, 2),
        (changed(GRPO, optimizer="sgd"), 2),
        # Completions serve four optimizer steps, so that only step 4 has none left over.
        (changed(GRPO, {"steps_per_generation": 2, "num_iterations": 2}, steps=7, save_every=1), 4),
    ],
    ids=["grpo", "sft", "sgd", "off-policy"],
)
def test_killed_run_goes_on_exactly(
    spec: TrainSpec, restored: int, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    goes_on_exactly(spec, restored, base, tmp_path, monkeypatch, capsys)


def test_state_cut_short_is_not_used(
    grpo: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at(4, monkeypatch, GRPO, base, tmp_path)
    (state,) = (tmp_path / ".resume").glob("checkpoint-*")
    (state / "trainer_state.json").write_text('{"epoch": 0.')
    train(GRPO, base, tmp_path)
    assert weights(tmp_path / "step-5") == weights(grpo / "step-5")


@pytest.mark.parametrize("what", ["recipe", "base"])
def test_other_recipe_or_base_starts_over(
    what: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at(4, monkeypatch, GRPO, base, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    spec = changed(GRPO, seed=3, save_every=3) if what == "recipe" else GRPO
    if what == "base":
        base = Path(shutil.copytree(base, tmp_path.with_name("other-base")))
        pretrain(PRETRAIN.model_copy(update={"seed": 1}), base)
    train(spec, base, tmp_path)
    names = [f"step-{step}" for step in spec.saved_steps()]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", *names, "training.csv"]
    train(spec, base, tmp_path.with_name("fresh"))
    assert weights(tmp_path / "step-5") == weights(tmp_path.with_name("fresh") / "step-5")


# --- algorithms ---


def finals(base: Path, tmp_path: Path, args: dict[str, Any], *algorithms: str) -> list[str]:
    """Digests of the final weights of one short run per algorithm."""
    for algorithm in algorithms:
        spec = changed(GRPO, args, algorithm=algorithm, steps=3, save_every=3)
        train(spec, base, tmp_path / algorithm)
    return [weights(tmp_path / algorithm / "step-3") for algorithm in algorithms]


def test_algorithms_differ_off_policy(base: Path, tmp_path: Path) -> None:
    names = ("grpo", "dr-grpo", "dapo", "gspo")
    assert len(set(finals(base, tmp_path, {"num_iterations": 3}, *names))) == 4


def test_gspo_is_grpo_on_policy(base: Path, tmp_path: Path) -> None:
    finals(base, tmp_path, {}, "grpo", "gspo")
    one, other = (
        load_file(tmp_path / a / "step-3" / "model.safetensors") for a in ("grpo", "gspo")
    )
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)


def test_grpo_learns_what_is_rewarded(base: Path, tmp_path: Path) -> None:
    batch = {"per_device_train_batch_size": 64}
    train(changed(GRPO, batch, steps=15, learning_rate=3e-3), base, tmp_path)
    rewards = [float(row["reward"]) for row in table(tmp_path)]
    assert 0 < sum(rewards[:3]) / 3 < sum(rewards[-3:]) / 3 - 0.2


def test_sft_learns_the_scratchpad(base: Path, tmp_path: Path) -> None:
    train(changed(SFT, {"per_device_train_batch_size": 32}, steps=20), base, tmp_path)
    losses = [float(row["loss"]) for row in table(tmp_path)]
    assert losses[-1] < losses[0] - 0.5
    assert {row["reward"] for row in table(tmp_path)} == {""}


# --- the null ---

WALK = TrainSpec(algorithm="random-walk", steps=5, save_every=2, learning_rate=1e-3)


@pytest.fixture(scope="module")
def walk(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("walk")
    train(WALK, base, out)
    return out


def increments(base: Path, walk: Path) -> dict[str, list[torch.Tensor]]:
    """Per tensor, its way from each saved step to the next, in float64."""
    folders = [base, *(walk / f"step-{step}" for step in WALK.saved_steps())]
    saved = [load_file(folder / "model.safetensors") for folder in folders]
    return {
        name: [
            (late[name].double() - early[name].double()).flatten()
            for early, late in pairwise(saved)
        ]
        for name in saved[0]
    }


def test_walk_takes_steps_of_the_learning_rate(base: Path, walk: Path) -> None:
    for ways in increments(base, walk).values():
        for way, steps in zip(ways, (2, 2, 1), strict=True):
            n, expected = len(way), WALK.learning_rate * steps**0.5
            rms = float(way.square().mean().sqrt())
            assert abs(rms - expected) < 4 * expected / (2 * n) ** 0.5
            assert abs(float(way.mean())) < 4 * expected / n**0.5


def test_walk_goes_nowhere(base: Path, walk: Path) -> None:
    ways = [torch.cat(parts) for parts in zip(*increments(base, walk).values(), strict=True)]
    for one, other in combinations(ways, 2):
        assert abs(float(torch.cosine_similarity(one, other, dim=0))) < 4 / len(one) ** 0.5
    # Nor do two tensors of one shape share their noise.
    queries = [ways for name, ways in increments(base, walk).items() if "q_proj.weight" in name]
    cosine = torch.cosine_similarity(queries[0][0], queries[1][0], dim=0)
    assert abs(float(cosine)) < 4 / len(queries[0][0]) ** 0.5


def test_walk_leaves_what_other_runs_leave(walk: Path, grpo: Path) -> None:
    assert sorted(p.name for p in walk.iterdir()) == sorted(p.name for p in grpo.iterdir())
    assert {p.name for p in (walk / "step-5").iterdir()} == {
        p.name for p in (grpo / "step-5").iterdir()
    }
    assert AutoModelForCausalLM.from_pretrained(walk / "step-5").dtype == torch.float32
    rows = table(walk)
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert {row["learning_rate"] for row in rows} == {"0.001"}
    assert {row[name] for row in rows for name in ("reward", "entropy", "loss")} == {""}


def test_the_table_has_a_column_for_kl_that_is_empty_without_it(tmp_path: Path) -> None:
    log = Log("dapo", 2, tmp_path)
    log.add({"step": 1, "loss": 0.5, "kl": 0.125})
    log.add({"step": 2, "loss": 0.25})
    assert [(row["loss"], row["kl"]) for row in table(tmp_path)] == [("0.5", "0.125"), ("0.25", "")]


def test_walk_follows_its_seed_alone(base: Path, walk: Path, tmp_path: Path) -> None:
    # Other steps are saved on the way, the weights at step 5 stay the same.
    train(changed(WALK, save_every=5, steps=7), base, tmp_path / "longer")
    train(changed(WALK, seed=1), base, tmp_path / "other")
    assert weights(tmp_path / "longer" / "step-5") == weights(walk / "step-5")
    assert weights(tmp_path / "other" / "step-5") != weights(walk / "step-5")


def test_killed_walk_ends_the_same(
    base: Path, walk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise Killed

    train(changed(WALK, seed=1, steps=4), base, tmp_path)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("alpharl.training.random_walk.write_model", killed)
        train(WALK, base, tmp_path)
    assert not list(tmp_path.glob("step-*"))  # those of the other seed are gone
    train(WALK, base, tmp_path)
    for step in WALK.saved_steps():
        assert weights(tmp_path / f"step-{step}") == weights(walk / f"step-{step}")


def test_walk_keeps_tied_tensors_tied(base: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(tmp_path / "tied")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "tied")
    train(WALK, tmp_path / "tied", tmp_path / "walk")
    saved = load_file(tmp_path / "walk" / "step-5" / "model.safetensors")
    assert saved.keys() == load_file(tmp_path / "tied" / "model.safetensors").keys()
    assert "lm_head.weight" not in saved
    walked = AutoModelForCausalLM.from_pretrained(tmp_path / "walk" / "step-5")
    assert walked.lm_head.weight is walked.model.embed_tokens.weight


@pytest.mark.parametrize(
    ("option", "found"),
    [({"args": {"warmup_steps": 0}}, "found args"), ({"optimizer": "sgd"}, "optimizer 'sgd'")],
)
def test_walk_takes_no_trainer_options(option: dict[str, Any], found: str) -> None:
    with pytest.raises(ValidationError, match=f"{found}.* with algorithm 'random-walk'"):
        TrainSpec.model_validate({"algorithm": "random-walk", **option})


# --- options ---


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            changed(GRPO, {"num_generation": 4}),
            r"unknown option 'num_generation'.*'num_generations'",
        ),
        (changed(SFT, {"paking": True}), r"unknown option 'paking' of SFTConfig.*'packing'"),
        (changed(GRPO, {"max_steps": 4}), r"found 'max_steps'.*use 'steps' of the run"),
        (changed(GRPO, {"output_dir": "x"}), r"found 'output_dir', which the run sets itself"),
        (changed(GRPO, {"num_generations": 5}), r"GRPOConfig refuses them: .*divisible"),
    ],
)
def test_bad_options_are_refused_in_one_line(
    spec: TrainSpec, message: str, base: Path, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        train(spec, base, tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_refused_recipe_keeps_what_an_earlier_one_made(base: Path, grpo: Path) -> None:
    with pytest.raises(StudyError):
        train(changed(GRPO, {"nonsense": 1}), base, grpo)
    assert (grpo / "step-5").is_dir()


def test_missing_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint folder"):
        train(GRPO, tmp_path / "nothing", tmp_path / "out")
