"""Imports run one way, and what must start fast leaves heavy libraries alone."""

from __future__ import annotations

import ast
import graphlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import alpharl
import pytest

PACKAGE = Path(alpharl.__file__).parent
BOTTOM = {
    "bounds", "confined", "csv_table", "errors", "failed_file", "failures", "frozen", "gpu",
    "locks", "names", "partials", "progress", "redact", "registry", "scratch", "steps", "sums",
    "system_errors", "yaml_text",
}  # fmt: skip
"""Anyone may import these; they import nothing of the package but each other."""
FLOORS: list[set[str]] = [
    {"checkpoints", "problems"},
    {"spectra"},
    {"measures", "dynamics"},
    {"forecasting"},
    {"variants"},
    {"evaluation"},
    {"training"},
    {"study"},
    {"cost", "report", "slurm", "verification"},
    {"trajectory"},
    {"callback"},
    {"verbs"},
    {"cli"},
    {"__main__"},
]
"""DESIGN 3: a part may import itself and those on the floors below, none beside it."""
NARROWER = {"training": {"checkpoints", "problems"}}
"""Parts that may import less than all that lies below."""


def allowed(part: str) -> set[str]:
    """The parts that a part may import, itself included."""
    if part in BOTTOM:
        return set(BOTTOM)
    (floor,) = (i for i, parts in enumerate(FLOORS) if part in parts)
    below = set().union(*FLOORS[:floor])
    return {part, *NARROWER.get(part, below), *BOTTOM}


def part_of(path: Path) -> str:
    """First name below the package: a folder, or a module at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    """Parts that a file imports anywhere, also inside functions and under TYPE_CHECKING."""
    names = {name.split(".")[1] for name in imported_names(path) if "." in name}
    return {name for name in names if not name.startswith("__")}


def imported_names(path: Path) -> set[str]:
    """Dotted names of the package that a file imports: modules, and what is taken out of them."""
    package = ["alpharl", *path.relative_to(PACKAGE).parts[:-1]]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        found |= {name for name in names if name.split(".")[0] == "alpharl"}
    return found


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def test_every_part_has_its_place():
    """A new folder or module must be put in the order above before it can be imported."""
    assert {part_of(path) for path in FILES} == BOTTOM.union(*FLOORS)
    assert len(FILES) > 40


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    wrong = imported_parts(path) - allowed(part_of(path))
    where = path.relative_to(PACKAGE).as_posix()
    assert not wrong, f"{where} imports {sorted(wrong)}, which stand above or beside it"


def module_of(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(["alpharl", *(part for part in parts if part != "__init__")])


def test_no_files_import_each_other_in_a_circle():
    """Also not inside functions: a circle that is put off is still one."""
    modules = {module_of(path): path for path in FILES}
    sorter = graphlib.TopologicalSorter(
        {
            name: {part for full in imported_names(path) for part in named_modules(full, modules)}
            - {name}
            for name, path in modules.items()
        }
    )
    sorter.prepare()  # raises CycleError, which names the files


def named_modules(full: str, modules: Mapping[str, Path]) -> list[str]:
    """The module that an imported dotted name is, or lies in."""
    parent = full.rpartition(".")[0]
    return [full] if full in modules else [parent] if parent in modules else []


def test_nothing_imports_the_callback():
    """It loads torch and transformers at once, as whoever trains has done."""
    assert not [path for path in PACKAGE.rglob("*.py") if "callback" in imported_parts(path)]


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
        "    from alpharl.evaluation.engines import hf",
        "import torch",
        "from alpharl import __version__",
    ]
    file.write_text("\n".join(lines))
    found = {"report", "variants", "errors", "spectra", "study", "dynamics", "evaluation"}
    assert imported_parts(file) == found


HEAVY = ["torch", "transformers", "sklearn", "lm_eval", "peft", "trl", "datasets", "matplotlib",
         "reasoning_gym", "openai"]  # fmt: skip


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


def test_the_plan_leaves_pandas_alone():
    """It costs a third of a second, in every cluster job."""
    code = "import sys, alpharl.study.plan; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


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
    names = ("table", "fits", "lines", "blocks", "pca", "tsne", "summary")
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


def test_the_package_imports_nothing_before_it_is_used():
    code = (
        "import sys, alpharl\n"
        "heavy = {'numpy', 'pandas', 'torch', 'pydantic', 'yaml', 'matplotlib'}\n"
        "print(dir(alpharl), heavy & sys.modules.keys(),"
        " [name for name in sys.modules if name.startswith('alpharl')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = "['Trajectory', '__version__', 'load_study', 'write_report']"
    assert done.stdout == f"{names} set() ['alpharl']\n"


def test_the_package_s_names_are_those_of_their_homes():
    from alpharl.report.write import write_report
    from alpharl.study.config import load_study
    from alpharl.trajectory import Trajectory

    assert alpharl.Trajectory is Trajectory
    assert alpharl.load_study is load_study and alpharl.write_report is write_report
    with pytest.raises(AttributeError, match="module 'alpharl' has no attribute 'Trajektorie'"):
        _ = alpharl.Trajektorie


def test_the_front_door_leaves_heavy_libraries_alone():
    """Until it computes: verbs open it for whatever they do."""
    code = "import alpharl\nalpharl.Trajectory\nimport alpharl.evaluation.trials"
    assert loaded_after(code) == set()


def test_a_plot_needs_no_pyplot(trajectory):
    code = (
        "import sys, alpharl\n"
        f"run = alpharl.Trajectory.open({str(trajectory.base)!r}, {trajectory.pattern!r})\n"
        "run.plot()\nprint('matplotlib.figure' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"
