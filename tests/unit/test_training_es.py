"""Evolution strategies: the published update, seeds, a climb, and kills that change nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from alpharl.errors import StudyError
from alpharl.training import es
from alpharl.training.es import Population, es_config, z_scores
from alpharl.training.progress import quiet
from alpharl.training.questions import ProblemQuestions, ask
from alpharl.training.setup import Setup
from alpharl.training.spec import TrainSpec
from alpharl.training.train import train
from safetensors.torch import load_file
from tests.unit.trainees import Killed, base, changed, lenient, one_thread, table
from tests.unit.trainees import weights as digest
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

__all__ = ["base", "lenient", "one_thread"]

ES = TrainSpec(
    algorithm="es", steps=4, save_every=2, learning_rate=5e-3,
    args={"population_size": 4, "sigma": 1e-2, "num_questions": 16},
)  # fmt: skip


@pytest.fixture(scope="module")
def run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("es")
    train(ES, base, out)
    return out


def population(spec: TrainSpec, base: Path, out: Path) -> tuple[Population, Any]:
    quiet()
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    asking = ask(spec, ProblemQuestions("addition", {}), tokenizer)
    setup = Setup(spec, model, tokenizer, asking, base, None, out, out / ".resume")
    return Population(setup, es_config(spec.args)), model


def noise(seed: int, step: int, member: int, i: int, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng([seed, step, member, i])
    return rng.standard_normal(shape, dtype=np.float32).astype(np.float64)


def test_step_is_the_published_update(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewards, seen = [0.25, 0.5, 1.0, 0.0], []

    def score(self: Population, *_: Any) -> tuple[float, float]:
        seen.append([weights.clone() for weights in model.parameters()])
        return rewards[len(seen) - 1], 1.0

    monkeypatch.setattr(Population, "_score", score)
    evolving, model = population(ES, base, tmp_path)
    before = [weights.double().numpy().copy() for weights in model.parameters()]
    evolving.step(3)
    mean = sum(rewards) / 4
    deviation = (sum((r - mean) ** 2 for r in rewards) / 4) ** 0.5
    for i, weights in enumerate(model.parameters()):
        moved = before[i].copy()
        for member, r in enumerate(rewards):
            drawn = noise(0, 3, member, i, tuple(weights.shape))
            moved += 5e-3 / 4 * (r - mean) / deviation * drawn
            assert np.allclose(seen[member][i].double(), before[i] + 1e-2 * drawn, atol=1e-6)
        assert np.allclose(weights.double(), moved, atol=1e-6)
        assert not np.allclose(moved, before[i], atol=1e-4)


def test_nothing_moves_when_all_do_alike(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Population, "_score", lambda *_: (0.5, 1.0))
    evolving, model = population(ES, base, tmp_path)
    before = [weights.clone() for weights in model.parameters()]
    evolving.step(1)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert z_scores(np.array([0.5, 0.5])).tolist() == [0.0, 0.0]


def test_it_climbs_a_quadratic(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = changed(ES, {"population_size": 16, "sigma": 0.02}, steps=40, learning_rate=0.04)
    evolving, model = population(spec, base, tmp_path)
    target = model.model.norm.weight
    evolving._weights = [target]

    def score(*_: Any) -> tuple[float, float]:
        return -float((target - 1.5).square().sum()), 1.0

    before = score()[0]
    monkeypatch.setattr(Population, "_score", score)
    rows = [evolving.step(step) for step in range(1, 41)]
    assert score()[0] > 0.5 * before
    assert rows[-1]["reward"] > rows[0]["reward"]


def greedy(model: Any, ids: list[int], count: int) -> list[int]:
    """Most likely tokens one by one, each by a pass over all before it, up to the ending one."""
    found: list[int] = []
    while len(found) < count and 2 not in found:
        with torch.no_grad():
            logits: Tensor = model(input_ids=torch.tensor([ids + found])).logits
        found.append(int(logits[0, -1].argmax()))
    return found


def test_reward_is_the_share_of_right_greedy_answers(base: Path, tmp_path: Path) -> None:
    evolving, model = population(ES, base, tmp_path)
    asking, places = evolving._setup.asking, list(range(16))
    answers = [greedy(model, asking.ids(place), 6) for place in places]
    texts = [asking.tokenizer.decode(answer, skip_special_tokens=True) for answer in answers]
    share, length = evolving._score(evolving._prompts(places), places)
    assert share == pytest.approx(sum(asking.rewards(places, texts)) / 16)
    assert length == pytest.approx(sum(map(len, answers)) / 16)


def test_prompts_are_padded_on_the_left(base: Path, tmp_path: Path) -> None:
    class Uneven:
        ids = staticmethod(lambda place: [[5, 6, 7], [8]][place])

    evolving, _ = population(ES, base, tmp_path)
    object.__setattr__(evolving._setup, "asking", Uneven)
    prompts = evolving._prompts([0, 1])
    assert prompts["input_ids"].tolist() == [[5, 6, 7], [0, 0, 8]]
    assert prompts["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 1]]


def test_learns_what_is_rewarded(base: Path, tmp_path: Path) -> None:
    options = {"population_size": 16, "sigma": 0.03, "num_questions": 48}
    train(changed(ES, options, steps=10, save_every=10, learning_rate=0.03), base, tmp_path)
    rewards = [float(row["reward"]) for row in table(tmp_path)]
    assert sum(rewards[:3]) / 3 < sum(rewards[-3:]) / 3 - 0.1


def test_run_leaves_what_other_runs_leave(run: Path, base: Path) -> None:
    assert sorted(p.name for p in run.iterdir()) == ["step-2", "step-4", "training.csv"]
    before, after = (load_file(f / "model.safetensors") for f in (base, run / "step-4"))
    assert before.keys() == after.keys()
    rows = table(run)
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert all(0 <= float(row["reward"]) <= 1 for row in rows)
    assert all(0 < float(row["completion_length"]) <= 6 for row in rows)
    assert {row["loss"] for row in rows} == {""}


def test_run_follows_its_seed_alone(run: Path, base: Path, tmp_path: Path) -> None:
    train(changed(ES, save_every=4, steps=5), base, tmp_path / "longer")
    train(changed(ES, seed=1), base, tmp_path / "other")
    assert digest(tmp_path / "longer" / "step-4") == digest(run / "step-4")
    assert digest(tmp_path / "other" / "step-4") != digest(run / "step-4")


def kill_when_saving(
    step: int, spec: TrainSpec, base: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run until the checkpoint of a step would be written."""
    write = es.write_model

    def dying(model: Any, tokenizer: Any, folder: Path) -> None:
        if folder.name == f"step-{step}":
            raise Killed
        write(model, tokenizer, folder)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(es, "write_model", dying)
        train(spec, base, out)


def test_killed_run_goes_on_exactly(
    run: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    kill_when_saving(4, ES, base, tmp_path, monkeypatch)
    capsys.readouterr()
    train(ES, base, tmp_path)
    assert "step 3/" in capsys.readouterr().err.splitlines()[0]
    assert digest(tmp_path / "step-4") == digest(run / "step-4")
    assert [{**row, "seconds": ""} for row in table(tmp_path)] == [
        {**row, "seconds": ""} for row in table(run)
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in run.iterdir())


def test_half_a_line_of_the_table_is_none(
    run: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a full disk leaves it: the `1` of step 10 is no step 1."""
    kill_when_saving(4, ES, base, tmp_path, monkeypatch)
    with (tmp_path / "training.csv").open("a") as file:
        file.write("1")
    train(ES, base, tmp_path)
    assert [row["step"] for row in table(tmp_path)] == [row["step"] for row in table(run)]


@pytest.mark.parametrize("what", ["recipe", "base"])
def test_other_recipe_or_base_starts_over(
    what: str, run: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = changed(ES, seed=1) if what == "recipe" else ES
    other = Path(shutil.copytree(base, tmp_path / "base"))
    if what == "base":
        shutil.copytree(run / "step-4", other, dirs_exist_ok=True)
    kill_when_saving(4, spec, other, tmp_path / "out", monkeypatch)
    train(ES, base, tmp_path / "out")
    assert digest(tmp_path / "out" / "step-2") == digest(run / "step-2")
    assert digest(tmp_path / "out" / "step-4") == digest(run / "step-4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 4}, "unknown key 'population'.*'population_size'"),
        ({"population_size": 1}, "population_size: .*greater than 1"),
        ({"alpha": 0.1}, "unknown key 'alpha'"),
        ({"sigma": -1.0}, "sigma: .*greater than 0"),
    ],
)
def test_bad_options_are_refused_in_one_line(
    options: dict[str, Any], message: str, run: Path, base: Path
) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        train(changed(ES, options), base, run)
    assert "\n" not in str(caught.value)
    assert (run / "step-4").is_dir()  # what an earlier recipe made is kept
