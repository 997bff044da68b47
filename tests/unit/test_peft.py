"""Variants as PEFT and transformers read them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from alpharl.spectra.depth import Depth
from alpharl.spectra.factors import Settings, factor_checkpoint
from alpharl.variants.build import build_dense
from alpharl.variants.ranks import rank_parts
from alpharl.variants.recipes import Recipe
from alpharl.variants.store import read_variant, write_variant
from safetensors import safe_open


@pytest.fixture(scope="module")
def tiny_qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen2 of hidden size 32, and a checkpoint `step-5` beside it."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("qwen")
    config = Qwen2Config(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config)
    model.save_pretrained(folder / "base")
    with torch.no_grad():
        for weights in model.parameters():
            weights += 0.02 * torch.randn_like(weights)
    model.save_pretrained(folder / "step-5")
    return folder


def logits(model) -> torch.Tensor:
    """Logits of three fixed prompts, in float32."""
    tokens = torch.randint(0, 40, (3, 9), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found: torch.Tensor = model.eval()(tokens).logits
    return found


@pytest.mark.parametrize("partial", [False, True], ids=["all matrices", "some matrices"])
@pytest.mark.parametrize(("kind", "k"), [("rank", 1), ("unscaled", 4), ("random", 2)])
def test_peft_loads_the_adapter_and_it_equals_the_dense_model(
    tiny_qwen, tmp_path, kind, k, partial
):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = tiny_qwen / "base"
    factors = factor_checkpoint(base, tiny_qwen / "step-5", Settings(Depth(k)))
    if partial:
        factors = {
            n: f for n, f in factors.items() if "layers.1.mlp.u" in n or "0.self_attn.k" in n
        }
    blend, adapter = rank_parts(Recipe(kind, Depth(k)), 5, factors)
    write_variant(tmp_path / "v", base, {5: tiny_qwen / "step-5"}, {}, blend, adapter)
    build_dense(read_variant(tmp_path / "v"), tmp_path / "m")
    dense = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype=torch.float32))
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before = logits(plain)
    adapted = PeftModel.from_pretrained(plain, tmp_path / "v" / "adapter")
    found = logits(adapted)
    assert (dense - before).abs().max() > 1e-3, "the adapter does something"
    torch.testing.assert_close(found, dense, rtol=0, atol=1e-5)
    torch.testing.assert_close(logits(adapted.unload()), before, rtol=0, atol=0)


def test_dense_model_loads_with_transformers_in_the_dtype_of_the_base(tiny_qwen, tmp_path, cli):
    from transformers import AutoModelForCausalLM

    assert cli("rank", "--base", tiny_qwen / "base", "--checkpoint", tiny_qwen / "step-5",
               "--kind", "full-update", "--dense", "--out", tmp_path / "m").status == 0  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert model.dtype == torch.float32
    with safe_open(tiny_qwen / "step-5" / "model.safetensors", framework="pt") as file:
        for name, weights in model.state_dict().items():
            if name.endswith("_proj.weight"):
                torch.testing.assert_close(weights, file.get_tensor(name), rtol=0, atol=1e-7)
