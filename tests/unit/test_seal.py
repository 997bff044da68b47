"""Any change of a file that was written here is noticed, whichever byte it is."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from alpharl.checkpoints.array_files import ArrayFile, write_arrays
from alpharl.checkpoints.files import read_record, write_record
from alpharl.errors import AlpharlError, ArtefactError
from alpharl.spectra.lowrank import read_made
from alpharl.sums import require_summed
from alpharl.verbs.outputs import write_csv, write_table


def arrays(path: Path) -> None:
    write_arrays(path, {"a": np.arange(40.0), "b": np.eye(3)}, {"version": 1})


def streamed(path: Path) -> None:
    file = ArrayFile(path, {"a": (4, 5), "b": (2,)}, room=200)
    file.write("b", np.ones(2))
    file.write("a", np.arange(20.0).reshape(4, 5))
    file.finish({"version": 1})


def record(path: Path) -> None:
    write_record(path, {"seal of": "0" * 64, "sha256": "0" * 64, "numbers": [1.5, 1e-30, None]})


def table(path: Path) -> None:
    write_table(pd.DataFrame({"step": [1, 2], "x": [0.5, 1e-9]}), path)


def csv(path: Path) -> None:
    write_csv(pd.DataFrame({"step": [1, 2], "x": [0.5, 1e-9]}), path)


def read_arrays(path: Path) -> object:
    return read_made(path, "alpharl gram")


def read_json(path: Path) -> object:
    return read_record(path, dict, "alpharl manifest")


def read_table(path: Path) -> object:
    require_summed(path, "alpharl truth", told=True)
    return path.read_bytes()


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {
    "gram.safetensors": (arrays, read_arrays),
    "factors.safetensors": (streamed, read_arrays),
    "manifest.json": (record, read_json),
    "truth.parquet": (table, read_table),
    "pca.csv": (csv, read_table),
}


@pytest.mark.parametrize("name", KINDS)
def test_it_is_read_as_it_was_written(tmp_path, name):
    write, read = KINDS[name]
    write(tmp_path / name)
    assert read(tmp_path / name)


@pytest.mark.parametrize("name", KINDS)
def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path, name):
    write, read = KINDS[name]
    path = tmp_path / name
    write(path)
    content, chance = path.read_bytes(), random.Random(0)
    bits = range(8 * len(content))
    for bit in chance.sample(bits, min(len(bits), 600)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with pytest.raises(AlpharlError, match=rf"{name}: found|{name}: "):
            read(path)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_cut_file_is_noticed(tmp_path, name, share):
    write, read = KINDS[name]
    path = tmp_path / name
    write(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(AlpharlError, match=name):
        read(path)


def test_a_file_that_says_nothing_of_itself_is_refused(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"step": 1}))
    with pytest.raises(ArtefactError, match=r"found no digest of its own in it, .* make it again"):
        read_json(tmp_path / "a.json")


def test_a_record_holds_what_was_written(tmp_path):
    record(tmp_path / "a.json")
    told = json.loads((tmp_path / "a.json").read_text())
    assert list(told) == ["seal of", "sha256", "numbers", "seal"]
    assert told["seal of"] == "0" * 64
    assert read_json(tmp_path / "a.json") == {k: v for k, v in told.items() if k != "seal"}


def test_sha256sum_takes_the_lists(tmp_path):
    table(tmp_path / "t.parquet")
    call = ["sha256sum", "--check", "--strict", "t.sha256"]
    assert subprocess.run(call, cwd=tmp_path, check=False, capture_output=True).returncode == 0


def test_a_table_without_a_list_is_somebodys_own(tmp_path):
    (tmp_path / "scores.csv").write_text("step,accuracy\n1,0.5\n")
    require_summed(tmp_path / "scores.csv", "alpharl accuracy")
    with pytest.raises(ArtefactError, match=r"scores\.csv"):
        require_summed(tmp_path / "scores.csv", "alpharl accuracy", told=True)


@pytest.mark.parametrize("name", KINDS)
def test_the_same_content_gives_the_same_bytes_in_every_process(tmp_path, name):
    """A library may write keys in an order of chance, which another process draws anew."""
    call = (
        f"import tests.unit.test_seal as t, pathlib; t.KINDS[{name!r}][0](pathlib.Path({name!r}))"
    )
    contents = set()
    for folder in (tmp_path / "a", tmp_path / "b", tmp_path / "c"):
        folder.mkdir()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, sys.path))}
        subprocess.run([sys.executable, "-c", call], cwd=folder, env=environment, check=True)
        contents.add((folder / name).read_bytes())
    assert len(contents) == 1
