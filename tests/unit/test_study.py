"""The study file: defaults, refusals with the nearest key, the plan, and the generated schema."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml
from alpharl.cli import main
from alpharl.errors import StudyError
from alpharl.spectra.depth import Depth
from alpharl.study.config import Study, load_study, parse_study
from alpharl.study.plan import Plan
from alpharl.study.schema import schema_text
from alpharl.study.windows import window_end

REPO = Path(__file__).resolve().parents[2]
STUDY = {
    "study": "s",
    "bases": {"b": {"path": "models/b"}},
    "runs": {"r": {"base": "b", "checkpoints": "r/{step}", "steps": [10, 20, 30, 40]}},
    "suites": {
        "validation": {
            "role": "validation",
            "tasks": [{"task": "addition", "split": "validation"}],
        },
        "test": {"role": "test", "tasks": [{"task": "addition", "split": "test"}]},
    },
    "forecast": {"windows": [0.5], "methods": {"last": {}, "expo": {"alpha": 1}}},
}


def changed(path: str, value: object) -> dict:
    """The study with one key set; a value of None removes it."""
    study = copy.deepcopy(STUDY)
    *parents, key = path.split(".")
    place = study
    for parent in parents:
        place = place.setdefault(parent, {})
    if value is None:
        del place[key]
    else:
        place[key] = value
    return study


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("rnak", {}, "unknown key 'rnak', did you mean 'rank'?"),
        ("rank.rank", [1], "rank: unknown key 'rank', did you mean 'ranks'?"),
        ("runs.r.stepz", [1], "runs.r: unknown key 'stepz', did you mean 'steps'?"),
        ("runs.r.base", "c", "run 'r' has unknown base 'c'"),
        ("runs.r.train", {}, "runs.r: expected exactly one of 'train', 'checkpoints'"),
        ("runs.r.steps", [20, 10], "runs.r.steps: found step 10 after 20"),
        (
            "spectra.shards",
            True,
            "spectra: found true or false for key 'shards', expected a number",
        ),
        ("rank.ranks", [1, True], "rank: found true or false for key 'ranks'"),
        ("rank.at", [12.0], "rank.at.0: Input should be less than or equal to 1 (found 12.0)"),
        ("rank.scales", [0.5, 0.5000001], "found 0.5 and 0.5000001, which have one name, 0.5"),
        ("rank.seed", 2**32, "rank.seed: Input should be less than or equal to 4294967295"),
        ("forecast.amplitudes", [1e300], "forecast.amplitudes.0: Input should be less than or eq"),
        ("runs.r.checkpoints", "r/x", "runs.r: checkpoints 'r/x' lacks '{step}'"),
        ("runs.r.leave_out", [15], "'leave_out' holds step 15, expected saved steps: [10, 20"),
        ("runs.r.leave_out", [10, 20, 30, 40], "'leave_out' holds all steps; keep one"),
        ("runs.r.accept", ["copies"], "runs.r.accept.0: Input should be 'base', 'duplicate'"),
        ("audit.accept", ["copies"], "audit.accept.0: Input should be 'base', 'duplicate'"),
        ("suites.test.role", "validation", "expected one 'validation' and one or more 'test'"),
        ("suites.test.tasks", [{"task": "addition", "split": "validation"}], "overlap"),
        ("forecast.methods", {"relax": {}}, "unknown method 'relax', did you mean 'relex'?"),
        ("forecast.methods.expo.alfa", 1, "unknown key 'alfa', did you mean 'alpha'?"),
        ("forecast.windows", [1.5], "forecast.windows"),
        ("forecast.target_multiple", 1, "forecast.target_multiple: Input should be greater than 1"),
        ("forecast.target_multiple", float("inf"), "should be a finite number"),
        ("forecast", {"target_step": 30, "target_multiple": 2}, "'target_multiple', expected one"),
        (
            "forecast",
            {"target_step": 30, "target_accuracy": 0.5},
            "'target_accuracy', expected one",
        ),
        ("forecast", {"target_multiple": 2, "target_accuracy": 0.5}, "found 'target_multiple' and"),
        ("forecast.target_accuracy", 0, "forecast.target_accuracy: Input should be greater than 0"),
        ("forecast.target_accuracy", 1.1, "should be less than or equal to 1 (found 1.1)"),
        ("forecast.amplitudes", [0.5, 0], "forecast.amplitudes.1: Input should be greater than 0"),
        ("forecast.amplitudes", [float("inf")], "should be a finite number"),
        ("spectra.rank", 0, "spectra.rank: Input should be greater than 0 (found 0)"),
        ("runs.r.seeds", [0, 1], "runs.r: 'seeds' goes with 'train'"),
        ("runs.r", {"base": "b", "train": {}, "seeds": []}, "runs.r.seeds: List should have at"),
        ("runs.r", {"base": "b", "train": {}, "seeds": [1, 1]}, "found a seed twice in [1, 1]"),
        (
            "runs.r",
            {"base": "b", "train": {"seed": 3}, "seeds": [1]},
            "runs.r: found both 'seeds' and 'train.seed', expected one; leave one out",
        ),
        ("runs.r.group", "a b", "runs.r.group: String should match pattern"),
        ("study", "a/b", "study: String should match pattern"),
        ("bases.b", {}, "bases.b: expected exactly one of 'path', 'hub', 'gguf' and 'pretrain'"),
    ],
)
def test_refusals_are_one_line_that_names_the_key(path, value, expected):
    with pytest.raises(StudyError) as error:
        parse_study(changed(path, value), "config")
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_models_are_frozen():
    study = parse_study(STUDY)
    with pytest.raises(ValueError, match="frozen"):
        study.study = "other"


def test_a_resolved_study_is_the_same_study():
    study = parse_study(STUDY)
    assert parse_study(yaml.safe_load(yaml.safe_dump(study.model_dump(mode="json")))) == study
    assert parse_study(study.model_dump(mode="json")) == study


def with_runs(**runs: dict) -> dict:
    """The study with these runs, trained from its base unless they are checkpoints."""
    return changed("runs", {name: {"base": "b", **run} for name, run in runs.items()})


SHORT = {"steps": 20, "save_every": 5}


def test_seeds_make_a_run_each_before_anything_else_sees_the_study():
    seeded = {"train": {**SHORT, "algorithm": "dapo"}, "seeds": [0, 7]}
    study = parse_study(with_runs(one=seeded, two={"train": SHORT}))
    plan = Plan(study)
    assert list(study.runs) == ["one-seed0", "one-seed7", "two"]
    assert [run.train.seed for run in study.runs.values() if run.train] == [0, 7, 0]
    assert [run.group for run in study.runs.values()] == ["one", "one", "grpo"]
    assert {run.seeds for run in study.runs.values()} == {None}
    assert plan.steps("one-seed7") == [5, 10, 15, 20]
    assert {batch.run for batch in plan.batches()} == set(study.runs)
    assert plan.paths.training("one-seed7").endswith("runs/one-seed7/checkpoints/training.csv")
    # Each is the run that one would write by hand.
    by_hand = {"train": {**SHORT, "algorithm": "dapo", "seed": 7}, "group": "one"}
    assert parse_study(with_runs(a=by_hand)).runs["a"] == study.runs["one-seed7"]


def test_an_expanded_study_reloads_to_itself():
    seeded = {"train": SHORT, "seeds": [0, 1], "group": "mine+"}
    study = parse_study(with_runs(one=seeded, two={"train": SHORT}))
    assert parse_study(yaml.safe_load(yaml.safe_dump(study.model_dump(mode="json")))) == study
    assert parse_study(study.model_dump(mode="json")) == study
    assert [run.group for run in study.runs.values()] == ["mine+", "mine+", "grpo"]


def test_groups_are_named_after_what_trained_them():
    own = {"checkpoints": "r/{step}", "steps": [10, 20, 30, 40]}
    study = with_runs(
        a={"train": {**SHORT, "algorithm": "sft"}},
        b={"train": {**SHORT, "algorithm": "sft", "optimizer": "sgd"}},
        c=own,
        d={**own, "group": "downloads"},
    )
    groups = {name: run.group for name, run in parse_study(study).runs.items()}
    assert groups == {"a": "sft", "b": "sft-sgd", "c": "c", "d": "downloads"}


@pytest.mark.parametrize("names", [("one", "one-seed1"), ("one-seed1", "one")])
def test_a_clash_of_expanded_names_is_refused(names):
    runs = {name: {"train": SHORT} for name in names}
    runs["one"] = {"train": SHORT, "seeds": [0, 1]}
    with pytest.raises(StudyError) as error:
        parse_study(with_runs(**{name: runs[name] for name in names}), "config")
    assert str(error.value) == (
        "config: runs: run 'one-seed1' stands there twice, once from 'seeds' of run 'one'; "
        "rename one"
    )


@pytest.mark.parametrize(("window", "end"), [(0.5, 20), (0.99, 30), (20, 20), (25, 20), (0.75, 30)])
def test_window_ends_at_a_saved_step(window, end):
    assert window_end([10, 20, 30, 40], window) == end


def test_float_windows_do_not_lose_a_checkpoint_to_rounding():
    steps = list(range(6, 121, 6))
    assert window_end(steps, 0.3) == 36
    assert window_end(list(range(5, 101, 5)), 0.35) == 35


@pytest.mark.parametrize("window", [0.4, 10, 0.25])
def test_a_window_of_fewer_than_two_checkpoints_is_refused(window):
    with pytest.raises(StudyError, match=r"holds 1 of the checkpoints 10..40; expected at least 2"):
        Plan(parse_study(changed("forecast.windows", [window])))


def test_windows_with_one_end_are_refused_unless_a_run_tells_them_apart():
    study = changed("forecast.windows", [0.5, 20])
    with pytest.raises(StudyError, match=r"windows 0\.5 and 20 both end at step 20 of run 'r'"):
        Plan(parse_study(study))
    study["runs"]["denser"] = {**study["runs"]["r"], "steps": [5, 10, 15, 20, 25, 30]}
    plan = Plan(parse_study(study))
    assert {(f.label, f.window, f.through) for f in plan.forecasts("denser")} >= {
        ("last", "0.5", 15), ("last", "20", 20)
    }  # fmt: skip


def test_steps_are_the_same_after_a_round_trip():
    """Keys of mappings are text in JSON, in which rules and jobs get the study."""
    for run in ({"checkpoints": {10: "a", 20: "b"}}, {"checkpoints": "x/{step}", "steps": [1, 9]}):
        study = copy.deepcopy(STUDY)
        study["runs"]["r"], study["forecast"] = {"base": "b", **run}, {}
        made = parse_study(study)
        assert parse_study(json.loads(made.model_dump_json())) == made


@pytest.mark.parametrize(("multiple", "targets"), [(2, [40, 60]), (1.26, [25, 38])])
def test_target_as_a_multiple_is_each_window_s_own(multiple, targets):
    study = changed("forecast.target_multiple", multiple)
    study["forecast"]["windows"] = [20, 30]
    found = Plan(parse_study(study)).forecasts("r")
    assert [f.target_step for f in found if f.label == "last"] == targets
    assert [f.name for f in found if f.label == "last"] == ["last@20", "last@30"]


def test_an_accuracy_as_target_makes_every_forecast_wait_for_scores():
    plan = Plan(parse_study(changed("forecast.target_accuracy", 0.9)))
    found = plan.forecasts("r")
    assert [f.name for f in found] == ["last@0.5", "expo@0.5"]
    assert {f.target_step for f in found} == {None}
    assert {f.target_option for f in found} == {"--target-accuracy=0.9"}
    assert {f.reads for f in found} == {frozenset({"scores"})}
    assert plan.known("r") == []
    steps = Plan(parse_study(STUDY)).forecasts("r")
    assert {f.target_option for f in steps} == {"--target-step=40"}
    assert {f.reads for f in steps} == {frozenset()}


def test_amplitudes_stand_beside_each_forecast():
    plan = Plan(parse_study(changed("forecast.amplitudes", [2, 0.5, 1, 2.0])))
    found = {f.name: f.amplitude for f in plan.forecasts("r")}
    assert list(found.items()) == [
        ("last@0.5", 1), ("last@0.5x0.5", 0.5), ("last@0.5x2", 2),
        ("expo@0.5", 1), ("expo@0.5x0.5", 0.5), ("expo@0.5x2", 2),
    ]  # fmt: skip
    assert [f.name for f in plan.known("r")] == list(found)
    tested = [v for b in plan.batches() if b.group == "variants" for v in b.variants]
    assert tested[-6:] == list(found)
    assert plan.folder("r", "expo@0.5x2") == "results/s/runs/r/forecasts/expo@0.5x2"


def test_only_forecasts_of_saved_steps_are_compared_with_weights():
    study = changed("forecast.target_multiple", 2)
    study["forecast"]["windows"] = [20, 30]
    assert [f.name for f in Plan(parse_study(study)).known("r")] == ["last@20", "expo@20"]


@pytest.mark.parametrize("key", [("windows", [40]), ("target_step", 20), ("target_multiple", 1.01)])
def test_a_window_that_reaches_its_target_is_refused(key):
    with pytest.raises(StudyError, match="a fit may not see its target"):
        Plan(parse_study(changed(f"forecast.{key[0]}", key[1])))


def test_variants_and_batches():
    plan = Plan(parse_study(STUDY))
    names = [variant.name for variant in plan.rank_variants("r")]
    assert names == [
        "rank-1@40", "random-1@40", "rank-4@40", "random-4@40", "rank-1-unscaled@40",
        "random-1-unscaled@40", "without-1@40", "random-16@40", "full-update@40",
    ]  # fmt: skip
    assert [f.name for f in plan.forecasts("r")] == ["last@0.5", "expo@0.5"]
    assert {f.through for f in plan.forecasts("r")} == {20}
    batches = {(b.suite, b.group, b.part): b.variants for b in plan.batches()}
    assert set(batches) == {
        ("validation", "checkpoints", 1), ("test", "checkpoints", 1),
        ("test", "variants", 1), ("test", "variants", 2),
    }  # fmt: skip
    tested = (*batches["test", "variants", 1], *batches["test", "variants", 2])
    assert tested == (*names, "last@0.5", "expo@0.5")
    assert batches["validation", "checkpoints", 1][0] == "step-0"


def test_models_are_scored_in_jobs_of_a_given_size():
    plan = Plan(parse_study(changed("evaluation.models_per_job", 4)))
    parts = [b for b in plan.batches() if (b.suite, b.group) == ("test", "variants")]
    names = [v.name for v in (*plan.rank_variants("r"), *plan.forecasts("r"))]
    assert [part.part for part in parts] == [1, 2, 3]
    assert [len(part.variants) for part in parts] == [4, 4, 3]
    assert [name for part in parts for name in part.variants] == names


@pytest.mark.parametrize(
    ("count", "steps"),
    [
        (1, [10]),
        (4, [10, 20, 30, 40]),
        (10, list(range(10, 101, 10))),
        (20, list(range(20, 201, 20))),
        (13, [20, 30, 40, 60, 70, 80, 100, 110, 120, 130]),
    ],
)
def test_sparsity_is_measured_at_ten_checkpoints_at_most_the_last_among_them(count, steps):
    study = changed("runs.r.steps", [10 * (i + 1) for i in range(count)])
    study["forecast"] = {}
    assert Plan(parse_study(study)).measured_steps("r", "weights") == steps


def test_stored_depth_follows_the_deepest_rank_k_model():
    plan = Plan(parse_study(changed("rank.ranks", [1, 64])))
    assert plan.depth == Depth(64)


@pytest.mark.parametrize(("given", "depth"), [({}, 16), ({"rank": 16}, 16), ({"rank": 40}, 40)])
def test_stored_depth_follows_the_deepest_method(given, depth):
    plan = Plan(parse_study(changed("forecast.methods.next", given)))
    assert plan.depth == Depth(depth)


@pytest.mark.parametrize("study", ["config/config.yaml", "tests/workflow/mini.yaml"])
def test_shipped_studies_parse_and_plan(study):
    plan = Plan(load_study(REPO / study))
    assert plan.batches()


def test_schema_is_in_sync():
    found = (REPO / "workflow/schemas/config.schema.json").read_text()
    assert found == schema_text(), "run `make schema`"


def test_every_config_key_is_explained():
    schema = Study.model_json_schema()
    models = {"Study": schema, **schema["$defs"]}
    assert {"Relex", "RankModels", "TrainSpec", "Suite"} <= models.keys()
    bare = [
        f"{model}.{key}"
        for model, section in models.items()
        for key, value in section["properties"].items()
        if "description" not in value and "const" not in value
    ]
    assert bare == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "no such study file; give the path of a YAML file"),
        ("a: [", "not valid YAML"),
        ("- 1", r"found \[1\], expected the keys study, bases, runs and suites"),
        (yaml.safe_dump(changed("gpu", 1)), "unknown key 'gpu', did you mean 'gpus'?"),
        (yaml.safe_dump(STUDY), "models/b: no such checkpoint folder|r/10: no such checkpoint"),
    ],
)
def test_check_prints_one_line(tmp_path, capsys, text, expected):
    import re

    path = tmp_path / "study.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["check", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("alpharl check: error: ")
    assert re.search(expected, line)


def test_check_describes_the_demo(capsys):
    assert main(["check", str(REPO / "config/config.yaml")]) == 0
    out = capsys.readouterr().out
    assert "grpo-slow: base tiny, 20 checkpoints 5..100, trained here (grpo)" in out
    assert "suite test:" in out


@pytest.mark.parametrize(
    ("steps", "is_path"), [([30], False), ([30, 60], False), ([9, 30, 60], True)]
)
def test_a_run_of_two_checkpoints_is_no_path(steps, is_path):
    """Two points always lie on a line: the run's end is studied, its path is not."""
    study = parse_study(changed("runs.r.steps", steps))
    plan = Plan(study)
    assert plan.trajectories == (["r"] if is_path else [])
    assert bool(plan.forecasts("r")) == is_path
    assert plan.rank_variants("r")


def with_teacher(teacher: str, **recipe: object) -> dict:
    """The study with a trained run, and one that learns from a teacher."""
    study = changed("runs.t", {"base": "b", "train": {"steps": 12, **recipe}})
    student = {"algorithm": "distill", "teacher": teacher, "steps": 12}
    study["runs"]["s"] = {"base": "b", "train": student}
    return study


def test_a_teacher_is_the_end_of_a_run_or_a_folder():
    plan = Plan(parse_study(with_teacher("t")))
    assert plan.teacher("s") == (
        plan.paths.checkpoint_manifest("t", 12), plan.paths.checkpoint("t", 12)
    )  # fmt: skip
    assert plan.teacher("t") is plan.teacher("r") is None
    outside = Plan(parse_study(with_teacher("models/big")))
    assert outside.teacher("s") == ("models/big/config.json", "models/big")


def test_bad_teachers_are_named():
    with pytest.raises(StudyError, match="run 's' has unknown teacher 'tt', did you mean 't'"):
        parse_study(with_teacher("tt"))
    with pytest.raises(StudyError, match="run 's' has teacher 't', which trains an adapter alone"):
        parse_study(with_teacher("t", lora={}))


def test_training_questions_of_data_are_those_that_no_suite_asks():
    study = changed("runs.t", {"base": "b", "train": {"problem": "gsm8k"}})
    study["suites"]["validation"]["tasks"] = [{"task": "gsm8k", "split": "validation", "limit": 9}]
    plan = Plan(parse_study(study))
    assert plan.training_data("t") == plan.paths.data("gsm8k-validation.jsonl")
    assert plan.scored_training_suites("t") == ["validation"]
    own = Plan(parse_study(changed("runs.t", {"base": "b", "train": {}})))
    assert own.training_data("t") is None and own.scored_training_suites("t") == []


def test_steps_that_are_left_out_take_no_part():
    plan = Plan(parse_study(changed("runs.r.leave_out", [20, 40])))
    assert plan.steps("r") == [10, 30]
    assert plan.paths.checkpoint_options("r") == ["r/{step}"]
    assert plan.trajectories == [] and not plan.forecasts("r"), "two are no path"
    trained = changed("runs.r", {"base": "b", "train": {"steps": 40, "save_every": 10}})
    trained["runs"]["r"] |= {"leave_out": [30], "seeds": [0, 1]}
    plan = Plan(parse_study(trained))
    assert plan.steps("r-seed0") == plan.steps("r-seed1") == [10, 20, 40]


def test_faults_are_accepted_of_one_run_and_of_all():
    study = changed("audit.accept", ["foreign", "base"])
    study["runs"]["other"] = study["runs"]["r"] | {"accept": ["duplicate", "base"]}
    plan = Plan(parse_study(study))
    assert plan.accepted("r") == ["base", "foreign"]
    assert plan.accepted("other") == ["base", "duplicate", "foreign"]
