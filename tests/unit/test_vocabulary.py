"""Checkpoints with other rows of tokens than their base: numbers are those of the shared rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.loaded import load_model
from alpharl.checkpoints.reader import ModelReader
from alpharl.errors import CheckpointError, EvaluationError
from alpharl.evaluation.engines.hf import HfEngine
from alpharl.spectra.gram import gram_run, read_gram
from alpharl.spectra.lowrank import read_factors
from alpharl.training.tokenizer import VOCABULARY_SIZE, character_tokenizer
from safetensors.torch import load_file, save_file
from tests.bad_inputs.good import RUN, STEPS
from transformers import AutoModelForCausalLM

WIDE = ("model.embed_tokens.weight", "lm_head.weight")
ROWS = [VOCABULARY_SIZE + 6, VOCABULARY_SIZE - 4]


@pytest.fixture
def succeed(cli) -> Callable[[str], str]:
    """Runs a command, and gives what it says."""

    def call(command: str) -> str:
        done = cli(*command.split())
        assert done.status == 0, done.err
        return done.out + done.err

    return call


def resize(folder: Path, rows: int, names: tuple[str, ...] = WIDE) -> None:
    """Give a model other rows of tokens, large ones where it gets more."""
    weights = load_file(folder / "model.safetensors")
    for name in names:
        more = torch.full((max(0, rows - VOCABULARY_SIZE), weights[name].shape[1]), 7.0)
        weights[name] = torch.cat([weights[name], more])[:rows].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": rows}))


def completed(folder: Path, rows: int) -> None:
    """Put the base's rows in place of those that a resized model would lack."""
    weights, base = load_file(folder / "model.safetensors"), load_file("base/model.safetensors")
    for name in WIDE:
        weights[name][rows:] = base[name][rows:]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("config", [True, False])
def test_gram_and_factors_are_those_of_the_shared_rows(files, succeed, rows, config):
    calls = (
        f"gram {RUN} --out OUT-gram",
        "factors --base base --checkpoint run/step-30 --rank 4 --scope all --out OUT",
    )
    for step in STEPS:
        completed(Path(f"run/step-{step}"), rows)
    for call in calls:
        succeed(call.replace("OUT", "right"))
    for step in STEPS:
        resize(Path(f"run/step-{step}"), rows)
        if not config:
            Path(f"run/step-{step}/config.json").unlink()
    for call in calls:
        said = succeed(call.replace("OUT", "resized"))
        assert f"{rows} rows of tokens, the base has {VOCABULARY_SIZE}: the first" in said
    right, gram = (read_gram([Path(f"{name}-gram")]) for name in ("right", "resized"))
    for name, products in right.tensors.items():
        np.testing.assert_array_equal(gram.tensors[name], products)
    right_f, resized_f = (read_factors([Path(name)]) for name in ("right", "resized"))
    for name, factors in right_f.items():
        np.testing.assert_allclose(resized_f[name].low.s, factors.low.s, rtol=1e-5)


def test_gram_of_fewer_rows_counts_only_those_against_float64(files):
    """By hand, in float64, over the rows that both have."""
    rows = VOCABULARY_SIZE - 4
    before = {n: w.double() for n, w in load_file("base/model.safetensors").items()}
    folders = {step: Path(f"run/step-{step}") for step in STEPS}
    for folder in folders.values():
        resize(folder, rows)
    gram = gram_run(Path("base"), folders)
    for name in WIDE:
        deltas = [
            (load_file(f / "model.safetensors")[name].double() - before[name][:rows]).flatten()
            for f in folders.values()
        ]
        stacked = torch.stack(deltas)
        np.testing.assert_allclose(gram.tensors[name], (stacked @ stacked.T).numpy(), rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_that_a_checkpoint_lacks_are_the_base_s_in_any_part(files, dtype):
    weights = {n: w.to(dtype) for n, w in load_file("run/step-30/model.safetensors").items()}
    save_file(weights, "run/step-30/model.safetensors", metadata={"format": "pt"})
    resize(Path("run/step-30"), 50)
    base = load_file("base/model.safetensors")[WIDE[0]]
    whole = torch.cat([weights[WIDE[0]][:50].float(), base[50:]])
    with ModelReader(Path("run/step-30"), base=Path("base")) as reader:
        assert torch.equal(reader.float32(WIDE[0]), whole)
        for start, count in ((0, 800), (790, 30), (800, 10), (795, 5), (900, 124)):
            part = reader.part(WIDE[0], start, (count,))
            assert torch.equal(part, whole.flatten()[start : start + count])


@pytest.mark.parametrize("rows", ROWS)
def test_models_made_of_the_run_have_the_rows_of_the_base(files, succeed, rows):
    for step in STEPS:
        completed(Path(f"run/step-{step}"), rows)
    calls = (f"forecast {RUN} --method relex --target-step 60 --dense --out OUT-forecast",
             "rank --base base --checkpoint run/step-30 --kind full-update --rest --dense "
             "--out OUT-rank")  # fmt: skip
    for call in calls:
        succeed(call.replace("OUT", "right"))
    for step in STEPS:
        resize(Path(f"run/step-{step}"), rows)
    for call in calls:
        succeed(call.replace("OUT", "resized"))
    for kind in ("forecast", "rank"):
        right, model = (load_file(f"{n}-{kind}/model.safetensors") for n in ("right", "resized"))
        for name, tensor in right.items():
            torch.testing.assert_close(model[name], tensor, rtol=0, atol=1e-7)
        config = json.loads(Path(f"resized-{kind}/config.json").read_text())
        assert config["vocab_size"] == VOCABULARY_SIZE


@pytest.mark.parametrize("config", [True, False])
def test_a_checkpoint_is_scored_with_its_own_rows(files, succeed, config):
    resize(Path("run/step-30"), ROWS[0])
    right = AutoModelForCausalLM.from_pretrained("run/step-30")
    if not config:
        Path("run/step-30/config.json").unlink()
    model = load_model(Path("run/step-30"), torch.float32, Path("base"))
    ids = torch.tensor([[5, 9]])
    with torch.inference_mode():
        assert model(ids).logits.shape[-1] == ROWS[0]
        assert torch.equal(model(ids).logits, right(ids).logits)
    said = succeed(
        "evaluate --suite made/suite/suite.json --base base --variant x=run/step-30 --out new"
    )
    assert f"note: x: {ROWS[0]} rows of tokens" in said


@pytest.mark.parametrize(
    "call",
    [
        f"measure {RUN} --out new",
        f"trust {RUN} --scores scores.csv",
        f"audit {RUN}",
        "manifest --base base --checkpoint run/step-30 --step 30 --out new.json",
        "truth --variant made/low --target run/step-30 --step 30 --gram made/gram.safetensors "
        "--out new.parquet",
        "check study.yaml",
    ],
)
def test_other_rows_are_said(files, succeed, call):
    for step in STEPS:
        resize(Path(f"run/step-{step}"), ROWS[0])
    assert f"{ROWS[0]} rows of tokens" in succeed(call)


def test_one_tensor_alone_may_not_have_other_rows(files):
    resize(Path("run/step-30"), ROWS[0], WIDE[:1])
    with pytest.raises(CheckpointError, match=r"embed_tokens.weight has shape \[70, 16\]"):
        gram_run(Path("base"), {30: Path("run/step-30")})


def test_other_sizes_are_no_other_rows(files):
    weights = load_file("run/step-30/model.safetensors")
    weights["model.norm.weight"] = torch.ones(20)
    save_file(weights, "run/step-30/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"model.norm.weight has shape \[20\]"):
        gram_run(Path("base"), {30: Path("run/step-30")})


def test_a_model_that_lost_tokens_of_the_tokenizer_is_not_scored(files):
    resize(Path("run/step-30"), 20)
    assert len(character_tokenizer()) > 20
    engine = HfEngine(Path("base"), "float32", 4)
    with (
        pytest.raises(EvaluationError, match="found 20 rows of tokens"),
        engine.model(Path("run/step-30")),
    ):
        pass


def test_index_of_a_checkpoint_by_itself_has_its_own_shapes(files):
    resize(Path("run/step-30"), ROWS[0])
    assert read_index(Path("run/step-30")).tensors[WIDE[0]].shape == (ROWS[0], 16)


# --- tokenizers ---


def test_another_tokenizer_is_said(files, succeed):
    for step in STEPS:
        character_tokenizer().save_pretrained(f"run/step-{step}")
    calls = ("check study.yaml", "evaluate --suite made/suite/suite.json --base base --variant "
             "x=run/step-30 --out new")  # fmt: skip
    assert "tokenizer" not in "".join(map(succeed, calls))
    path = Path("run/step-30/tokenizer.json")
    described = json.loads(path.read_text())
    vocab = described["model"]["vocab"]
    first, second, *_ = sorted(vocab, key=vocab.get, reverse=True)
    vocab[first], vocab[second] = vocab[second], vocab[first]
    path.write_text(json.dumps(described))
    for call in calls:
        (line,) = [line for line in succeed(call).splitlines() if "tokenizer.json differs" in line]
        assert "2 tokens with other ids" in line


def test_how_a_tokenizer_is_written_does_not_count(files, succeed):
    character_tokenizer().save_pretrained("run/step-30")
    path = Path("run/step-30/tokenizer.json")
    described = json.loads(path.read_text()) | {"truncation": None, "version": "2.0"}
    path.write_text(json.dumps(described, indent=4, sort_keys=True))
    assert "tokenizer" not in succeed("check study.yaml")
