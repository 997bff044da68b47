"""Forecasts of a 1B-parameter run of 20 checkpoints, once grams and factors are there.

python -m tests.benchmarks.forecasts --out docs/benchmarks-forecasts.md

The model files are headers over holes: a forecast reads no weight. Gram and factors are random
walks with drift, of the right shapes.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from alpharl.checkpoints.array_files import write_arrays
from alpharl.spectra.scope import in_paper_scope

from tests.benchmarks.models import Shapes, layers
from tests.benchmarks.run import machine

STEPS = list(range(10, 210, 10))
THROUGH, TARGET, RANK = 100, 200, 1
METHODS = ("last", "expo", "weight-extrapolation", "raw-linear", "relex", "recent", "alpharl-paper",
           "alpharl-step", "auto")  # fmt: skip

MEASURED = (
    "import sys; from alpharl.cli import main; main(sys.argv[1:]); "
    "print(*(line for line in open('/proc/self/status') if line.startswith('VmHWM')))"
)
"""The command line, and then the peak memory of its own process."""


def llama_1b() -> Shapes:
    """Llama-3.2-1B: 1.24e9 parameters, tied embeddings."""
    return {"model.embed_tokens.weight": (128256, 2048)} | layers(16, 2048, 8192, 2048, 512)


def hollow(folder: Path, shapes: Shapes) -> None:
    """A bf16 model whose weights are a hole in the file."""
    folder.mkdir(parents=True)
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(path, 8 + len(text) + at)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))


def write_inputs(folder: Path, shapes: Shapes) -> None:
    """Models, gram, factors and accuracies of the run."""
    rng = np.random.default_rng(0)
    for name in ("base", *(f"step-{step}" for step in STEPS)):
        hollow(folder / name, shapes)
    paths = {n: np.cumsum(rng.standard_normal((len(STEPS), 64)) + 1.0, axis=0) for n in shapes}
    gram = {name: path @ path.T for name, path in paths.items()}
    write_arrays(folder / "gram.safetensors", {"steps": np.array(STEPS, np.int64), **gram}, {})
    for step in STEPS:
        arrays = {}
        for name, (m, n) in shapes.items():
            if in_paper_scope(name):
                u, v = (rng.standard_normal((d, RANK)).astype(np.float32) for d in (m, n))
                low = {"u": u / np.linalg.norm(u), "v": v / np.linalg.norm(v)}
                low |= {"s": np.ones(RANK, np.float32), "residual": np.zeros(RANK, np.float32)}
                arrays |= {f"{name}/{key}": x for key, x in low.items()}
                arrays[f"{name}/norm"] = np.float32(1.5)
        write_arrays(folder / f"factors-{step}.safetensors", arrays, {})
    rows = [f"{step},{0.2 + step / 1000:.3f}" for step in (0, *STEPS)]
    (folder / "scores.csv").write_text("\n".join(["step,accuracy", *rows]))


def forecast(folder: Path, method: str) -> tuple[float, float]:
    """Seconds and peak MiB of `alpharl forecast`, the start of Python included."""
    arguments = [
        "--base", folder / "base", "--checkpoints", f"{folder}/step-{{step}}", "--method", method,
        "--through", THROUGH, "--target-step", TARGET, "--scores", folder / "scores.csv",
        "--gram", folder / "gram.safetensors", "--out", folder / f"out-{method}",
        "--factors", f"{folder}/factors-{{step}}.safetensors",
    ]  # fmt: skip
    given = ["--option", "trials=false"] if method == "auto" else []
    command = [sys.executable, "-c", MEASURED, "forecast", *map(str, arguments), *given]
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - started, int(done.stdout.split()[-2]) / 1024


def main() -> None:
    """Write a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="Markdown file")
    out, shapes = parser.parse_args().out, llama_1b()
    parameters = sum(m * n for m, n in shapes.values())
    lines = [
        "# Benchmarks of the forecasts\n",
        f"`make benchmark`. {machine()}. {parameters / 1e9:.2f}B parameters, {len(STEPS)} "
        f"checkpoints, a window of {THROUGH // 10}; `alpharl forecast`, with the start of Python "
        "and the verdict.\n",
        "| method | seconds | peak MiB |\n| --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, shapes)
        for method in METHODS:
            seconds, memory = forecast(folder, method)
            lines.append(f"| {method} | {seconds:.1f} | {memory:.0f} |")
            print(lines[-1], flush=True)
    out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
