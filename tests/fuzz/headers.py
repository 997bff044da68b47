"""Mutated headers of safetensors files: what is read here, the format's own library reads alike.

A mutation changes the header's structure (names, offsets, dtypes, shapes, metadata), its text, or
single bytes of the file. Each seed gives one file.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alpharl.checkpoints.header import read_header
from alpharl.errors import CheckpointError
from safetensors import SafetensorError, deserialize, safe_open

from tests.fuzz.mutations import dump, spoiled, strange

Header = dict[str, Any]
DTYPES = ["F64", "F32", "BF16", "F16", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "F6_E2M3",
          "I64", "U64", "I32", "U32", "I16", "U16", "I8", "U8", "BOOL", "C64", "F31", "f32",
          ""]  # fmt: skip


def good(rng: random.Random) -> tuple[Header, bytes]:
    """A valid header of a few tensors, and their bytes."""
    header: Header = {"__metadata__": {"format": "pt"}} if rng.random() < 0.5 else {}
    at = 0
    for i in range(rng.randint(1, 4)):
        dtype, width = rng.choice([("F32", 4), ("BF16", 2), ("F64", 8), ("U8", 1)])
        shape = [rng.randint(0, 4) for _ in range(rng.randint(0, 3))]
        size = width
        for length in shape:
            size *= length
        header[f"t{i}.weight"] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return header, rng.randbytes(at)


# --- structure ---


def _entry(rng: random.Random, header: Header) -> Header:
    """One of the tensors, where there still is one that looks like one."""
    entries = [entry for name, entry in header.items() if isinstance(entry, dict)]
    return rng.choice(entries) if entries else {}


def _offsets(rng: random.Random, header: Header) -> None:
    entry = _entry(rng, header)
    steps = [0, 1, 2, 4, 8, 16, 64, 2**63, -1, -4, -8, -64]
    start, stop = rng.choice(steps), rng.choice(steps)
    old = entry.get("data_offsets")
    if isinstance(old, list) and len(old) == 2 and all(isinstance(x, int) for x in old):
        moved = [[old[0] + start, old[1] + start], [old[0], old[1] + stop], old[::-1]]
        entry["data_offsets"] = rng.choice([*moved, [start, stop]])


def _dtype(rng: random.Random, header: Header) -> None:
    _entry(rng, header)["dtype"] = rng.choice(DTYPES)


def _shape(rng: random.Random, header: Header) -> None:
    entry = _entry(rng, header)
    shape = entry.get("shape")
    if isinstance(shape, list):
        longer = [*shape, rng.choice([0, 1, 2, 3, -1, 2**32, 2**63, 2**64 - 1, 2**64])]
        entry["shape"] = rng.choice([shape[::-1], shape[1:], longer, longer[::-1], [1, *shape]])


def _value(rng: random.Random, header: Header) -> None:
    entry = _entry(rng, header)
    if entry:
        entry[rng.choice([*entry])] = strange(rng)


def _field(rng: random.Random, header: Header) -> None:
    entry = _entry(rng, header)
    if entry and rng.random() < 0.5:
        entry.pop(rng.choice([*entry]))
    else:
        entry[rng.choice(["more", "dtype", "Shape"])] = strange(rng)


def _name(rng: random.Random, header: Header) -> None:
    if header:
        name = rng.choice([*header])
        renamed = rng.choice(["", "__metadata__", "t0.weight", "\x00", "é", "\ud800", "a" * 300])
        header[renamed] = header.pop(name)


def _tensor(rng: random.Random, header: Header) -> None:
    if header and rng.random() < 0.5:
        header.pop(rng.choice([*header]))
    else:
        header[f"t{rng.randint(0, 9)}"] = strange(rng, _entry(rng, header))


def _metadata(rng: random.Random, header: Header) -> None:
    header["__metadata__"] = strange(rng, {"a": "b"}, {"a": 1}, {"a": None}, {"a": {}})


def _order(rng: random.Random, header: Header) -> None:
    pairs = [*header.items()]
    rng.shuffle(pairs)
    header.clear()
    header.update(pairs)


STRUCTURE: list[Callable[[random.Random, Header], None]] = [
    _offsets, _offsets, _dtype, _shape, _value, _field, _name, _tensor, _metadata, _order,
]  # fmt: skip


# --- text and bytes ---


def _text(rng: random.Random, text: str) -> str:
    """The header's text, changed as no structure can be: keys twice, depth, spaces, numbers."""
    at = rng.randint(0, len(text))
    deep = rng.choice([1, 100, 126, 127, 128, 2000])
    key = rng.choice(["dtype", "shape", "data_offsets", "t0.weight", "__metadata__"])
    return rng.choice([
        text.replace("{", f'{{"{key}": {rng.choice(["0", "null", "{}", "[0, 0]"])}, ', 1),
        text.replace("}", f', "{key}": {rng.choice(["0", "null", "{}", "[0, 0]"])}}}', 1),
        text.replace("}", f', "more": {"[" * deep}{"]" * deep}}}', 1),
        text.replace("[0,", rng.choice(["[-0,", "[00,", "[0.0,", "[0e0,", "[ 0 ,", "[null,"]), 1),
        text.replace('"t', '"\\u0074', 1),
        text + rng.choice([" ", "\n", "\x00", "x", "{}", ","]),
        rng.choice([" ", "\ufeff", "\t", "\x00"]) + text,
        text[:at],
        text[:at] + rng.choice('{}[]",:0-e\\ \n\x00é') + text[at:],
    ])  # fmt: skip


def mutated(seed: int) -> bytes:
    """A file, good but for a few mutations."""
    rng = random.Random(seed)
    header, body = good(rng)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        rng.choice(STRUCTURE)(rng, header)
    text = dump(header, None)
    if rng.random() < 0.25:
        text = _text(rng, text)
    encoded = text.encode("utf-8", "surrogatepass")
    length = len(encoded)
    if rng.random() < 0.1:
        length = rng.choice([0, 1, length - 1, length + 1, 2 * length, 10**8, 2**63, 2**64 - 1])
    data = struct.pack("<Q", max(0, length)) + encoded + body
    return spoiled(rng, data) if rng.random() < 0.25 else data


# --- both readers ---


def check(seed: int, path: Path) -> str:
    """Compare what is read of one file with what the library reads.

    Args:
        seed: of the file.
        path: where to write it.

    Returns:
        `accepted`, `refused` here and by the library, or `stricter`: refused here alone.

    Raises:
        AssertionError: it is accepted here and not there, or read as something else; or the
            refusal is not one line.
    """
    data = mutated(seed)
    path.unlink(missing_ok=True)  # a file that is cut and written anew waits for the disk
    path.write_bytes(data)
    try:
        with safe_open(path, framework="numpy"):
            reference = {name: entry for name, entry in deserialize(data)}
    except SafetensorError:
        reference = None
    try:
        infos = read_header(path)
    except CheckpointError as error:
        assert "\n" not in str(error), f"seed {seed}: {error}"
        return "refused" if reference is None else "stricter"
    assert reference is not None, f"seed {seed}: accepted what the library refuses"
    assert {info.name for info in infos} == set(reference), f"seed {seed}: other tensors"
    for info in infos:
        entry = reference[info.name]
        assert (info.dtype, list(info.shape)) == (entry["dtype"], entry["shape"]), f"seed {seed}"
        assert data[info.start : info.stop] == entry["data"], f"seed {seed}: other bytes"
    return "accepted"
