"""The list of stages, and what changed its name since version 0.1."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml
from alpharl.cost.needs import Needs
from alpharl.errors import StudyError
from alpharl.study.config import parse_study
from alpharl.study.earlier import refuse_earlier
from alpharl.study.plan import Plan
from alpharl.study.stages import STAGES, report_inputs
from tests.unit.reports import CONFIG

PLAN = Plan(parse_study(CONFIG))


def test_every_job_has_a_need():
    jobs = [job for stage in STAGES for job in stage.all_jobs(PLAN)]
    assert len(jobs) > 20
    for method, *arguments in jobs:
        inspect.signature(getattr(Needs, method)).bind(None, *arguments)


def test_no_two_stages_share_a_file():
    files = [path for stage in STAGES for path in stage.all_files(PLAN)]
    assert len(files) == len(set(files))


def test_files_lie_where_the_tables_say():
    for stage in STAGES:
        patterns = [re.sub(r"<\w+>", "[^/]+", folder) for folder in stage.folders]
        for path in stage.all_files(PLAN):
            below = path.removeprefix(f"{PLAN.paths.root}/")
            assert any(re.match(pattern, below) for pattern in patterns), (stage.name, path)


def test_the_report_waits_for_each_of_its_tables_once():
    inputs = report_inputs(PLAN)
    assert len(inputs) == len(set(inputs))
    for run in PLAN.study.runs:
        assert PLAN.paths.truth(run) in inputs and PLAN.paths.checkpoints(run) in inputs
        assert {PLAN.paths.measure(run, name) for name in PLAN.measures} <= set(inputs)


def test_a_stage_that_a_run_has_no_part_in_has_no_file():
    short = {**CONFIG["runs"], "short": {"base": "base", "checkpoints": "x/{step}", "steps": [5]}}
    plan = Plan(parse_study({**CONFIG, "runs": short}))
    made = {
        stage.name for stage in STAGES if stage.of == "runs" and list(stage.files(plan, "short"))
    }
    assert not {"dynamics", "forecast", "truth"} & made
    assert {"checkpoints", "factors", "gram", "measures", "rank", "evaluate"} <= made


def test_an_old_key_gets_the_new_one():
    with pytest.raises(StudyError, match=r"key 'ablation' is now 'rank'; rename it"):
        parse_study({**CONFIG, "ablation": {}})


@pytest.mark.parametrize(
    ("verb", "now"), [("floor", "measure floor"), ("geometry", "measure sparsity")]
)
def test_an_old_verb_gets_the_new_one(cli, verb, now):
    done = cli(verb, "--base", "b")
    assert done.status == 1
    assert done.err == f"alpharl: error: verb '{verb}' is now '{now}'; use that\n"


@pytest.mark.parametrize("old", ["variants", "geometry/sparsity.parquet", "floor.parquet"])
def test_results_of_version_0_1_are_refused_by_name(tmp_path, cli, old):
    study = {**CONFIG, "results": str(tmp_path / "results")}
    plan = Plan(parse_study(study))
    refuse_earlier(plan)
    path = Path(plan.paths.run(next(iter(plan.study.runs))), old)
    path.parent.mkdir(parents=True)
    path.touch()
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(study))
    for verb in ("check", "status", "report"):
        done = cli(verb, tmp_path / "s.yaml")
        assert done.status == 1 and done.err.count("\n") == 1
        assert f"{path}: found results of version 0.1" in done.err
