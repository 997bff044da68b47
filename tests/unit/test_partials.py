"""Files and folders are in place whole or not at all, whoever else writes there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from alpharl.partials import partial_files, partial_folder

WRITER = """
import sys
from pathlib import Path
from alpharl.partials import partial_files, partial_folder
folder, letter = Path(sys.argv[1]), sys.argv[2]
print("begun", flush=True)
while True:
    with partial_files([folder / "a.txt", folder / "b.txt"]) as files:
        for file in files:
            file.write_text(letter * 100_000)
    with partial_folder(folder / "model") as new:
        for name in "abc":
            (new / name).write_text(letter * 1000)
"""


def writer(folder: Path, letter: str) -> subprocess.Popen[str]:
    """A process that writes two files and a folder over and over, until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), letter], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    return process


def killed(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("old", [None, "old"])
def test_after_an_error_nothing_new_is_there(tmp_path, old):
    path = tmp_path / "deep" / "file.txt"
    if old:
        path.parent.mkdir()
        path.write_text(old)

    with pytest.raises(KeyboardInterrupt), partial_files([path]) as (partial,):
        assert partial.parent == path.parent, "a rename is atomic only within one folder"
        partial.write_text("half")
        raise KeyboardInterrupt
    assert [p.read_text() for p in path.parent.iterdir()] == ([old] if old else [])

    with partial_files([path]) as (partial,):
        partial.write_text("new")
        assert partial.stat().st_mode & 0o077 == 0, "nobody else reads what is not whole"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o644, "readable by the group"


def test_two_files_come_together_or_not_at_all(tmp_path):
    with pytest.raises(ValueError, match="second"), partial_files(
        [tmp_path / "a", tmp_path / "b"]
    ) as (first, _):  # fmt: skip
        first.write_text("whole")
        raise ValueError("second")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_replaces_another_as_a_whole(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("old")
    with pytest.raises(ValueError, match="no"), partial_folder(tmp_path / "model") as new:
        (new / "half").write_text("half")
        raise ValueError("no")
    assert [p.name for p in (tmp_path / "model").iterdir()] == ["old"]
    with partial_folder(tmp_path / "model") as new:
        (new / "new").write_text("new")
    assert [p.name for p in (tmp_path / "model").iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_two_writers_end_with_one_whole_file_and_folder(tmp_path):
    processes = [writer(tmp_path, letter) for letter in "xy"]
    for _ in range(300):
        for path in (tmp_path / "a.txt", tmp_path / "b.txt"):
            if path.is_file():
                text = path.read_text()
                assert len(text) == 100_000
                assert text in (text[0] * 100_000,)
    for process in processes:
        assert process.poll() is None, "no writer is stopped by another"
        killed(process)
    folder = {path.read_text() for path in (tmp_path / "model").iterdir()}
    assert len(folder) == 1


def write_together(folder: Path, letter: str, both_are_there: Barrier) -> None:
    """Write files that belong together, in the same moment as somebody else."""
    with partial_files([folder / name for name in "abc"]) as files:
        for file in files:
            file.write_text(letter * 1000)
        both_are_there.wait()


def test_files_that_belong_together_are_one_writers(tmp_path):
    """A table, for one, and the list of its digests: of 50 races, none leaves those of two."""
    fork = get_context("fork")
    for race in range(50):
        folder, barrier = tmp_path / str(race), fork.Barrier(2)
        writers = [fork.Process(target=write_together, args=(folder, x, barrier)) for x in "xy"]
        for process in writers:
            process.start()
        for process in writers:
            process.join()
        assert sorted(os.listdir(folder)) == ["a", "b", "c"]
        assert len({(folder / name).read_text() for name in "abc"}) == 1


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.05, 0.1, 0.2])
def test_what_a_killed_writer_left_goes_when_the_next_one_comes(tmp_path, seconds):
    process = writer(tmp_path, "x")
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        killed(process)
    with partial_files([tmp_path / "a.txt", tmp_path / "b.txt"]) as files:
        for file in files:
            file.write_text("new")
    with partial_folder(tmp_path / "model"):
        pass
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "b.txt", "model"]


def test_what_nobody_puts_in_place_goes_with_its_process(tmp_path):
    """As where the constructor of an object fails that has such a folder."""
    code = """
import sys
from pathlib import Path
from alpharl.partials import Partial
a, b = (Partial(Path(sys.argv[1]) / name, folder=name == "b") for name in "ab")
(b.path / "half").touch()
raise OSError("no space")
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert "no space" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_another_writer_is_at_stays(tmp_path):
    with partial_files([tmp_path / "a"]) as (first,), partial_folder(tmp_path / "f") as model:
        with partial_files([tmp_path / "a"]) as (second,), partial_folder(tmp_path / "f") as other:
            second.write_text("second")
            (other / "other").write_text("")
        first.write_text("first")
        (model / "model").write_text("")
    assert (tmp_path / "a").read_text() == "first", "the later one's stands"
    assert [p.name for p in (tmp_path / "f").iterdir()] == ["model"]
