"""What the system, libraries and nobody's foresight raise becomes one line; signals end in one."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jinja2
import pandas as pd
import pytest
import torch
import yaml
from alpharl.cli import main
from alpharl.errors import CheckpointError
from alpharl.failed_file import file_of
from alpharl.failures import is_foreseen, line_of, pass_on
from alpharl.training.spec import TrainSpec
from alpharl.verbs import module_of
from pydantic import TypeAdapter
from safetensors.torch import load_file
from tests.unit.trainees import base

__all__ = ["base"]


def raised(call: Callable[[], object]) -> Exception:
    """What a call raises."""
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


def system(number: int, *files: str) -> OSError:
    return OSError(number, os.strerror(number), *files)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (system(errno.ENOSPC, "a"), "a: found no space left on its disk, expected room for it"),
        (system(errno.EROFS, "a/b"), "a/b: found a file system that is mounted read-only"),
        (system(errno.EACCES, "a"), "a: found no permission, expected to be allowed to"),
        (system(errno.EPERM, "a"), "a: found no permission, expected to be allowed to"),
        (system(errno.ENOENT, "a"), "a: found no such file or folder, expected it to be there"),
        (system(errno.EISDIR, "a"), "a: found a folder, expected a file"),
        (system(errno.ENOTDIR, "a"), "a: found a file where its path needs a folder"),
        (system(errno.ENAMETOOLONG, "a"), "a: found a longer name than its file system takes"),
        (system(errno.EIO, "a"), "a: found an input/output error of its disk"),
        (system(errno.ENOPROTOOPT, "a"), "a: found the error 'Protocol not available' of the sys"),
        (MemoryError(), "found too little memory (MemoryError), expected room for it"),
        (RuntimeError("can't start new thread"), "found too many processes or threads"),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
            "found too little memory on the GPU (CUDA out of memory. Tried to allocate 2 GiB)",
        ),
        (ZeroDivisionError("by\nzero"), "found ZeroDivisionError: by zero, a fault of this prog"),
        (CheckpointError("a: found b"), "a: found b"),
    ],
)
def test_errors_are_lines(error, line):
    assert line_of(error).startswith(line)
    assert "\n" not in line_of(error)


@pytest.mark.parametrize("name", [".a.json.partial", ".a.json.0123abcd.partial"])
def test_a_file_goes_by_its_name_before_it_is_there(name):
    assert file_of(system(errno.ENOSPC, f"b/{name}")) == "b/a.json"
    assert file_of(system(errno.ENOSPC, f"b/{name}", 0, "b/a.json")) == "b/a.json"  # type: ignore


def test_a_file_of_a_folder_goes_by_its_name_before_it_is_there():
    assert file_of(system(errno.ENOSPC, "b/.m.0123abcd.partial.d/m/a.json")) == "b/m/a.json"
    assert file_of(system(errno.ENOSPC, "b/.m.0123abcd.partial.d")) == "b/m"


def test_torch_names_what_it_writes(base, tmp_path, cli):
    """The limit lies between the size of a checkpoint and that of the trainer's state."""
    spec = TrainSpec(algorithm="sft", steps=2, save_every=1).model_dump_json()
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (base / "model.safetensors").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size * 3 // 2, most))
    try:
        result = cli("train", "--spec", spec, "--base", base, "--out", tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    assert f"alpharl train: error: {tmp_path}/run: cannot be read or written whole" in result.error


def test_what_libraries_raise_is_foreseen(tmp_path):
    bad = tmp_path / "bad"
    bad.write_bytes(b"no file of any kind")
    errors = {
        "no Parquet that can be read": raised(lambda: pd.read_parquet(bad)),
        "no safetensors that can be read": raised(lambda: load_file(bad)),
        "no valid YAML": raised(lambda: yaml.safe_load("a: [")),
        "no valid JSON": raised(lambda: json.loads("{")),
        "byte 0 to be no utf-8": raised(lambda: b"\xff".decode()),
        "other values than expected": raised(lambda: TypeAdapter(int).validate_python("a")),
        "a template that fails": raised(lambda: jinja2.Template("{{ a.b.c }}").render()),
        "too little memory": raised(lambda: torch.empty(1 << 50)),
        "no Python package 'nowhere'": raised(lambda: __import__("nowhere")),
    }
    for words, error in errors.items():
        assert is_foreseen(error)
        assert f"found {words}" in line_of(error)


def test_what_a_library_cannot_use_is_named_with_it(tmp_path):
    from transformers import AutoConfig

    error = raised(lambda: AutoConfig.from_pretrained(tmp_path))
    assert not is_foreseen(error)
    line = line_of(error)
    assert "found what transformers cannot use (" in line
    assert "--debug" in line


def test_the_file_is_what_the_innermost_function_works_on(trajectory, tmp_path, monkeypatch):
    """Bytes that a full disk refuses have no name."""
    from alpharl.checkpoints.files import write_text

    monkeypatch.setattr(Path, "write_text", lambda *_: (_ for _ in ()).throw(system(errno.ENOSPC)))
    error = raised(lambda: write_text(tmp_path / "a.json", "{}"))
    assert line_of(error).startswith(f"{tmp_path}/a.json: found no space left")


def test_the_machine_is_not_taken_for_a_broken_file():
    full = RuntimeError("reading failed")
    full.__cause__ = system(errno.EMFILE, "a")
    with pytest.raises(RuntimeError) as caught:
        pass_on(full)
    assert line_of(caught.value).startswith("a: found too many open files")
    pass_on(ValueError("broken"))
    pass_on(FileNotFoundError("a"))


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("kind", [ZeroDivisionError, CheckpointError])
def test_debug_shows_where_an_error_comes_from(where, kind, monkeypatch, capsys):
    def run() -> None:
        raise kind("by nobody's foresight")

    monkeypatch.setattr(module_of("methods"), "run", run)
    assert main(["methods"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("alpharl methods: error: ")
    assert "by nobody's foresight" in err
    assert main(["--debug", "methods"] if where == "before" else ["methods", "--debug"]) == 1
    debugged = capsys.readouterr().err
    assert debugged.startswith("Traceback (most recent call last):")
    assert debugged.endswith(err)


def test_help_tells_of_debug(cli):
    assert "--debug" in cli("--help").out


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGTERM, "stopped by SIGTERM"), (signal.SIGHUP, "stopped by SIGHUP")],
)
def test_a_signal_is_one_line_and_leaves_nothing(trajectory, tmp_path, number, words):
    """It comes while the command waits for scores, which a pipe never gives."""
    scores, out = tmp_path / "scores.csv", tmp_path / "out"
    os.mkfifo(scores)
    out.mkdir()
    command = [sys.executable, "-m", "alpharl", "dynamics", "--base", str(trajectory.base)]
    command += ["--checkpoints", trajectory.pattern, "--scores", str(scores)]
    command += ["--out", str(out / "a.parquet")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    with scores.open("w"):  # returns once the command reads
        time.sleep(0.1)
        process.send_signal(number)
        assert process.stderr
        err = process.stderr.read()
    assert process.wait() == 128 + number
    assert err.splitlines()[-1] == f"alpharl dynamics: {words}"
    assert "Traceback" not in err
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGTERM, "stopped by SIGTERM"), (signal.SIGINT, "interrupted")],
)
def test_a_signal_does_not_break_an_import(number, words, trajectory, tmp_path):
    """An exception in torch's C++ code would abort the process; so it comes after the import."""
    code = f"""
import atexit, signal, sys
from alpharl.cli import main
def look(event, arguments):
    if event == "import" and arguments[0] == "torch.nn" and not come:
        come.append(True)
        signal.raise_signal({int(number)})
come = []
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
sys.addaudithook(look)
atexit.register(lambda: print(*(name for name in ("torch", "torch.nn") if name in sys.modules)))
raise SystemExit(main())
"""
    words_of = ["gram", "--base", trajectory.base, "--checkpoints", trajectory.pattern]
    words_of += ["--out", tmp_path / "gram.safetensors"]
    command = [sys.executable, "-c", code, *map(str, words_of)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 128 + number, done.stderr
    assert done.stderr.splitlines()[-1] == f"alpharl gram: {words}"
    assert done.stdout == "torch torch.nn\n", "imported whole"
    assert list(tmp_path.iterdir()) == []


def test_what_is_ignored_stays_so(tmp_path):
    """As under `nohup`."""
    code = """
import signal
from alpharl.cli import main
signal.signal(signal.SIGHUP, signal.SIG_IGN)
import alpharl.verbs.methods as methods
real = methods.run
def run():
    signal.raise_signal(signal.SIGHUP)
    return real()
methods.run = run
raise SystemExit(main(["methods", "--json"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["methods"]


def test_a_current_folder_that_is_gone_is_one_line(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"rmdir {gone}; exec {sys.executable} -m alpharl factors --base b"
    done = subprocess.run(
        ["bash", "-c", command], cwd=gone, text=True, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "alpharl: error: found that the current folder is gone; change to one that is there\n"
    )
