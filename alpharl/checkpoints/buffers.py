"""Buffers that older libraries saved next to the weights, and loaders compute anew. Torch-free.

Frequencies of rotary embeddings, causal masks, positions: they follow from the config, no training
changes them, and transformers ignores what a folder holds of them. So one folder may hold them and
another may not, and both are the same model. A buffer that is part of the function stays a weight:
the correction bias of DeepSeek's router, the statistics of a batch norm.
"""

from __future__ import annotations

import re

from alpharl.checkpoints.header import TensorInfo

_COMPUTED = re.compile(
    r"(?:^|\.)(?:rotary\w*|rope\w*)\.(?:(?:original_)?inv_freq|(?:cos|sin)_cached)$"
    r"|(?:^|\.)(?:position_ids|token_type_ids|causal_mask)$"
)
_ATTENTION = re.compile(r"(?:^|\.)(?:attn|attention|self_attn)\.(bias|masked_bias)$")
"""Masks of GPT-2, GPT-Neo, GPT-NeoX, GPT-J and CodeGen; elsewhere `bias` may be a parameter."""


def is_computed(info: TensorInfo) -> bool:
    """Whether a stored tensor is a buffer that loaders compute from the config."""
    attention = _ATTENTION.search(info.name)
    if not attention:
        return _COMPUTED.search(info.name) is not None
    shape = info.shape
    square = len(shape) == 4 and shape[:2] == (1, 1) and shape[2] == shape[3]
    return square if attention[1] == "bias" else info.size == 1
