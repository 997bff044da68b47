"""The library's front door: the numbers of the rooms below, made once, and none known too early."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from alpharl import Trajectory
from alpharl.dynamics.accuracy import read_accuracy
from alpharl.errors import AlpharlError, CheckpointError, MethodError
from alpharl.forecasting.alpharl_pls import AlphaRLRepo
from alpharl.forecasting.contract import Window
from alpharl.forecasting.registry import METHODS
from alpharl.progress import Progress
from alpharl.spectra.depth import Depth
from alpharl.spectra.factors import Settings, factor_checkpoint
from alpharl.spectra.gram import gram_run, read_gram
from alpharl.spectra.lowrank import read_factors, read_metadata
from alpharl.variants.store import read_variant
from tests.unit.forecasts import SEEN, SUITELESS, TARGET, THROUGH, forecast_args, options


def opened(run, **more) -> Trajectory:
    """The run as a person opens it."""
    return Trajectory.open(run.base, run.pattern, run.scores, **{"progress": False, **more})


def files_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their relative names."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class Told(Progress):
    """Counts the items of each task; the gram's items are tensors, those of factors matrices."""

    def __init__(self) -> None:
        self.items: dict[str, int] = {}

    def step(self, task: str, done: int, total: int, item: str) -> None:
        self.items[task] = self.items.get(task, 0) + 1


# --- the same numbers as the verbs and the functions below, to the last bit ---


@pytest.mark.parametrize("method", SUITELESS)
def test_forecast_is_what_the_verb_writes(trajectory, tmp_path, cli, method):
    made = opened(trajectory).forecast(options(method), TARGET, THROUGH)
    made.save(tmp_path / "library")
    assert cli(*forecast_args(trajectory, method, tmp_path / "verb")).status == 0
    assert files_of(tmp_path / "library") == files_of(tmp_path / "verb")
    assert made.meta["method"] == method and made.meta["window_steps"] == SEEN
    assert made.undefined is None and made.fit == made.meta["fit"]


@pytest.mark.parametrize("method", ["relex", "alpharl-repo", "alpharl-step", "auto"])
def test_forecast_is_the_method_on_a_window_made_by_hand(trajectory, method):
    folders = {step: trajectory.folders[step] for step in SEEN}
    settings = Settings(Depth(1))
    window = Window(
        SEEN, TARGET, trajectory.names, gram_run(trajectory.base, folders),
        {s: factor_checkpoint(trajectory.base, folder, settings) for s, folder in folders.items()},
        {step: trajectory.accuracy[step] for step in (0, *SEEN)},
    )  # fmt: skip
    expected = options(method).forecast(window)
    made = opened(trajectory).forecast(options(method), TARGET, THROUGH)
    assert made.blend == expected.blend
    assert made.adapter.keys() == expected.adapter.keys()
    for name, low in expected.adapter.items():
        np.testing.assert_array_equal(made.adapter[name].dense(), low.dense())


def test_options_amplitude_and_targets_are_those_of_the_verb(trajectory, tmp_path, cli):
    run = opened(trajectory)
    run.forecast("relex", TARGET, THROUGH, amplitude=0.5, rank=2).save(tmp_path / "a")
    run.forecast("relex", None, THROUGH, target_multiple=1.81).save(tmp_path / "b")
    run.forecast("momentum", None, THROUGH, target_accuracy=0.9).save(tmp_path / "c")
    run.forecast(AlphaRLRepo(target_accuracy=1.7), TARGET, THROUGH).save(tmp_path / "d")
    relex, momentum, repo = (
        forecast_args(trajectory, method, tmp_path / "verb")
        for method in ("relex", "momentum", "alpharl-repo")
    )
    at = relex.index("--target-step")
    verbs = {
        "a": [*relex, "--option", "rank=2", "--amplitude", 0.5],
        "b": [*relex[:at], "--target-multiple", 1.81, *relex[at + 2 :]],
        "c": [*momentum[:at], "--target-accuracy", 0.9, *momentum[at + 2 :]],
        "d": [*repo, "--option", "target_accuracy=1.7"],
    }
    for name, arguments in verbs.items():
        assert cli(*arguments).status == 0
        assert files_of(tmp_path / name) == files_of(tmp_path / "verb")


def test_a_forecast_that_is_undefined_says_so_instead_if_asked(trajectory, tmp_path, cli):
    target = {"target_accuracy": 0.5}
    with pytest.raises(MethodError, match="raise the target, or narrow the window"):
        opened(trajectory).forecast("momentum", None, THROUGH, **target)
    made = opened(trajectory).forecast("momentum", None, THROUGH, record_undefined=True, **target)
    assert made.undefined.startswith("momentum: found accuracy")
    made.save(tmp_path / "library")
    arguments = forecast_args(trajectory, "momentum", tmp_path / "verb", "--record-undefined")
    at = arguments.index("--target-step")
    arguments[at : at + 2] = ["--target-accuracy", 0.5]
    assert cli(*arguments).status == 0
    assert files_of(tmp_path / "library") == files_of(tmp_path / "verb")
    with pytest.raises(MethodError, match="there is no model"):
        made.save(tmp_path / "dense", dense=True)


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ({}, []),
        ({"rank": 3, "scale": 0.5, "rest": True, "merged": True},
         ["--rank", 3, "--scale", 0.5, "--rest", "--merged"]),
        ({"kind": "unscaled"}, ["--unscaled"]),
        ({"rank": Depth(percent_components=30.0)}, ["--percent-components", 30]),
        ({"kind": "without", "rank": 2}, ["--kind", "without", "--rank", 2]),
        ({"kind": "component", "rank": 2}, ["--kind", "component", "--rank", 2]),
        ({"kind": "random", "rank": 2, "seed": 5}, ["--kind", "random", "--rank", 2, "--seed", 5]),
        ({"kind": "full-update"}, ["--kind", "full-update"]),
        ({"kind": "rest-only"}, ["--kind", "rest-only"]),
    ],
    ids=str,
)  # fmt: skip
def test_rank_model_is_what_the_verb_writes(trajectory, tmp_path, cli, given, arguments):
    opened(trajectory).rank_model(step=60, **given).save(tmp_path / "library")
    where = ["--base", trajectory.base, "--checkpoint", trajectory.folders[60]]
    assert cli("rank", *where, *arguments, "--out", tmp_path / "verb").status == 0
    assert files_of(tmp_path / "library") == files_of(tmp_path / "verb")


def test_rank_model_is_of_the_last_checkpoint_unless_told(trajectory):
    assert opened(trajectory).rank_model().meta["step"] == 90


def test_dense_models_are_those_of_the_verbs(trajectory, tmp_path, cli):
    run = opened(trajectory)
    run.rank_model(2, 50).save(str(tmp_path / "rank"), dense=True)
    run.forecast("alpharl-repo", TARGET, THROUGH).save(tmp_path / "forecast", dense=True)
    cli("rank", "--base", trajectory.base, "--checkpoint", trajectory.folders[50], "--rank", 2,
        "--out", tmp_path / "rank-verb", "--dense")  # fmt: skip
    cli(*forecast_args(trajectory, "alpharl-repo", tmp_path / "forecast-verb", "--dense"))
    for name in ("rank", "forecast"):
        files = files_of(tmp_path / name)
        assert "model.safetensors" in files
        assert files == files_of(tmp_path / f"{name}-verb")


def test_gram_and_factors_are_those_of_the_functions(trajectory, tmp_path, cli):
    cli("gram", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
        "--out", tmp_path / "gram.safetensors")  # fmt: skip
    run, expected = opened(trajectory), read_gram([tmp_path / "gram.safetensors"])
    assert run.gram.steps == run.steps == expected.steps == trajectory.steps
    assert run.gram.tensors.keys() == expected.tensors.keys()
    for name, products in expected.tensors.items():
        np.testing.assert_array_equal(run.gram.tensors[name], products)
    assert set(run.tensors) == set(trajectory.names)
    factors = run.factors(3, [20, 90])
    assert list(factors) == [20, 90]
    for step, matrices in factors.items():
        one = factor_checkpoint(trajectory.base, trajectory.folders[step], Settings(Depth(3)))
        assert list(matrices) == list(one)
        for name, factor in one.items():
            for key, array in factor.arrays().items():
                # As a file would hold them, so that it does not matter whether one does.
                np.testing.assert_array_equal(matrices[name].arrays()[key], np.float32(array))


def test_dynamics_are_those_of_the_verb(trajectory, tmp_path, cli):
    cli("dynamics", "--base", trajectory.base, "--checkpoints", trajectory.pattern, "--scores",
        trajectory.scores, "--permutations", 20, "--seed", 3, "--holdout", 0.5,
        "--out", tmp_path / "d.parquet")  # fmt: skip
    found = opened(trajectory).dynamics(permutations=20, holdout=0.5, seed=3)
    pd.testing.assert_frame_equal(found, pd.read_parquet(tmp_path / "d.parquet"), check_exact=True)


def test_measures_are_those_of_the_verb(trajectory, tmp_path, cli):
    cli("measure", "--base", trajectory.base, "--checkpoints", trajectory.pattern, "--option",
        "floor.seed=2", "--out", tmp_path)  # fmt: skip
    tables = opened(trajectory).measure(options={"floor": {"seed": 2}}, stage=str(tmp_path))
    assert set(tables) == {"sparsity", "floor"}
    for name, table in tables.items():
        stored = pd.read_parquet(tmp_path / f"{name}.parquet")
        pd.testing.assert_frame_equal(table, stored, check_exact=True, check_dtype=False)
    assert list(opened(trajectory).measure("floor")) == ["floor"]


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ({"target_step": 120}, ["--target-step", 120]),
        ({"target_step": TARGET, "through": THROUGH}, ["--target-step", 90, "--through", 50]),
        ({"target_accuracy": 0.95}, ["--target-accuracy", 0.95]),
        ({}, ["--target-step", 180]),
        ({"through": 35}, ["--target-step", 70, "--through", 35]),
    ],
)
def test_verdict_is_the_one_of_trust(trajectory, cli, given, arguments):
    verdict = opened(trajectory).verdict(**given)
    where = ["--base", trajectory.base, "--checkpoints", trajectory.pattern]
    found = cli("trust", *where, "--scores", trajectory.scores, *arguments)
    assert found.out.splitlines() == verdict.lines


# --- made once, and only what is needed ---


def test_what_was_made_once_needs_no_weights_again(make_trajectory, tmp_path):
    """The checkpoints are gone afterwards, and everything is as it was before."""
    here, told = make_trajectory(), Told()
    run = opened(here, progress=told)
    tensors, matrices = len(here.names), len(here.matrices())
    assert run.gram.steps == run.steps
    run.factors(8)
    made = {"gram": tensors, "factors": 6 * matrices}
    assert told.items == made

    def everything():
        models = [run.forecast(options(m), 120, 60) for m in ("relex", "alpharl-paper", "next")]
        return [*models, run.rank_model(4, 35), run.rank_model(kind="random")], run.verdict().lines

    before = everything()
    for folder in here.folders.values():
        shutil.rmtree(folder)
    after = everything()
    assert [model.meta for model in after[0]] == [model.meta for model in before[0]]
    assert after[1] == before[1]
    run.dynamics(permutations=5)
    run.plot()
    run.save(tmp_path / "saved")
    assert {task: told.items[task] for task in made} == made


def test_deeper_factors_are_made_again_and_serve_shallower_requests(trajectory):
    told = Told()
    run, matrices = opened(trajectory, progress=told), len(trajectory.matrices())
    run.factors(1, [10])
    assert told.items["factors"] == matrices
    deep = run.factors(Depth(percent_components=50), [10])[10]
    assert told.items["factors"] == 2 * matrices
    assert {len(f.low.s) for f in deep.values()} == {4}
    assert run.factors(2, [10])[10] is deep


def test_a_window_reads_no_later_checkpoint(make_trajectory):
    here = make_trajectory()
    whole = opened(here).forecast("relex", TARGET, THROUGH)
    shutil.rmtree(here.folders[60])
    run = opened(here, steps=here.steps)
    assert run.forecast("relex", TARGET, THROUGH).blend == whole.blend
    with pytest.raises(CheckpointError, match="step-60: no such checkpoint folder"):
        run.window(through=60)


def test_a_wider_window_adds_rows_to_the_gram(trajectory):
    told = Told()
    run = opened(trajectory, progress=told)
    narrow, wide = run.window(through=20).gram, run.window(through=90).gram
    assert told.items["gram"] == 2 * len(trajectory.names)
    whole = gram_run(trajectory.base, trajectory.folders)
    for name, products in whole.tensors.items():
        np.testing.assert_array_equal(wide.tensors[name][:2, :2], narrow.tensors[name])
        scale = products.max()
        np.testing.assert_allclose(wide.tensors[name], products, rtol=1e-6, atol=3e-7 * scale)


@pytest.mark.parametrize("method", [None, *METHODS])
def test_a_window_shows_nothing_later(trajectory, method):
    run = opened(trajectory, trials=lambda prediction: np.ones(3))
    run.factors(8)
    window = run.window(METHODS[method]() if method else None, 50, target_step=90)
    assert window.steps == window.gram.steps == SEEN
    assert all(products.shape == (4, 4) for products in window.gram.tensors.values())
    assert list(window.accuracy) == [0, *SEEN]
    assert window.target_step == 90
    reads = METHODS[method]().reads if method else {"suite"}
    assert (window.validate is not None) == ("suite" in reads)
    assert (window.factors is not None) == ("factors" in reads)
    assert list(window.factors or SEEN) == SEEN


def test_trials_score_what_a_method_tries(trajectory):
    scored = []

    def trials(prediction) -> np.ndarray:
        scored.append(prediction)
        return np.array([1.0, 0.0])

    run = opened(trajectory, trials=trials)
    assert run.forecast("expo", 90, 50, alpha="validation", grid=[0, 1]).fit["alpha"] == 0
    assert [p.blend["model.norm.weight"] for p in scored] == [{50: 1.0}, {50: 2.0}]
    assert "best of" in run.verdict(90, 50).lines[-1]
    assert len(scored) > 4


# --- what is handed in, and saved ---


@pytest.mark.parametrize("form", ["path", "list", "pairs", "mapping"])
def test_forms_of_checkpoints(trajectory, form):
    folders = {0: trajectory.base} | trajectory.folders
    given = {
        "path": Path(trajectory.pattern),
        "list": [trajectory.pattern],
        "pairs": [f"{step}={folder}" for step, folder in reversed(folders.items())],
        "mapping": {step: str(folder) for step, folder in reversed(folders.items())},
    }[form]
    run = Trajectory.open(str(trajectory.base), given, progress=False)
    assert dict(run.checkpoints) == trajectory.folders
    assert run.base == trajectory.base
    assert run.steps == trajectory.steps and run.accuracy == {}
    some = Trajectory.open(trajectory.base, given, steps=[50, 10])
    assert some.steps == [10, 50]


def test_scores_are_a_table_or_a_mapping(trajectory, tmp_path):
    assert opened(trajectory).accuracy == trajectory.accuracy
    given = {step: np.float32(0.5) for step in np.array([20, 10])}
    run = Trajectory.open(trajectory.base, trajectory.pattern, given)
    assert list(run.accuracy.items()) == [(10, 0.5), (20, 0.5)]
    assert read_accuracy(trajectory.scores) == trajectory.accuracy


def test_saved_files_are_taken_by_open_and_by_the_verbs(trajectory, tmp_path, cli):
    run = opened(trajectory)
    run.factors(2, SEEN)
    run.save(tmp_path)
    gram, factors = tmp_path / "gram.safetensors", f"{tmp_path}/factors/step-{{step}}.safetensors"
    assert set(files_of(tmp_path)) == {
        "gram.safetensors", *(f"factors/step-{step}.safetensors" for step in SEEN)
    }  # fmt: skip
    told = Told()
    again = opened(trajectory, gram=gram, factors=factors, progress=told)
    for name, products in run.gram.tensors.items():
        np.testing.assert_array_equal(again.gram.tensors[name], products)
    for name, one in run.factors(1, [50])[50].items():
        np.testing.assert_array_equal(again.factors(1, [50])[50][name].low.dense(), one.low.dense())
    again.forecast("alpharl-paper", TARGET, THROUGH).save(tmp_path / "library")
    assert told.items == {}
    again.save(tmp_path / "again")
    assert not (tmp_path / "again").exists(), "what was handed in"
    stores = ["--gram", gram, "--factors", factors]
    cli(*forecast_args(trajectory, "alpharl-paper", tmp_path / "verb", *stores))
    assert files_of(tmp_path / "library") == files_of(tmp_path / "verb")


def test_saved_factors_are_laid_out_like_those_of_the_verb(trajectory, tmp_path, cli):
    run = opened(trajectory)
    run.factors(2, [10])
    run.save(tmp_path)
    cli("factors", "--base", trajectory.base, "--checkpoint", trajectory.folders[10],
        "--rank", 2, "--out", tmp_path / "verb.safetensors")  # fmt: skip
    saved, verb = tmp_path / "factors" / "step-10.safetensors", tmp_path / "verb.safetensors"
    found, expected = read_factors([saved]), read_factors([verb])
    assert found.keys() == expected.keys()
    for name, factors in expected.items():
        for key, array in factors.arrays().items():
            np.testing.assert_array_equal(found[name].arrays()[key], array)
    said, expected_said = read_metadata(saved), read_metadata(verb)
    assert {key: said[key] for key in expected_said} == expected_said


def test_files_in_shards(trajectory, tmp_path, cli):
    where = ["--base", trajectory.base, "--shards", 2]
    for i in range(2):
        cli("gram", *where, "--checkpoints", trajectory.pattern, "--shard", i,
            "--out", tmp_path / f"gram-{i}")  # fmt: skip
        for step, folder in trajectory.folders.items():
            cli("factors", *where, "--shard", i, "--checkpoint", folder,
                "--out", tmp_path / f"{step}-{i}")  # fmt: skip
    stores = {"gram": tmp_path / "gram-{shard}", "factors": tmp_path / "{step}-{shard}"}
    run = opened(trajectory, **stores, shards=2)
    assert set(run.gram.tensors) == set(trajectory.names)
    assert set(run.factors(1)[90]) == set(trajectory.matrices())
    with pytest.raises(CheckpointError, match="give all shards of the run's gram"):
        opened(trajectory, gram=stores["gram"])
    with pytest.raises(CheckpointError, match=r"/90-\{shard\}: found no .* give all shards"):
        opened(trajectory, factors=stores["factors"]).factors(1, [90])


def test_given_objects_are_taken_as_they_are(trajectory):
    first, told = opened(trajectory), Told()
    gram, factors = first.gram, first.factors(2)
    run = opened(trajectory, gram=gram, factors=factors, progress=told)
    assert run.factors(8)[90] == factors[90], "as deep as they are"
    with pytest.raises(MethodError, match="found 2 triplets at step 10, expected 8; factor again"):
        run.forecast("next", 90, 50)
    assert run.verdict().lines == opened(trajectory).verdict().lines
    assert told.items == {}
    short = opened(trajectory, gram=gram.upto([10, 20]))
    with pytest.raises(MethodError, match="gram: holds steps"):
        short.verdict()


def test_numbers_of_numpy_and_whole_numbers_are_written_like_any_other(trajectory, tmp_path):
    run, step, rank = opened(trajectory), np.int64(60), np.int64(2)
    run.rank_model(rank, step, scale=2).save(tmp_path / "a")
    run.rank_model(2, 60, scale=2.0).save(tmp_path / "b")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    run.forecast("relex", np.int64(90), np.int64(50), amplitude=2).save(tmp_path / "c")
    run.forecast("relex", 90, 50, amplitude=2.0).save(tmp_path / "d")
    assert files_of(tmp_path / "c") == files_of(tmp_path / "d")


def test_nothing_of_it_can_be_set(trajectory):
    run = opened(trajectory)
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.base = Path("elsewhere")
    with pytest.raises(TypeError):
        run.checkpoints[100] = Path("elsewhere")
    with pytest.raises(TypeError):
        run.accuracy[100] = 1.0


# --- what a person sees ---


def test_progress_is_shown_unless_told_otherwise(trajectory, capsys):
    opened(trajectory, progress=False).verdict()
    assert capsys.readouterr() == ("", "")
    opened(trajectory, progress=True).verdict()
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("gram of 6 checkpoints\n1/")
    Trajectory.open(trajectory.base, trajectory.pattern).factors(1, [20])
    assert f"factors of {trajectory.folders[20]}\n" in capsys.readouterr().err


def test_plot_draws_the_run(trajectory, make_trajectory):
    figure = opened(trajectory).plot()
    lengths, path, accuracy = figure.axes
    update, increment = (line.get_ydata() for line in lengths.lines)
    flat = np.concatenate(
        [trajectory.stacked(name, trajectory.steps) for name in trajectory.matrices()], axis=1
    )
    moves = np.diff(np.vstack([0 * flat[:1], flat]), axis=0)
    np.testing.assert_allclose(update, np.linalg.norm(flat, axis=1), rtol=1e-5)
    np.testing.assert_allclose(increment, np.linalg.norm(moves, axis=1), rtol=1e-5)
    points = np.vstack([0 * flat[:1], flat])
    u, s, _ = np.linalg.svd(points - points.mean(0), full_matrices=False)
    drawn = {line.get_label(): line.get_xydata() for line in path.lines}
    assert set(drawn) == {"random walk, mean", "run", "base"}
    np.testing.assert_allclose(np.abs(drawn["run"]), np.abs(u[:, :2] * s[:2]), atol=1e-5)
    assert accuracy.lines[0].get_xydata().tolist() == [list(p) for p in trajectory.accuracy.items()]
    assert figure._repr_png_().startswith(b"\x89PNG")
    other = opened(make_trajectory(seed=1)).plot()
    assert not np.allclose(other.axes[0].lines[0].get_ydata(), update)


def test_plot_without_accuracy_has_no_empty_panel(trajectory):
    figure = Trajectory.open(trajectory.base, trajectory.pattern, progress=False).plot()
    assert len(figure.axes) == 2


# --- mistakes are one line ---

MISTAKES = {
    "found no target, expected target_step,": lambda run: run.forecast("relex"),
    "found target_step and target_multiple, expected one target": lambda run: run.forecast(
        "relex", 120, target_multiple=2
    ),
    "found target step 50, expected one after the window's last step 50": lambda run: run.window(
        None, 50, target_step=50
    ),
    "found target multiple 1, expected a number above 1": lambda run: run.verdict(
        target_multiple=1.0
    ),
    "found target multiple nan": lambda run: run.forecast("last", target_multiple=np.nan),
    "found target step 90, expected one after": lambda run: run.verdict(target_multiple=1.001),
    "found target accuracy 1.5, expected": lambda run: run.verdict(target_accuracy=1.5),
    "window through step 10 holds 1 checkpoints of [10, 20, ": lambda run: run.forecast(
        "relex", 100, 10
    ),
    "window through step 0 holds 0 checkpoints": lambda run: run.window(through=0),
    "unknown method 'relx', did you mean 'relex'?": lambda run: run.forecast("relx", 120),
    "relex: option unknown key 'rnk', did you mean 'rank'?": lambda run: run.forecast(
        "relex", 120, rnk=2
    ),
    "relex: option rank: Input should be greater than 0": lambda run: run.forecast(
        "relex", 120, rank=0
    ),
    "found options rank next to a method that has its own": lambda run: run.forecast(
        METHODS["relex"](), 120, rank=2
    ),
    "found amplitude 0, expected a number above 0": lambda run: run.forecast(
        "relex", 120, amplitude=0
    ),
    "found no validation suite; this method scores trial models": lambda run: run.forecast(
        "effopd", 120
    ),
    "found rank 0 and percentages [0.0, 0.0], expected one above 0": lambda run: run.rank_model(0),
    "found rank -1 and percentages": lambda run: run.factors(-1),
    "unknown kind 'randm', did you mean 'random'?": lambda run: run.rank_model(kind="randm"),
    "found no folder of step 15, expected one of [10, 20,": lambda run: run.rank_model(1, 15),
    "found no folder of step 16": lambda run: run.factors(1, [10, 16]),
    "unknown measure 'flor', did you mean 'floor'?": lambda run: run.measure("flor"),
    "found options of 'floor', expected one of the measures": lambda run: run.measure(
        "sparsity", options={"floor": {}}
    ),
    "floor: option unknown key 'sed', did you mean 'seed'?": lambda run: run.measure(
        options={"floor": {"sed": 1}}
    ),
    "dynamics: found 0 permutations, ": lambda run: run.dynamics(permutations=0),
    "holdout 1 and seed 0, expected at least 1, a share": lambda run: run.dynamics(holdout=1),
    "dynamics: found 2 checkpoints": lambda run: opened_as(run, steps=[10, 20]).dynamics(),
    "found checkpoints [10], expected at least 2": lambda run: opened_as(run, steps=[10]).plot(),
    "found no folder of step 30": lambda run: Trajectory.open(
        run.base, dict(run.checkpoints), steps=[10, 30]
    ),
    "nowhere: no such checkpoint folder": lambda run: Trajectory.open("nowhere", run.checkpoints),
    "no folder matches": lambda run: Trajectory.open(run.base, "nowhere/step-{step}"),
    "0=x: found no checkpoint after step 0": lambda run: Trajectory.open(run.base, {0: "x"}),
    "nowhere.csv: found no table that can be read": lambda run: opened_as(
        run, scores="nowhere.csv"
    ),
    "scores: step 10: found accuracy high, expected a share": lambda run: opened_as(
        run, scores={10: "high"}
    ),
    "G.safetensors: no such file; make it first": lambda run: opened_as(run, gram="G.safetensors"),
    "F-10: no such file; make it first": lambda run: opened_as(run, factors="F-{step}").factors(1),
    "found no validation accuracy for steps [10,": lambda run: opened_as(
        run, scores={0: 0.1}
    ).forecast("last", target_accuracy=0.9),
}


def opened_as(run: Trajectory, **more) -> Trajectory:
    """The same run, opened in another way."""
    return Trajectory.open(run.base, dict(run.checkpoints), **{"progress": False, **more})


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_one_line_before_anything_is_read(trajectory, message):
    told = Told()
    run = opened(trajectory, progress=told)
    with pytest.raises(AlpharlError) as caught:
        MISTAKES[message](run)
    line = str(caught.value)
    assert message in line
    assert "\n" not in line
    assert told.items == {}


def test_a_verdict_on_one_checkpoint_says_what_it_lacks(trajectory):
    verdict = opened(trajectory).verdict(100, through=10)
    assert not verdict.supported
    assert "the window holds 1 checkpoints; a rehearsal needs 3" in str(verdict)


def test_measures_are_made_once_with_the_same_options(trajectory):
    told = Told()
    run = opened(trajectory, progress=told)
    first = run.measure("sparsity")["sparsity"]
    said = told.items["measures"]
    first["norm"] = 0.0  # a copy: what was made stays as it was
    again = run.measure("sparsity")["sparsity"]
    assert told.items["measures"] == said
    assert again["norm"].max() > 0
    run.measure("sparsity", options={"sparsity": {"seed": 1}})
    assert told.items["measures"] > said


def test_a_run_may_be_used_from_another_folder(trajectory, tmp_path, monkeypatch):
    """Relative paths count from where the run was opened; a model names its parents from itself."""
    monkeypatch.chdir(trajectory.base.parent)
    base, pattern = trajectory.base.name, os.path.relpath(trajectory.pattern)
    run = Trajectory.open(base, pattern, progress=False)
    monkeypatch.chdir(tmp_path)
    run.forecast("last", 100).save("made/last")
    variant = read_variant(Path("made/last"))
    assert os.path.samefile(variant.base, trajectory.base)
    named = json.loads(Path("made/last/variant.json").read_text())["base"]
    assert named.startswith("..")


def test_runs_and_verdicts_are_short_to_look_at(trajectory):
    run = opened(trajectory)
    verdict = run.verdict()
    assert len(repr(run)) < 300
    assert len(repr(run.gram)) < 200
    assert str(verdict) == "\n".join(verdict.lines)
