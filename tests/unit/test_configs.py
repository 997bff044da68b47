"""Configs of checkpoints: a missing one is the base's, one that changes the function is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from alpharl.checkpoints.configs import changes
from alpharl.checkpoints.loaded import load_model
from alpharl.errors import CheckpointError
from alpharl.evaluation.engines.hf import HfEngine
from alpharl.spectra.gram import read_gram
from alpharl.spectra.lowrank import read_factors
from alpharl.variants.store import read_variant
from tests.bad_inputs.good import RUN, STEPS
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

IDS = torch.tensor([[5, 17, 3, 40, 22, 9]])
ROPE = {"rope_type": "default", "rope_theta": 500.0}


def rewrite(folder: Path | str, **values: Any) -> None:
    """Change keys of a folder's config."""
    path = Path(folder) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model(IDS).logits


@pytest.fixture
def succeed(cli) -> Callable[[str], str]:
    """Runs a command, and gives what it says on standard error."""

    def call(command: str) -> str:
        done = cli(*command.split())
        assert done.status == 0, done.err
        return done.err

    return call


# --- a missing config ---


def test_numbers_of_weights_alone_are_those_of_a_model_folder(files, succeed):
    calls = (f"gram {RUN} --out OUT.safetensors",
             "factors --base base --checkpoint run/step-30 --rank 2 --scope all --out OUT-f",
             f"forecast {RUN} --method relex --target-step 60 --dense --out OUT-m")  # fmt: skip
    for call in calls:
        succeed(call.replace("OUT", "with"))
    for step in STEPS:
        Path(f"run/step-{step}/config.json").unlink()
    said = [succeed(call.replace("OUT", "alone")) for call in calls]
    assert "note" not in "".join(said)
    assert Path("with.safetensors").read_bytes() == Path("alone.safetensors").read_bytes()
    assert read_factors([Path("with-f")]).keys() == read_factors([Path("alone-f")]).keys()
    for name in ("model.safetensors", "config.json"):
        assert Path("with-m", name).read_bytes() == Path("alone-m", name).read_bytes()


def test_weights_alone_compute_with_the_base_config(files):
    rewrite("base", rope_parameters=ROPE)
    rewrite("run/step-30", rope_parameters=ROPE)
    right = logits(AutoModelForCausalLM.from_pretrained("run/step-30"))
    Path("run/step-30/config.json").unlink()
    assert torch.equal(logits(load_model(Path("run/step-30"), torch.float32, Path("base"))), right)


def test_answers_of_weights_alone_are_those_of_a_model_folder(files, succeed):
    call = "evaluate --suite made/suite/suite.json --base base --variant x=run/step-30 --out "
    succeed(call + "with")
    Path("run/step-30/config.json").unlink()
    succeed(call + "alone")
    with_config, alone = (json.loads(Path(out, "x.json").read_text()) for out in ("with", "alone"))
    assert with_config["key"] == alone["key"]
    assert with_config["correct"] == alone["correct"]
    assert Path("with/x.answers.jsonl").read_text() == Path("alone/x.answers.jsonl").read_text()


# --- keys that change the function ---


def test_every_key_that_changes_the_function_is_named(files):
    others = {
        "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0},
        "rms_norm_eps": 1e-3, "hidden_act": "gelu", "use_sliding_window": True,
        "tie_word_embeddings": True, "max_position_embeddings": 99, "some_new_key": 3,
    }  # fmt: skip
    for key, value in others.items():
        shutil.copy("base/config.json", "run/step-30/config.json")
        rewrite("run/step-30", **{key: value})
        changed = changes(Path("base"), Path("run/step-30"))
        assert key in {change.key.partition(".")[0] for change in changed}, key


def test_keys_that_do_not_change_the_function_are_no_difference(files):
    rewrite(
        "run/step-30", torch_dtype="bfloat16", transformers_version="4.40.0", use_cache=False,
        _name_or_path="elsewhere", architectures=["Other"], eos_token_id=[2, 5], pad_token_id=None,
        attention_dropout=0.1, initializer_range=1.0, id2label={"0": "a"}, problem_type="x",
        output_attentions=True, gradient_checkpointing=True, _attn_implementation="eager",
        classifier_dropout=0.5, temperature=0.2, unsloth_version="1", hidden_size=16.0,
    )  # fmt: skip
    assert changes(Path("base"), Path("run/step-30")) == ()


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({}, {"rope_type": "default", "rope_theta": 10000.0}),
        ({"rope_theta": 5e5}, {"rope_type": "default", "rope_theta": 5e5}),
        (
            {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4.0}},
            {"rope_type": "linear", "rope_theta": 5e5, "factor": 4.0},
        ),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 4.0,
                              "original_max_position_embeddings": 32}},
            {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
             "original_max_position_embeddings": 32},
        ),
    ],
)  # fmt: skip
def test_older_spellings_and_defaults_are_no_difference(files, older, newer):
    for folder, values in (("base", newer), ("run/step-30", older)):
        path = Path(folder, "config.json")
        config = json.loads(path.read_text())
        del config["rope_parameters"]
        spelled = {"rope_parameters": values} if folder == "base" else values
        path.write_text(json.dumps(config | spelled))
    assert changes(Path("base"), Path("run/step-30")) == ()
    rewrite("run/step-30", rope_theta=77.0)
    assert [change.value for change in changes(Path("base"), Path("run/step-30"))] == [77.0]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "gemma3_text", "qwen3_moe", "phi3"])
def test_a_saved_default_config_equals_a_sparse_one(kind, tmp_path):
    """As one library writes all keys and another those that are not defaults."""
    for name in ("base", "run"):
        (tmp_path / name).mkdir()
    CONFIG_MAPPING[kind]().save_pretrained(tmp_path / "base")
    (tmp_path / "run" / "config.json").write_text(json.dumps({"model_type": kind}))
    assert changes(tmp_path / "base", tmp_path / "run") == ()


def test_text_config_of_a_multimodal_base_is_compared(tmp_path):
    text = {"model_type": "gemma3_text", "rms_norm_eps": 1e-6}
    for name, config in (("base", {"model_type": "gemma3", "text_config": text}),
                         ("run", text | {"rms_norm_eps": 1e-5})):  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    assert [change.key for change in changes(tmp_path / "base", tmp_path / "run")] == [
        "rms_norm_eps"
    ]


# --- what follows from them ---


ONE = "--base base --checkpoint run/step-30"
CALLS = {
    "gram": f"gram {RUN} --out new",
    "factors": f"factors {ONE} --out new",
    "measure": f"measure sparsity {RUN} --out new",
    "rank": f"rank {ONE} --out new",
    "forecast": f"forecast {RUN} --method relex --target-step 60 --out new",
    "trust": f"trust {RUN} --scores scores.csv",
    "dynamics": f"dynamics {RUN} --scores scores.csv --out new.parquet",
    "truth": "truth --variant made/low --target run/step-30 --step 30 "
    "--gram made/gram.safetensors --out new.parquet",
    "manifest": f"manifest {ONE} --step 30 --out new.json",
    "evaluate": "evaluate --suite made/suite/suite.json --base base --variant x=run/step-30 "
    "--out new",
    "audit": f"audit {RUN}",
    "check": "check study.yaml",
}


@pytest.mark.parametrize("call", CALLS)
def test_a_config_that_changes_the_function_is_said(files, cli, call):
    for step in STEPS:
        rewrite(f"run/step-{step}", rope_parameters=ROPE)
    done = cli(*CALLS[call].split())
    assert done.status == 0, done.err
    lines = [line for line in (done.out + done.err).splitlines() if "rope_theta 500.0" in line]
    assert len(lines) == 1, done.out + done.err
    assert "note: " in lines[0] and "(base: 10000.0)" in lines[0]


def test_a_manifest_and_an_audit_hold_what_the_config_changes(files, succeed):
    for step in STEPS:
        rewrite(f"run/step-{step}", rope_parameters=ROPE)
    succeed(f"manifest {ONE} --step 30 --out m.json")
    succeed(f"audit {RUN} --out a.json")
    assert json.loads(Path("m.json").read_text())["config"] == {
        "rope_parameters.rope_theta": {"base": 10000.0, "checkpoint": 500.0}
    }
    (note,) = [n for n in json.loads(Path("a.json").read_text())["notes"] if n["kind"] == "differs"]
    assert note["steps"] == list(STEPS)


def test_models_made_of_a_run_compute_as_the_run_does(files, succeed):
    """The base with the run's config and the run's weights is the run's checkpoint."""
    for step in STEPS:
        rewrite(f"run/step-{step}", rope_parameters=ROPE)
    succeed(f"rank {ONE} --kind full-update --rest --out full")
    said = succeed("export full --out dense")
    assert "note: the model has the config of step 30" in said
    right = logits(AutoModelForCausalLM.from_pretrained("run/step-30"))
    torch.testing.assert_close(logits(AutoModelForCausalLM.from_pretrained("dense")), right)
    assert read_variant(Path("full")).meta["config"]["step"] == 30


def test_an_adapter_is_scored_with_the_config_of_its_run(files, succeed):
    succeed(f"rank {ONE} --rank 2 --out before")
    rewrite("run/step-30", rope_parameters=ROPE)
    succeed(f"rank {ONE} --rank 2 --out low")
    succeed("export low --out dense")
    engine = HfEngine(Path("base"), "float32", 4)
    right = logits(AutoModelForCausalLM.from_pretrained("dense"))
    with engine.weights(read_variant(Path("low"))) as model:
        torch.testing.assert_close(logits(model), right)
    with engine.weights(read_variant(Path("before"))) as model:
        assert (logits(model) - right).abs().max() > 1e-4


def test_a_changed_config_is_scored_again(files, succeed):
    call = "evaluate --suite made/suite/suite.json --base base --variant x=run/step-30 --out new"
    succeed(call)
    assert "1 of 1 variants are scored already" in succeed(call)
    rewrite("run/step-30", rope_parameters=ROPE)
    assert "0 of 1 variants are scored already" in succeed(call)


def test_forecasts_of_checkpoints_that_disagree_are_refused(files, cli):
    rewrite("run/step-30", rope_parameters=ROPE)
    done = cli(*CALLS["forecast"].split())
    assert done.status == 1 and not Path("new").exists()
    assert "configs that differ between steps 20 and 30: rope_parameters" in done.err
    assert cli(*CALLS["forecast"].split(), "--through", "20").status == 0


def test_sizes_that_contradict_the_tensors_are_refused(files):
    for key, value in {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 3,
                       "num_key_value_heads": 2, "intermediate_size": 8}.items():  # fmt: skip
        shutil.copy("base/config.json", "run/step-30/config.json")
        rewrite("run/step-30", **{key: value}, layer_types=None)
        with pytest.raises(CheckpointError, match=rf"{key} {value} \(base: "):
            changes(Path("base"), Path("run/step-30"))


def test_gram_of_another_config_is_the_same(files, succeed):
    """Weights are compared as they are."""
    for step in STEPS:
        rewrite(f"run/step-{step}", rope_parameters=ROPE)
    succeed(f"gram {RUN} --out new.safetensors")
    before, after = (read_gram([Path(p)]) for p in ("made/gram.safetensors", "new.safetensors"))
    for name, gram in before.tensors.items():
        assert (gram == after.tensors[name]).all()
