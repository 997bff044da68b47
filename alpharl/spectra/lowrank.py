"""Low-rank matrices as factors, and where they are stored. Numpy only, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from alpharl.checkpoints.array_files import write_arrays
from alpharl.checkpoints.header import read_header, unique_json
from alpharl.checkpoints.identity import MadeFrom, read_made_from, require_one
from alpharl.checkpoints.seal import KEY, require_sealed
from alpharl.errors import CheckpointError, not_as_written
from alpharl.spectra import FACTORS_VERSION
from alpharl.spectra.depth import Depth

Array = np.ndarray
MAKER = "alpharl factors"


@dataclass(frozen=True)
class LowRank:
    """u (m, k), s (k,), v (n, k): the matrix u diag(s) v^T."""

    u: Array
    s: Array
    v: Array

    def dense(self) -> Array:
        """The (m, n) matrix."""
        product: Array = (self.u * self.s) @ self.v.T
        return product

    def top(self, k: int) -> LowRank:
        """The leading k triplets."""
        return LowRank(self.u[:, :k], self.s[:k], self.v[:, :k])

    def scaled(self, factor: float) -> LowRank:
        """The matrix times a number."""
        with np.errstate(over="ignore"):  # what overflows is refused where it would be written
            return LowRank(self.u, self.s * factor, self.v)


@dataclass(frozen=True)
class Factors:
    """Top-k factors of one update, with the full update's Frobenius norm and the residuals.

    `method` says how they were found (`alpharl.spectra.svd`), empty when read back from a file;
    `spectrum` holds all min(m, n) singular values where they were asked for.
    """

    low: LowRank
    norm: float
    residual: Array
    method: str = ""
    spectrum: Array | None = None

    def rescale(self, k: int) -> float:
        """alpha >= 1 with |alpha top-k| = |update| (AlphaRL, section 2.1); 0 for a zero update."""
        top_norm = float(np.sqrt(np.sum(np.square(self.low.s[:k], dtype=np.float64))))
        return self.norm / top_norm if top_norm > 0 else 0.0

    def arrays(self) -> dict[str, Array]:
        """The arrays of a factor file by key."""
        low, norm = self.low, np.asarray(self.norm)
        arrays = {"u": low.u, "s": low.s, "v": low.v, "residual": self.residual, "norm": norm}
        return arrays if self.spectrum is None else arrays | {"spectrum": self.spectrum}


def as_stored(factors: Factors) -> Factors:
    """Factors as they come back from a file: all numbers in float32."""
    low = LowRank(
        *(np.asarray(x, np.float32) for x in (factors.low.u, factors.low.s, factors.low.v))
    )
    residual = np.asarray(factors.residual, np.float32)
    return replace(factors, low=low, norm=float(np.float32(factors.norm)), residual=residual)


def about_factors(
    models: MadeFrom, step: int, depth: Depth, scope: str, part: tuple[int, int] = (0, 1)
) -> dict[str, Any]:
    """What a factor file says of itself.

    Args:
        models: of the run.
        step: of the checkpoint whose factors it holds.
        depth: triplets of each matrix.
        scope: which matrices it holds.
        part: (index, count) of the shard.
    """
    one = MadeFrom(base=models["base"], checkpoints={step: models["checkpoints"][step]})
    about = {"version": FACTORS_VERSION, "from": one, "depth": asdict(depth)}
    return {**about, "scope": scope, "shard": part}


def factors_made_from(paths: Sequence[Path]) -> MadeFrom | None:
    """The models that the factors of one checkpoint were made from; None of no file.

    Raises:
        ArtefactError: a shard is of another version, of other models than the first, or not of one
            checkpoint.
    """
    told = [read_made_from(read_metadata(p, MAKER), FACTORS_VERSION, p, MAKER) for p in paths]
    for path, models in zip(paths, told, strict=True):
        if len(models["checkpoints"]) != 1:
            raise not_as_written(path, "found other models than one checkpoint and its base", MAKER)
    return require_one(told, paths, MAKER)


def read_factors(paths: Iterable[Path]) -> dict[str, Factors]:
    """All matrices' factors of one checkpoint, from its shards.

    Raises:
        CheckpointError: a shard is missing.
        ArtefactError: a shard is not as it was written, or holds what no factors are.
    """
    factors: dict[str, Factors] = {}
    for path in paths:
        arrays, _ = read_made(path, MAKER)
        by_name = dict[str, dict[str, Array]]()
        for key, array in arrays.items():
            name, _, part = key.rpartition("/")
            by_name.setdefault(name, {})[part] = array
        factors |= {name: _factors(path, name, parts) for name, parts in by_name.items()}
    return factors


def _factors(path: Path, name: str, stored: Mapping[str, Array]) -> Factors:
    """One matrix's factors.

    Raises:
        ArtefactError: an array is missing, is no part of factors, or does not fit the others.
    """
    shapes = {part: array.shape for part, array in stored.items()}
    m, n, k = (next(iter(shapes.get(key, ())), 0) for key in ("u", "v", "s"))
    expected = {"u": (m, k), "s": (k,), "v": (n, k), "norm": (), "residual": (k,)}
    expected |= {"spectrum": (min(m, n),)} if "spectrum" in shapes else {}
    floats = all(array.dtype == np.float32 for array in stored.values())
    if shapes != expected or not 0 < k <= min(m, n) or not floats:
        raise not_as_written(path, f"found no factors of a matrix under '{name}'", MAKER)
    u, s, v, norm, residual = (stored[part] for part in ("u", "s", "v", "norm", "residual"))
    if min(s.min(), norm) < 0:
        raise not_as_written(path, f"{name}: found a norm below 0", MAKER)
    return Factors(LowRank(u, s, v), float(norm), residual, spectrum=stored.get("spectrum"))


def save_factors(factors: Mapping[str, Factors], out: Path, about: Mapping[str, Any]) -> None:
    """Write factors that are in memory as `alpharl.spectra.factors.write_factors` does.

    Args:
        factors: of one checkpoint, by matrix.
        out: the file.
        about: what it says of itself, see `about_factors`.
    """
    arrays = {
        f"{name}/{key}": np.asarray(array, np.float32)
        for name, one in factors.items()
        for key, array in one.arrays().items()
    }
    methods: dict[str, list[str]] = {}
    for name, one in factors.items():
        methods.setdefault(one.method, []).append(name)
    write_arrays(out, arrays, {**about, "methods": methods})


def read_made(path: Path, maker: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """All arrays of a factor or gram file, and what it says that it was made from.

    Raises:
        CheckpointError: as `read_arrays`.
        ArtefactError: it is not as it was written.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; make it first (factors or gram)")
    require_sealed(path, maker)
    return read_arrays(path), read_metadata(path, maker)


def read_arrays(path: Path) -> dict[str, Array]:
    """All arrays of a safetensors file.

    Raises:
        CheckpointError: no such file, not safetensors, or a number in it is not finite.
    """
    read_header(path)
    with safe_open(str(path), framework="np") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    bad = [key for key, array in arrays.items() if not np.isfinite(array).all()]
    if bad:
        raise CheckpointError(
            f"{path}: {bad[0]} holds values that are not finite, which nothing here writes; make "
            "the file again"
        )
    return arrays


def read_metadata(path: Path, maker: str = MAKER) -> dict[str, Any]:
    """What a factor or gram file says it was made from.

    Raises:
        ArtefactError: what stands there is no JSON object.
    """
    with safe_open(str(path), framework="np") as file:
        text = (file.metadata() or {}).get("alpharl", "{}")
    try:
        data: dict[str, Any] = {**unique_json(text)}
    except (ValueError, TypeError, RecursionError):
        raise not_as_written(path, "found no JSON object in its metadata", maker) from None
    data.pop(KEY, None)
    return data
