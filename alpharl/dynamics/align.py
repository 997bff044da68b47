"""Signs of singular vectors along a trajectory. An SVD fixes each pair only up to a common sign."""

from __future__ import annotations

import numpy as np


def align_backwards(vectors_td: np.ndarray) -> np.ndarray:
    """Signs (T,) of +1 or -1 that make a trajectory of unit vectors continuous.

    Walks from the last row to the first and flips a row whose cosine with its (already signed)
    successor is negative; the last row is never flipped (AlphaRL, released code
    `extract_rank1_u.py`; the paper does not mention it).

    Args:
        vectors_td: (T, d), one vector per checkpoint in the order of steps.
    """
    signs = np.ones(len(vectors_td))
    for t in range(len(vectors_td) - 2, -1, -1):
        if float(vectors_td[t] @ vectors_td[t + 1]) * signs[t + 1] < 0:
            signs[t] = -1.0
    return signs
