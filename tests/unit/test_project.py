"""What the repository says of itself agrees, and a built wheel holds what the package reads."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import alpharl
import pytest
import yaml

REPO = Path(alpharl.__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    return yaml.safe_load((REPO / "CITATION.cff").read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since a build writes into its source folder."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    shutil.copytree(REPO / "alpharl", source / "alpharl", ignore=shutil.ignore_patterns("*.pyc"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPO / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--quiet", "--wheel-dir", out, source], check=True)
    (path,) = out.iterdir()
    return path


def test_the_citation_names_this_version(citation: dict[str, Any]) -> None:
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == alpharl.__version__


def test_the_newest_version_of_the_changelog_is_that_of_the_citation(
    citation: dict[str, Any],
) -> None:
    heading = re.search(r"^## [0-9].*$", (REPO / "CHANGELOG.md").read_text(), re.M)
    assert heading is not None
    assert heading[0] == f"## {citation['version']} ({citation['date-released']})"


def test_the_citation_names_the_licence_of_the_package(citation: dict[str, Any]) -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    assert citation["license"] == project["license"]


def test_a_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """Also those that are not Python: task files, templates, the marker that types are there."""
    files = {
        str(path.relative_to(REPO))
        for path in (REPO / "alpharl").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    with zipfile.ZipFile(wheel) as archive:
        assert files <= set(archive.namelist())
    assert "alpharl/py.typed" in files
    assert wheel.name.startswith(f"alpharl-{alpharl.__version__}-")
