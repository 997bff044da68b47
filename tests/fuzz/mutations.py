"""Mutations of files: of their bytes, of the values in them, and seals that are made again."""

from __future__ import annotations

import copy
import hashlib
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
from alpharl.checkpoints.seal import BLANK, KEY, sealed
from safetensors.numpy import save

DEEP = [2, 60, 200, 3000, 100_000]
_RAW, _AGAIN = "\ue000", "\ue001"
"""What `dump` writes without quotes, and what it leaves out, so that a key may stand twice."""
STRANGE: list[Any] = [
    None, True, False, -1, 0, 1, 2, 30, 2.5, -0.0, 1e-320, 1e300, -1e300, 2**31, -(2**63), 2**64,
    10**400, float("nan"), float("inf"), float("-inf"), "", "x", "7", "true", "base", "../x", "\x00",
    "é\n", "\ud800", "x" * 100_000, [], [0], [[]], [0, "x"], {}, {"": None}, {"x": {"x": 1}},
    *(_RAW + text for text in ("1e999", "-1e999", "01", "1_0", "0x1", "1." + "0" * 400, "9" * 5000)),
    *(_RAW + "[" * deep + "]" * deep for deep in DEEP),
    *(_RAW + '{"a":' * deep + "1" + "}" * deep for deep in DEEP),
]  # fmt: skip
"""Values to put where something else belongs."""


def strange(rng: random.Random, *more: Any) -> Any:
    """One of them, or of some more, as an object of its own."""
    return copy.deepcopy(rng.choice([*STRANGE, *more]))


# --- bytes ---


def spoiled(rng: random.Random, data: bytes) -> bytes:
    """A file with bytes flipped, dropped, repeated, zeroed, inserted, exchanged or cut off."""
    at, size = rng.randint(0, max(0, len(data) - 1)), rng.choice([1, 1, 2, 8, 64, 1000])
    other = rng.randint(0, max(0, len(data) - 1))
    run, rest = data[at : at + size], data[at + size :]
    return rng.choice([
        lambda: data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)] if data else b"") + data[at + 1 :],
        lambda: data[:at] + rng.randbytes(1) + data[at + 1 :],
        lambda: data[:at] + rest,
        lambda: data[:at] + run * rng.choice([2, 3, 50]) + rest,
        lambda: data[:at] + bytes(len(run)) + rest,
        lambda: data[:at] + rng.randbytes(rng.randint(1, 9)) + data[at:],
        lambda: data[:at] + rng.choice([b'"', b"}", b"]", b",", b"\n", b"0", b"-", b"\xff"]) + data[at:],
        lambda: data[:other] + run + data[other + len(run) :],
        lambda: data[:at],
        lambda: data + rng.choice([rng.randbytes(9), b"\n", b" ", b"\x00", data[at:]]),
        lambda: rng.choice([b"\xef\xbb\xbf", b"\xff\xfe", b" "]) + data,
        lambda: rng.choice([b"", b"\n", b"[]", b"null", bytes(len(data)), b"[" * 100_000]),
    ])()  # fmt: skip


# --- values ---


def changed(rng: random.Random, value: Any, *more: Any) -> Any:
    """A JSON value with one thing changed somewhere in it.

    Args:
        rng: chooses.
        value: an object or a list.
        more: values that may take a place, next to the strange ones.
    """
    value = copy.deepcopy(value)
    parent, key = _somewhere(rng, value)
    if parent is None:
        return strange(rng, [value])
    change = rng.choice(
        [_replace, _replace, _replace, _number, _drop, _double, _more, _swap, _wrap]
    )
    change(rng, parent, key, more)
    return value


def _somewhere(rng: random.Random, value: Any) -> tuple[Any, Any]:
    """A container within a value and a key of it; None where the value itself is meant."""
    parent, key = None, None
    while isinstance(value, dict | list) and value and (parent is None or rng.random() < 0.7):
        if parent is None and rng.random() < 0.01:
            break
        parent, key = value, rng.choice([*value] if isinstance(value, dict) else range(len(value)))
        value = parent[key]
    return parent, key


def _replace(rng: random.Random, parent: Any, key: Any, more: tuple[Any, ...]) -> None:
    parent[key] = strange(rng, *more, *more)


def _number(rng: random.Random, parent: Any, key: Any, more: tuple[Any, ...]) -> None:
    value = parent[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        parent[key] = str(value) if rng.random() < 0.5 else value
        return
    parent[key] = rng.choice(
        [-value, value + 1, value * 1.5, float(value), str(value), value / 100]
    )


def _drop(rng: random.Random, parent: Any, key: Any, more: tuple[Any, ...]) -> None:
    del parent[key]


def _double(rng: random.Random, parent: Any, key: Any, more: tuple[Any, ...]) -> None:
    """An element again, or a key: with its value or another."""
    value = copy.deepcopy(parent[key])
    if isinstance(parent, list):
        parent.insert(rng.randint(0, len(parent)), value)
    else:
        parent[f"{_AGAIN}{key}"] = rng.choice([value, strange(rng)])


def _more(rng: random.Random, parent: Any, key: Any, more: tuple[Any, ...]) -> None:
    """An element or a key that is none, or the key under another name."""
    if isinstance(parent, list):
        parent.append(strange(rng, *more))
    else:
        name = rng.choice(
            ["more", "", f"{key} ", str(key).upper(), "0", "-1", "x" * 500, "é", "a/b"]
        )
        parent[name] = parent.pop(key) if rng.random() < 0.5 else strange(rng)


def _swap(rng: random.Random, parent: Any, key: Any, more: tuple[Any, ...]) -> None:
    other = rng.choice([*parent] if isinstance(parent, dict) else range(len(parent)))
    parent[key], parent[other] = parent[other], parent[key]


def _wrap(rng: random.Random, parent: Any, key: Any, more: tuple[Any, ...]) -> None:
    value = parent[key]
    inner = value[0] if isinstance(value, list) and value else {"x": value}
    parent[key] = rng.choice([[value], inner])


def dump(value: Any, indent: int | None = 1) -> str:
    """JSON text of a value, with what is strange in it as no library would write it."""
    text = json.dumps(value, indent=indent)
    text = re.sub(r'"\\ue000([^"]*(?:\\"[^"]*)*)"', lambda m: m[1].replace('\\"', '"'), text)
    return text.replace("\\ue001", "")


def plain(value: Any) -> bool:
    """Whether a value holds nothing that `dump` alone can write."""
    return not re.search(r"\\ue00[01]", json.dumps(value))


# --- seals ---


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
    """Change a sealed file of JSON: its bytes, with its seal as it was or made again, or its values.

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
            *[filled] * 9, one * -1, one * 0, one[..., None], one[None], one.reshape(-1), one.T,
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
