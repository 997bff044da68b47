"""Every variant that `rank` can ask for, as the workflow makes it, against a dense SVD."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from alpharl.cli import main
from alpharl.errors import CheckpointError, StudyError
from alpharl.spectra.depth import Depth, deepest
from alpharl.spectra.factors import factor_update
from alpharl.spectra.lowrank import Factors
from alpharl.study.config import parse_study
from alpharl.study.plan import Plan
from alpharl.study.windows import checkpoint_at
from alpharl.variants.ranks import rank_parts
from alpharl.variants.recipes import Recipe
from alpharl.variants.store import read_variant
from safetensors.torch import load_file

EVERYTHING = {
    "ranks": [2], "scales": [0.5], "unscaled": [2], "merged": [2], "components": [3],
    "percent_components": [25], "percent_parameters": [50], "without": [1], "rest": [2],
    "full_update": True,
}  # fmt: skip
STEPS = [10, 20, 35, 50, 60, 90]
Matrix = np.ndarray


def plan_of(settings: dict, rank: int = 2, steps: list[int] = STEPS) -> Plan:
    """A plan of a study with one run and these settings of `rank`."""
    task = {"task": "addition"}
    suites = {
        role: {"role": role, "tasks": [task | {"split": role}]} for role in ("validation", "test")
    }
    run = {"base": "b", "checkpoints": "r/step-{step}", "steps": steps}
    study = {"study": "s", "bases": {"b": {"path": "b"}}, "runs": {"r": run}, "suites": suites}
    return Plan(parse_study({**study, "spectra": {"rank": rank}, "rank": settings}))


# --- depth ---


@pytest.mark.parametrize(
    ("shape", "percent", "components", "parameters"),
    [
        ((4096, 4096), 1, 40, 20),
        ((4096, 14336), 1, 40, 31),
        ((1024, 4096), 1, 10, 8),
        ((4096, 4096), 100, 4096, 2047),
        ((100, 1000), 29, 29, 26),
        ((8, 8), 1, 1, 1),
        ((1, 5), 50, 1, 1),
        ((100, 100), 0.29, 1, 1),
        ((10000, 10000), 0.29, 29, 14),
    ],
)
def test_percentages_of_components_and_of_parameters(shape, percent, components, parameters):
    """floor(p/100 min(m, n)) and floor(p/100 m n / (m + n + 1)), at least 1."""
    for m, n in (shape, shape[::-1]):
        assert Depth(percent_components=percent).of(m, n) == components
        assert Depth(percent_parameters=percent).of(m, n) == parameters


def test_a_rank_is_cut_to_the_shape_and_the_largest_counts():
    assert Depth(7).of(5, 9) == 5
    assert Depth(3, percent_components=10).of(100, 50) == 5
    assert Depth(30, 10, 10).of(100, 50) == 30
    depths = [Depth(4), Depth(1, 2.5), Depth(percent_parameters=8)]
    for shape in [(3, 9), (64, 64), (100, 4000), (4096, 14336)]:
        assert deepest(*depths).of(*shape) == max(depth.of(*shape) for depth in depths)
    assert str(deepest(*depths)) == "rank 4 or 2.5 % of the components or 8 % of the parameters"


# --- the plan ---


def test_names_and_controls():
    found = [(v.name, v.control) for v in plan_of(EVERYTHING, rank=5).rank_variants("r")]
    assert found == [
        ("rank-2@90", "random-2@90"), ("random-2@90", None),
        ("rank-2x0.5@90", "random-2x0.5@90"), ("random-2x0.5@90", None),
        ("rank-2-unscaled@90", "random-2-unscaled@90"), ("random-2-unscaled@90", None),
        ("rank-2-merged@90", None),
        ("component-3@90", "random-1@90"), ("random-1@90", None),
        ("rank-25pct@90", "random-25pct@90"), ("random-25pct@90", None),
        ("rank-50pct-parameters@90", "random-50pct-parameters@90"),
        ("random-50pct-parameters@90", None),
        ("without-1@90", "random-5@90"), ("random-5@90", None),
        ("rank-2+rest@90", "random-2+rest@90"), ("random-2+rest@90", None),
        ("rest-only@90", None), ("full-update@90", None),
    ]  # fmt: skip


def test_what_is_the_same_is_made_once():
    """component-2 and rank-1 share a control, without-1 and rank-4 too; lambda 1 is rank-k."""
    few = {"ranks": [4, 1, 1], "scales": [1.0], "unscaled": [], "components": [2], "rest": []}
    found = {v.name: v.control for v in plan_of(few, rank=4).rank_variants("r")}
    assert found == {
        "rank-1@90": "random-1@90", "random-1@90": None, "rank-4@90": "random-4@90",
        "random-4@90": None, "component-2@90": "random-1@90", "without-1@90": "random-4@90",
        "full-update@90": None,
    }  # fmt: skip


def test_without_controls_nothing_random_is_made():
    variants = plan_of({**EVERYTHING, "controls": False}).rank_variants("r")
    assert len(variants) == 11
    assert not [v for v in variants if v.control or v.recipe.kind.startswith("random")]


def test_variants_of_early_and_late_checkpoints():
    few = {"ranks": [1], "unscaled": [], "without": [], "full_update": False}
    plan = plan_of({**few, "at": [0.25, 59, 1.0, 90]})
    names = [v.name for v in plan.rank_variants("r")]
    assert names == [f"{kind}-1@{step}" for step in (20, 50, 90) for kind in ("rank", "random")]
    assert [v.step for v in plan.rank_variants("r")] == [20, 20, 50, 50, 90, 90]
    assert all(v.control in (None, f"random-1@{v.step}") for v in plan.rank_variants("r"))


@pytest.mark.parametrize(("where", "step"), [(1.0, 90), (10, 10), (0.39, 35), (0.38, 20), (99, 90)])
def test_a_point_of_the_run_is_the_last_step_saved_by_then(where, step):
    assert checkpoint_at(STEPS, where) == step


@pytest.mark.parametrize(("where", "limit"), [(0.1, 9), (1, 1)])
def test_a_point_before_the_first_checkpoint_is_refused(where, limit):
    expected = rf"rank.at: run 'r': no checkpoint is saved by step {limit}, the first is 10"
    with pytest.raises(StudyError, match=expected):
        plan_of({"at": [where]})


@pytest.mark.parametrize(
    ("key", "value"),
    [("at", []), ("at", [1.5]), ("scales", [0]), ("percent_components", [101]),
     ("percent_parameters", [0]), ("components", [0]), ("random", [1])],
)  # fmt: skip
def test_settings_out_of_range_are_refused(key, value):
    with pytest.raises(StudyError, match=f"rank.*{key}"):
        plan_of({key: value})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, Depth(4)),
        ({"ranks": [9]}, Depth(9)),
        ({"unscaled": [9]}, Depth(9)),
        ({"merged": [9]}, Depth(9)),
        ({"components": [9]}, Depth(9)),
        ({"without": [9]}, Depth(9)),
        ({"rest": [9]}, Depth(9)),
        ({"percent_components": [2, 1]}, Depth(4, percent_components=2)),
        ({"percent_parameters": [1, 3]}, Depth(4, percent_parameters=3)),
    ],
)
def test_factors_are_stored_as_deep_as_rank_reads(settings, expected):
    plan = plan_of(settings, rank=3)
    assert plan.depth == expected
    assert all(deepest(plan.depth, v.recipe.reads) == plan.depth for v in plan.rank_variants("r"))


# --- the models ---


@dataclass(frozen=True)
class Made:
    """All variants of a plan, built from stored factors as the workflow does."""

    plan: Plan
    folder: Path
    models: dict[str, dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def made(trajectory, tmp_path_factory) -> Made:
    """Everything, at an early and the last checkpoint. Factors are read, never made again."""
    folder, plan = tmp_path_factory.mktemp("rank"), plan_of({**EVERYTHING, "at": [0.25, 1.0]})
    models = {}
    depth = plan.depth
    for step in (20, 90):
        call("factors", *where(trajectory, step), "--out", folder / f"{step}.safetensors",
             "--rank", depth.rank, "--percent-components", depth.percent_components,
             "--percent-parameters", depth.percent_parameters)  # fmt: skip
    for variant in plan.rank_variants("r"):
        out = folder / variant.name
        call("rank", *where(trajectory, variant.step), *variant.recipe.options, "--out", out,
             "--factors", folder / f"{variant.step}.safetensors")  # fmt: skip
        call("export", out, "--out", folder / f"{variant.name}-model")
        models[variant.name] = load_file(folder / f"{variant.name}-model" / "model.safetensors")
    return Made(plan, folder, models)


def call(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def where(run, step: int) -> tuple[object, ...]:
    return "--base", run.base, "--checkpoint", run.folders[step]


def change(run, model: dict[str, torch.Tensor], name: str) -> Matrix:
    """(model - base) of a tensor, float64."""
    return (model[name].double() - run.weights[0][name].double()).numpy()


def top(delta: Matrix, k: int) -> Matrix:
    """AlphaRL eq 2: the leading k triplets as they are, float64."""
    u, s, vt = np.linalg.svd(delta, full_matrices=False)
    return (u[:, :k] * s[:k]) @ vt[:k]


def sized(matrix: Matrix, like: Matrix) -> Matrix:
    """AlphaRL eq 3: the matrix at another's Frobenius norm."""
    return matrix * np.linalg.norm(like) / np.linalg.norm(matrix)


REFERENCE: dict[str, Callable[[Matrix], Matrix]] = {
    "rank-2": lambda d: sized(top(d, 2), d),
    "rank-2x0.5": lambda d: 0.5 * sized(top(d, 2), d),
    "rank-2-unscaled": lambda d: top(d, 2),
    "rank-2-merged": lambda d: sized(top(d, 2), d),
    "component-3": lambda d: sized(top(d, 3) - top(d, 2), d),
    # 25 % of 8 components; half of what 8 x 8 and 12 x 8 parameters pay for: 1.9 and 2.3 triplets.
    "rank-25pct": lambda d: sized(top(d, 2), d),
    "rank-50pct-parameters": lambda d: sized(top(d, 1 if d.shape == (8, 8) else 2), d),
    "without-1": lambda d: sized(d - top(d, 1), d),
    "rank-2+rest": lambda d: sized(top(d, 2), d),
    "rest-only": lambda d: 0 * d,
    "full-update": lambda d: d,
}


@pytest.mark.parametrize("step", [20, 90])
@pytest.mark.parametrize("name", REFERENCE)
def test_variant_against_dense_reference(trajectory, made, name, step):
    model = made.models[f"{name}@{step}"]
    for matrix in trajectory.matrices():
        delta = trajectory.update(step, matrix)
        expected = REFERENCE[name](delta)
        error = np.linalg.norm(change(trajectory, model, matrix) - expected)
        rounding = np.finfo(np.float32).eps * np.linalg.norm(trajectory.weights[0][matrix])
        assert error <= 5e-5 * np.linalg.norm(expected) + rounding


def test_every_variant_has_a_reference_or_is_a_random_control(made):
    known = {f"{name}@{step}" for name in REFERENCE for step in (20, 90)}
    controls = {variant.control for variant in made.plan.rank_variants("r")} - {None}
    assert set(made.models) == known | controls


def test_tensors_out_of_scope_are_the_base_s_or_exactly_the_checkpoint_s(trajectory, made):
    others = set(trajectory.names) - set(trajectory.matrices())
    assert len(others) == 6, "embedding, last norm, and of two layers a norm and a bias"
    for variant in made.plan.rank_variants("r"):
        rest = variant.name.partition("@")[0] in ("rank-2+rest", "random-2+rest", "rest-only")
        source = trajectory.weights[variant.step if rest else 0]
        for name in others:
            assert torch.equal(made.models[variant.name][name], source[name]), variant.name


def test_controls_have_the_norm_and_rank_of_their_variants(trajectory, made):
    checked = 0
    for variant in made.plan.rank_variants("r"):
        if variant.control is None:
            continue
        for matrix in trajectory.matrices():
            one, other = (
                change(trajectory, made.models[name], matrix)
                for name in (variant.name, variant.control)
            )
            assert np.linalg.norm(other) == pytest.approx(np.linalg.norm(one), rel=1e-4)
            ranks = [np.linalg.matrix_rank(x, tol=1e-3 * np.linalg.norm(x)) for x in (one, other)]
            expected = [7, 3] if variant.recipe.kind == "without" else [ranks[0]] * 2
            assert ranks == expected
            assert abs(np.sum(one * other)) < 0.9 * np.linalg.norm(one) ** 2, "another direction"
            checked += 1
    assert checked == 2 * 8 * 14


@pytest.mark.parametrize("kind", ["rank", "component", "without", "random", "rest-only"])
def test_stored_factors_are_enough(trajectory, tmp_path, cli, kind):
    """The checkpoint's weights are not read again: here there are none."""
    cli("factors", *where(trajectory, 90), "--rank", 2, "--out", tmp_path / "F.safetensors")
    gone = ["--base", trajectory.base, "--checkpoint", tmp_path / "step-90"]
    result = cli("rank", *gone, "--kind", kind, "--rank", 2, "--rest", "--out", tmp_path / "v",
                 "--factors", tmp_path / "F.safetensors")  # fmt: skip
    assert result.status == 0, result.err


# --- limits ---


def update(m: int, n: int, rank: int, seed: int = 0) -> torch.Tensor:
    """A random (m, n) matrix of a given rank, float32."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal((m, rank)) @ rng.standard_normal((rank, n))).float()


def factors(**updates: torch.Tensor) -> dict[str, Factors]:
    """Full-depth factors of one layer's projections by their short names."""
    place = {"q": "self_attn.q_proj", "k": "self_attn.k_proj"}
    return {
        f"model.layers.0.{place[key]}.weight": factor_update(delta, min(delta.shape))
        for key, delta in updates.items()
    }


def test_a_matrix_without_the_component_stays_at_base():
    """Of both kinds: a narrow matrix, and an update of lower rank than its shape allows."""
    found = factors(q=update(9, 9, 9), k=update(3, 9, 3))
    assert list(rank_parts(Recipe("component", Depth(4)), 5, found)[1]) == list(found)[:1]
    found = factors(q=update(9, 9, 9), k=update(9, 9, 2))
    assert list(rank_parts(Recipe("component", Depth(3)), 5, found)[1]) == list(found)[:1]
    assert list(rank_parts(Recipe("component", Depth(2)), 5, found)[1]) == list(found)


def test_a_component_that_no_matrix_has_is_refused():
    found = factors(q=update(9, 7, 7), k=update(3, 9, 3))
    with pytest.raises(CheckpointError, match="found component 8, expected at most 7"):
        rank_parts(Recipe("component", Depth(8)), 5, found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kind", "component", "--rank", 3], "3 are needed for rank 3"),
        (["--kind", "random-unscaled", "--rank", 3], "3 are needed for rank 3"),
        (["--percent-components", 50], "4 are needed for 50 % of the components"),
        (["--percent-parameters", 90], "4 are needed for 90 % of the parameters"),
    ],
)
def test_factors_that_are_not_deep_enough_are_refused(trajectory, tmp_path, cli, options, words):
    file = tmp_path / "F.safetensors"
    cli("factors", *where(trajectory, 20), "--rank", 2, "--out", file)
    result = cli("rank", *where(trajectory, 20), *options, "--factors", file,
                 "--out", tmp_path / "v")  # fmt: skip
    assert f"2 triplets are stored, {words}; factor again" in result.error
    assert not (tmp_path / "v").exists()


@pytest.mark.parametrize("options", [["--rank", 0], ["--rank", -1], ["--percent-components", -2]])
def test_a_depth_that_is_not_positive_is_refused(trajectory, tmp_path, cli, capsys, options):
    with pytest.raises(SystemExit):
        cli("rank", *where(trajectory, 20), *options, "--out", tmp_path / "v")
    option, value = options
    assert f"argument {option}: found '{value}', expected a" in capsys.readouterr().err
    assert not (tmp_path / "v").exists()


def test_without_stored_factors_the_verb_makes_them_deep_enough(trajectory, tmp_path, cli, made):
    """As a person calls it: the numbers are those of the workflow."""
    for options, name in [
        (["--kind", "component", "--rank", 3], "component-3"),
        (["--percent-parameters", 50], "rank-50pct-parameters"),
        (["--rank", 2, "--scale", 0.5], "rank-2x0.5"),
        (["--rank", 2, "--rest"], "rank-2+rest"),
        (["--kind", "rest-only"], "rest-only"),
    ]:
        result = cli("rank", *where(trajectory, 90), *options, "--dense", "--out", tmp_path / name)
        assert result.status == 0, result.err
        found = load_file(tmp_path / name / "model.safetensors")
        for tensor, weights in made.models[f"{name}@90"].items():
            torch.testing.assert_close(found[tensor], weights, rtol=0, atol=1e-6)


def test_merged_is_no_adapter_to_be_put_on_the_base(made):
    found = {end: read_variant(made.folder / f"rank-2{end}@90") for end in ("", "-merged")}
    assert {end: v.pure_adapter for end, v in found.items()} == {"": True, "-merged": False}
