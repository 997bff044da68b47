"""Every verb explains itself, takes what its function wants, and prints what its schema says."""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import alpharl
import pytest
from alpharl.cli import main
from alpharl.verbs import GROUPS, RENAMED, VERBS, WORKFLOW, module_of, summary_of
from alpharl.verbs.parser import parser_of
from alpharl.verbs.reference import commands_page, result_of, schemas

PACKAGE = Path(alpharl.__file__).parent
DOCS = Path(__file__).resolve().parents[2] / "docs"
PUBLIC = [verb for verb in VERBS if verb not in WORKFLOW]


def actions(verb: str) -> list[argparse.Action]:
    """The arguments of a verb but `--help`."""
    parser = parser_of(verb, module_of(verb))
    return [action for action in parser._actions if action.dest != "help"]


def test_each_verb_stands_once_and_has_its_module():
    modules = {path.stem for path in (PACKAGE / "verbs").glob("*.py")}
    assert len(VERBS) == len(set(VERBS))
    assert set(VERBS) <= modules
    assert not set(RENAMED) & set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_says_something_of_everything(verb):
    assert re.match(r"[A-Z][a-z]+ .{15,90}\.$", summary_of(verb)), "a sentence with a verb first"
    for action in actions(verb):
        words = (action.help or "").strip()
        assert len(words.split()) >= 3, f"{verb} {action.dest}: '{words}' explains nothing"
        assert not re.match(r"(of|that|in|also|for)\b", words), f"'{words}' cannot stand alone"


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_gets_its_arguments_by_name(verb):
    parameters = inspect.signature(module_of(verb).run).parameters
    named = {name for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
    given = {action.dest for action in actions(verb)} - {"json"}
    if len(named) < len(parameters):  # the engine's options come together
        assert named < given
        assert "engine" in given - named
    else:
        assert named == given


def test_no_namespace_leaves_the_parser():
    """Whoever is called has typed parameters: nothing takes `args` and digs in it."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
        assert "Namespace" not in names, f"{path} knows argparse's Namespace"
        if "verbs" in path.parts or path.name in ("cli.py", "trajectory.py"):
            taken = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
            assert "args" not in taken, f"{path}: a function takes 'args'"


@pytest.mark.parametrize("verb", PUBLIC)
def test_each_public_verb_has_an_example_and_a_result(verb):
    assert module_of(verb).EXAMPLE.startswith(f"alpharl {verb}")
    assert result_of(verb) is not None


def test_pages_are_in_sync():
    """`make schema` writes them."""
    assert (DOCS / "commands.md").read_text() == commands_page()
    assert json.loads((DOCS / "output.schema.json").read_text()) == schemas()


def test_alone_it_names_five_commands(cli):
    done = cli()
    assert done.status == 0
    commands = re.findall(r"^  alpharl (\w+)", done.out, re.M)
    assert len(commands) == 5
    assert set(commands) <= set(VERBS)


def test_help_stands_in_groups(cli):
    out = cli("--help").out
    for group, verbs in GROUPS.items():
        block = out.split(f"{group}:\n")[1].split("\n\n")[0]
        assert re.findall(r"^  (\w+) ", block, re.M) == verbs


@pytest.mark.parametrize(
    ("typed", "meant"), [("forcast", "forecast"), ("evalute", "evaluate"), ("dynamic", "dynamics")]
)
def test_a_mistyped_verb_gets_the_nearest(cli, typed, meant):
    done = cli(typed)
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert f"did you mean '{meant}'?" in done.err


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_verb_gets_its_new_name(cli, old, new):
    done = cli(old)
    assert done.status == 1
    assert f"is now '{new}'" in done.err


def test_a_mistyped_option_gets_the_nearest(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["methods", "--jsn"])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert "did you mean '--json'?" in err
    assert err.count("\n") == 1


def test_python_m_alpharl_is_the_command():
    command = [sys.executable, "-m", "alpharl", "--version"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out == f"alpharl {alpharl.__version__}\n"


def at_terminal(command: list[str], **variables: str) -> str:
    """What a command shows at a terminal."""
    import pty

    shown = bytearray()

    def read(fd: int) -> bytes:
        data = os.read(fd, 4096)
        shown.extend(data)
        return b" "  # nothing of it goes to the tests' own output

    before = dict(os.environ)
    os.environ |= {"TERM": "xterm", **variables}
    try:
        assert pty.spawn(command, read) == 0
    finally:
        os.environ.clear()
        os.environ.update(before)
    return shown.decode()


@pytest.fixture
def measuring(trajectory, tmp_path) -> list[str]:
    """A command that takes a moment, and ends with tables."""
    return [sys.executable, "-m", "alpharl", "measure", "sparsity", "--base", str(trajectory.base),
            "--checkpoints", trajectory.pattern, "--out", str(tmp_path / "out")]  # fmt: skip


def test_a_terminal_gets_bars_and_coloured_tables(measuring):
    shown = at_terminal(measuring)
    assert "\x1b[1m" in shown, "bold"
    assert "\u2501" in shown, "a bar, or a table's frame"
    assert "20/20 model.norm.weight" not in shown


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_plain_terminal_gets_what_a_pipe_gets(measuring, variables):
    done = subprocess.run(measuring, capture_output=True, text=True, check=True)
    shown = at_terminal(measuring, **variables)
    assert "\x1b" not in shown
    assert sorted(shown.replace("\r\n", "\n").splitlines()) == sorted(
        (done.stderr + done.stdout).splitlines()
    )
    assert "20/20 model.norm.weight" in done.stderr
