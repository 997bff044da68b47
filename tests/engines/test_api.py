"""The `api` engine on a real `vllm serve`, beside the `hf` engine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from alpharl.cli import main

from tests.conftest import GOLDEN

START_SECONDS = 300
RUN = GOLDEN / "trajectory"


def verb(*args: object) -> None:
    assert main([str(arg) for arg in args]) == 0


@pytest.fixture(scope="module")
def server(golden, vllm_environment, tmp_path_factory) -> Iterator[str]:
    """Address of a server of the golden base that loads adapters when asked to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
                "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}  # fmt: skip
    # What `vllm serve` starts; the command itself does not find its metadata in the CPU build.
    command = [vllm_environment / "bin" / "python", "-m", "vllm.entrypoints.openai.api_server",
               "--model", RUN / "base", "--dtype", "float32", "--port", port, "--enforce-eager",
               "--max-model-len", 32, "--enable-lora", "--max-lora-rank", 8]  # fmt: skip
    with log.open("w") as file:
        process = subprocess.Popen(
            [str(word) for word in command], stdout=file, stderr=file, start_new_session=True,
            env=os.environ | settings,
        )  # fmt: skip
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def _wait(url: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(1)
        else:
            return
    pytest.fail("the server did not start: " + log.read_text()[-2000:])


@pytest.fixture(scope="module")
def made(golden, tmp_path_factory) -> dict[str, Path]:
    """A suite, adapters of ranks 1 and 8, and a dense variant."""
    root = tmp_path_factory.mktemp("api")
    spec = {"role": "test", "max_new_tokens": 9,
            "tasks": [{"task": "addition", "split": "test", "limit": 200}]}  # fmt: skip
    verb("suite", "--name", "test", "--spec", json.dumps(spec), "--out", root / "suite.json")
    rank = ["rank", "--base", RUN / "base", "--checkpoint", RUN / "step-120"]
    for k in (1, 8):
        verb(*rank, "--rank", k, "--out", root / f"rank-{k}")
    verb(*rank, "--kind", "without", "--rank", 1, "--out", root / "without")
    return {"root": root, "base": RUN / "base", "rank-1": root / "rank-1",
            "rank-8": root / "rank-8", "without": root / "without"}  # fmt: skip


def score(made: dict[str, Path], out: str, *engine: object) -> dict[str, dict]:
    names = ("base", "rank-1", "rank-8")
    variants = [f"--variant={name}={made[name]}" for name in names]
    verb("evaluate", "--suite", made["root"] / "suite.json", "--base", made["base"], *variants,
         "--out", made["root"] / out, *engine)  # fmt: skip
    return {name: json.loads((made["root"] / out / f"{name}.json").read_text()) for name in names}


@pytest.mark.sample
def test_server_scores_as_transformers_does(server, made):
    """The base and two adapters, greedy in float32, question by question."""
    api = score(made, "api", "--engine", "api", "--url", server)
    hf = score(made, "hf")
    for name, found in api.items():
        pairs = zip(found["correct"], hf[name]["correct"], strict=True)
        differ = sum(one != other for one, other in pairs)
        assert differ <= 2, f"{name}: near ties may turn by rounding, no more"
        assert found["tokens"] == pytest.approx(hf[name]["tokens"], rel=0.02)
        assert found["truncated"] == pytest.approx(hf[name]["truncated"], abs=0.02)
    assert api["rank-1"]["accuracy"] > api["base"]["accuracy"] + 0.2
    assert api["base"]["versions"]["server"] != "unknown"
    with urllib.request.urlopen(f"{server}/models") as answer:
        assert len(json.load(answer)["data"]) == 1, "adapters are taken off again"


def test_a_variant_that_the_server_cannot_have_is_one_line(server, made, cli):
    arguments = ["evaluate", "--suite", made["root"] / "suite.json", "--base", made["base"],
                 "--engine", "api", "--url", server, "--out", made["root"] / "x"]  # fmt: skip
    result = cli(*arguments, "--variant", f"without={made['without']}")
    assert "found a variant that is no adapter, expected an adapter or a model" in result.error
    result = cli(*arguments, "--variant", f"step={RUN / 'step-120'}")
    assert f"expected one of {RUN / 'step-120'}; start `vllm serve" in result.error
    assert not (made["root"] / "x").exists()
