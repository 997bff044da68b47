"""A GGUF file of a tiny Qwen2 model, with random weights and a byte-level tokenizer."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from transformers.convert_slow_tokenizer import bytes_to_unicode

WIDTH, MLP, HEADS = 16, 32, 2


def write_gguf(file: Path) -> dict[str, np.ndarray]:
    """Write the file; its tensors, float32, under GGUF's names."""
    tokens = [*bytes_to_unicode().values(), "ab", "<|endoftext|>"]
    end = len(tokens) - 1
    writer = gguf.GGUFWriter(str(file), "qwen2")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * end + [gguf.TokenType.CONTROL])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(end)
    tensors = _tensors(len(tokens))
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


def _tensors(vocabulary: int) -> dict[str, np.ndarray]:
    square, vector = (WIDTH, WIDTH), (WIDTH,)
    block = {
        "attn_norm.weight": vector, "ffn_norm.weight": vector,
        "attn_q.weight": square, "attn_k.weight": square, "attn_v.weight": square,
        "attn_q.bias": vector, "attn_k.bias": vector, "attn_v.bias": vector,
        "attn_output.weight": square,
        "ffn_gate.weight": (MLP, WIDTH), "ffn_up.weight": (MLP, WIDTH),
        "ffn_down.weight": (WIDTH, MLP),
    }  # fmt: skip
    shapes = {
        "token_embd.weight": (vocabulary, WIDTH),
        "output_norm.weight": vector,
        "output.weight": (vocabulary, WIDTH),
        **{f"blk.0.{name}": shape for name, shape in block.items()},
    }
    numbers = np.random.default_rng(0)
    return {
        name: numbers.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()
    }
