"""Speed, memory and size of the factor and gram stages beside their floors: `make benchmark`.

Ratios within one run count, since machines differ and are shared. Each job runs in a process of its
own; of several runs the fastest counts, for ours and for the floor.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from alpharl.checkpoints.index import read_index
from alpharl.spectra.scope import matrices
from alpharl.spectra.svd import top_k

from tests.benchmarks.models import (
    REAL,
    qwen_7b,
    qwen_half_billion,
    update,
    write_run,
)
from tests.markdown import processor

Row = tuple[str, str, str, str]
REPEATS = 3
FLAT = ([1 / i for i in range(1, 9)], 0.3)
"""Eight singular values over a flat tail with a fifth of the energy."""
HEADER = ("figure", "bar", "measured", "met")


def row(figure: str, bar: str, measured: str, met: bool) -> Row:
    """One line of the table, also printed at once."""
    line = (figure, bar, measured, "yes" if met else "NO")
    print(" | ".join(line), flush=True)
    return line


def timed(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Seconds of the fastest of several calls."""
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def child(job: str, folder: Path, rank: int = 16, repeats: int = REPEATS) -> tuple[float, float]:
    """Seconds (fastest) and MiB (largest) of a job in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.child", job, str(folder), str(rank)]
    found = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(repeats)
    ]
    return min(f["seconds"] for f in found), max(f["memory"] for f in found)


def decompositions() -> list[Row]:
    """Top-16 factors against the dense SVD, on the same threads."""
    rows = []
    for shape, bar in (((1536, 8960), 50), ((4096, 14336), 100)):
        for name, (head, left) in {"real": REAL, "flat tail": FLAT}.items():
            matrix = update(*shape, head, left, 1.0, torch.Generator().manual_seed(0))
            ours, found = timed(lambda m=matrix: top_k(m, 16)), top_k(matrix, 16)
            started = time.perf_counter()
            u, s, _ = torch.linalg.svd(matrix, full_matrices=False)
            dense = time.perf_counter() - started
            error = abs(float(found.s[0] / s[0]) - 1)
            first, true = found.u[:, 0].double(), u[:, 0].double()
            angle = float((first - true * (true @ first)).norm())
            rows.append(
                row(
                    f"top-16 of {shape[0]}x{shape[1]}, {name}",
                    f">= {bar}x, 1e-5, 1e-3",
                    f"{dense / ours:.0f}x ({dense:.2f} s / {ours:.3f} s, {found.method}), "
                    f"s1 {error:.0e}, angle {angle:.0e}",
                    dense / ours >= bar and error < 1e-5 and angle < 1e-3,
                )
            )
    return rows


def stages(place: Path | None) -> list[Row]:
    """The factor stage against its floor, and its memory, for three sizes."""
    rows, memory = [], {}
    sizes = {
        "0.2B": qwen_half_billion(12),
        "1B": qwen_half_billion(),
        "two 7B layers": qwen_7b(2),
    }
    for name, shapes in sizes.items():
        with tempfile.TemporaryDirectory(dir=place) as folder:
            run = Path(folder)
            write_run(run, shapes, 1)
            floor, _ = child("floor", run)
            ours, memory[name] = child("factors", run)
            met = ours <= 2.5 * floor
            ratio = f"{ours / floor:.2f}x ({ours:.2f} s / {floor:.2f} s)"
            rows.append(row(f"factor stage, {name}, files in memory", "<= 2.5x", ratio, met))
            if name == "1B":
                rows.append(cold(run))
            if name == "two 7B layers":
                rows += disk(run)
    shown = ", ".join(f"{name}: {mib:.0f} MiB" for name, mib in memory.items())
    return [*rows, row("peak memory above torch", "< 1 GB each", shown, max(memory.values()) < 953)]


def cold(run: Path) -> Row:
    """The factor stage and its floor with the files on the disk only."""
    floor, ours = (from_disk(job, run) for job in ("floor", "factors"))
    ratio = f"{ours / floor:.2f}x ({ours:.2f} s / {floor:.2f} s)"
    return row("factor stage, 1B, files on disk", "<= 2.5x", ratio, ours <= 2.5 * floor)


def from_disk(job: str, run: Path) -> float:
    """Seconds of a job that finds nothing in the system's page cache."""
    child("forget", run, repeats=1)
    return child(job, run, repeats=1)[0]


def disk(run: Path) -> list[Row]:
    """Size of factor files against full U, S, V in float32."""
    found = matrices(read_index(run / "base"), "paper").values()
    full = sum(4 * min(m.shape) * (m.rows + m.columns + 1) for m in found)
    rows = []
    for rank, bar in ((8, 400), (1, 3000)):
        child("factors", run, rank, repeats=1)
        size = (run / f"factors-{rank}.safetensors").stat().st_size
        rows.append(
            row(
                f"disk at k = {rank}, 7B shapes", f"<= 1/{bar}",
                f"1/{full / size:.0f} ({size / 2**20:.2f} MiB / {full / 2**30:.2f} GiB)",
                full / size >= bar,
            )
        )  # fmt: skip
    return rows


def grams(place: Path | None) -> list[Row]:
    """The gram stage of ten checkpoints against reading them once."""
    figure, rows = "gram, 10 checkpoints of 0.45B parameters, files", []
    with tempfile.TemporaryDirectory(dir=place) as folder:
        run = Path(folder)
        write_run(run, qwen_half_billion(12), 10)
        warm = child("read", run)[0], *child("gram", run)
        cold = from_disk("read", run), from_disk("gram", run), warm[2]
        for name, (floor, ours, memory) in {"in memory": warm, "on disk": cold}.items():
            ratio = f"{ours / floor:.2f}x ({ours:.2f} s / {floor:.2f} s), {memory:.0f} MiB"
            rows.append(row(f"{figure} {name}", "<= 2x reading", ratio, ours <= 2 * floor))
    return rows


def machine() -> str:
    """When and on what."""
    return (
        f"{datetime.date.today()}, {processor()}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}"
    )


def main() -> None:
    """Measure everything and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--place", type=Path, help="disk for 5 GB of models; default: temporary")
    parser.add_argument("--out", type=Path, required=True, help="Markdown file")
    args = parser.parse_args()
    rows = decompositions()
    rows += stages(args.place) + grams(args.place)
    lines = ["# Benchmarks of the spectra", "", f"`make benchmark`. {machine()}.", ""]
    lines += [f"| {' | '.join(line)} |" for line in (HEADER, ("---",) * len(HEADER), *rows)]
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
