"""Updates of small models: dense references, variants, and what was built of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from alpharl.spectra.lowrank import LowRank
from alpharl.variants.store import write_variant
from safetensors.torch import load_file

UP = "model.layers.0.mlp.up_proj.weight"
EPS = float(np.finfo(np.float32).eps)


def triplets(run, step: int, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dense SVD of an update, float64."""
    return np.linalg.svd(run.update(step, name), full_matrices=False)


def reference(run, step: int, kind: str, k: int) -> dict[str, np.ndarray]:
    """AlphaRL eqs 1-3 in float64: only the matrices of the paper's scope have an update."""
    found = {name: 0 * run.update(step, name) for name in run.names}
    for name in run.matrices():
        u, s, vt = triplets(run, step, name)
        delta, top = run.update(step, name), (u[:, :k] * s[:k]) @ vt[:k]
        full = np.linalg.norm(delta)
        if kind == "without":
            rest = delta - top
            found[name] = rest * full / np.linalg.norm(rest) if k < len(s) else 0 * rest
        elif kind == "full-update":
            found[name] = delta
        else:
            found[name] = top * full / np.linalg.norm(top) if kind == "rank" else top
    return found


def built_update(run, folder: Path) -> dict[str, np.ndarray]:
    """(model - base) per tensor of a built float32 model, float64."""
    model = load_file(folder / "model.safetensors")
    assert list(model) == sorted(run.names)
    return {n: (model[n].double() - run.weights[0][n].double()).numpy() for n in run.names}


def assert_updates(run, found: dict, expected: dict, relative: float = 5e-5) -> None:
    """Relative Frobenius distance per tensor, besides the one rounding of the sum."""
    for name in run.names:
        rounding = EPS * np.linalg.norm(run.weights[0][name].double().numpy())
        limit = relative * np.linalg.norm(expected[name]) + rounding
        assert np.linalg.norm(found[name] - expected[name]) <= limit, name


def own_variant(run, out: Path, blend: dict, adapter: dict) -> Path:
    """A variant of a trajectory."""
    write_variant(out, run.base, run.folders, {"kind": "test"}, blend, adapter)
    return out


def low_rank(run, name: str, k: int, seed: int) -> LowRank:
    """A random low-rank update of a tensor, one singular value negative."""
    rng, (m, n) = np.random.default_rng(seed), run.weights[0][name].shape
    s = 0.01 * np.arange(k, 0, -1) * np.where(np.arange(k) == 1, -1, 1)
    return LowRank(rng.standard_normal((m, k)), s, rng.standard_normal((n, k)))
