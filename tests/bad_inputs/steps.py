"""Bad inputs of the kind steps: study files and tables whose steps, keys or numbers mislead."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path

from tests.bad_inputs.good import RUN
from tests.bad_inputs.table import BadInput
from tests.unit.suites import own_task

PLANNERS = {"check": "check study.yaml", "status": "status study.yaml"}
SUITES = """
suites:
  validation: {role: validation, tasks: [{task: addition, split: validation}]}
  test: {role: test, tasks: [{task: addition, split: test}]}
"""


def raw(data: bytes) -> Callable[[Path], object]:
    """A study file of these bytes."""
    return lambda folder: (folder / "study.yaml").write_bytes(data)


def study(run: str = "", more: str = "") -> Callable[[Path], object]:
    """Write a study file whose run says where its checkpoints are in these lines."""
    lines = textwrap.indent(run, "    ")
    head = "study: s\nbases:\n  b: {path: base}\nruns:\n  r:\n    base: b"
    return raw(f"{head}\n{lines}\n{SUITES}{more}".encode())


def steps(entries: str, more: str = "") -> Callable[[Path], object]:
    """A run with a pattern and these steps."""
    return study(f"checkpoints: run/step-{{step}}\nsteps: {entries}", more)


def windows(entries: str) -> Callable[[Path], object]:
    """Three checkpoints, and these windows to forecast from."""
    return steps("[10, 20, 30]", f"forecast: {{windows: {entries}, methods: {{last: {{}}}}}}\n")


def table(*rows: str, header: str = "run,step,path") -> Callable[[Path], object]:
    """A run whose checkpoints stand in a CSV table."""

    def spoil(folder: Path) -> None:
        study("table: runs.csv")(folder)
        (folder / "runs.csv").write_text("\n".join([header, *rows, ""]))

    return spoil


def folders(lines: str) -> Callable[[Path], object]:
    """A run with a folder for each step."""
    return study("checkpoints:\n" + "".join(f"  {line}\n" for line in lines.splitlines()))


def aliases(folder: Path) -> None:
    """Ten lines that stand for more values than there is memory."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for i in range(1, 9):
        lines.append(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]")
    (folder / "study.yaml").write_text("\n".join(lines))


BAD = {
    "octal": (steps("[0010, 20, 30]"), r"line 8: found 0010, which YAML reads as 8; write"),
    "underscores": (steps("[1_0, 20]"), r"line 8: found 1_0, which YAML reads as 10"),
    "hexadecimal": (steps("[0x0a, 20]"), "line 8: found 0x0a, which YAML reads as 10"),
    "base sixty": (steps("[0, 1:30]"), "line 8: found 1:30, which YAML reads as 90"),
    "zeros in quotes": (steps("['0010', 20]"), r"runs\.r\.steps\.0: found '0010', expected a step"),
    "an exponent": (steps("[10, 1e3]"), r"runs\.r\.steps\.1: found '1e3', expected a step"),
    "a switch": (steps("[yes, 20]"), r"runs\.r: found true or false for key 'steps'"),
    "a float": (steps("[10.0, 20]"), r"runs\.r\.steps\.0: found 10\.0, expected a step"),
    "zero": (steps("[0, 10]"), r"runs\.r\.steps\.0: Input should be greater than 0"),
    "negative": (steps("[-10, 10]"), r"runs\.r\.steps\.0: Input should be greater than 0"),
    "none": (steps("[]"), r"runs\.r\.steps: List should have at least 1 item"),
    "repeated": (steps("[10, 20, 20]"), r"runs\.r\.steps: found step 20 after 20, expected"),
    "unsorted": (steps("[10, 30, 20]"), r"runs\.r\.steps: found step 20 after 30"),
    "a range that misses its end": (
        steps("{first: 10, last: 35, every: 10}"), "found first 10, last 35 and every 10, expected"
    ),
    "an endless range": (
        steps("{first: 1, last: 1000000000, every: 1}"), "found more than 100000 steps"
    ),
    "ranges that overlap": (
        steps("[{first: 10, last: 20, every: 10}, {first: 20, last: 30, every: 10}]"),
        "found step 20 after 20",
    ),
    "a folder's step twice": (
        folders("10: run/step-10\n20: run/step-20\n10: run/step-30"),
        r"line 10: found key '10' again, which stands on line 8 already",
    ),
    "a folder's step as number and text": (
        folders("10: run/step-10\n'10': run/step-20"), r"runs\.r\.checkpoints: found step 10 twice"
    ),
    "a folder's step with zeros": (folders("0010: run/step-10"), "found 0010, which YAML reads as"),
    "a folder's step that is a switch": (
        folders("yes: run/step-10"), r"runs\.r\.checkpoints\.1: found True, expected a step"
    ),
    "a table's step twice": (
        table("r,10,run/step-10", "r,10.0,run/step-20"), r"runs\.csv: row 3: found step 10 twice"
    ),
    "a table's step in words": (table("r,ten,x"), r"runs\.csv: row 2: found step ten, expected"),
    "a table's step 0": (table("r,0,base"), "row 2: found step 0, which is the base"),
    "a table's empty path": (table("r,10,"), r"runs\.csv: row 2: found no path"),
    "a table's own decimal comma": (
        table("r;1,5;x", header="run;step;path"), "row 2: found step 1,5, expected a whole"
    ),
    "a key twice": (
        steps("[10, 20, 30]", "study: t\n"), "found key 'study' again, which stands on line 1"
    ),
    "a run twice": (
        raw(b"study: s\nruns:\n  r: {base: b}\n  r: {base: c}\n"),
        "line 4: found key 'r' again, which stands on line 3",
    ),
    "windows with one end": (windows("[0.7, 20]"), "windows 0.7 and 20 both end at step 20"),
    "a window twice": (windows("[0.7, 0.7]"), "run 'r': found window 0.7 twice"),
    "a window that is a switch": (windows("[true]"), "found true or false for key 'windows'"),
    "a window beyond the run": (windows("[12.0]"), r"windows\.0: Input should be less than 1"),
    "aliases without end": (aliases, "found aliases that stand for more than 1,000,000 values"),
    "an alias inside itself": (raw(b"runs: &a [*a]\n"), "found an alias inside the value"),
    "brackets without end": (raw(b"[" * 5000), "found more than 50 values inside one another"),
    "Latin-1": (raw("study: größe\n".encode("latin-1")), "found no text in UTF-8"),
    "a date that there is not": (raw(b"study: 2026-13-45\n"), "not valid YAML: month must be in"),
}  # fmt: skip


def twice_on_disk(folder: Path) -> None:
    """A second folder of a step."""
    shutil.copytree(folder / "run/step-10", folder / "run/step-010")


def task_file(folder: Path) -> None:
    """A task of one's own whose file says twice what is asked."""
    own_task(folder / "tasks", [("1+1=", "2")], "doc_to_text: again\n")


FINDERS = {
    "gram": f"gram {RUN} --out new.safetensors",
    "trust": f"trust {RUN} --scores scores.csv",
    "factors": "factors --base base --checkpoint run/step-{step} --out new-{step}",
}
SUITE = """suite --name own --out new/suite.json --spec '{"role": "test", "include_path": "tasks",
"tasks": [{"task": "mine"}]}'"""
TWICE = """suite --name own --out new/suite.json --spec '{"role": "test", "role": "validation",
"tasks": [{"task": "addition", "split": "test"}]}'"""
ROWS = [
    *(BadInput(name, spoil, line, PLANNERS) for name, (spoil, line) in BAD.items()),
    BadInput(
        "two folders of a step", twice_on_disk, r"found run/step-010 and run/step-10, expected one",
        FINDERS,
    ),
    BadInput("a task's key twice", task_file, "found key 'doc_to_text' again", {"suite": SUITE}),
    BadInput("a key twice in JSON", table(), "role stands twice in it", {"suite": TWICE}),
]  # fmt: skip
