"""Files stay open between reads, and never too many of them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from alpharl.checkpoints.open_files import OpenFiles
from alpharl.spectra.gram import read_gram


def opened() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def few() -> Iterator[None]:
    """The process may hold few files open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened() + 60, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def write(folder: Path, count: int) -> list[Path]:
    paths = [folder / str(i) for i in range(count)]
    for i, path in enumerate(paths):
        path.write_bytes(i.to_bytes(4, "big"))
    return paths


def read(files: OpenFiles, path: Path) -> int:
    with files.descriptor(path) as descriptor:
        return int.from_bytes(os.pread(descriptor, 4, 0), "big")


@pytest.mark.usefixtures("few")
def test_more_files_than_a_process_may_open(tmp_path):
    files, paths = OpenFiles(), write(tmp_path, 400)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(lambda path: read(files, path), paths)) == list(range(400))
    files.close(tmp_path)


def test_a_file_is_opened_once_and_closed_with_its_folder(tmp_path):
    files, (path,) = OpenFiles(), write(tmp_path, 1)
    before = opened()
    for _ in range(5):
        assert read(files, path) == 0
    assert opened() == before + 1
    files.close(tmp_path)
    assert opened() == before


def test_a_file_that_is_read_stays_open(tmp_path):
    files, (path,) = OpenFiles(), write(tmp_path, 1)
    with files.descriptor(path) as descriptor:
        files.close(tmp_path)
        assert os.pread(descriptor, 4, 0) == bytes(4)


def test_five_hundred_checkpoints_with_few_handles(write_model, tmp_path):
    """Gram of a run that has more files than may be open, and factors where more are allowed."""
    names = [f"model.layers.0.self_attn.{x}_proj.weight" for x in "qk"]
    for step in range(501):
        moved = {name: torch.full((4, 4), 1.0 + step) for name in names}
        write_model(tmp_path / ("base" if step == 0 else f"run/step-{step}"), moved)
    common = ["--base", "base", "--checkpoints", "run/step-{step}"]
    for verb, out, limit in (
        ("gram", "gram.safetensors", "-n 128"), ("factors", "factors/step-{step}", "-S -n 128"),
    ):  # fmt: skip
        command = [sys.executable, "-m", "alpharl", verb, *common, "--out", out]
        limited = ["bash", "-c", f'ulimit {limit}; exec "$@"', "bash", *command]
        done = subprocess.run(limited, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-500:]
    gram = read_gram([tmp_path / "gram.safetensors"])
    steps = np.arange(1, 501)
    np.testing.assert_allclose(gram.tensors[names[0]], 16.0 * np.outer(steps, steps))
