"""Damaged results of a whole study: found by `verify`, set aside by jobs, made again."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from alpharl.spectra.gram import read_gram, write_gram
from alpharl.study.config import load_study
from alpharl.study.plan import Plan
from alpharl.verification.files import checks, wrong_files

from tests.workflow.mini import Workflow

pytestmark = pytest.mark.sample
UNWATCHED = {"logs", "benchmarks", ".snakemake"}


@pytest.fixture
def study(finished, mini, tmp_path_factory) -> Iterator[Workflow]:
    """A copy of the finished study, in which files keep their times."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(finished.folder, folder, dirs_exist_ok=True)
    before, workflow = Path.cwd(), Workflow(folder)
    os.chdir(folder)
    workflow.command(mini())  # writes the study's file: other tests have others in the same folder
    yield workflow
    os.chdir(before)


def artefacts() -> dict[str, list[Path]]:
    """The files of the study by kind: their places without names of runs and numbers."""
    kinds = defaultdict(list)
    for path in sorted(Path("results/mini").rglob("*")):
        hidden = any(part.startswith(".") for part in path.parts)
        if path.is_file() and path.stat().st_size and not UNWATCHED & {*path.parts} and not hidden:
            kinds[re.sub(r"(?<=runs/)\w+|[\d.]+", "N", path.as_posix())].append(path)
    return kinds


def flip(path: Path, chance: random.Random) -> None:
    """One bit of a file is another one; its time stays, as on a disk that fails."""
    content, stat = bytearray(path.read_bytes()), path.stat()
    bit = chance.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_nothing_is_wrong_with_a_finished_study(study, cli):
    done = cli("verify", "study.yaml")
    assert done.status == 0, done.out
    assert re.fullmatch(r"found nothing wrong in \d+ files and \d+ numbers\n", done.out)


def test_a_bit_of_each_kind_of_file_is_missed_by_none(study):
    plan, chance = Plan(load_study(Path("study.yaml"))), random.Random(20)
    kinds = artefacts()
    assert len(kinds) >= 100
    for kind, paths in kinds.items():
        path = chance.choice(paths)
        content, stat = path.read_bytes(), path.stat()
        flip(path, chance)
        assert list(wrong_files(dict(checks(plan)))), kind
        path.write_bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not list(wrong_files(dict(checks(plan))))


def test_a_number_that_the_weights_do_not_give_is_found(study, cli):
    """The files are whole: only who computes again notices."""

    path = Path("results/mini/runs/rl/gram/shard-0.safetensors")
    gram = read_gram([path])
    assert gram.made_from
    for products in gram.tensors.values():
        products *= 1.01
    write_gram(gram, path, gram.made_from, (0, 2))
    done = cli("verify", "study.yaml", "--sample", "1000")
    assert done.status == 1
    assert "inner product of" in done.out
    assert f"--forcerun {path}" in done.out


@pytest.mark.parametrize(
    ("damaged", "reader"),
    [
        ("runs/rl/gram/shard-1.safetensors", "dynamics"),
        ("runs/rl/scores/validation/step-4.json", "accuracy"),
        ("runs/rl/rank/rank-1@6/variant.json", "evaluate_variants"),
    ],
)
def test_a_job_sets_a_damaged_file_aside_and_the_next_run_makes_it_again(
    study, mini, damaged, reader
):
    path = Path("results/mini", damaged)
    before = path.read_bytes()
    flip(path, random.Random(1))
    first = study.run(mini(), "--forcerun", reader)
    assert first.returncode != 0
    (line,) = {line for line in first.stdout.splitlines() if line.startswith("alpharl ")}
    assert line.endswith(f"{path.name}.damaged, and the same snakemake command makes it again")
    assert not path.exists()
    second = study.run(mini(), "--forcerun", reader)
    assert second.returncode == 0, second.stdout
    assert path.is_file()
    if path.suffix == ".safetensors":
        assert path.read_bytes() == before
    assert study.planned(mini()) == {}
