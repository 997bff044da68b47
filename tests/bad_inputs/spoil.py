"""Ways to spoil the last checkpoint of the good run: its file, its index, its tensors.

Each of these is, or gives, a function of the folder of the good files, which is the current one.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.bad_inputs.good import LAST

FILE = LAST / "model.safetensors"
INDEX = LAST / "model.safetensors.index.json"
Q = "model.layers.0.self_attn.q_proj.weight"
Header = dict[str, Any]


# --- files ---


def parts(file: Path = FILE) -> tuple[Header, bytes]:
    """The header of a file, and the bytes of its tensors."""
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def write(header: Header | str, body: bytes, length: int | None = None, file: Path = FILE) -> None:
    """A file of a header and bytes that need not fit."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    file.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + body)


def header(change: Callable[[Header], object]) -> Callable[[Path], None]:
    """Spoils the header of the last checkpoint, and leaves its tensors."""

    def spoil(folder: Path) -> None:
        declared, body = parts()
        change(declared)
        write(declared, body)

    return spoil


def text(change: Callable[[str], str]) -> Callable[[Path], None]:
    """The same of the header as text."""

    def spoil(folder: Path) -> None:
        declared, body = parts()
        write(change(json.dumps(declared)), body)

    return spoil


def negative(declared: Header) -> None:
    start, stop = declared[Q]["data_offsets"]
    declared[Q]["data_offsets"] = [start - stop, 0]


def overlapping(declared: Header) -> None:
    declared[Q]["data_offsets"] = declared["model.layers.0.self_attn.o_proj.weight"]["data_offsets"]


def gap(folder: Path) -> None:
    declared, body = parts()
    for entry in declared.values():
        if "data_offsets" in entry:
            entry["data_offsets"] = [offset + 64 for offset in entry["data_offsets"]]
    write(declared, bytes(64) + body)


def twice(text: str) -> str:
    entry = json.dumps({Q: json.loads(text)[Q]})[1:-1]
    return f"{text[:-1]}, {entry}}}"


def long_header(folder: Path) -> None:
    """One byte more than the library takes, none of it on the disk."""
    write("{}", b"", length=100_000_001)
    with FILE.open("ab") as file:
        file.truncate(100_000_100)


def cut(folder: Path) -> None:
    FILE.write_bytes(FILE.read_bytes()[:-5])


def deep(text: str) -> str:
    nested = "[" * 100_000 + "]" * 100_000
    return text.replace(f'"{Q}": {{', f'"{Q}": {{"more": {nested}, ')


# --- several files and their index ---


def sharded(change: Callable[[Header], object]) -> Callable[[Path], None]:
    """Cuts the last checkpoint into two files with an index, which is changed then."""

    def spoil(folder: Path) -> None:
        tensors = load_file(FILE)
        FILE.unlink()
        weight_map = {}
        for i, names in enumerate((list(tensors)[::2], list(tensors)[1::2]), start=1):
            save_file({n: tensors[n] for n in names}, LAST / f"part-{i}.safetensors")
            weight_map |= dict.fromkeys(names, f"part-{i}.safetensors")
        index = {"metadata": {}, "weight_map": dict(sorted(weight_map.items()))}
        index = change(index["weight_map"]) or index
        INDEX.write_text(index if isinstance(index, str) else json.dumps(index))

    return spoil


def first_file(path: str) -> Callable[[Header], None]:
    """An index that names another path for the first file."""
    return lambda w: w.update({n: path for n, file in w.items() if file == "part-1.safetensors"})


def linked_out(folder: Path) -> None:
    sharded(lambda w: None)(folder)
    (LAST / "part-1.safetensors").rename("part-1.safetensors")
    (LAST / "part-1.safetensors").symlink_to(Path("part-1.safetensors").absolute())


def in_both(folder: Path) -> None:
    sharded(lambda w: None)(folder)
    first, second = (LAST / f"part-{i}.safetensors" for i in (1, 2))
    name, tensor = next(iter(load_file(first).items()))
    save_file({**load_file(second), name: tensor}, second)


def swapped(weight_map: Header) -> None:
    other = {"part-1.safetensors": "part-2.safetensors", "part-2.safetensors": "part-1.safetensors"}
    weight_map.update({name: other[file] for name, file in weight_map.items()})


# --- values ---


def tensors(change: Callable[[dict[str, torch.Tensor]], object], file: Path = FILE) -> Any:
    """Spoils the tensors of a file."""

    def spoil(folder: Path) -> None:
        read = load_file(file)
        change(read)
        save_file(read, file, metadata={"format": "pt"})

    return spoil


def with_value(name: str, value: float, file: Path = FILE) -> Callable[[Path], None]:
    """One number of a tensor is another."""
    return tensors(lambda t: t[name].view(-1)[3:4].fill_(value), file)


def as_type(dtype: torch.dtype) -> Callable[[Path], None]:
    return tensors(lambda t: t.update({Q: t[Q].to(dtype)}))


def block_fp8(read: dict[str, torch.Tensor]) -> None:
    for name in [name for name in read if "_proj.weight" in name]:
        scale = read[name].abs().max() / 448
        read[f"{name}_scale_inv"] = scale.view(1, 1)
        read[name] = (read[name] / scale).to(torch.float8_e4m3fn)


def lost_scales(read: dict[str, torch.Tensor]) -> None:
    """As block FP8, but nothing says what the codes are multiplied by."""
    block_fp8(read)
    for name in [name for name in read if name.endswith("_scale_inv")]:
        del read[name]


def channel_int8(read: dict[str, torch.Tensor]) -> None:
    for name in [name for name in read if "_proj.weight" in name]:
        scale = read[name].abs().amax(1, keepdim=True) / 127
        read[f"{name}_scale"] = scale
        read[name] = (read[name] / scale).round().to(torch.int8)


def packed(names: dict[str, torch.Tensor]) -> Callable[[dict[str, torch.Tensor]], None]:
    """Replaces a projection by the tensors that a quantised module has."""

    def change(read: dict[str, torch.Tensor]) -> None:
        del read[Q]
        read.update({f"{Q.removesuffix('weight')}{name}": t for name, t in names.items()})

    return change


GPTQ = {
    "qweight": torch.ones(2, 16, dtype=torch.int32), "scales": torch.ones(1, 16),
    "qzeros": torch.ones(1, 2, dtype=torch.int32), "g_idx": torch.zeros(16, dtype=torch.int32),
}  # fmt: skip
NF4 = {
    "weight": torch.ones(128, 1, dtype=torch.uint8), "weight.absmax": torch.ones(4),
    "weight.quant_map": torch.ones(16),
    "weight.quant_state.bitsandbytes__nf4": torch.ones(90, dtype=torch.uint8),
}  # fmt: skip
PACKED = {
    "weight_packed": torch.ones(16, 2, dtype=torch.int32), "weight_scale": torch.ones(16, 1),
    "weight_shape": torch.tensor([16, 16]),
}  # fmt: skip


def holding(*files: str) -> Callable[[Path], None]:
    """In place of the last checkpoint's weights, files of another layout."""

    def spoil(folder: Path) -> None:
        FILE.unlink()
        for name in files:
            (LAST / name).parent.mkdir(exist_ok=True, parents=True)
            (LAST / name).write_bytes(b"pickle")

    return spoil
