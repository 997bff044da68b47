"""Names of checkpoints and variants, which the results tree and the command line rest on."""

from __future__ import annotations

import re
from pathlib import Path

import alpharl
import pytest
from alpharl.names import (
    BASE,
    adapter_name,
    checkpoint_name,
    checkpoint_step,
    forecast_name,
    variant_name,
)
from alpharl.spectra.depth import Depth
from alpharl.variants.recipes import Recipe

PACKAGE = Path(alpharl.__file__).parent


def test_checkpoints_are_read_back_by_their_names():
    assert [checkpoint_step(checkpoint_name(step)) for step in (0, 7, 120)] == [0, 7, 120]
    assert BASE == "step-0"


@pytest.mark.parametrize("name", ["rank-4@120", "step-", "step-x", "my-step-3", "step-1.5"])
def test_other_names_are_no_checkpoints(name):
    assert checkpoint_step(name) is None


@pytest.mark.parametrize(
    ("recipe", "label"),
    [
        (Recipe("rank", Depth(4)), "rank-4"),
        (Recipe("rank", Depth(4), 0.5), "rank-4x0.5"),
        (Recipe("rank", Depth(percent_components=10)), "rank-10pct"),
        (Recipe("rank", Depth(percent_parameters=0.5)), "rank-0.5pct-parameters"),
        (Recipe("rank", Depth(1), rest=True), "rank-1+rest"),
        (Recipe("rank", Depth(1), merged=True), "rank-1-merged"),
        (Recipe("unscaled", Depth(2)), "rank-2-unscaled"),
        (Recipe("component", Depth(3)), "component-3"),
        (Recipe("without", Depth(1)), "without-1"),
        (Recipe("full-update", Depth()), "full-update"),
        (Recipe("rest-only", Depth(), rest=True), "rest-only"),
        (Recipe("random", Depth(4), 2), "random-4x2"),
        (Recipe("random", Depth(1), rest=True), "random-1+rest"),
        (Recipe("random-unscaled", Depth(1)), "random-1-unscaled"),
    ],
)
def test_parts_of_an_update_have_the_names_of_version_0_1(recipe, label):
    assert recipe.label == label


def test_a_merged_model_stands_next_to_its_adapter():
    merged = variant_name(Recipe("rank", Depth(4), merged=True).label, 60)
    assert adapter_name(merged) == variant_name(Recipe("rank", Depth(4)).label, 60) == "rank-4@60"


def test_forecasts_name_label_window_and_amplitude():
    assert forecast_name("relex", "0.4") == "relex@0.4"
    assert forecast_name("relex", "48", 2.0) == "relex@48x2"


def test_no_other_file_makes_or_parses_names():
    """Else a name has two homes, and they drift apart."""
    pattern = re.compile(r"""f["'][^"'\n]*step-\{|removeprefix\("step-"\)|startswith\("step-""")
    others = [path for path in PACKAGE.rglob("*.py") if path.name != "names.py"]
    assert [str(path) for path in others if pattern.search(path.read_text())] == []
