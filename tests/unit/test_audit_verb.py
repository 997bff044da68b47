"""`alpharl audit`, and what verdicts say of checkpoints that are not what their names say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from alpharl import Trajectory
from alpharl.checkpoints.files import read_record
from alpharl.checkpoints.manifest import write_checkpoints, write_manifest
from alpharl.errors import MethodError
from alpharl.spectra.gram import Gram, read_gram
from alpharl.verbs.forecast import LINES


@pytest.fixture
def copied(make_trajectory):
    """A run whose steps 50 and 60 are copies of 35 and of the base."""
    run = make_trajectory()
    for step, source in ((50, run.folders[35]), (60, run.base)):
        shutil.rmtree(run.folders[step])
        shutil.copytree(source, run.folders[step])
    return run


def arguments(run, verb: str = "audit", *more: object) -> list[object]:
    """The verb on a run."""
    return [verb, "--base", run.base, "--checkpoints", run.pattern, *more]


LINES_OF_FAULTS = [
    "base: step 60 equals the base; likely a copy of it, or the learning rate was 0 until then: "
    "get the right file, or leave the step out",
    "duplicate: steps 35 and 50 are equal; likely one file under several names, or changes too "
    "small for the stored format: get the right files, or leave all but one out",
]


def test_a_line_for_each_fault_and_status_1(copied, cli):
    done = cli(*arguments(copied))
    assert done.status == 1
    assert sorted(done.out.splitlines()) == sorted(LINES_OF_FAULTS)


def test_a_right_run_has_status_0(trajectory, cli):
    done = cli(*arguments(trajectory))
    assert done.status == 0
    assert done.out.splitlines()[0] == "found no fault in 6 checkpoints, step 10 to 90"
    assert not [line for line in done.out.splitlines()[1:] if not line.startswith("note: ")]


def test_accepted_faults_have_status_0(copied, cli):
    done = cli(*arguments(copied), "--accept", "base", "duplicate")
    assert done.status == 0
    accepted = [line for line in done.out.splitlines() if line.startswith("accepted: ")]
    assert sorted(accepted) == sorted(f"accepted: {line}" for line in LINES_OF_FAULTS)
    assert cli(*arguments(copied), "--accept", "base").status == 1
    with pytest.raises(SystemExit):
        cli(*arguments(copied), "--accept", "nothing")


def test_steps_that_are_left_out_are_not_looked_at(copied, cli):
    assert cli(*arguments(copied), "--steps", 10, 20, 35, 90).status == 0


def test_json_and_the_file_are_what_the_library_says(copied, cli, tmp_path):
    done = cli(*arguments(copied), "--json", "--out", tmp_path / "audit.json")
    shown = json.loads(done.out)
    assert done.status == 1
    run = Trajectory.open(copied.base, copied.pattern, progress=False)
    assert shown == run.audit().model_dump(mode="json")
    assert shown == read_record(tmp_path / "audit.json", dict, "alpharl audit")
    assert {fault["kind"]: fault["steps"] for fault in shown["faults"]} == {
        "base": [60], "duplicate": [35, 50],
    }  # fmt: skip


def test_with_a_gram_no_weight_is_read(copied, cli, tmp_path):
    gram = tmp_path / "gram.safetensors"
    assert cli(*arguments(copied, "gram", "--out", gram)).status == 0
    before = cli(*arguments(copied))
    for folder in copied.folders.values():
        (folder / "model.safetensors").unlink()
    after = cli(*arguments(copied), "--gram", gram)
    assert (after.status, after.out) == (before.status, before.out)


def test_digests_of_manifests_are_compared(trajectory, copied, cli, tmp_path):
    """The gram is of the right run, the manifests of one with copies."""
    manifests = []
    for step, folder in {0: copied.base, **copied.folders}.items():
        manifests.append(tmp_path / f"{step}.json")
        write_manifest(folder, step, manifests[-1], None if step == 0 else copied.base)
    table = tmp_path / "checkpoints.json"
    write_checkpoints("run", "base", manifests[1:], table)
    gram = read_gram_of(trajectory, cli, tmp_path)
    run = Trajectory.open(copied.base, copied.pattern, gram=gram, progress=False)
    found = run.audit(manifests=[manifests[0], table])
    lines = [f"{fault.kind}: {fault.text}" for fault in found.faults]
    assert sorted(lines) == sorted(LINES_OF_FAULTS)
    assert not run.audit().faults


def read_gram_of(run, cli, folder: Path) -> Gram:
    """A gram in memory, which nobody compares with the folders of another run."""
    out = folder / "gram.safetensors"
    assert cli(*arguments(run, "gram", "--out", out)).status == 0
    return read_gram([out])


def test_a_verdict_on_faulty_checkpoints_does_not_count(copied, cli):
    done = cli(*arguments(copied, "trust", "--target-step", 120, "--exit-code"))
    *faults, head = done.out.splitlines()
    assert sorted(faults) == sorted(
        line.replace("base: ", "audit: ", 1).replace("duplicate: ", "audit: ", 1)
        for line in LINES_OF_FAULTS
    )
    assert head == "does not count: the checkpoints are not what their names say"
    assert done.status == 3
    run = Trajectory.open(copied.base, copied.pattern, progress=False)
    verdict = run.verdict(120)
    assert verdict.lines == done.out.splitlines()
    assert (verdict.supported, verdict.method, verdict.step) == (False, "last", 90)
    accepted = run.verdict(120, accept=["base", "duplicate"])
    assert not [line for line in accepted.lines if line.startswith("audit: ")]


def test_faults_after_the_window_are_not_known_in_it(copied, trajectory):
    run = Trajectory.open(copied.base, copied.pattern, progress=False)
    right = Trajectory.open(trajectory.base, trajectory.pattern, progress=False)
    assert run.audit(through=35).faults == []
    assert run.verdict(120, 35).lines == right.verdict(120, 35).lines
    assert "audit" not in run.verdict(120, 35).as_json()["evidence"][0]["name"]


@pytest.mark.parametrize("method", ["relex", "auto"])
def test_a_forecast_says_the_faults_before_its_verdict(copied, cli, tmp_path, method):
    more = ["--option", "trials=false"] if method == "auto" else []
    out = ["--method", method, *more, "--target-step", 120, "--out", tmp_path / "forecast"]
    lines = cli(*arguments(copied, "forecast", *out)).out.splitlines()
    assert len(lines) <= LINES
    assert [line.partition(":")[0] for line in lines[-3:]] == ["audit", "audit", "verdict"]
    assert lines[-1].startswith("verdict: does not count")
    accepted = cli(*arguments(copied, "forecast", *out, "--accept", "base", "duplicate")).out
    assert "audit: " not in accepted


def test_many_faults_leave_room_for_the_forecast(make_trajectory, cli, tmp_path):
    run = make_trajectory(steps=tuple(range(10, 330, 10)))
    for step in range(10, 310, 30):
        shutil.rmtree(run.folders[step + 10])
        shutil.copytree(run.folders[step], run.folders[step + 10])
    out = ["--method", "last", "--target-step", 400, "--out", tmp_path / "forecast"]
    lines = cli(*arguments(run, "forecast", *out)).out.splitlines()
    assert len(lines) <= LINES
    assert lines[0].startswith("wrote ")
    assert lines[-2:] == [
        "audit: and 5 more; see `alpharl audit`",
        "verdict: does not count: the checkpoints are not what their names say",
    ]


def equal_run(run, source: Path) -> list[object]:
    """All steps of a run as links to one model."""
    return [f"{step}={source}" for step in run.steps]


def test_a_run_of_equal_checkpoints_has_no_nan(trajectory, cli):
    """Before the audit: an error of nan."""
    for source in (trajectory.base, trajectory.folders[90]):
        given = ["trust", "--base", trajectory.base, "--checkpoints"]
        done = cli(*given, *equal_run(trajectory, source), "--scores", trajectory.scores)
        assert done.status == 0
        assert "nan" not in done.out
        assert done.out.startswith("audit: ")
        accept = ["--accept", "base", "serves-last"]
        accepted = cli(*given, *equal_run(trajectory, source), *accept).out
        assert accepted.splitlines() == [
            "not supported, keep the last checkpoint",
            "- training did not move the window's last weights, so nothing can be rehearsed",
        ]


def test_a_gram_that_lacks_a_step_is_refused(trajectory, cli, tmp_path):
    gram = tmp_path / "gram.safetensors"
    assert cli(*arguments(trajectory, "gram", "--steps", 10, 20, "--out", gram)).status == 0
    assert "make it again" in cli(*arguments(trajectory), "--gram", gram).error
    with pytest.raises(MethodError):
        Trajectory.open(trajectory.base, trajectory.pattern, gram=gram, progress=False).audit()
