"""A GGUF file becomes the model folder that it stands for."""

from __future__ import annotations

import pytest
import torch
from gguf import GGUFReader, dequantize
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer


def test_smollm2_unpacked_is_whole(smollm2):
    model = AutoModelForCausalLM.from_pretrained(smollm2)
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    assert {p.name for p in smollm2.iterdir()} >= {"config.json", "model.safetensors"}
    assert (model.num_parameters(), model.dtype) == (134_515_008, torch.float32)
    assert (tokenizer.eos_token, model.config.eos_token_id) == ("<|im_end|>", 2)
    assert tokenizer("12+34=46", add_special_tokens=False).tokens() == list("12+34=46")
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        tokenize=False, add_generation_prompt=True,
    )  # fmt: skip
    given = tokenizer(text, return_tensors="pt")
    answer = model.generate(**given, do_sample=False, max_new_tokens=24)[0]
    assert "Paris" in tokenizer.decode(answer[given["input_ids"].shape[1] :])


@pytest.mark.sample
def test_weights_are_those_of_the_file(smollm2_gguf, smollm2):
    """Read by the format's own library; of the names, three that no one permutes."""
    stored = {tensor.name: tensor for tensor in GGUFReader(smollm2_gguf).tensors}
    names = {
        "token_embd": "model.embed_tokens",
        "blk.0.ffn_down": "model.layers.0.mlp.down_proj",
        "blk.29.attn_v": "model.layers.29.self_attn.v_proj",
    }
    with safe_open(smollm2 / "model.safetensors", "pt") as weights:
        assert len(weights.keys()) == len(stored), "the head is tied, and stored once"
        for theirs, ours in names.items():
            tensor = stored[f"{theirs}.weight"]
            expected = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type))
            torch.testing.assert_close(
                weights.get_tensor(f"{ours}.weight"), expected, rtol=0, atol=0
            )
