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
from alpharl.errors import StudyError
from alpharl.verbs import GROUPS, RENAMED, VERBS, module_of, places, summary_of
from alpharl.verbs.inputs import named_paths
from alpharl.verbs.parser import parser_of
from alpharl.verbs.reference import commands_page, result_of, schemas

PACKAGE = Path(alpharl.__file__).parent
DOCS = Path(__file__).resolve().parents[2] / "docs"
PUBLIC = [verb for verb in VERBS if verb not in GROUPS["Used by the workflow"]]


def actions(verb: str) -> list[argparse.Action]:
    """The arguments of a verb but those that all have."""
    parser = parser_of(verb, module_of(verb))
    return [action for action in parser._actions if action.dest not in ("help", "debug")]


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


@pytest.mark.parametrize("verb", VERBS)
def test_paths_are_inputs_or_outputs(verb):
    """So that no command writes what it reads: see `alpharl.verbs.places`."""
    results = {"out", "record", "pca", "tsne", "manifest", "trials"}
    for action in actions(verb):
        is_output = isinstance(action, places.Output)
        assert is_output or action.dest not in results, f"--{action.dest} needs an action"
        if action.type is Path and not is_output:
            assert places.is_input(action), f"{action.dest}: '{action.metavar}' names no path"


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
    os.environ |= {"TERM": "xterm", "COLUMNS": "200", **variables}
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


def test_narrow_terminals_get_whole_numbers(measuring):
    """A frame that does not fit would cut them off."""
    wide, narrow = at_terminal(measuring), at_terminal(measuring, COLUMNS="60")
    number = re.search(r"1208\W+(\d+\.\d+)", wide)
    assert number and number[1] in narrow
    assert "\u2026" not in narrow.rpartition("Sparsity, last step")[2], "no ellipsis"


def test_markup_in_names_is_text():
    """Names in square brackets are no instructions to the terminal's library."""
    code = """from alpharl.progress import Bars
with Bars() as bars:
    bars.step("[red]", 1, 2, "[/b] of x")
    bars.line("[/b]")
from alpharl.verbs.result import Table, _show_in_colour
_show_in_colour([Table("[/b]", ["[/i]"], [["y[/b]"]]), "z[/b]"])
"""
    shown = at_terminal([sys.executable, "-c", code])
    assert "y[/b]" in shown and "z[/b]" in shown and "[/i]" in shown


def test_an_interrupt_is_one_line(tmp_path, trajectory):
    code = f"""import os, signal, time
from alpharl.cli import main
from alpharl.verbs import gram
def run(**values):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)  # until it arrives
gram.run = run
raise SystemExit(main(["gram", "--base", "b", "--checkpoints", "c", "--out", "{tmp_path}/g"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "alpharl gram: interrupted\n"


def test_work_goes_on_when_nobody_reads_its_progress(tmp_path, trajectory):
    out = tmp_path / "gram.safetensors"
    verb = f"{sys.executable} -m alpharl gram --base {trajectory.base} --out {out}"
    command = f"set -o pipefail; {verb} --checkpoints '{trajectory.pattern}' 2>&1 >/dev/null | true"
    subprocess.run(["bash", "-c", command], check=True)
    assert out.is_file()


def test_a_full_disk_behind_the_output_is_one_line():
    command = f"{sys.executable} -m alpharl methods > /dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("alpharl methods: error: cannot write to standard output: ")
    assert done.stderr.count("\n") == 1


def test_trust_tells_scripts_by_its_exit_status(cli, trajectory):
    arguments = ["trust", "--base", trajectory.base, "--checkpoints", trajectory.pattern]
    assert cli(*arguments).status == 0
    assert cli(*arguments, "--exit-code").status == 3, "no accuracy, so nothing is supported"


@pytest.mark.parametrize("entry", ["../a=x", "=x", ".a=x", "a/b=x", "a b=x", "a-{step}=x"])
def test_names_of_results_stay_in_their_folder(entry):
    with pytest.raises(StudyError, match="as a name, expected one that can name a file"):
        named_paths([entry])


@pytest.mark.parametrize("entry", ["a=x", "rank-4x0.5@90=x", "relex@0.4=y", "rank-1+rest@6=z"])
def test_names_that_variants_have_are_taken(entry):
    name, _, path = entry.partition("=")
    assert named_paths([entry]) == {name: Path(path)}


@pytest.mark.parametrize("verb", ["check", "status", "trust", "evaluate", "forecast"])
def test_help_comes_at_once(verb):
    """The best of three, in CPU seconds, so that a busy machine does not count."""
    seconds = []
    for _ in range(3):
        before = os.times().children_user
        command = [sys.executable, "-m", "alpharl", verb, "--help"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(os.times().children_user - before)
    assert min(seconds) < 0.5
