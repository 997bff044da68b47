"""Mutations of sealed files, with their seals as they were or made again; and what such files hold.

Only with a seal of its own does a mutant get to the checks that stand behind the seal.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
from alpharl.checkpoints.seal import BLANK, KEY, sealed
from safetensors import safe_open
from safetensors.numpy import load_file, save

from tests.fuzz.mutations import changed, dump, spoiled, strange


def resealed_record(rng: random.Random, text: str, *more: Any) -> str:
    """A record of JSON, changed, whose seal is its own; the seal may stand elsewhere."""
    data = {key: value for key, value in json.loads(text).items() if key != KEY}
    for _ in range(rng.choice([1, 1, 1, 2])):
        data = changed(rng, data, *more)
    if not isinstance(data, dict):
        return dump([data, BLANK]) if rng.random() < 0.5 else dump(data)
    whole = dump({**data, KEY: BLANK}) + "\n"
    if rng.random() < 0.1:
        key = rng.choice([KEY, *data])
        tail = dump({key: strange(rng, data.get(key, BLANK))}, None)[1:]
        whole = whole.rstrip()[:-1].rstrip() + f",\n {tail}"
    return sealed(whole) if BLANK in whole else whole


def mutate_record(rng: random.Random, file: str, *more: Any) -> str:
    """Change the bytes of a sealed file of JSON, or its values, mostly with its seal made again.

    Args:
        rng: chooses.
        file: the file.
        more: values that may take a place in it.
    """
    path, way = Path(file), rng.random()
    data = path.read_bytes()
    if way < 0.15:
        path.write_bytes(spoiled(rng, data))
    elif way < 0.35:
        path.write_bytes(resealed_bytes(spoiled(rng, data)))
    else:
        path.write_bytes(
            resealed_record(rng, data.decode(), *more).encode("utf-8", "surrogatepass")
        )
    return file


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Write a record with its own digest."""
    path.write_text(sealed(dump({**content, KEY: BLANK}) + "\n"))


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def require_sealed(path: Path) -> dict[str, Any]:
    """What `json` reads of a sealed file, if its digest is right and no key stands twice."""
    data = path.read_bytes()
    assert resealed_bytes(data) == data, "another digest"

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), "a key twice"
        return dict(pairs)

    content: dict[str, Any] = json.loads(data.decode("utf-8"), object_pairs_hook=once)
    json.dumps(content, allow_nan=False)
    assert content.pop(KEY), "no digest"
    return content


def resealed_bytes(data: bytes) -> bytes:
    """A file whose seal, if it can still be found, is made again."""
    found = [*re.finditer(rb'"seal\\?": \\?"([0-9a-f]{64})', data)]
    if not found:
        return data
    at = found[-1].start(1)
    blank = data[:at] + BLANK.encode() + data[at + 64 :]
    return blank[:at] + hashlib.sha256(blank).hexdigest().encode() + blank[at + 64 :]


def pack(arrays: dict[str, np.ndarray], about: Any) -> bytes:
    """A sealed file of arrays, with what it says of itself."""
    text = dump({**about, KEY: BLANK} if isinstance(about, dict) else about, None)
    tensors = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return resealed_bytes(save(tensors, metadata={"alpharl": text}))


def changed_arrays(rng: random.Random, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays with one thing changed: a number, a shape, a type, a name, or one of them gone."""
    arrays, name = dict(arrays), rng.choice([*arrays])
    one, other = arrays[name].copy(), arrays[rng.choice([*arrays])]
    number = rng.choice([np.nan, np.inf, -1, 0, 1e30, -1e30, 3, 10, 30, 2**40])
    with np.errstate(all="ignore"):
        filled, at = one.copy(), rng.randrange(max(1, one.size))
        stop = at + 1 if rng.random() < 0.8 else None
        filled.reshape(-1)[at:stop] = np.asarray(number, np.float64).astype(one.dtype)
        options = [
            *[filled] * 9, 0.0 - one, one * 0, one[..., None], one[None], one.reshape(-1), one.T,
            one[:-1] if one.ndim else one, one[..., :-1] if one.ndim else one, other,
            np.zeros((0, *one.shape)), np.concatenate([one, one]) if one.ndim else one,
            *(one.astype(kind) for kind in ("f2", "f8", "f4", "i8", "u1", "?", "i2")),
        ]  # fmt: skip
    arrays[name] = rng.choice(options)
    if rng.random() < 0.3:
        array = arrays.pop(name)
        renamed = rng.choice(
            ["", "x", f"{name}/x", name.upper(), name.rpartition("/")[0], "steps", "/u"]
        )
        arrays |= {renamed: array} if rng.random() < 0.6 else {}
    return arrays


def mutate_arrays(rng: random.Random, file: str) -> str:
    """Change a sealed file of arrays."""
    path = Path(file)
    data = path.read_bytes()
    way = rng.random()
    if way < 0.35:
        data = spoiled(rng, data)
        path.write_bytes(data if way < 0.1 else resealed_bytes(data))
        return file
    arrays, told = load_file(path), about(path)
    for _ in range(rng.choice([1, 1, 1, 2])):
        if way < 0.75:
            arrays = changed_arrays(rng, arrays)
        else:
            told = changed(rng, told)
    path.write_bytes(pack(arrays, told))
    return file


def about(path: Path) -> dict:
    """What a file says of itself, as its own library reads it."""
    with safe_open(path, framework="np") as file:
        told = json.loads(file.metadata()["alpharl"])
    return {key: value for key, value in told.items() if key != KEY}


def require_unmoved(files: dict, folder: Path) -> None:
    """What a file says of a model's files is how they are."""
    stats = {path.name: path.stat() for path in folder.glob("*.safetensors")}
    now = {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}
    assert files == now, f"{folder}: {files} are not {now}"
