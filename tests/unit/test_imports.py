"""Imports run one way, and what must start fast leaves heavy libraries alone."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import alpharl
import pytest

PACKAGE = Path(alpharl.__file__).parent
CHAIN = ["checkpoints", "spectra", "dynamics", "forecasting", "variants", "evaluation", "geometry",
         "training", "study", "cost", "report"]  # fmt: skip
"""DESIGN 3: each part may import itself and those before it."""
BOTTOM = {"errors", "frozen", "gpu", "locks", "problems", "registry"}
"""Anyone may import these; they import nothing of the package but each other."""
ASIDE = {"slurm": {"checkpoints"}}  # fmt: skip
"""Parts beside the order, and what each hangs off; only the command line imports them."""
TOP = {"cli", "arguments", "verbs", "callback", "__init__"}
"""The command line and the trainer's callback, which bring all parts together."""
EXCEPTIONS: set[tuple[str, str]] = set()
"""The preflight reads the headers of a study's checkpoints; only `alpharl check` imports it."""


def allowed(part: str) -> set[str]:
    """The parts that a part may import, itself included."""
    if part in BOTTOM:
        return set(BOTTOM)
    if part in ASIDE:
        return {part, "study", *ASIDE[part], *BOTTOM}
    return {*CHAIN[: CHAIN.index(part) + 1], *BOTTOM}


def part_of(path: Path) -> str:
    """First name below the package: a folder, or a module at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    """Parts that a file imports anywhere, also inside functions and under TYPE_CHECKING."""
    package = ["alpharl", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            first, _, rest = name.partition(".")
            if first == "alpharl" and rest:
                found.add(rest.split(".")[0])
    return {name for name in found if not name.startswith("__")}


FILES = sorted(path for path in PACKAGE.rglob("*.py") if part_of(path) not in TOP)


def test_every_part_has_its_place():
    """A new folder or module must be put in the order above before it can be imported."""
    known = {*CHAIN, *BOTTOM, *ASIDE, *TOP}
    assert {part_of(path) for path in PACKAGE.rglob("*.py")} <= known
    assert len(FILES) > 40


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    where = path.relative_to(PACKAGE).as_posix()
    exceptions = {part for file, part in EXCEPTIONS if file == where}
    wrong = imported_parts(path) - allowed(part_of(path)) - exceptions
    assert not wrong, f"{where} imports {sorted(wrong)}, which stand above or beside it"


def test_nothing_imports_the_callback():
    """It loads torch and transformers at once, as whoever trains has done."""
    assert not [path for path in PACKAGE.rglob("*.py") if "callback" in imported_parts(path)]


def test_exceptions_are_still_needed():
    for file, part in EXCEPTIONS:
        assert part in imported_parts(PACKAGE / file)


def test_the_parser_sees_all_kinds_of_import(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "spectra").mkdir()
    file = tmp_path / "spectra" / "x.py"
    lines = [
        "import alpharl.report.page",
        "from alpharl import variants",
        "from .. import errors",
        "from . import svd",
        "from ..study.config import Study",
        "from alpharl.dynamics.pls import Pls",
        "def f():",
        "    from alpharl.evaluation import hf",
        "import torch",
        "from alpharl import __version__",
    ]
    file.write_text("\n".join(lines))
    found = {"report", "variants", "errors", "spectra", "study", "dynamics", "evaluation"}
    assert imported_parts(file) == found


HEAVY = ["torch", "transformers", "sklearn", "lm_eval", "peft", "trl", "datasets", "matplotlib",
         "reasoning_gym"]  # fmt: skip


def loaded_after(code: str) -> set[str]:
    """Heavy libraries that a fresh interpreter has imported after some code."""
    show = (
        f"import sys\n{code}\nprint(*[m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "module",
    [
        "alpharl.study.plan",
        "alpharl.cli",
        "alpharl.verbs",
        "alpharl.study.check",
        "alpharl.study.paths",
    ],
)
def test_import_leaves_heavy_libraries_alone(module):
    """The Snakefile imports the plan in every cluster job; the command line must answer at once."""
    assert loaded_after(f"import {module}") == set()


@pytest.mark.parametrize("verb", ["methods", "tasks", "manifest"])
def test_light_verbs_leave_heavy_libraries_alone(tmp_path, trajectory, verb):
    arguments = [verb]
    if verb == "manifest":
        checkpoint, base = str(trajectory.folders[10]), str(trajectory.base)
        arguments += ["--checkpoint", checkpoint, "--base", base, "--step", "10"]
        arguments += ["--out", str(tmp_path / "m.json")]
    assert loaded_after(f"from alpharl.cli import main\nassert main({arguments!r}) == 0") == set()


def test_the_command_line_starts_fast():
    """The best of three starts, in CPU seconds, so that a busy machine does not count."""
    seconds = []
    for _ in range(3):
        before = os.times().children_user
        subprocess.run([sys.executable, "-m", "alpharl.cli", "--version"], check=True)
        seconds.append(os.times().children_user - before)
    assert min(seconds) < 0.5


def test_dynamics_leave_heavy_libraries_alone():
    names = ("table", "blocks", "pca", "tsne", "summary", "holdout")
    imports = "\n".join(f"import alpharl.dynamics.{name}" for name in names)
    assert loaded_after(imports) == set()


def test_heavy_library_would_be_seen():
    assert loaded_after("import alpharl.spectra.svd") == {"torch"}


def test_package_imports_scikit_learn_for_tsne_alone():
    """It is the reference in tests of all else, so nothing else may lean on it."""
    users = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^\s*(?:import|from) sklearn", path.read_text(), re.MULTILINE)
    ]
    assert users == ["dynamics/tsne.py"]
