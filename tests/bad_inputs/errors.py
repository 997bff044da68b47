"""Bad inputs of the kind errors: what the system refuses, and limits that a command runs into."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bad_inputs.good import LAST, RUN
from tests.bad_inputs.table import BadInput
from tests.bad_inputs.weights import PLANNERS, READERS


def some(*names: str) -> dict[str, str]:
    """A few of the verbs that read checkpoints."""
    return {name: READERS[name] for name in names}


def machine(name: str, shell: str, line: str, calls: Mapping[str, str]) -> BadInput:
    """A row about the process that a command runs in; the files are good."""
    return BadInput(name, lambda _: None, line, calls, shell=shell)


def replaced(name: str, by: str = "nowhere") -> Callable[[Path], object]:
    """A file or a folder is a link that leads nowhere, or to itself."""

    def spoil(folder: Path) -> None:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        path.symlink_to(by)

    return spoil


def folder_for(name: str) -> Callable[[Path], object]:
    """A folder has the name of a file."""

    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return spoil


LONG = "b" * 300
OUTPUT = "cannot write to standard output: .*No space left on device"
PRINTERS = {"methods": "methods", "tasks": "tasks", "status": "status study.yaml",
            "check": "check study.yaml", "audit": f"audit {RUN}"}  # fmt: skip
WEIGHTS = str(LAST / "model.safetensors")
CONFIG = str(LAST / "config.json")
MACHINE = [
    machine("files that may not grow", "ulimit -f 1; {}",
            r"\S: found that it grows beyond the limit on the size of files, .*ulimit -f",
            some("gram", "dynamics", "truth")),
    machine("few open files", "ulimit -n 6; {}",
            r"\S: found too many open files, expected no more than the limit of 6 .*ulimit -n",
            some("gram", "dynamics")),
    machine("little memory", "ulimit -v 300000; {}",
            r"error: found too little memory \(.+\), expected room for it; .*ulimit -v",
            some("factors", "gram", "dense", "truth", "forecast")),
    machine("a full disk behind the output", "{} > /dev/full", OUTPUT, PRINTERS),
    machine("a full disk behind help", "{} > /dev/full",
            f"found no space left on its disk|{OUTPUT}",
            {"methods": "methods --help", "gram": "gram --help"}),
    machine("a closed output", "{} >&-", "found standard output closed, expected it open",
            PRINTERS),
    machine("no terminal for a name", "LC_ALL=C PYTHONIOENCODING=ascii {}", "no such folder",
            {"init": "init l\u00e4ufe --base base --out new.yaml"}),
]  # fmt: skip
FILES = [
    BadInput("a name that is too long", lambda _: None, "(name too long|no such|no folder|found)",
             {"factors": f"factors --base {LONG} --checkpoint run/step-30 --out new.safetensors",
              "gram": f"gram --base base --checkpoints '{LONG}-{{step}}' --out new.safetensors",
              "trust": f"trust {RUN} --scores {LONG}", "export": f"export {LONG} --out new",
              "check": f"check {LONG}", "status": f"status {LONG}", "unpack": f"unpack {LONG} "
              "--out new", "fetch": f"fetch --task svamp --data {LONG}.jsonl --out new.jsonl",
              "dynamics": f"dynamics {RUN} --gram {LONG} --scores scores.csv --out new.parquet"}),
    BadInput("a device", lambda _: None, "/dev/null: found a device, expected a fi",
             {"trust": f"trust {RUN} --scores /dev/null", "check": "check /dev/null",
              "gram": f"audit {RUN} --gram /dev/null", "unpack": "unpack /dev/null --out new",
              "fetch": "fetch --task svamp --data /dev/null --out new.jsonl",
              "accuracy": "accuracy --scores /dev/null --out new.csv",
              "tokens": "tokens --suite /dev/null --base base --writer w=rows.jsonl --out new"}),
    BadInput("weights that lead nowhere", replaced(WEIGHTS), "step-30", READERS | PLANNERS),
    BadInput("weights that lead to themselves", replaced(WEIGHTS, "model.safetensors"), "step-30",
             READERS | PLANNERS),
    BadInput("a base that leads nowhere", replaced("base"), "base: found|base: no such|no folder",
             some("factors", "gram", "rank", "forecast", "trust", "dynamics", "evaluate")),
    BadInput("a checkpoint that leads to itself", replaced("run/step-30", "step-30"), "step-30|fou",
             some("factors", "rank", "manifest", "evaluate")),
    BadInput("a folder as weights", folder_for(WEIGHTS), "step-30", READERS | PLANNERS),
    BadInput("a folder as a config", folder_for(CONFIG), r"config\.json: found a folder|Is a dir",
             READERS | PLANNERS),
]  # fmt: skip
ROWS = [*MACHINE, *FILES]
