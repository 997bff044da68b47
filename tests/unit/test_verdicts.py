"""The report's first lines: what was said in the window, and what the test suite says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from alpharl.checkpoints.files import write_record
from alpharl.report import write_report
from tests.unit.reports import Tree

METHODS = {"last": {}, "expo": {}, "relex": {}, "auto": {}}
EVIDENCE = [
    {"name": "hold-out", "value": 0.5, "speaks_for": True, "text": "rehearsed well"},
    {"name": "room", "value": 0.6, "speaks_for": False, "text": "little is left"},
]


def page(folder: Path, said: dict[tuple[str, str], dict[str, object]]) -> str:
    """The report of a study whose `auto` came to these verdicts; expo is better, relex worse."""
    tree = Tree(folder, forecast={"methods": METHODS})
    for (run, window), verdict in said.items():
        path = Path(tree.plan.paths.forecast(run, f"auto@{window}")) / "variant.json"
        variant = json.loads(path.read_text())
        fit = {"verdict": {"method": "expo", "amplitude": 1.0, "evidence": EVIDENCE, **verdict}}
        write_record(path, {**variant, "fit": fit})
    return " ".join(write_report(tree.study).read_text().split())


def test_a_yes_stands_beside_the_paired_difference_of_its_forecast(tmp_path: Path) -> None:
    text = page(tmp_path, {("grpo", "0.2"): {"supported": True, "step": 24}})
    head = "grpo, window 0.2: a forecast is supported, by expo as far as step 24."
    assert head in text
    # In this tree `auto` scores as `last` does, up to noise.
    outcome = text[text.index(head) + len(head) :].split("<details>")[0]
    assert "It scores" in outcome
    assert "on test against the last checkpoint." in outcome
    assert text.index(head) < text.index("Accuracy on test goes from"), "first lines"


def test_a_no_names_the_forecasts_that_would_have_been_better(tmp_path: Path) -> None:
    text = page(tmp_path, {("grpo", "0.2"): {"supported": False, "step": 12}})
    assert "grpo, window 0.2: no forecast is supported; keep the last checkpoint." in text
    assert "1 of 3 forecasts beat it on test beyond error, expo most (+" in text


@pytest.mark.parametrize(("sign", "reason"), [("+", "rehearsed well"), ("−", "little is left")])
def test_the_reasons_are_given_with_their_sign(tmp_path: Path, sign: str, reason: str) -> None:
    text = page(tmp_path, {("grpo", "0.2"): {"supported": False, "step": 12}})
    assert f"<li>{sign} {reason}</li>" in text


def test_without_auto_the_report_says_how_to_get_a_verdict(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    text = " ".join(write_report(tree.study).read_text().split())
    assert "No verdict: add the method <em>auto</em>" in text
    assert "Can the end be forecast?" not in text
