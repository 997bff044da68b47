"""LoRA checkpoints over a base: read merged, as PEFT merges them, by every stage; scored."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from alpharl.checkpoints.adapter import MergedIndex, read_model
from alpharl.checkpoints.manifest import KnownDigests
from alpharl.checkpoints.reader import ModelReader
from alpharl.checkpoints.stage import staged
from alpharl.errors import CheckpointError
from alpharl.evaluation.engines.hf import HfEngine
from alpharl.spectra.gram import read_gram
from alpharl.spectra.lowrank import read_factors
from alpharl.training.tokenizer import VOCABULARY_SIZE, character_tokenizer
from alpharl.variants.adapters import AdapterCheckpoint, adapter_checkpoint, read_source
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

HEADS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
OPTIONS = {
    "plain": {"r": 4, "lora_alpha": 8},
    "rslora": {"r": 4, "lora_alpha": 6, "use_rslora": True},
    "patterns": {
        "r": 3, "lora_alpha": 6, "rank_pattern": {"q_proj": 5, r"layers\.1\.mlp\.up_proj": 2},
        "alpha_pattern": {r".*\.1\..*o_proj": 11, "up_proj": 1},
    },
    "saved head": {"r": 2, "modules_to_save": ["lm_head"]},
    "embedding": {"r": 3, "target_modules": ["q_proj", "embed_tokens"]},
}  # fmt: skip
ADAPTER, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def save_base(folder: Path, tied: bool = False, dtype: torch.dtype = torch.float32) -> Path:
    """A random Qwen2 with the character tokenizer."""
    config = Qwen2Config(
        vocab_size=VOCABULARY_SIZE, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2,
        tie_word_embeddings=tied, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).to(dtype).save_pretrained(folder)
    character_tokenizer().save_pretrained(folder)
    return folder


def save_adapter(folder: Path, base: Path, seed: int = 1, **options: object) -> Path:
    """An adapter with random weights everywhere, as PEFT saves it."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(**{"target_modules": HEADS, "task_type": "CAUSAL_LM", **options})
    torch.manual_seed(seed)
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for name, weights in adapted.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                weights += 0.05 * torch.randn_like(weights)
    adapted.save_pretrained(folder)
    (folder / "optimizer.pt").write_bytes(b"not read")
    return folder


def merged_by_peft(folder: Path, base: Path, dtype: torch.dtype) -> torch.nn.Module:
    """PEFT's own merge."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    return PeftModel.from_pretrained(model, folder).merge_and_unload()


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_base(tmp_path_factory.mktemp("lora") / "base")


@pytest.fixture(scope="module")
def run(base) -> Path:
    """Adapters `run/checkpoint-10` to `-30`, and dense models that PEFT merged of them."""
    folder = base.parent
    for step in (10, 20, 30):
        name = f"checkpoint-{step}"
        save_adapter(folder / "run" / name, base, step, r=4, lora_alpha=8)
        dense = merged_by_peft(folder / "run" / name, base, torch.float32)
        dense.save_pretrained(folder / "dense" / name)
    return folder / "run"


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_reads_what_peft_merges(tmp_path, base, options):
    folder = save_adapter(tmp_path / "a", base, **options)
    expected = merged_by_peft(folder, base, torch.float64).state_dict()
    single = merged_by_peft(folder, base, torch.float32).state_dict()
    changed = 0
    with ModelReader(folder, base=base) as reader, ModelReader(base) as before:
        assert set(reader.index.tensors) == set(before.index.tensors)
        for name in reader.index.tensors:
            found = reader.float32(name)
            assert torch.allclose(found.double(), expected[name].double(), rtol=0, atol=3e-7)
            assert torch.allclose(found, single[name], rtol=0, atol=3e-7)
            changed += not torch.equal(found, before.float32(name))
    assert changed == {"saved head": 15, "embedding": 3}.get(
        next(k for k, v in OPTIONS.items() if v is options), 14
    )


@pytest.mark.parametrize(
    "name", ["model.layers.0.mlp.down_proj.weight", "model.embed_tokens.weight"]
)
def test_any_range_of_elements_is_that_of_the_whole(tmp_path, base, name):
    folder = save_adapter(tmp_path / "a", base, target_modules=["down_proj", "embed_tokens"])
    rng = np.random.default_rng(0)
    with ModelReader(folder, base=base) as reader:
        whole = reader.float32(name).view(-1)
        for _ in range(50):
            start = int(rng.integers(whole.numel()))
            count = int(rng.integers(1, whole.numel() - start + 1))
            part = reader.part(name, start, (count,))
            assert torch.allclose(part, whole[start : start + count], rtol=0, atol=1e-7)


def test_a_bfloat16_base_is_not_rounded_again(tmp_path):
    base = save_base(tmp_path / "base", dtype=torch.bfloat16)
    folder = save_adapter(tmp_path / "a", base, r=2, lora_alpha=1)
    exact = merged_by_peft(folder, base, torch.float64).state_dict()
    name = "model.layers.1.self_attn.v_proj.weight"
    with ModelReader(folder, base=base) as reader:
        assert reader.info(name).dtype == "F32"
        assert torch.allclose(reader.float32(name).double(), exact[name], rtol=0, atol=1e-7)
        assert reader.info("model.norm.weight").dtype == "BF16"


def test_transposed_weights_of_gpt2(tmp_path):
    config = GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=8)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "base")
    options = {"target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True}
    folder = save_adapter(tmp_path / "a", tmp_path / "base", **options)
    expected = merged_by_peft(folder, tmp_path / "base", torch.float64).state_dict()
    with ModelReader(folder, base=tmp_path / "base") as reader:
        for name in reader.index.updates:
            found = reader.float32(name).double()
            assert torch.allclose(found, expected[name].double(), rtol=0, atol=3e-7)
        assert len(reader.index.updates) == 2


def one_line(folder: Path, base: Path | None) -> str:
    with pytest.raises(CheckpointError) as error:
        read_model(folder, base)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("use_dora", True), ("bias", "all"), ("peft_type", "IA3"), ("lora_bias", True),
        ("target_parameters", ["x"]), ("init_lora_weights", "pissa"),
        ("layer_replication", [[0, 1]]), ("trainable_token_indices", [1]),
        ("alora_invocation_tokens", [1]), ("of_tomorrow", {"a": 1}),
    ],
)  # fmt: skip
def test_other_adapters_are_refused(run, base, tmp_path, key, value):
    folder = save_copy(run / "checkpoint-10", tmp_path / "a")
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | {key: value}))
    error = one_line(folder, base)
    assert f"found an adapter with {key} " in error
    assert "merge it with PEFT" in error


def save_copy(folder: Path, out: Path) -> Path:
    out.mkdir()
    for name in (ADAPTER, CONFIG):
        (out / name).write_bytes((folder / name).read_bytes())
    return out


def test_broken_adapters_are_refused(run, base, tmp_path):
    folder = save_copy(run / "checkpoint-10", tmp_path / "a")
    tensors = load_file(folder / ADAPTER)
    names = list(tensors)
    assert "a LoRA adapter alone" in one_line(folder, None)
    other = {names[0].replace("layers.0", "layers.7"): tensors[names[0]].clone()}
    save_file(tensors | other, folder / ADAPTER)
    assert "name the right base" in one_line(folder, base)
    save_file({name: tensors[name] for name in names[1:]}, folder / ADAPTER)
    assert "lacks A or B" in one_line(folder, base)
    save_file({n: t[:, :5].contiguous() if "lora_A" in n else t for n, t in tensors.items()},
              folder / ADAPTER)  # fmt: skip
    assert "becomes [32, 5], expected the base's shape" in one_line(folder, base)
    save_file(tensors, folder / ADAPTER)
    (folder / CONFIG).write_text("[]")
    assert "found no adapter_config.json that can be read" in one_line(folder, base)


def test_a_tied_embedding_is_refused(tmp_path):
    base = save_base(tmp_path / "base", tied=True)
    folder = save_adapter(tmp_path / "a", base, target_modules=["embed_tokens"])
    assert "the base's output head is tied" in one_line(folder, base)


def test_a_value_that_is_not_finite_names_the_adapter(run, base, tmp_path, cli):
    folder = save_copy(run / "checkpoint-10", tmp_path / "a")
    tensors = load_file(folder / ADAPTER)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, folder / ADAPTER)
    done = cli("factors", "--base", base, "--checkpoint", folder, "--out", tmp_path / "f")
    assert str(folder) in done.error
    assert "not finite" in done.error


# --- the stages ---


def test_factors_are_those_of_the_merged_models(run, base, tmp_path, cli):
    found = {}
    for kind in ("run", "dense"):
        folder = base.parent / kind / "checkpoint-20"
        out = tmp_path / f"{kind}.safetensors"
        done = cli("factors", "--base", base, "--checkpoint", folder, "--rank", 4, "--stage",
                   tmp_path, "--out", out)  # fmt: skip
        assert done.status == 0, done.err
        found[kind] = read_factors([out])
    assert len(found["run"]) == 14
    for name, ours in found["run"].items():
        theirs = found["dense"][name]
        assert ours.norm == pytest.approx(theirs.norm, rel=1e-5)
        np.testing.assert_allclose(ours.low.s, theirs.low.s, rtol=1e-4, atol=1e-6)
        ours_mn, theirs_mn = (f.low.u * f.low.s @ f.low.v.T for f in (ours, theirs))
        np.testing.assert_allclose(ours_mn, theirs_mn, atol=2e-6)


def test_grams_are_those_of_the_merged_models(run, base, tmp_path, cli):
    for kind in ("run", "dense"):
        pattern = base.parent / kind / "checkpoint-{step}"
        done = cli("gram", "--base", base, "--checkpoints", pattern, "--out", tmp_path / kind)
        assert done.status == 0, done.err
    ours, theirs = (read_gram([tmp_path / kind]) for kind in ("run", "dense"))
    assert ours.steps == [10, 20, 30]
    for name, gram in ours.tensors.items():
        np.testing.assert_allclose(gram, theirs.tensors[name], rtol=1e-5, atol=1e-9)
    assert np.all(ours.tensors["lm_head.weight"] == 0)


def test_a_blend_with_adapters_is_that_with_models(run, base, tmp_path, cli):
    """raw-linear is a blend of all observed checkpoints."""
    for kind in ("run", "dense"):
        pattern = base.parent / kind / "checkpoint-{step}"
        done = cli("forecast", "--base", base, "--checkpoints", pattern, "--target-step", 60,
                   "--method", "raw-linear", "--out", tmp_path / kind, "--dense")  # fmt: skip
        assert done.status == 0, done.err
    ours, theirs = (load_file(tmp_path / kind / "model.safetensors") for kind in ("run", "dense"))
    assert all(torch.allclose(ours[name], theirs[name], atol=2e-6) for name in theirs)


def test_manifest_covers_adapter_config_and_base(run, base, tmp_path, cli):
    def digest(folder: Path, on: Path, *more: object) -> str:
        out = tmp_path / "m.json"
        done = cli(
            "manifest", "--checkpoint", folder, "--step", 10, "--base", on, "--out", out, *more
        )
        assert done.status == 0, done.err
        return str(json.loads(out.read_text())["digest"])

    own = digest(run / "checkpoint-10", base)
    copy = save_copy(run / "checkpoint-10", tmp_path / "a")
    assert digest(copy, base) == own
    assert KnownDigests([], base)[os.path.abspath(copy)] == own
    config = json.loads((copy / CONFIG).read_text())
    (copy / CONFIG).write_text(json.dumps(config | {"lora_alpha": 9}))
    assert digest(copy, base) != own
    other = save_base(tmp_path / "other", dtype=torch.bfloat16)
    assert digest(run / "checkpoint-10", other) != own
    made = tmp_path / "base.json"
    assert cli("manifest", "--checkpoint", base, "--step", 0, "--out", made).status == 0
    assert digest(run / "checkpoint-10", base, "--manifests", made) == own


def test_staging_copies_the_adapter_alone(run, base, tmp_path):
    with staged({0: base, 10: run / "checkpoint-10"}, str(tmp_path)) as copies:
        assert {path.name for path in copies[10].iterdir()} == {ADAPTER, CONFIG}
        index = read_model(copies[10], copies[0])
        assert isinstance(index, MergedIndex)
        assert len(index.updates) == 14


def test_check_knows_their_size(run, base, tmp_path, cli):
    done = cli("init", run, "--out", tmp_path / "s.yaml")
    assert done.status == 0, done.err
    assert "found 3 LoRA adapters, steps 10 to 30" in done.out
    assert str(base) in (tmp_path / "s.yaml").read_text()
    done = cli("check", tmp_path / "s.yaml")
    assert done.status == 0, done.err
    size = (run / "checkpoint-10" / ADAPTER).stat().st_size / 1024
    shown = next(line for line in done.out.splitlines() if line.startswith("one checkpoint"))
    assert float(shown.split()[2]) == pytest.approx(size, rel=0.2)


# --- scoring ---


def logits(model: torch.nn.Module) -> torch.Tensor:
    tokens = torch.randint(3, VOCABULARY_SIZE, (3, 9), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found: torch.Tensor = model.eval()(tokens).logits
    return found


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_engine_s_model_is_peft_s(tmp_path, base, options):
    folder = save_adapter(tmp_path / "a", base, **options)
    expected = logits(merged_by_peft(folder, base, torch.float32))
    engine = HfEngine(base, "float32", 8)
    before = logits(engine._base)
    source = read_source(folder, base)
    assert isinstance(source, AdapterCheckpoint)
    assert source.pure_adapter == (options in (OPTIONS["plain"], OPTIONS["rslora"]))
    for one in (source, adapter_checkpoint(folder, base, merged=True)):
        with engine.weights(one) as model:
            assert torch.allclose(logits(model), expected, atol=2e-5)
        assert torch.equal(logits(engine._base), before)
    assert torch.allclose(logits(engine._load(folder)), expected, atol=2e-5)


def test_the_whole_chain_scores_adapters_as_the_merged_models(run, base, tmp_path, cli):
    spec = {"role": "test", "tasks": [{"task": "addition", "split": "test", "limit": 20}],
            "max_new_tokens": 5, "max_truncated": 1}  # fmt: skip
    suite = tmp_path / "suite.json"
    assert cli("suite", "--name", "test", "--spec", json.dumps(spec), "--out", suite).status == 0
    texts = {}
    for kind in ("run", "dense"):
        folder, out = base.parent / kind / "checkpoint-30", tmp_path / kind
        done = cli("rank", "--base", base, "--checkpoint", folder, "--rank", 4, "--unscaled",
                   "--out", out / "rank")  # fmt: skip
        assert done.status == 0, done.err
        done = cli("evaluate", "--suite", suite, "--base", base, "--variant", f"step-30={folder}",
                   "--variant", f"rank-4={out / 'rank'}", "--out", out / "scores")  # fmt: skip
        assert done.status == 0, done.err
        for name in ("step-30", "rank-4"):
            lines = (out / "scores" / f"{name}.answers.jsonl").read_text().splitlines()[1:]
            texts[kind, name] = [json.loads(line).get("text") for line in lines]
    assert any(texts["run", "step-30"])
    # An update of rank 4 is the adapter itself.
    assert texts["run", "step-30"] == texts["dense", "step-30"]
    assert texts["run", "rank-4"] == texts["run", "step-30"]
