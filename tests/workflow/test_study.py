"""The whole workflow on the shrunken study, and what it plans to do again after a change."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from alpharl.cost.need import Need
from alpharl.cost.table import stages
from alpharl.study.config import parse_study
from alpharl.study.plan import Plan

from tests.workflow.mini import Workflow, environment

VARIANTS = {"evaluate_variants": 2}
END = {"report": 1, "all": 1}


TRUTH = {"truth": 2}


def test_makes_the_results_tree(finished):
    root = finished.folder / "results" / "mini"
    assert "<html" in (root / "report/index.html").read_text()
    assert yaml.safe_load((root / "study.yaml").read_text())["spectra"]["scope"] == "paper"
    table = json.loads((root / "runs/rl/checkpoints.json").read_text())
    assert table["steps"] == [2, 4, 6]
    for run in ("rl", "sft"):
        folder = root / "runs" / run
        assert len(list(folder.glob("factors/step-*/shard-*.safetensors"))) == 3 * 2
        assert len(list(folder.glob("gram/shard-*.safetensors"))) == 2
        names = {path.stem for path in folder.glob("scores/test/*.json")}
        assert {"step-0", "step-6", "rank-1@6", "without-1@6", "full-update@6"} <= names
        assert {"rank-10pct@6", "random-10pct@6", "rank-1+rest@6", "rest-only@6"} <= names
        assert {"last@0.7", "expo@0.7", "relex@0.7", "alpharl-paper@0.7"} <= names
        assert (folder / "dynamics/modules.csv").is_file()
        assert (folder / "dynamics/pca.csv").is_file()
        assert pd.read_csv(folder / "measures/floor.csv").unmoved.between(0, 1).all()
        sparsity = pd.read_csv(folder / "measures/sparsity.csv")
        assert sparsity.equal.between(0, 1).all() and set(sparsity.step) == {2, 4, 6}
        truth = pd.read_csv(folder / "truth.csv").set_index(["forecast", "tensor"])
        assert truth.loc[("last@0.7", "overall"), "relative_error"] == 1
        assert pd.read_csv(folder / "scores/validation.csv").step.tolist() == [0, 2, 4, 6]


def test_last_scores_as_its_checkpoint_and_full_window_tree_is_complete(finished):
    scores = finished.folder / "results/mini/runs/rl/scores/test"
    last = json.loads((scores / "last@0.7.json").read_text())
    checkpoint = json.loads((scores / "step-4.json").read_text())
    assert last["correct"] == checkpoint["correct"]
    assert len(last["correct"]) == last["n"] == 40


def test_nothing_to_do_after_a_run(finished, mini):
    assert finished.planned(mini()) == {}


def test_status_says_that_all_is_made(finished, mini):
    finished.planned(mini())  # writes the study file
    command = [sys.executable, "-m", "alpharl.cli", "status", "study.yaml"]
    done = subprocess.run(command, cwd=finished.folder, capture_output=True, text=True, check=True)
    first, header, *stages = done.stdout.splitlines()
    results = f"{finished.folder}/results/mini"
    assert first == f"{results}: finished, with the report in {results}/report/index.html"
    assert header.split() == ["stage", "files", "of"]
    assert len(stages) == 15 and all(line.split()[-2] == line.split()[-1] for line in stages)


def test_a_new_rank_plans_only_its_variant_its_score_and_the_report(finished, mini):
    config = mini(rank={"ranks": [1, 2]})
    assert finished.planned(config) == {"rank": 2, **VARIANTS, **END}


def test_a_rank_k_model_that_reads_deeper_factors_again(finished, mini):
    config = mini(rank={"percent_components": [20]})
    planned = finished.planned(config)
    # Two shards of the checkpoints 2 and 4 together, and of 6, of two runs.
    assert planned["factors"] == planned["factors_2"] == 2 * 2
    assert not any(name.startswith("train") for name in planned)


def test_an_early_checkpoint_needs_no_new_factors(finished, mini):
    config = mini(rank={"at": [0.5, 1.0]})
    assert finished.planned(config) == {"rank": 2, **VARIANTS, **END}


def test_a_changed_forecast_setting_trains_and_factors_nothing(finished, mini):
    config = mini()
    config["forecast"]["methods"]["expo"] = {"alpha": 0.25}
    assert finished.planned(config) == {"forecasts": 2, **TRUTH, **VARIANTS, **END}


def test_a_new_forecast_method_plans_only_itself(finished, mini):
    config = mini()
    config["forecast"]["methods"]["relex-pinned"] = {}
    assert finished.planned(config) == {"forecasts": 2, **TRUTH, **VARIANTS, **END}


def test_a_changed_learning_rate_touches_one_run(finished, mini):
    config = mini()
    config["runs"]["sft"]["train"]["learning_rate"] = 2.0e-3
    planned = finished.planned(config)
    assert planned["train"] == planned["dynamics"] == planned["evaluate_variants"] == 1
    assert planned["factors"] == planned["factors_2"] == planned["gram"] == 2, "two shards"
    assert planned["evaluate_checkpoints"] == 2, "on two suites"


def test_a_changed_test_suite_fits_nothing_again(finished, mini):
    config = mini()
    config["suites"]["test"]["tasks"][0]["limit"] = 20
    planned = finished.planned(config)
    made = ("forecast", "rank", "dynamics", "gram", "factors")
    assert not [name for name in planned if name.startswith(made)]
    assert planned["evaluate_checkpoints"] == planned["evaluate_variants"] == 2, "of two runs"


def test_the_reason_for_a_rerun_is_named(finished, mini):
    done = finished.run(mini(rank={"ranks": [1, 2]}), "-n")
    reasons = re.search(r"output files have to be generated:\n\s+(.*)", done.stdout)
    assert reasons and "rank" in reasons[1].split(", ")


def test_other_answers_are_read_token_by_token_again(finished, mini):
    planned = finished.planned(mini(evaluation={"dtype": "bfloat16"}))
    assert planned["tokens"] == planned["evaluate_variants"] == 2


def test_a_new_rank_scores_one_variant_and_keeps_the_others(finished, mini):
    scores = finished.folder / "results/mini/runs/rl/scores/test"
    before = (scores / "relex@0.7.json").read_bytes()
    done = finished.run(mini(rank={"ranks": [1, 3]}))
    assert done.returncode == 0, done.stdout
    assert "17 of 19 variants are scored already" in done.stdout
    assert json.loads((scores / "rank-3@6.json").read_text())["n"] == 40
    assert (scores / "relex@0.7.json").read_bytes() == before
    assert finished.planned(mini()) == {"rank": 2, **VARIANTS, **END}, "one fewer"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"rank": {"rank": [2]}}, "rank: unknown key 'rank', did you mean 'ranks'?"),
        (
            {"rank": {"at": [0.1]}, "tokens": {"suite": None}},
            "no checkpoint is saved by step 0.6, the first is 2",
        ),
        ({"forecast": {"windows": [0.4]}}, "holds 1 of the checkpoints 2..6; expected at least 2"),
        ({"forecast": {"windows": [6]}}, "a fit may not see its target"),
        (
            {"forecast": {"methods": {"relexx": {}}}},
            "unknown method 'relexx', did you mean 'relex'?",
        ),
    ],
)
def test_a_bad_study_is_one_line(finished, mini, change, expected):
    done = finished.run(mini(**change), "-n")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("error:")]
    assert expected in line
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("study: again", "found key 'study' again, which stands on line 1 already"),
        ("gpus: 0x0", "found 0x0, which YAML reads as 0"),
    ],
)
def test_what_snakemake_would_read_otherwise_is_refused(tmp_path, mini, line, expected):
    workflow = Workflow(tmp_path)
    command = workflow.command(mini(), "-n")
    with (tmp_path / "study.yaml").open("a") as file:
        file.write(f"{line}\n")
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"error: {tmp_path}/study.yaml: line " in done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_models_are_scored_in_jobs_of_a_given_size(finished, mini):
    planned = finished.planned(mini(evaluation={"models_per_job": 3}))
    scoring = {name: count for name, count in planned.items() if name.startswith("evaluate_")}
    four, seventeen = 2 * 2 * 2, 2 * 6  # 4 checkpoints on two suites, 17 variants on one; two runs
    assert sum(n for name, n in scoring.items() if "checkpoints" in name) == four
    assert sum(n for name, n in scoring.items() if "variants" in name) == seventeen
    assert not {"train", "factors", "gram", "measures"} & set(planned)


def test_overlapping_suites_are_refused(finished, mini):
    config = mini()
    config["suites"]["test"]["tasks"][0]["split"] = "validation"
    done = finished.run(config, "-n")
    assert "suites 'validation' and 'test' overlap" in done.stdout
    assert done.returncode == 1


@pytest.fixture(scope="module")
def own(finished, mini):
    """A study, run to its end, of what was trained elsewhere: here, the trained run's folders.

    With few variants and methods; README.md's study of such checkpoints has others.
    """
    config = mini(rank={"merged": [], "without": [], "percent_components": [], "rest": []})
    config["forecast"]["methods"] = {"last": {}, "relex": {}}
    del config["tokens"]
    trained = "results/mini/runs/rl/checkpoints/step-{step}"
    config |= {"study": "own", "bases": {"mine": {"path": "results/mini/bases/tiny/model"}}}
    config["runs"] = {"rl": {"base": "mine", "checkpoints": trained, "steps": [2, 4, 6]}}
    done = finished.run(config)
    assert done.returncode == 0, done.stdout
    return config


@pytest.mark.slow
@pytest.mark.sample
def test_another_base_is_not_forgotten_by_a_kill(finished, own):
    """The checkpoints' manifests, made again for it, are the same: nothing newer for Snakemake."""
    manifest = finished.folder / "results/own/bases/mine/manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    assert finished.planned(own)["manifest"] == 3
    assert finished.run(own, "--until", "manifest").returncode == 0
    planned = finished.planned(own)
    assert "manifest" not in planned
    assert {"factors", "gram", "evaluate_checkpoints"} <= planned.keys()


@pytest.mark.slow
@pytest.mark.sample
def test_your_own_checkpoints_give_the_same_numbers(finished, own):
    roots = [finished.folder / "results" / study / "runs/rl" for study in ("mini", "own")]
    for name in ("forecasts/relex@0.7/blend.json", "factors/step-6/shard-0.safetensors"):
        one, two = ((root / name).read_bytes() for root in roots)
        assert (json.loads(one) == json.loads(two)) if name.endswith("json") else True
    accuracy = [pd.read_csv(root / "scores/test.csv").accuracy.tolist() for root in roots]
    assert accuracy[0] == accuracy[1]


def test_a_missing_checkpoint_folder_is_one_line(finished, mini):
    config = mini()
    config |= {"study": "gone", "bases": {"mine": {"path": "results/mini/bases/tiny/model"}}}
    config["runs"] = {"rl": {"base": "mine", "checkpoints": "nowhere/{step}", "steps": [2, 4, 6]}}
    done = finished.run(config, "--keep-going", "--until", "manifest")
    assert done.returncode == 1
    assert "error: nowhere/2: no such checkpoint folder; check the path and the step" in done.stdout
    assert "Traceback" not in done.stdout.split("Logfile")[1].split("=====")[1]


def test_accepting_more_faults_makes_nothing_again(finished, mini):
    before = finished.planned(mini())
    after = finished.planned(mini(audit={"accept": ["duplicate"]}))
    assert after == before | END


def test_a_study_of_a_copied_checkpoint_stops_before_anything_is_concluded(finished, mini):
    config = mini()
    config |= {"study": "copied", "bases": {"mine": {"path": "results/mini/bases/tiny/model"}}}
    trained = "results/mini/runs/rl/checkpoints/step-{}"
    folders = {step: trained.format(source) for step, source in ((2, 2), (3, 2), (4, 4), (6, 6))}
    config["runs"] = {"rl": {"base": "mine", "checkpoints": folders}}
    line = "duplicate: steps 2 and 3 are equal; likely one file under several names"
    done = finished.run(config, "--until", "audit")
    assert done.returncode == 1
    assert line in done.stdout and "get the right files, name steps in leave_out" in done.stdout
    results = finished.folder / "results/copied"
    assert not (results / "runs/rl/audit.json").exists()
    assert "dynamics" in finished.planned(config)
    command = [sys.executable, "-m", "alpharl.cli", "status", "study.yaml"]
    status = subprocess.run(command, cwd=finished.folder, capture_output=True, text=True)
    assert "audit/rl.log: alpharl audit: error: found these faults" in status.stdout

    config["runs"]["rl"]["accept"] = ["duplicate"]
    assert finished.run(config, "--until", "audit").returncode == 0
    audit = json.loads((results / "runs/rl/audit.json").read_text())
    assert [fault["steps"] for fault in audit["accepted"]] == [[2, 3]] and not audit["faults"]

    del config["runs"]["rl"]["accept"]
    assert finished.run(config, "--until", "audit").returncode == 1, "accepted no longer"
    config["runs"]["rl"]["leave_out"] = [3]
    assert finished.run(config, "--until", "audit").returncode == 0
    assert json.loads((results / "runs/rl/audit.json").read_text())["steps"] == [2, 4, 6]


def test_only_data_tasks_are_fetched_once_each(tmp_path, mini):
    """A dry run of a study that has no results yet."""
    rows = tmp_path / "rows.json"
    rows.write_text('[{"question": "1+1=", "answer": "2"}]')
    config = mini()
    workflow = Workflow(tmp_path)
    assert "fetch" not in workflow.planned(config), "the demo's questions are made"
    public = {"task": "gsm8k", "limit": 3}
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "mine.yaml").write_text("task: mine\noutput_type: generate_until\n")
    config["suites"]["test"]["include_path"] = "tasks"
    config["suites"]["test"]["tasks"] += [public, {"task": "mine", "data": str(rows)}]
    config["suites"]["more"] = {**config["suites"]["test"], "tasks": [{**public, "limit": 9}]}
    assert workflow.planned(config, "--until", "fetch") == {"fetch": 2}
    planned = workflow.planned(config)
    assert (planned["fetch"], planned["suite"]) == (2, 3)


def test_jobs_stay_within_what_they_ask_for(finished, mini, monkeypatch):
    monkeypatch.chdir(finished.folder)
    asked: dict[str, list[Need]] = {}
    for stage, need in stages(Plan(parse_study(mini(), "mini"))):
        asked.setdefault(stage, []).append(need)
    assert {"pretrain", "train", "factors", "gram", "evaluate", "forecast"} <= asked.keys()
    for stage, needs in asked.items():
        files = list(finished.folder.glob(f"results/mini/benchmarks/{stage}/**/*.tsv"))
        assert files, stage
        used = pd.concat([pd.read_csv(file, sep="\t") for file in files])
        # A job of less than a second is over before its memory is looked at.
        memory = pd.to_numeric(used["max_rss"], errors="coerce").max()
        assert not memory > min(need.mem_mb for need in needs), stage
        assert used["s"].max() < 60 * min(need.minutes for need in needs), stage
