"""Every bad input of the tables is refused in one line, and nothing is left behind.

To add an input, add a row to the module of its kind; to add a kind, add a module and its rows here.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import chain
from pathlib import Path

import pytest

from tests.bad_inputs import (
    adapters,
    artefacts,
    audit,
    configs,
    errors,
    forged,
    made,
    names,
    options,
    outs,
    places,
    prompts,
    scores,
    security,
    steps,
    studies,
    weights,
)
from tests.bad_inputs.table import BadInput, Faulty
from tests.conftest import CliResult

KINDS = (
    weights, configs, adapters, names, scores, steps, options, prompts, made, places, artefacts,
    security, errors, outs, studies, forged,
)  # fmt: skip
ROWS = [row for kind in KINDS for row in kind.ROWS]
CASES = [
    pytest.param(row, command, id=f"{row.name}-{call}")
    for row in ROWS
    for call, command in row.calls.items()
]
FAULTY = [
    pytest.param(row, *call, id=f"{row.name}-{name}")
    for row in audit.ROWS
    for name, call in row.calls.items()
]
STALE = "found that it was made from other weights than .* holds now"
PROGRESS = re.compile(
    r"\d+/\d+ |note: |(gram|factors) of |\d+ of \d+ variants are scored already"
    r"|.*\d%\||Generating |$"
)
"""Lines that a long computation may have printed before it met the bad input. The last three are
bars of libraries, which show none in a process of their own."""


READERS = [
    "init",
    "check",
    "status",
    "report",
    "factors",
    "gram",
    "audit",
    "measure",
    "dynamics",
    "rank",
    "unpack",
    "trust",
    "forecast",
    "export",
    "truth",
    "suite",
    "evaluate",
    "accuracy",
    "tokens",
    "train",
    "checkpoints",
    "disjoint",
    "forecasts",
    "manifest",
    "ranks",
]
"""The verbs that read files of others; `merge` and `fetch` hand them to verl and to a data set."""
SECONDS = 20
"""Most processor time that a refusal may take."""


def listing(folder: Path) -> dict[str, object]:
    """All files and folders below one but locks; of files the size and the time of change.

    Python keeps what it has compiled of people's own functions next to them.
    """
    locks, own = folder / "temporary" / f"alpharl-{os.getuid()}", "__pycache__"
    paths = [path for path in sorted(folder.rglob("*")) if locks not in (path, path.parent)]
    paths = [path for path in paths if own not in path.parts]
    stats = {path: path.lstat() for path in paths}
    return {
        str(path): None if path.is_dir() else (stat.st_size, stat.st_mtime_ns)
        for path, stat in stats.items()
    }


def test_the_good_files_are_good(files, cli):
    """Else a refusal would prove nothing."""
    commands = [weights.READERS, adapters.READERS, scores.READERS, steps.PLANNERS, prompts.TRAINERS]
    for call, command in chain(*(table.items() for table in [*commands, *made.READERS.values()])):
        if call == "report":  # of a study that has run
            continue
        done = cli(*shlex.split(command))
        assert done.status == 0, f"{call}: {done.err}"
        shutil.rmtree("new", ignore_errors=True)
        for path in Path().glob("new*"):
            path.unlink()


def test_each_kind_and_each_verb_has_its_inputs():
    assert min(len(kind.ROWS) for kind in (*KINDS, audit)) >= 12
    calls = [(case.values[1].split()[0], case.values[0].name) for case in [*CASES, *FAULTY]]
    inputs = {verb: {name for read, name in calls if read == verb} for verb in READERS}
    assert {verb: len(names) for verb, names in inputs.items() if len(names) < 8} == {}


def in_a_shell(script: str, arguments: list[str]) -> CliResult:
    """What a command gives back whose process has limits, or other streams."""
    command = shlex.join([sys.executable, "-m", "alpharl", *arguments])
    variables = {**os.environ, "TMPDIR": tempfile.gettempdir(), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-c", script.format(command)], capture_output=True, text=True, env=variables
    )
    return CliResult(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(("row", "command"), CASES)
def test_bad_input_is_refused(files: Path, cli, capsys, row: BadInput, command: str):
    row.spoil(Path())
    before, arguments, started = listing(files), shlex.split(command), time.process_time()
    if row.shell:
        done = in_a_shell(row.shell, arguments)
    else:
        try:
            done = cli(*arguments)
        except SystemExit as end:  # the parser's
            done = CliResult(int(str(end.code)), *capsys.readouterr())
    *earlier, line = done.err.splitlines() or [""]
    assert done.status == row.status, f"status {done.status}: {done.out}{done.err}"
    assert line.startswith(f"alpharl {arguments[0]}: error: ")
    # Variants are older than what is spoiled.
    stale = STALE if arguments[0] in {"export", "truth"} else row.line
    assert re.search(f"{row.line}|{stale}", line), line
    assert "hunter22" not in line.lower(), "a secret of the rows of `security`"
    assert [text for text in earlier if not PROGRESS.match(text)] == []
    assert done.out == ""
    assert listing(files) == before, "nothing is written, changed or left behind"
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize(("row", "command", "status"), FAULTY)
def test_a_faulty_run_is_named_first(files: Path, cli, row: Faulty, command: str, status: int):
    row.spoil(Path())
    before, arguments = listing(files), shlex.split(command)
    done = cli(*arguments)
    assert done.status == status, f"status {done.status}: {done.out}{done.err}"
    lines = done.out.splitlines()
    if arguments[0] == "audit":
        assert re.match(rf"{row.kind}: .*{row.says}", lines[0]), lines[0]
        assert not [line for line in lines[1:] if not line.startswith("note: ")], "one fault"
    else:
        said = [line for line in lines if re.match(rf"audit: .*{row.says}", line)]
        assert len(said) == 1, done.out
        verdict = [line for line in lines if "upport" in line]
        assert not verdict or lines.index(said[0]) < lines.index(verdict[0])
    after = {name: stat for name, stat in listing(files).items() if "/new" not in name}
    assert after == before, "what is there is not changed"
