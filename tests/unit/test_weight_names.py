"""The same model under other names, with buffers, or with its tied head stored measures alike."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from alpharl.checkpoints.adapter import read_model
from alpharl.checkpoints.fit import require_stored_names
from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.loaded import load_model
from alpharl.checkpoints.manifest import write_manifest
from alpharl.checkpoints.reader import ModelReader
from alpharl.checkpoints.stage import staged
from alpharl.errors import CheckpointError
from alpharl.evaluation.engines.hf import HfEngine
from alpharl.spectra.depth import Depth
from alpharl.spectra.factors import Settings, factor_checkpoint
from alpharl.spectra.gram import gram_run
from alpharl.training.tokenizer import VOCABULARY_SIZE, character_tokenizer
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Gemma3Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    PretrainedConfig,
    Qwen2Config,
)

Tensors = dict[str, torch.Tensor]
Rename = Callable[[str], str]
SMALL = {"vocab_size": VOCABULARY_SIZE, "hidden_size": 16, "intermediate_size": 24,
         "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
         "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}  # fmt: skip
IDS = torch.tensor([[1, 5, 9, 3, 7]])


def make_run(folder: Path, config: PretrainedConfig) -> Path:
    """`base` and `plain`, whose every parameter has moved."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder / "base")
    character_tokenizer().save_pretrained(folder / "base")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1e-2 * torch.randn_like(parameter)
    model.save_pretrained(folder / "plain")
    return folder


def save_as(source: Path, out: Path, change: Callable[[Tensors], Tensors]) -> Path:
    """A copy of a model folder with other tensors."""
    shutil.copytree(source, out)
    changed = change(load_file(out / "model.safetensors"))
    save_file({n: t.clone() for n, t in changed.items()}, out / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    return out


def by_name(rename: Rename) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {rename(name): tensor for name, tensor in tensors.items()}


def with_frequencies(tensors: Tensors) -> Tensors:
    layers = (f"model.layers.{i}.self_attn.rotary_emb." for i in range(2))
    return tensors | {f"{layer}inv_freq": torch.ones(4) for layer in layers}


def measured(base: Path, folder: Path) -> dict[str, np.ndarray]:
    """All numbers of factors and gram, by tensor."""
    factors = factor_checkpoint(base, folder, Settings(Depth(2), "all"))
    numbers = {f"{n}/{k}": a for n, f in factors.items() for k, a in f.arrays().items()}
    return numbers | gram_run(base, {10: folder}).tensors


def require_alike(base: Path, folder: Path, like: Path, like_base: Path) -> None:
    """A folder on a base measures and scores exactly as another does."""
    ours, theirs = measured(base, folder), measured(like_base, like)
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)
    torch.testing.assert_close(logits(folder, base), logits(like, like_base), rtol=0, atol=0)
    assert not torch.equal(logits(folder, base), logits(base)), "it is not the base"


@torch.inference_mode()
def logits(folder: Path, base: Path | None = None) -> torch.Tensor:
    """What the model that we load makes of a few tokens."""
    return load_model(folder, torch.float32, base)(IDS).logits


def transformers_logits(folder: Path) -> torch.Tensor:
    with torch.inference_mode():
        return AutoModelForCausalLM.from_pretrained(folder)(IDS).logits


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A model with a head of its own."""
    config = Qwen2Config(**SMALL, tie_word_embeddings=False)
    return make_run(tmp_path_factory.mktemp("run"), config)


@pytest.fixture(scope="module")
def tied(tmp_path_factory) -> Path:
    """A model whose head is its embedding, and is not stored."""
    config = Qwen2Config(**SMALL, tie_word_embeddings=True)
    return make_run(tmp_path_factory.mktemp("tied"), config)


# --- wrappers ---

WRAPPED: dict[str, Rename] = {
    **{prefix: lambda name, prefix=prefix: prefix + name for prefix in (
        "module.", "_orig_mod.", "policy.", "base_model.model.", "module._orig_mod.",
        "policy.module._orig_mod.", "model.", "student.net.")},
    "compiled layers": lambda name: name.replace(".self_attn.", "._orig_mod.self_attn."),
    "FSDP": lambda name: "_fsdp_wrapped_module." + name.replace(
        ".mlp.", "._fsdp_wrapped_module._checkpoint_wrapped_module.mlp."),
    "in a multimodal model": lambda n: n.replace("model.", "model.language_model.", 1),
    "on disk of one": lambda name: "language_model." + name,
    "without the outer module": lambda name: name.removeprefix("model."),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrappers_change_nothing(run, tmp_path, kind):
    folder = save_as(run / "plain", tmp_path / "c", by_name(WRAPPED[kind]))
    assert set(load_file(folder / "model.safetensors")) != set(
        load_file(run / "plain" / "model.safetensors")
    )
    require_alike(run / "base", folder, run / "plain", run / "base")


@pytest.mark.parametrize("kind", ["module.", "_orig_mod.", "FSDP", "compiled layers"])
def test_a_wrapped_base_is_the_base(run, tmp_path, kind):
    base = save_as(run / "base", tmp_path / "base", by_name(WRAPPED[kind]))
    torch.testing.assert_close(logits(base), logits(run / "base"), rtol=0, atol=0)
    require_alike(base, run / "plain", run / "plain", run / "base")


def test_several_files_are_renamed_too(run, tmp_path):
    folder = save_as(run / "plain", tmp_path / "c", by_name(WRAPPED["module."]))
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weight_map = {}
    for i, names in enumerate((list(tensors)[::2], list(tensors)[1::2])):
        save_file({n: tensors[n] for n in names}, folder / f"{i}.safetensors")
        weight_map |= dict.fromkeys(names, f"{i}.safetensors")
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map})
    )
    require_alike(run / "base", folder, run / "plain", run / "base")


def test_names_that_fall_together_stay_apart(run, tmp_path):
    def twice(tensors: Tensors) -> Tensors:
        return tensors | {"_orig_mod.model.norm.weight": tensors["model.norm.weight"] + 1}

    folder = save_as(run / "plain", tmp_path / "c", twice)
    assert "_orig_mod.model.norm.weight" in read_model(folder, run / "base").tensors
    with pytest.raises(CheckpointError, match=r"has an extra tensor _orig_mod\.model\.norm"):
        factor_checkpoint(run / "base", folder, Settings(Depth(1)))


def test_other_layers_are_no_other_names(tmp_path, write_model):
    """What all names begin with is a shell only as far as the list of layers."""
    base = write_model(tmp_path / "a", {f"model.layers.0.{x}.weight": torch.ones(2) for x in "ab"})
    other = write_model(tmp_path / "b", {f"model.layers.1.{x}.weight": torch.ones(2) for x in "ab"})
    assert read_model(other, base).tensors.keys() == read_index(other).tensors.keys()


def test_names_of_gpt2_on_the_hub(tmp_path):
    """`h.0...` as published, `transformer.h.0...` as transformers saves it; masks as buffers."""
    run = make_run(tmp_path, GPT2Config(vocab_size=20, n_embd=8, n_layer=2, n_head=2))

    def published(tensors: Tensors) -> Tensors:
        masks = {f"h.{i}.attn.bias": torch.ones(1, 1, 8, 8).tril() for i in range(2)}
        masks |= {f"h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(2)}
        return {n.removeprefix("transformer."): t for n, t in tensors.items()} | masks

    base = save_as(run / "base", tmp_path / "published", published)
    assert "h.0.attn.c_attn.bias" in read_index(base).tensors, "a bias is no mask"
    ours, theirs = measured(base, run / "plain"), measured(run / "base", run / "plain")
    assert {f"transformer.{name}" for name in ours} == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[f"transformer.{name}"])
    torch.testing.assert_close(logits(run / "plain", base), transformers_logits(run / "plain"))


def test_names_of_a_multimodal_model_in_memory(tmp_path):
    """They differ from those on disk: `language_model.model...`, `vision_tower...` there."""
    text = {**SMALL, "head_dim": 8}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
              "num_attention_heads": 2, "image_size": 28, "patch_size": 14}  # fmt: skip
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    run = make_run(tmp_path, config)
    state = AutoModelForCausalLM.from_pretrained(run / "plain").state_dict()
    folder = save_as(run / "plain", tmp_path / "c", lambda _: state)
    assert "lm_head.weight" in state and not state.keys() & read_index(run / "base").tensors.keys()
    require_alike(run / "base", folder, run / "plain", run / "base")


# --- buffers ---


@pytest.mark.parametrize("where", ["base", "plain"])
def test_buffers_are_no_weights(run, tmp_path, where):
    folders = {name: run / name for name in ("base", "plain")}
    folders[where] = save_as(run / where, tmp_path / "with", with_frequencies)
    require_alike(folders["base"], folders["plain"], run / "plain", run / "base")
    write_manifest(folders["plain"], 10, tmp_path / "m.json", folders["base"])
    assert json.loads((tmp_path / "m.json").read_text())["tensors"] == len(
        read_index(run / "base").tensors
    )


@pytest.mark.parametrize(
    "name",
    ["model.layers.0.mlp.gate.e_score_correction_bias", "model.layers.0.bn.running_mean",
     "model.layers.0.self_attn.bias", "model.layers.0.self_attn.q_proj.bias"],
)  # fmt: skip
def test_what_changes_the_function_is_no_buffer(tmp_path, write_model, name):
    folder = write_model(tmp_path / "m", {"a.weight": torch.ones(2, 2), name: torch.ones(4)})
    assert name in read_index(folder).tensors


@pytest.mark.parametrize(
    "config",
    [GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2), Gemma3TextConfig(**SMALL),
     GPTNeoXConfig(vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
                   num_attention_heads=2)],
    ids=lambda config: config.model_type,
)  # fmt: skip
def test_what_transformers_saves_is_all_weights(tmp_path, config):
    """Nothing of it is taken for a buffer."""
    base = make_run(tmp_path, config) / "base"
    assert set(read_index(base).tensors) == set(load_file(base / "model.safetensors"))


# --- tied heads ---


def with_head(tensors: Tensors) -> Tensors:
    return tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]}


def head_alone(tensors: Tensors) -> Tensors:
    tensors = dict(tensors)
    return {"lm_head.weight": tensors.pop("model.embed_tokens.weight"), **tensors}


@pytest.mark.parametrize("stored", [with_head, head_alone])
@pytest.mark.parametrize("where", ["base", "plain"])
def test_a_tied_head_may_be_stored(tied, tmp_path, stored, where):
    folders = {name: tied / name for name in ("base", "plain")}
    folders[where] = save_as(tied / where, tmp_path / "with", stored)
    logits_of = transformers_logits(folders["plain"])
    torch.testing.assert_close(logits(folders["plain"], folders["base"]), logits_of)
    if stored is with_head or where == "plain":
        require_alike(folders["base"], folders["plain"], tied / "plain", tied / "base")


def test_a_tied_head_of_a_multimodal_model(tied, tmp_path):
    """The language model under a vision model's names, tied as its `text_config` says."""

    def inside(tensors: Tensors) -> Tensors:
        return {n.replace("model.", "model.language_model.", 1): t for n, t in tensors.items()}

    base = save_as(tied / "base", tmp_path / "base", inside)
    folder = save_as(tied / "plain", tmp_path / "c", lambda t: inside(with_head(t)))
    for one in (base, folder):
        text = json.loads((one / "config.json").read_text())
        config = {"model_type": "qwen2_5_vl", "text_config": text}
        (one / "config.json").write_text(json.dumps(config))
    ours, theirs = measured(base, folder), measured(tied / "base", tied / "plain")
    assert len(ours) == len(theirs) and "lm_head.weight" not in ours
    for name, array in theirs.items():
        key = name.replace("model.", "model.language_model.", 1)
        np.testing.assert_array_equal(ours[key], array)


def test_weights_alone_are_tied_as_the_base_is(tied, tmp_path):
    folder = save_as(tied / "plain", tmp_path / "c", with_head)
    (folder / "config.json").unlink()
    require_alike(tied / "base", folder, tied / "plain", tied / "base")


@pytest.mark.parametrize("kind", ["gemma3_text", "gpt_neox"])
def test_what_the_config_does_not_say_its_class_says(tmp_path, kind):
    made: dict[str, Any] = {
        "gemma3_text": lambda: Gemma3TextConfig(**SMALL, head_dim=8),
        "gpt_neox": lambda: GPTNeoXConfig(
            vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
            num_attention_heads=2,
        ),
    }  # fmt: skip
    run = make_run(tmp_path, made[kind]())
    for name in ("base", "plain"):
        path = run / name / "config.json"
        config = json.loads(path.read_text())
        config.pop("tie_word_embeddings", None)
        path.write_text(json.dumps(config))
    ties = AutoConfig.from_pretrained(run / "plain").tie_word_embeddings
    assert ties == (kind == "gemma3_text")
    folder = save_as(run / "plain", tmp_path / "c", with_head) if ties else run / "plain"
    assert ("embed_out.weight" in read_index(folder).tensors) != ties
    require_alike(run / "base", folder, run / "plain", run / "base")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_stored_head_of_other_numbers_is_no_tied_one(tied, tmp_path, dtype):
    """transformers takes the stored head, vLLM the embedding: nobody knows which model it is."""

    def other(tensors: Tensors) -> Tensors:
        head = tensors["model.embed_tokens.weight"].clone()
        head[-1, -1] += 1
        return tensors | {"lm_head.weight": head.to(dtype)}

    folder = save_as(tied / "plain", tmp_path / "c", other)
    line = "lm_head.weight differs from model.embed_tokens.weight"
    for read in (
        lambda: ModelReader(folder, base=tied / "base"), lambda: logits(folder),
        lambda: write_manifest(folder, 10, tmp_path / "m.json"),
    ):  # fmt: skip
        with pytest.raises(CheckpointError, match=line):
            read()


def test_a_head_in_another_precision_may_be_equal(tied, tmp_path):
    def halved(tensors: Tensors) -> Tensors:
        embedding = tensors["model.embed_tokens.weight"].to(torch.bfloat16)
        return tensors | {
            "model.embed_tokens.weight": embedding,
            "lm_head.weight": embedding.float(),
        }

    folder = save_as(tied / "plain", tmp_path / "c", halved)
    ModelReader(folder, base=tied / "base")
    torch.testing.assert_close(logits(folder, tied / "base"), transformers_logits(folder))


# --- scoring, staging ---


def test_the_engine_scores_what_is_measured(run, tmp_path):
    folder = save_as(run / "plain", tmp_path / "c", by_name(WRAPPED["policy."]))
    engine = HfEngine(run / "base", "float32", 2)
    with engine.weights(folder) as model, torch.inference_mode():
        ours = model(IDS).logits
    torch.testing.assert_close(ours, transformers_logits(run / "plain"), rtol=0, atol=0)


def test_vllm_reads_no_wrapped_names(run, tmp_path):
    """It loads a folder by itself, so that the engine refuses what it would not find there."""
    folder = save_as(run / "plain", tmp_path / "c", by_name(WRAPPED["policy."]))
    require_stored_names(read_model(run / "plain", run / "base"))
    with pytest.raises(CheckpointError, match=r"found no \S+ under this name .* engine 'hf'"):
        require_stored_names(read_model(folder, run / "base"))


def test_what_the_architecture_has_not_is_not_scored(run, tmp_path):
    """transformers would leave it out, and say so in its log alone."""
    name = "model.layers.0.self_attn.q_norm.weight"
    for part in ("base", "plain"):
        save_as(run / part, tmp_path / part, lambda t: t | {name: torch.ones(8)})
    factor_checkpoint(tmp_path / "base", tmp_path / "plain", Settings(Depth(1)))
    with pytest.raises(CheckpointError, match=f"holds {name}, which Qwen2ForCausalLM has not"):
        load_model(tmp_path / "plain", torch.float32, tmp_path / "base")


def test_a_copy_on_a_faster_disk_is_whole(tied, tmp_path):
    """Also where a file holds nothing but a tied head."""
    folder = save_as(tied / "plain", tmp_path / "c", with_head)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weight_map = dict.fromkeys(tensors, "1.safetensors") | {"lm_head.weight": "2.safetensors"}
    for file in ("1.safetensors", "2.safetensors"):
        save_file({n: t for n, t in tensors.items() if weight_map[n] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map})
    )
    with staged({0: tied / "base", 10: folder}, str(tmp_path)) as copies:
        require_alike(copies[0], folder, tied / "plain", tied / "base")
        ModelReader(copies[10], base=copies[0])
