"""Verbs that make many models in one job give what the verbs that make one give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from alpharl.study.config import parse_study
from alpharl.study.forecasts import FORECAST_VARIANTS
from alpharl.study.plan import Plan
from alpharl.variants.recipes import RANK_VARIANTS
from tests.unit.forecasts import THROUGH

STEPS = [10, 20, 35, 50, 90]


@pytest.fixture
def plan(trajectory) -> Plan:
    """A study of the trajectory with one of each kind."""
    suites = {
        role: {"role": role, "tasks": [{"task": "addition", "split": role}]}
        for role in ("validation", "test")
    }
    study = {
        "study": "many",
        "bases": {"base": {"path": str(trajectory.base)}},
        "runs": {"r": {"base": "base", "checkpoints": trajectory.pattern, "steps": STEPS}},
        "suites": suites,
        "rank": {"at": [0.5, 1.0], "rest": [1], "percent_components": [20], "merged": [1]},
        "forecast": {
            "windows": [THROUGH],
            "amplitudes": [0.5],
            "methods": {"expo": {}, "relex": {}, "alpharl-paper": {}, "effopd": {}, "next": {}},
        },
    }
    return Plan(parse_study(study))


@pytest.fixture
def made(trajectory, tmp_path, cli) -> list[object]:
    """Options that name factors, gram and scores that were made before."""
    factors = str(tmp_path / "factors-{step}.safetensors")
    for step in STEPS:
        cli("factors", "--base", trajectory.base, "--checkpoint", trajectory.folders[step],
            "--rank", 20, "--out", factors.replace("{step}", str(step)))  # fmt: skip
    cli("gram", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
        "--steps", *STEPS, "--out", tmp_path / "gram.safetensors")  # fmt: skip
    rows = "".join(f"{step},{trajectory.accuracy[step]}\n" for step in STEPS)
    (tmp_path / "scores.csv").write_text(f"step,accuracy\n{rows}")
    return ["--factors", factors]


def contents(folder: Path) -> dict[str, object]:
    """All files of a variant; what says where things lie is left out, as it is relative."""
    files = (path for path in folder.rglob("*") if path.is_file())
    found: dict[str, object] = {str(p.relative_to(folder)): p.read_bytes() for p in files}
    meta = json.loads(found["variant.json"])
    found["variant.json"] = {k: v for k, v in meta.items() if k not in ("base", "checkpoints")}
    found.pop("adapter/adapter_config.json", None)
    return found


def test_ranks_are_those_that_are_made_one_by_one(trajectory, plan, made, tmp_path, cli):
    variants = plan.rank_variants("r")
    kinds = {variant.recipe.kind for variant in variants}
    assert {"rank", "without", "full-update", "rest-only", "random"} <= kinds
    assert len({variant.step for variant in variants}) == 2
    spec = RANK_VARIANTS.dump_json(variants).decode()
    together = ["--checkpoints", trajectory.pattern, "--steps", *STEPS, "--spec", spec, *made]
    result = cli("ranks", "--base", trajectory.base, *together, "--out", tmp_path / "many")
    assert result.status == 0, result.err
    assert {path.name for path in (tmp_path / "many").iterdir()} == {v.name for v in variants}
    for variant in variants:
        one = tmp_path / "one" / variant.name
        factors = str(made[1]).replace("{step}", str(variant.step))
        cli("rank", "--base", trajectory.base, "--checkpoint", trajectory.folders[variant.step],
            *variant.recipe.options, "--step", variant.step, "--factors", factors,
            "--out", one)  # fmt: skip
        assert contents(tmp_path / "many" / variant.name) == contents(one), variant.name


def test_forecasts_are_those_that_are_made_one_by_one(trajectory, plan, made, tmp_path, cli):
    quick = plan.quick_forecasts("r")
    assert {forecast.label for forecast in quick} == {"expo", "relex", "alpharl-paper"}
    assert {forecast.label for forecast in plan.slow_forecasts("r")} == {"effopd", "next"}
    given = ["--base", trajectory.base, "--checkpoints", trajectory.pattern, "--steps", *STEPS,
             *made, "--gram", tmp_path / "gram.safetensors",
             "--scores", tmp_path / "scores.csv"]  # fmt: skip
    spec = FORECAST_VARIANTS.dump_json(quick).decode()
    result = cli("forecasts", *given, "--spec", spec, "--out", tmp_path / "many")
    assert result.status == 0, result.err
    assert result.out.count("verdict:") == 1, "one window, one target"
    for forecast in quick:
        one = tmp_path / "one" / forecast.name
        options = [f"--option={pair}" for pair in forecast.option_pairs]
        cli("forecast", *given, "--through", THROUGH, forecast.target_option,
            "--method", forecast.options.method, *options,
            "--amplitude", forecast.amplitude, "--out", one)  # fmt: skip
        assert contents(tmp_path / "many" / forecast.name) == contents(one), forecast.name


def test_an_undefined_forecast_does_not_keep_the_others_back(trajectory, plan, made, tmp_path, cli):
    rows = "".join(f"{step},0.5\n" for step in STEPS)
    (tmp_path / "scores.csv").write_text(f"step,accuracy\n{rows}")
    spec = FORECAST_VARIANTS.dump_json(plan.quick_forecasts("r")).decode()
    result = cli("forecasts", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
                 "--steps", *STEPS, *made, "--gram", tmp_path / "gram.safetensors", "--scores",
                 tmp_path / "scores.csv", "--spec", spec, "--out", tmp_path / "many")  # fmt: skip
    assert result.status == 0, result.err
    undefined = {
        path.parent.name: json.loads(path.read_text())["undefined"]
        for path in (tmp_path / "many").glob("*/variant.json")
    }
    assert undefined[f"alpharl-paper@{THROUGH}"].startswith("alpharl-paper: ")
    assert undefined[f"relex@{THROUGH}"] is None
