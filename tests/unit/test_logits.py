"""`logits-extrapolation`: two tiny random models decoded together, against decoding by hand."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from alpharl.checkpoints.manifest import KnownDigests
from alpharl.evaluation.engines.engine import Decoding, Prompt
from alpharl.evaluation.engines.hf import HfEngine
from alpharl.evaluation.engines.mixed_logits import MixedLogits
from alpharl.forecasting.contract import LogitsLine, Window, norm_ratio
from alpharl.forecasting.registry import METHODS
from alpharl.training.tokenizer import VOCABULARY_SIZE, character_tokenizer
from alpharl.variants.store import read_variant, write_variant
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LogitsProcessorList,
    Qwen2Config,
    Qwen2ForCausalLM,
)

PROMPTS = ["12+34=", "7+8=", "1+1=2,99+100=", "5", "40-2=", "(3*4)%5="]
NEW = 12
EOS = 2


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and checkpoints `step-10`, `step-20`, `step-40` of a random Qwen2."""
    folder = tmp_path_factory.mktemp("pair")
    config = Qwen2Config(
        vocab_size=VOCABULARY_SIZE, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False,
        initializer_range=0.3, bos_token_id=1, eos_token_id=EOS, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config)
    for step in (0, 10, 20, 40):
        out = folder / (f"run/step-{step}" if step else "base")
        model.save_pretrained(out)
        character_tokenizer().save_pretrained(out)
        with torch.no_grad():
            for weights in model.parameters():
                weights += 0.1 * torch.randn_like(weights)
    return folder


def load(folder: Path, dtype: torch.dtype = torch.float32):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


@pytest.fixture(scope="module")
def ends(run: Path) -> tuple:
    """The models of steps 10 and 40 in float64."""
    return tuple(load(run / f"run/step-{step}", torch.float64) for step in (10, 40))


def by_hand(ends: tuple, beta: float, prompt: str, penalty: float = 1.0) -> list[int]:
    """Tokens of one answer up to its end: one prompt at a time, no cache, no padding."""
    tokens = character_tokenizer().encode(prompt, add_special_tokens=False)
    found: list[int] = []
    while len(found) < NEW and EOS not in found:
        given = torch.tensor([tokens + found])
        with torch.no_grad():
            l_a, l_b = (model(given).logits[0, -1] for model in ends)
        mixed = l_a + beta * (l_b - l_a)
        for token in {*tokens, *found} if penalty != 1 else ():
            mixed[token] = mixed[token] * penalty if mixed[token] < 0 else mixed[token] / penalty
        found.append(int(mixed.argmax()))
    return found


def write_line(run: Path, out: Path, a: int = 10, b: int = 40, beta: float = 1.7) -> Path:
    checkpoints = {step: run / f"run/step-{step}" for step in (10, 20, 40)}
    meta = {"kind": "forecast", "logits": asdict(LogitsLine(a, b, beta))}
    write_variant(out, run / "base", checkpoints, meta)
    return out


def answers(engine: HfEngine, source: object) -> list[str]:
    """What the engine's model answers to the prompts."""
    tokens = [character_tokenizer().encode(text, add_special_tokens=False) for text in PROMPTS]
    with engine.model(source) as generate:
        found = dict(generate([Prompt(tuple(t), NEW, 0) for t in tokens], Decoding()))
    return [found[i].text for i in range(len(PROMPTS))]


def shown(tokens: list[int]) -> str:
    """Tokens as a grader reads them: without special ones."""
    return character_tokenizer().decode([t for t in tokens if t != EOS], skip_special_tokens=True)


# --- decoding ---


def generated(ends: tuple, beta: float) -> list[list[int]]:
    """Answers by `generate`, in a batch that is padded on the left, with both caches."""
    batch = character_tokenizer()(PROMPTS, padding=True, return_tensors="pt")
    assert (batch["attention_mask"] == 0).any()
    found = ends[1].generate(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], do_sample=False,
        max_new_tokens=NEW, logits_processor=LogitsProcessorList(
            [MixedLogits(ends[0], beta, batch["attention_mask"])]
        ),
    )  # fmt: skip
    rows: list[list[int]] = found[:, batch["input_ids"].shape[1] :].tolist()
    return [row[: row.index(EOS) + 1] if EOS in row else row for row in rows]


@pytest.mark.parametrize("beta", [-0.6, 0.0, 0.4, 1.0, 2.5])
def test_generated_tokens_equal_decoding_by_hand(run, ends, beta):
    """In float32, against float64."""
    found = generated(tuple(load(run / f"run/step-{step}") for step in (10, 40)), beta)
    assert found == [by_hand(ends, beta, prompt) for prompt in PROMPTS]


def test_padding_does_not_count_as_a_position():
    """A Qwen2 knows distances between tokens only; a GPT-2 knows where each stands."""
    config = GPT2Config(
        vocab_size=VOCABULARY_SIZE, n_embd=32, n_layer=2, n_head=4, n_positions=64,
        initializer_range=0.5, bos_token_id=1, eos_token_id=EOS, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    models = tuple(GPT2LMHeadModel(config).double().eval() for _ in range(2))
    assert generated(models, 1.7) == [by_hand(models, 1.7, prompt) for prompt in PROMPTS]


@pytest.mark.parametrize("batch_size", [2, 6])
def test_engine_scores_the_line(run, ends, tmp_path, batch_size):
    """Several batches: each starts with a new cache."""
    engine = HfEngine(run / "base", "float32", batch_size)
    found = answers(engine, read_variant(write_line(run, tmp_path / "v")))
    assert found == [shown(by_hand(ends, 1.7, prompt)) for prompt in PROMPTS]
    alone = [answers(engine, run / f"run/step-{step}") for step in (10, 40)]
    assert found not in alone
    for beta, expected in enumerate(alone):
        line = write_line(run, tmp_path / "end", beta=float(beta))
        assert answers(engine, read_variant(line)) == expected


def test_a_models_own_decoding_settings_do_not_count(run, ends, tmp_path):
    """How answers are decoded is the suite's business, the same for all models."""
    moved = tmp_path / "moved"
    for folder in (run / "run").iterdir():
        model = load(folder)
        model.generation_config.repetition_penalty = 1.5
        model.save_pretrained(moved / "run" / folder.name)
    load(run / "base").save_pretrained(moved / "base")
    character_tokenizer().save_pretrained(moved / "base")
    engine = HfEngine(moved / "base", "float32", len(PROMPTS))
    found = answers(engine, read_variant(write_line(moved, tmp_path / "v")))
    assert found == [shown(by_hand(ends, 1.7, prompt)) for prompt in PROMPTS]
    assert found != [shown(by_hand(ends, 1.7, prompt, penalty=1.5)) for prompt in PROMPTS]


# --- the forecast, and what can be done with it ---


@pytest.mark.parametrize(("given", "first"), [({}, 20), ({"first": 10}, 10)])
def test_forecast_is_a_line_through_two_steps(given, first):
    window = Window([10, 20, 40], 100, ["w"])
    found = METHODS["logits-extrapolation"](**given).forecast(window)
    beta = (100 - first) / (40 - first)
    assert found.logits == LogitsLine(first, 40, pytest.approx(beta))
    assert (found.blend, found.adapter, norm_ratio(window, found)) == ({}, {}, None)


@pytest.fixture
def made(run, tmp_path, cli) -> list[object]:
    """Arguments of the verb that makes one, but for where."""
    return ["forecast", "--base", run / "base", "--checkpoints", f"{run}/run/step-{{step}}",
            "--through", 40, "--target-step", 100, "--method", "logits-extrapolation",
            "--out"]  # fmt: skip


def test_verb_writes_which_models_and_beta(made, tmp_path, cli):
    shown = json.loads(cli(*made, tmp_path / "v", "--json").out)
    assert shown["logits"] == {"a": 20, "b": 40, "beta": 4.0}
    assert [path.name for path in (tmp_path / "v").iterdir()] == ["variant.json"]
    assert read_variant(tmp_path / "v").logits == LogitsLine(20, 40, 4.0)


def test_there_is_no_model_to_export(made, tmp_path, cli):
    assert cli(*made, tmp_path / "v").status == 0
    for result in (cli("export", tmp_path / "v", "--out", tmp_path / "m"),
                   cli(*made, tmp_path / "m", "--dense")):  # fmt: skip
        assert "there is no single model" in result.error
        assert not (tmp_path / "m").exists()


def test_truth_has_no_rows_for_it(run, made, tmp_path, cli):
    """Beside a forecast that has weights; both of a step that is saved."""
    made[made.index("--through") + 1], made[made.index("--target-step") + 1] = 20, 40
    assert cli(*made, tmp_path / "line").status == 0
    made[made.index("--method") + 1] = "last"
    assert cli(*made, tmp_path / "last").status == 0
    gram = tmp_path / "G.safetensors"
    cli("gram", "--base", run / "base", "--checkpoints", f"{run}/run/step-{{step}}", "--out", gram)
    out = tmp_path / "T.parquet"
    result = cli("truth", "--variant", tmp_path / "line", tmp_path / "last", "--step", 40,
                 "--target", run / "run/step-40", "--gram", gram, "--out", out)  # fmt: skip
    assert result.status == 0, result.err
    rows = out.with_suffix(".csv").read_text().splitlines()[1:]
    assert rows
    assert all(row.startswith("last,") for row in rows)


def test_digest_covers_both_models_and_beta(run, tmp_path):
    def digest(a: int, b: int, beta: float, known: dict[str, str] | None = None) -> str:
        plain = KnownDigests([])
        found = {str(path): plain[str(path)] for path in (run / "base", *(run / "run").iterdir())}
        variant = read_variant(write_line(run, tmp_path / "v", a, b, beta))
        return variant.digest(found | (known or {}))

    first = digest(10, 40, 1.7)
    assert digest(10, 40, 1.7) == first
    assert digest(10, 40, 1.7, {str(run / "run/step-20"): "x"}) == first, "it is not used"
    different = [
        digest(20, 40, 1.7),
        digest(10, 20, 1.7),
        digest(40, 10, 1.7),
        digest(10, 40, 1.8),
        digest(10, 40, 1.7, {str(run / "run/step-10"): "x"}),
        digest(10, 40, 1.7, {str(run / "run/step-40"): "x"}),
    ]
    assert len({first, *different}) == 7
