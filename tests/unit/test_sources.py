"""Where existing checkpoints come from: patterns, folders, tables and hubs in the study file."""

from __future__ import annotations

import copy

import pytest
from alpharl.checkpoints.sources import given_steps
from alpharl.errors import CheckpointError, StudyError
from alpharl.study.config import parse_study
from alpharl.study.plan import Plan
from tests.unit.test_study import STUDY


def study(**run):
    """A study whose only run has these keys."""
    made = copy.deepcopy(STUDY)
    made["runs"]["r"], made["forecast"] = {"base": "b", **run}, {}
    return made


@pytest.fixture
def table(tmp_path):
    """A table of two runs; a path relative to it, an absolute one, and steps out of order."""
    path = tmp_path / "runs.csv"
    rows = ["run,step,path", "r,30,c/final", "r,10,../a", "q,5,x", f"r,20,{tmp_path}/b"]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_table_s_rows_are_the_run_s_own(table, tmp_path):
    made = parse_study(study(table=str(table)))
    plan = Plan(made)
    assert plan.steps("r") == [10, 20, 30]
    folders = [str(tmp_path.parent / "a"), str(tmp_path / "b"), str(tmp_path / "c" / "final")]
    assert [plan.paths.checkpoint("r", step) for step in (10, 20, 30)] == folders
    assert plan.paths.checkpoint_options("r") == [
        f"{step}={folder}" for step, folder in zip((10, 20, 30), folders, strict=True)
    ]
    # The resolved study stands for itself: the table is not read again.
    table.unlink()
    assert parse_study(made.model_dump(mode="json")) == made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "found no table that can be read"),
        ("run,step\nr,1\n", "found columns run, step, expected run, step, path"),
        ("run,step,path\nr,ten,x\n", "row 2: found step ten, expected a whole number"),
        ("run,step,path\nr,1,x\nr,,y\n", "row 3: found no step, expected a whole number"),
        ("run,step,path\nr,1,x\nr,2,\n", "row 3: found no path"),
        ("run,step,path\nr,1,x\nr,1,y\n", "row 3: found step 1 twice in run 'r'"),
        ("run,step,path\nr,1,x\nr,1.0,y\n", "row 3: found step 1 twice in run 'r'"),
        ("run,step,path\nr,0,x\n", "found step 0, which is the base"),
        ("run,step,path\nrr,1,x\n", "has no row of run 'r', did you mean 'rr'?"),
        ("", "found no header"),
        ("run,step,path\n", "has no row of run 'r'"),
    ],
)
def test_a_broken_table_is_refused_in_one_line(tmp_path, text, expected):
    path = tmp_path / "t.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StudyError) as error:
        parse_study(study(table=str(path)))
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_folders_may_stand_in_the_study_file():
    plan = Plan(parse_study(study(checkpoints={20: "x/b", 10: "x/a", 30: "y"})))
    assert plan.steps("r") == [10, 20, 30]
    assert plan.paths.checkpoint("r", 20) == "x/b"


HUB = {"repo": "org/run", "revision": "step_{step}"}


def test_a_hub_s_checkpoints_lie_among_the_results():
    made = parse_study(study(hub=HUB, steps=[2, 4, 8]))
    plan = Plan(made)
    assert plan.paths.checkpoint("r", 4) == "results/s/runs/r/checkpoints/step-4"
    assert plan.paths.checkpoint_options("r") == ["results/s/runs/r/checkpoints/step-{step}"]
    assert made.runs["r"].hub.at(4) == ("org/run", "step_4")
    in_name = parse_study(study(hub={"repo": "org/run-{step}"}, steps=[2, 4, 8]))
    assert in_name.runs["r"].hub.at(8) == ("org/run-8", "main")


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ({"hub": HUB}, "'steps' goes with 'hub'"),
        ({"hub": {"repo": "org/x"}, "steps": [1, 2]}, "'hub' lacks '{step}'"),
        ({"hub": {"repo": "x"}, "steps": [1, 2]}, "runs.r.hub.repo: String should match"),
        ({"hub": HUB, "steps": [1], "checkpoints": "x/{step}"}, "expected exactly one of"),
        ({"table": "t.csv", "steps": [1]}, "'steps' goes with 'hub'"),
        ({"checkpoints": {}}, "found no checkpoints"),
        ({"checkpoints": {0: "x"}}, "runs.r.checkpoints"),
        ({"hub": HUB, "steps": [1, 2], "merge": {"environment": "v"}}, "'merge' goes with"),
    ],
)
def test_refusals(run, expected):
    with pytest.raises(StudyError) as error:
        parse_study(study(**run))
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_a_base_of_a_hub():
    made = copy.deepcopy(STUDY)
    made["bases"]["b"] = {"hub": {"repo": "org/base"}}
    assert Plan(parse_study(made)).paths.base_model("b") == "results/s/bases/b/model"
    made["bases"]["b"]["hub"]["revision"] = "step_{step}"
    with pytest.raises(StudyError, match="expected one model"):
        parse_study(made)


def test_verbs_take_folders_one_by_one(tmp_path):
    found = given_steps(["20=a=b/c", "10=x"], None)
    assert {step: str(path) for step, path in found.items()} == {10: "x", 20: "a=b/c"}
    assert list(given_steps(["20=y", "10=x"], [20])) == [20]
    for given, steps in ((["x"], None), (["10=x", "10=y"], None), (["10=x"], [20])):
        with pytest.raises(CheckpointError):
            given_steps(given, steps)


def test_gram_of_folders_is_that_of_the_pattern(cli, tmp_path, trajectory):
    one_by_one = [f"{step}={path}" for step, path in trajectory.folders.items()]
    for out, given in (("a", [trajectory.pattern]), ("b", one_by_one)):
        done = cli("gram", "--base", trajectory.base, "--checkpoints", *given, "--out",
                   tmp_path / out)  # fmt: skip
        assert done.status == 0
    from alpharl.spectra.gram import read_gram

    first, second = (read_gram([tmp_path / name]) for name in "ab")
    assert first.steps == second.steps == trajectory.steps
    assert all((first.tensors[n] == second.tensors[n]).all() for n in first.tensors)
