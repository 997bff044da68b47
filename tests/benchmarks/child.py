"""One measured job in a process of its own: prints its seconds and memory as JSON.

    python -m tests.benchmarks.child factors|floor|read|gram FOLDER [RANK]

Memory is the peak over what the interpreter holds with torch and the package imported.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import torch
from alpharl.checkpoints.identity import made_from
from alpharl.checkpoints.index import read_index
from alpharl.spectra.depth import Depth
from alpharl.spectra.factors import Settings, write_factors
from alpharl.spectra.gram import gram_run
from alpharl.spectra.scope import matrices
from safetensors import safe_open


def steps(folder: Path) -> dict[int, Path]:
    """The run's checkpoints."""
    return {int(p.name.removeprefix("step-")): p for p in folder.glob("step-*")}


def factors(folder: Path, rank: int) -> None:
    """The factor stage of one checkpoint."""
    last = max(steps(folder))
    out = folder / f"factors-{rank}.safetensors"
    checkpoint = {last: steps(folder)[last]}
    models = made_from(folder / "base", checkpoint)
    write_factors(folder / "base", checkpoint, Settings(Depth(rank)), {last: out}, models)


def floor(folder: Path, rank: int) -> None:
    """Read both files, upcast, subtract, two products with `rank` columns per matrix."""
    after = steps(folder)[max(steps(folder))]
    index = read_index(folder / "base")
    names = [matrix.tensor for matrix in matrices(index, "paper").values()]
    rng = torch.Generator().manual_seed(0)
    for file in index.files:
        with (
            safe_open(str(folder / "base" / file), "pt") as old,
            safe_open(str(after / file), "pt") as new,
        ):
            for name in (n for n in names if index.tensors[n].file == file):
                delta = new.get_tensor(name).float() - old.get_tensor(name).float()
                product = delta @ torch.randn(delta.shape[1], rank, generator=rng)
                product.T @ delta


def read(folder: Path, rank: int) -> None:
    """Read the base and all checkpoints once, in order."""
    buffer = memoryview(bytearray(4 << 20))
    for model in [folder / "base", *steps(folder).values()]:
        for file in read_index(model).files:
            with (model / file).open("rb", buffering=0) as stream:
                while stream.readinto(buffer):
                    pass


def gram(folder: Path, rank: int) -> None:
    """The gram stage."""
    gram_run(folder / "base", steps(folder))


def forget(folder: Path) -> None:
    """Drop the models from the system's page cache, so that they come from the disk."""
    for path in folder.glob("*/*.safetensors"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def peak() -> float:
    """Peak resident memory of this program so far, MiB; `getrusage` counts its parent's too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> None:
    """Run one job."""
    job, folder, rank = sys.argv[1], Path(sys.argv[2]), int((*sys.argv, 16)[3])
    torch.linalg.svd(torch.ones(600, 600))  # the libraries' own threads and buffers
    before, started = peak(), time.perf_counter()
    {"factors": factors, "floor": floor, "read": read, "gram": gram, "forget": forget_job}[job](
        folder, rank
    )
    print(json.dumps({"seconds": time.perf_counter() - started, "memory": peak() - before}))


def forget_job(folder: Path, rank: int) -> None:
    """See `forget`."""
    forget(folder)


if __name__ == "__main__":
    main()
