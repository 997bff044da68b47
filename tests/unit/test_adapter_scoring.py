"""What is measured of an adapter is what is scored: logits of PEFT's model and of merged ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from alpharl.checkpoints.adapter import read_model
from alpharl.errors import CheckpointError
from alpharl.evaluation.engines.hf import HfEngine
from alpharl.evaluation.engines.put_on import put_on
from alpharl.spectra.lowrank import LowRank
from alpharl.training.tokenizer import VOCABULARY_SIZE, character_tokenizer
from alpharl.variants.adapters import adapter_checkpoint, read_source
from alpharl.variants.build import build_dense
from alpharl.variants.store import Variant, read_variant, write_variant
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tests.unit.test_adapter import ADAPTER, CONFIG, logits, merged_by_peft, save_adapter, save_base
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

FORMS = {
    "layers": {"layers_to_transform": [1], "layers_pattern": "layers"},
    "excluded": {"exclude_modules": r".*\.0\..*"},
    "a regular expression": {"target_modules": r".*\.(q|down)_proj"},
    "all-linear": {"target_modules": "all-linear"},
    "a wrong layout": {"fan_in_fan_out": True},
}


def save_gpt2(folder: Path, tied: bool = True, head: bool = True) -> Path:
    """A random GPT-2, whose matrices are stored transposed and partly square.

    Without its head, it has names as GPT-2 was published with: `h.0...`, not `transformer.h.0...`.
    """
    config = GPT2Config(
        vocab_size=VOCABULARY_SIZE, n_embd=16, n_layer=2, n_head=2, n_positions=32,
        tie_word_embeddings=tied, bos_token_id=1, eos_token_id=2, initializer_range=0.2,
    )  # fmt: skip
    torch.manual_seed(0)
    model = GPT2LMHeadModel(config)
    (model if head else model.transformer).save_pretrained(folder)
    character_tokenizer().save_pretrained(folder)
    return folder


def scored(base: Path, source: Path | Variant) -> torch.Tensor:
    """Logits of the model that the engine `hf` makes."""
    with HfEngine(base, "float32", 8).weights(source) as model:
        return logits(model)


def built(variant: Variant, out: Path) -> torch.Tensor:
    """Logits of the dense model that is built of a variant."""
    build_dense(variant, out)
    return logits(AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32))


def agree(*results: torch.Tensor) -> None:
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=0, atol=5e-5)


@pytest.mark.parametrize("options", FORMS.values(), ids=FORMS)
def test_adapters_of_parts_of_a_model(tmp_path, options):
    base = save_base(tmp_path / "base")
    folder = save_adapter(tmp_path / "a", base, r=4, lora_alpha=8, **options)
    written = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(written | options))
    before = logits(AutoModelForCausalLM.from_pretrained(base))
    expected = logits(merged_by_peft(folder, base, torch.float32))
    assert (expected - before).abs().max() > 1e-2, "the adapter does something"
    dense = built(adapter_checkpoint(folder, base, merged=True), tmp_path / "dense")
    agree(expected, dense, scored(base, read_source(folder, base)))


def test_an_adapter_that_no_engine_puts_on_keeps_its_scale(tmp_path):
    """As vLLM on a CPU, which builds the model of a plain adapter too."""
    base = save_base(tmp_path / "base")
    folder = save_adapter(tmp_path / "a", base, r=4, lora_alpha=20, use_rslora=True)
    source = read_source(folder, base)
    assert isinstance(source, Variant)
    assert source.pure_adapter
    agree(logits(merged_by_peft(folder, base, torch.float32)), built(source, tmp_path / "dense"))


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("said", [True, False])
def test_the_layout_of_gpt2_comes_from_its_weights(tmp_path, said, head):
    """PEFT goes by the module, whatever `fan_in_fan_out` says; some matrices are square."""
    base = save_gpt2(tmp_path / "base", head=head)
    folder = save_adapter(tmp_path / "a", base, target_modules=["c_attn", "c_proj"])
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | {"fan_in_fan_out": said}))
    expected = logits(merged_by_peft(folder, base, torch.float32))
    agree(expected, scored(base, read_source(folder, base)))


def test_names_with_peft_s_name_of_an_adapter(tmp_path):
    """They are read as PEFT reads them, and no engine gets them that might not."""
    base = save_base(tmp_path / "base")
    folder = save_adapter(tmp_path / "a", base)
    tensors = load_file(folder / ADAPTER)
    renamed = {name.replace(".weight", ".default.weight"): t for name, t in tensors.items()}
    expected = scored(base, read_source(folder, base))
    save_file(renamed, folder / ADAPTER, metadata={"format": "pt"})
    source = read_source(folder, base)
    assert isinstance(source, Variant)
    assert not source.pure_adapter
    agree(logits(merged_by_peft(folder, base, torch.float32)), expected, scored(base, source))


@pytest.mark.parametrize("kind", ["qwen2", "qwen2 tied", "gpt2", "gpt2 untied", "gpt2 headless"])
def test_an_adapter_made_here_on_any_matrix(tmp_path, kind):
    """Also on embeddings and heads, and in GPT-2's layout: PEFT's names for them differ."""
    save = save_gpt2 if kind.startswith("gpt2") else save_base
    options = {"head": False} if kind == "gpt2 headless" else {}
    base = save(tmp_path / "base", tied=kind not in ("qwen2", "gpt2 untied"), **options)
    rng, adapter = np.random.default_rng(0), {}
    for name, info in read_model(base, None).tensors.items():
        tokens = kind == "gpt2 headless" and "wte" in name
        if len(info.shape) == 2 and ".1." not in name and not tokens:
            u, v = (rng.standard_normal((length, 2)) for length in info.shape)
            adapter[name] = LowRank(u, np.array([0.05, -0.02]), v)
    write_variant(tmp_path / "v", base, {}, {}, adapter=adapter)
    variant = read_variant(tmp_path / "v")
    assert variant.pure_adapter == (kind not in ("qwen2 tied", "gpt2")), (
        "a tied head may not follow"
    )
    dense = built(variant, tmp_path / "dense")
    assert (dense - logits(AutoModelForCausalLM.from_pretrained(base))).abs().max() > 1e-2
    agree(dense, scored(base, read_source(tmp_path / "v", base)))
    if variant.pure_adapter:
        plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        agree(dense, logits(PeftModel.from_pretrained(plain, tmp_path / "v" / "adapter")))


def test_the_engine_asks_peft_what_it_loaded(tmp_path):
    """Whatever the headers seem to say."""
    base = save_base(tmp_path / "base")
    folder = save_adapter(tmp_path / "a", base, target_modules=["q_proj", "k_proj"])
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before, config = logits(model), json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | {"target_modules": ["q_proj"]}))
    with pytest.raises(CheckpointError, match=r"PEFT does not load .*k_proj.lora_A.weight from it"):
        put_on(model, folder)
    assert torch.equal(logits(model), before), "the adapter is off again"
    (folder / CONFIG).write_text(json.dumps(config | {"target_modules": ["act_fn"]}))
    with pytest.raises(CheckpointError, match=r"PEFT cannot put the adapter on its base \(.*SiLU"):
        put_on(model, folder)
