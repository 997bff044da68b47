"""Every forecaster against a dense reference that is written here from the published formula."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from alpharl.errors import MethodError, UndefinedForecast
from alpharl.forecasting.contract import Prediction, Window, norm_ratio
from alpharl.forecasting.registry import FORECASTERS, predict
from alpharl.spectra.gram import Gram
from alpharl.spectra.lowrank import Factors, LowRank
from alpharl.study.methods import METHODS
from safetensors.torch import load_file
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import LinearRegression

THROUGH, TARGET = 50, 90
SEEN = [10, 20, 35, 50]
UP = "model.layers.0.mlp.up_proj.weight"
NORM = "model.layers.1.input_layernorm.weight"

Reference = Callable[..., dict[str, np.ndarray]]


# --- dense references: an update per tensor, in float64 ---


def ref_relex(run, rank=1, fit="linear", pinned=False) -> dict[str, np.ndarray]:
    """Arxiv 2605.21468, section 3: uncentred SVD over time, curve in the step, read at T*."""
    degree, found = {"linear": 1, "quadratic": 2}[fit], {}
    for name in run.names:
        m_td = run.stacked(name, SEEN)
        u, s, vt = np.linalg.svd(m_td, full_matrices=False)
        total = m_td[-1].copy() if pinned else np.zeros(m_td.shape[1])
        for k in range(rank):
            curve = np.polynomial.Polynomial.fit(SEEN, u[:, k] * s[k], degree)
            total += (curve(TARGET) - (curve(THROUGH) if pinned else 0)) * vt[k]
        found[name] = total.reshape(run.update(THROUGH, name).shape)
    return found


def ref_expo(run, alpha=0.5) -> dict[str, np.ndarray]:
    """Arxiv 2404.16792: theta_1 + alpha (theta_1 - theta_0)."""
    return {name: (1 + alpha) * run.update(THROUGH, name) for name in run.names}


def ref_first_update(run, gamma=9.0) -> dict[str, np.ndarray]:
    """Base + gamma (W(10) - W(0)); by default gamma = 90 / 10."""
    return {name: gamma * run.update(10, name) for name in run.names}


def ref_momentum(run) -> dict[str, np.ndarray]:
    """W(50) + (90 - 50) / (50 - 35) (W(50) - W(35))."""
    found = {}
    for name in run.names:
        a, b = run.update(35, name), run.update(50, name)
        found[name] = b + 40 / 15 * (b - a)
    return found


def ref_raw_linear(run) -> dict[str, np.ndarray]:
    """A least-squares line with intercept through every parameter."""
    found = {}
    for name in run.names:
        slope, intercept = np.polyfit(SEEN, run.stacked(name, SEEN), 1)
        found[name] = (slope * TARGET + intercept).reshape(run.update(THROUGH, name).shape)
    return found


def ref_recent(run, rank=1, seen=(20, 35, 50)) -> dict[str, np.ndarray]:
    """Uncentred SVD over time of W(t) - W(50), a line in the step, pinned to W(50)."""
    found = {}
    for name in run.names:
        last = run.update(THROUGH, name)
        u, s, vt = np.linalg.svd(run.stacked(name, seen) - last.ravel(), full_matrices=False)
        total = last.ravel().copy()
        for k in range(rank):
            line = np.polynomial.Polynomial.fit(seen, u[:, k] * s[k], 1)
            total += (line(TARGET) - line(THROUGH)) * vt[k]
        found[name] = total.reshape(last.shape)
    return found


def ref_alpharl_step(run) -> dict[str, np.ndarray]:
    """Best rank-1 matrix of the entrywise line through the updates' best rank-1 matrices."""
    found = {name: 0 * run.update(THROUGH, name) for name in run.names}
    for name in run.matrices():
        tops = np.array([best_rank_one(run.update(step, name)).ravel() for step in SEEN])
        slope, intercept = np.polyfit(SEEN, tops, 1)
        found[name] = best_rank_one((slope * TARGET + intercept).reshape(found[name].shape))
    return found


def best_rank_one(matrix: np.ndarray) -> np.ndarray:
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    return s[0] * np.outer(u[:, 0], vt[0])


def ref_weight_extrapolation(run, first=20) -> dict[str, np.ndarray]:
    """Arxiv 2601.04537: W_a + beta (W_b - W_a); norm layers are those of the later checkpoint."""
    beta = (TARGET - first) / (THROUGH - first)
    found = {}
    for name in run.names:
        a, b = run.update(first, name), run.update(THROUGH, name)
        found[name] = b if "norm" in name else a + beta * (b - a)
    return found


def ref_alpharl(run, target=1.0, paper=True) -> dict[str, np.ndarray]:
    """Arxiv 2510.00553, section 4.1 (paper), and `AlphaPredVector.py` (repo), by scikit-learn."""
    found = {n: 0 * run.update(THROUGH, n) if paper else run.update(THROUGH, n) for n in run.names}
    y = np.array([run.accuracy[step] for step in SEEN])
    for name in run.matrices():
        triplets = [np.linalg.svd(run.update(step, name)) for step in SEEN]
        u = np.array([t[0][:, 0] for t in triplets])
        for t in range(len(SEEN) - 2, -1, -1):
            u[t] *= np.sign(u[t] @ u[t + 1])
        # alpha sigma_1 is the Frobenius norm of the update: alpha = |dW| / sigma_1.
        size = [np.sqrt(np.sum(t[1] ** 2)) if paper else t[1][0] for t in triplets]
        x = u * np.array(size)[:, None]
        pls = PLSRegression(n_components=1).fit(x, y)
        line = LinearRegression().fit(pls.transform(x), y)
        score = (target - line.intercept_) / line.coef_[0]
        vector = pls.inverse_transform([[score]])[0]
        found[name] = found[name] + np.outer(vector, triplets[-1][2][0])
    return found


CASES: list[tuple[str, dict, Reference, dict]] = [
    ("last", {}, ref_expo, {"alpha": 0}),
    ("expo", {}, ref_expo, {}),
    ("expo", {"alpha": 0.3}, ref_expo, {"alpha": 0.3}),
    ("first-update", {}, ref_first_update, {}),
    ("first-update", {"gamma": 300}, ref_first_update, {"gamma": 300}),
    ("momentum", {}, ref_momentum, {}),
    ("raw-linear", {}, ref_raw_linear, {}),
    ("recent", {}, ref_recent, {}),
    ("recent", {"share": 1, "rank": 2}, ref_recent, {"rank": 2, "seen": SEEN}),
    ("alpharl-step", {}, ref_alpharl_step, {}),
    ("weight-extrapolation", {}, ref_weight_extrapolation, {}),
    ("weight-extrapolation", {"first": 10}, ref_weight_extrapolation, {"first": 10}),
    ("relex", {}, ref_relex, {}),
    ("relex", {"rank": 2}, ref_relex, {"rank": 2}),
    ("relex", {"rank": 2, "fit": "quadratic"}, ref_relex, {"rank": 2, "fit": "quadratic"}),
    ("relex-pinned", {}, ref_relex, {"pinned": True}),
    ("relex-pinned", {"rank": 3}, ref_relex, {"rank": 3, "pinned": True}),
    ("alpharl-paper", {}, ref_alpharl, {}),
    ("alpharl-paper", {"target_accuracy": 0.9}, ref_alpharl, {"target": 0.9}),
    ("alpharl-repo", {}, ref_alpharl, {"paper": False}),
    ("alpharl-repo", {"target_accuracy": 1.7}, ref_alpharl, {"target": 1.7, "paper": False}),
]
ADAPTERS = ("alpharl-paper", "alpharl-step")
"""Methods whose forecast is an adapter alone."""
BOTH = ("alpharl-repo", "next")
"""Methods whose forecast is a blend and an adapter."""
ELSEWHERE = {"next": "test_next.py", "logits-extrapolation": "test_logits.py"}
"""Methods without a formula for the update, and where they are tested."""
WEIGHTS = [method for method in METHODS if method != "logits-extrapolation"]
"""Methods that forecast weights."""
FAST: dict[str, dict] = {"next": {"epochs": 5}}
"""Options that make a method quick where its numbers do not matter."""
IDS = [f"{m}-{'-'.join(f'{k}={v}' for k, v in o.items())}" for m, o, *_ in CASES]


# --- helpers ---


def dense_window(run, steps=SEEN, known=None) -> Window:
    """A window whose gram and factors come from float64 numpy, not from our code.

    Args:
        run: the trajectory.
        steps: the observed steps.
        known: all steps that gram, factors and accuracy hold; default: the observed.
    """
    known = known or steps
    gram = Gram(known, {n: (r := run.stacked(n, known)) @ r.T for n in run.names})
    factors = {}
    for step in known:
        factors[step] = {}
        for name in run.matrices():
            u, s, vt = np.linalg.svd(run.update(step, name), full_matrices=False)
            low = LowRank(u, s, vt.T)
            factors[step][name] = Factors(low, float(np.linalg.norm(s)), np.zeros(len(s)))
    accuracy = {0: run.accuracy[0]} | {step: run.accuracy[step] for step in known}
    return Window(list(steps), TARGET, run.names, gram, factors, accuracy)


def applied(prediction: Prediction, run) -> dict[str, np.ndarray]:
    """The predicted update per tensor, in float64."""
    found = {}
    for name in run.names:
        found[name] = np.zeros(run.update(SEEN[0], name).shape)
        for step, weight in prediction.blend.get(name, {}).items():
            found[name] += weight * run.update(step, name)
        if name in prediction.adapter:
            found[name] += prediction.adapter[name].dense()
    return found


def options(method: str, given: dict | None = None):
    """Validated options of a method."""
    return METHODS[method](**(FAST.get(method, {}) | (given or {})))


def forecast_args(run, method: str, out: Path, *more: object) -> list[object]:
    """Arguments of `alpharl forecast`."""
    return ["forecast", "--base", run.base, "--checkpoints", run.pattern, "--through", THROUGH,
            "--method", method, "--target-step", TARGET, "--scores", run.scores, "--out", out,
            *(f"--option={key}={value}" for key, value in FAST.get(method, {}).items()),
            *more]  # fmt: skip


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float, floor: float = 0.0):
    """Relative Frobenius distance below the tolerance, besides an absolute floor."""
    distance = np.linalg.norm(found - expected)
    assert distance <= tolerance * np.linalg.norm(expected) + floor


# --- against the references ---


def test_every_method_is_compared():
    assert {case[0] for case in CASES} | set(ELSEWHERE) == set(FORECASTERS) == set(METHODS)
    assert all((Path(__file__).parent / file).is_file() for file in ELSEWHERE.values())


@pytest.mark.parametrize(("method", "given", "reference", "settings"), CASES, ids=IDS)
def test_forecast_equals_dense_reference(trajectory, method, given, reference, settings):
    prediction = predict(dense_window(trajectory), options(method, given))
    found, expected = applied(prediction, trajectory), reference(trajectory, **settings)
    for name in trajectory.names:
        assert_close(found[name], expected[name], 1e-7)


@pytest.mark.parametrize(("method", "given", "reference", "settings"), CASES, ids=IDS)
def test_dense_model_of_the_verb(trajectory, tmp_path, cli, method, given, reference, settings):
    """From checkpoints on disk to a model on disk, in float32."""
    pairs = [x for key, value in given.items() for x in ("--option", f"{key}={value}")]
    result = cli(*forecast_args(trajectory, method, tmp_path / "m", "--dense", *pairs))
    assert result.status == 0, result.err
    found, expected = (
        load_file(tmp_path / "m" / "model.safetensors"),
        reference(trajectory, **settings),
    )
    assert list(found) == sorted(trajectory.names)
    for name, weights in found.items():
        assert weights.dtype == torch.float32
        base = trajectory.weights[0][name].double().numpy()
        rounding = np.finfo(np.float32).eps * np.linalg.norm(base)
        assert_close(weights.double().numpy() - base, expected[name], 5e-5, rounding)


def test_relex_of_full_rank_is_linear_regression_of_every_parameter(trajectory):
    prediction = predict(dense_window(trajectory), options("relex", {"rank": len(SEEN)}))
    found = applied(prediction, trajectory)
    for name in trajectory.names:
        slope, intercept = np.polyfit(SEEN, trajectory.stacked(name, SEEN), 1)
        assert_close(found[name].ravel(), slope * TARGET + intercept, 1e-8)


def test_relex_depends_on_real_steps_not_on_row_numbers(trajectory):
    """Naming the checkpoints 10, 20, 35, 50 -> 90 by their rows, 1..4 -> 6, is another forecast."""
    window = dense_window(trajectory)
    gram = Gram([1, 2, 3, 4], window.gram.tensors)
    rows = replace(window, steps=gram.steps, target_step=6, gram=gram)
    one = predict(window, options("relex")).blend[UP]
    other = predict(rows, options("relex")).blend[UP]
    assert abs(other[4] / one[50] - 1) > 0.05


def test_pinned_forecast_at_the_last_step_is_the_last_checkpoint(trajectory):
    window = replace(dense_window(trajectory), target_step=THROUGH)
    found = applied(predict(window, options("relex-pinned")), trajectory)
    for name in trajectory.names:
        assert_close(found[name], trajectory.update(THROUGH, name), 1e-12)


def test_saturating_relex_levels_off(trajectory):
    window = dense_window(trajectory)
    far, farther = (
        predict(replace(window, target_step=t), options("relex", {"fit": "saturating"})).blend[UP]
        for t in (10**6, 10**7)
    )
    assert far == farther


@pytest.mark.parametrize(
    ("steps", "expected"), [([10, 20, 35, 50], 20), ([10, 20, 35], 20), ([10, 20, 60], 20),
                            ([20, 60], 20), ([10, 40, 60], 40), ([10, 20, 40, 60], 20)]
)  # fmt: skip
def test_weight_extrapolation_starts_at_half_the_window(steps, expected):
    """The saved step nearest half the last; of two equally near ones the earlier."""
    fit = predict(Window(steps, 90, ["w"]), options("weight-extrapolation")).fit
    assert fit["first"] == expected
    assert fit["beta"] == pytest.approx((90 - expected) / (steps[-1] - expected))


@pytest.mark.parametrize("first", [50, 15, 90])
def test_weight_extrapolation_needs_an_observed_earlier_step(trajectory, first):
    with pytest.raises(MethodError, match=r"expected one of \[10, 20, 35\]"):
        predict(dense_window(trajectory), options("weight-extrapolation", {"first": first}))


# --- a fit sees nothing later than its window ---


@pytest.mark.parametrize("method", METHODS)
def test_method_reads_only_the_window(trajectory, method):
    """The stores hold the whole run; what is later, and the target's score, are made NaN."""
    alone = predict(dense_window(trajectory), options(method))
    whole = dense_window(trajectory, known=trajectory.steps)
    later = [t for t, step in enumerate(trajectory.steps) if step > THROUGH]
    for g in whole.gram.tensors.values():
        g[later, :] = g[:, later] = np.nan
    nothing = {
        name: Factors(
            LowRank(f.low.u * np.nan, f.low.s * np.nan, f.low.v * np.nan), np.nan, f.residual
        )
        for name, f in whole.factors[THROUGH].items()
    }
    factors = {s: f if s <= THROUGH else nothing for s, f in whole.factors.items()}
    accuracy = {s: a if s <= THROUGH else float("nan") for s, a in whole.accuracy.items()}
    seen = predict(replace(whole, factors=factors, accuracy=accuracy), options(method))
    assert alone.logits == seen.logits
    one, other = applied(alone, trajectory), applied(seen, trajectory)
    for name in trajectory.names:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize("method", METHODS)
def test_verb_reads_only_the_window(make_trajectory, tmp_path, cli, method):
    """Later checkpoints and scores change, then vanish: the same variant, byte for byte."""
    run = make_trajectory()
    outs = [tmp_path / str(i) for i in range(3)]
    assert cli(*forecast_args(run, method, outs[0])).status == 0
    for step in (60, 90):
        file = run.folders[step] / "model.safetensors"
        file.write_bytes((run.folders[10] / "model.safetensors").read_bytes())
    lines = [f"{s},{a if s <= THROUGH else 0.01}" for s, a in run.accuracy.items()]
    run.scores.write_text("\n".join(["step,accuracy", *lines]) + "\n")
    assert cli(*forecast_args(run, method, outs[1])).status == 0
    for step in (60, 90):
        shutil.rmtree(run.folders[step])
    run.scores.write_text("\n".join(["step,accuracy", *lines[:5]]) + "\n")
    assert cli(*forecast_args(run, method, outs[2])).status == 0
    files = ["blend.json", "adapter/adapter_model.safetensors"]
    first = {f: (outs[0] / f).read_bytes() for f in files if (outs[0] / f).is_file()}
    assert first or method not in WEIGHTS
    for out in outs[1:]:
        assert {f: (out / f).read_bytes() for f in files if (out / f).is_file()} == first
        meta, same = (json.loads((o / "variant.json").read_text()) for o in (out, outs[0]))
        assert meta["fit"] == same["fit"]
        assert meta.get("logits") == same.get("logits")
        assert list(map(int, meta["checkpoints"])) == SEEN


@pytest.mark.parametrize("method", ["relex", "alpharl-paper", "alpharl-repo"])
def test_stored_factors_and_gram_of_the_whole_run_give_the_same(trajectory, tmp_path, cli, method):
    factors, gram = tmp_path / "F-{step}-{shard}.safetensors", tmp_path / "G-{shard}.safetensors"
    for shard in range(2):
        part = ["--shard", shard, "--shards", 2, "--out"]
        for step, folder in trajectory.folders.items():
            out = str(factors).replace("{step}", str(step)).replace("{shard}", str(shard))
            cli(
                "factors",
                "--base",
                trajectory.base,
                "--checkpoint",
                folder,
                "--rank",
                3,
                *part,
                out,
            )
        cli("gram", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
            *part, str(gram).replace("{shard}", str(shard)))  # fmt: skip
    stores = ["--factors", factors, "--gram", gram, "--shards", 2]
    assert cli(*forecast_args(trajectory, method, tmp_path / "a", "--dense")).status == 0
    assert cli(*forecast_args(trajectory, method, tmp_path / "b", "--dense", *stores)).status == 0
    one, other = (load_file(tmp_path / x / "model.safetensors") for x in "ab")
    for name, weights in one.items():
        torch.testing.assert_close(other[name], weights, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["relex", "alpharl-paper"])
def test_base_among_the_checkpoints_is_not_an_observation(make_trajectory, tmp_path, cli, method):
    """Many trainers save the start as step 0; the pattern then finds it too."""
    run = make_trajectory()
    shutil.copytree(run.base, run.pattern.replace("{step}", "0"))
    steps = ["--steps", *run.steps]
    assert cli(*forecast_args(run, method, tmp_path / "a", "--dense", *steps)).status == 0
    assert cli(*forecast_args(run, method, tmp_path / "b", "--dense")).status == 0
    one, other = (load_file(tmp_path / x / "model.safetensors") for x in "ab")
    for name, weights in one.items():
        torch.testing.assert_close(other[name], weights, rtol=0, atol=1e-6)


# --- norms, frozen tensors, undefined forecasts ---


@pytest.mark.parametrize("method", WEIGHTS)
def test_norm_ratio_against_dense(trajectory, method):
    window = dense_window(trajectory)
    prediction = predict(window, options(method))
    found = norm_ratio(window, prediction)
    update = applied(prediction, trajectory)
    if method in BOTH:
        assert found is None, "a blend and an adapter on one tensor: the stores do not tell"
        return
    names = trajectory.matrices() if method in ADAPTERS else trajectory.names
    predicted = sum(np.sum(update[name] ** 2) for name in names)
    observed = sum(np.sum(trajectory.update(THROUGH, name) ** 2) for name in names)
    assert found == pytest.approx(np.sqrt(predicted / observed), rel=1e-6)


def test_norm_ratio_is_none_without_a_gram(trajectory):
    window = replace(dense_window(trajectory), gram=None)
    assert norm_ratio(window, predict(window, options("expo"))) is None


@pytest.mark.parametrize("method", WEIGHTS)
def test_frozen_tensors_stay_at_base(make_trajectory, tmp_path, cli, method):
    run = make_trajectory(frozen=(UP, NORM))
    assert cli(*forecast_args(run, method, tmp_path / "m", "--dense")).status == 0
    found = load_file(tmp_path / "m" / "model.safetensors")
    for name in (UP, NORM):
        assert torch.equal(found[name], run.weights[0][name])
    other = UP.replace("up", "gate")
    assert not torch.equal(found[other], run.weights[0][other])


def test_run_that_does_not_move_is_forecast_to_stay(make_trajectory, tmp_path, cli):
    run = make_trajectory()
    for folder in run.folders.values():
        shutil.copy(run.base / "model.safetensors", folder / "model.safetensors")
    for method in WEIGHTS:
        result = cli(*forecast_args(run, method, tmp_path / method, "--dense"))
        assert result.status == 0, f"{method}: {result.err}"
        found = load_file(tmp_path / method / "model.safetensors")
        assert all(torch.equal(w, run.weights[0][name]) for name, w in found.items())


@pytest.mark.parametrize("method", ["alpharl-paper", "alpharl-repo"])
@pytest.mark.parametrize("value", [0.5, 0.6925, 0.7])
def test_constant_accuracy_is_undefined(trajectory, method, value):
    for steps in (SEEN[:2], SEEN[:3], SEEN):
        window = dense_window(trajectory, steps)
        window = replace(window, accuracy=dict.fromkeys(steps, value))
        with pytest.raises(UndefinedForecast, match="do not vary"):
            predict(window, options(method))


def test_undefined_forecast_fails_or_is_recorded(trajectory, tmp_path, cli):
    flat = tmp_path / "S.csv"
    flat.write_text("step,accuracy\n" + "".join(f"{step},0.5\n" for step in (0, *SEEN)))
    arguments = forecast_args(trajectory, "alpharl-paper", tmp_path / "v")
    arguments[arguments.index("--scores") + 1] = flat
    assert "do not vary" in cli(*arguments).error
    assert not (tmp_path / "v").exists()
    assert cli(*arguments, "--record-undefined").status == 0
    meta = json.loads((tmp_path / "v" / "variant.json").read_text())
    assert meta["undefined"].startswith("alpharl-paper: PLS over 4 checkpoints")
    assert meta["norm_ratio"] is None
    assert [p.name for p in (tmp_path / "v").iterdir()] == ["variant.json"]


@pytest.mark.parametrize("method", ["expo", "alpharl-paper", "alpharl-repo"])
def test_amplitude_multiplies_the_whole_update(trajectory, tmp_path, cli, method):
    """A blend, an adapter, and both."""
    arguments = forecast_args(trajectory, method, tmp_path / "v", "--amplitude", 0.4)
    plain = predict(dense_window(trajectory), options(method))
    update = applied(plain, trajectory)
    for name, found in applied(plain.scaled(0.4), trajectory).items():
        assert_close(found, 0.4 * update[name], 1e-12)
    assert cli(*arguments).status == 0
    meta = json.loads((tmp_path / "v" / "variant.json").read_text())
    whole = norm_ratio(dense_window(trajectory), plain)
    assert meta["amplitude"] == 0.4
    if method == "alpharl-paper":
        assert meta["norm_ratio"] == pytest.approx(0.4 * whole, rel=1e-5)
    cli(*forecast_args(trajectory, method, tmp_path / "m", "--amplitude", 0.4, "--dense"))
    for name, weights in load_file(tmp_path / "m" / "model.safetensors").items():
        base = trajectory.weights[0][name].double().numpy()
        rounding = np.finfo(np.float32).eps * np.linalg.norm(base)
        assert_close(weights.double().numpy() - base, 0.4 * update[name], 5e-5, rounding)


@pytest.mark.parametrize("value", [0, -1, "inf", "much"])
def test_amplitude_is_a_positive_number(trajectory, tmp_path, cli, capsys, value):
    with pytest.raises(SystemExit):
        cli(*forecast_args(trajectory, "last", tmp_path / "v", f"--amplitude={value}"))
    assert f"found '{value}', expected a number above 0" in capsys.readouterr().err


# --- what the verb prints, writes and refuses ---


@pytest.mark.parametrize("method", METHODS)
def test_verb_prints_and_writes_what_it_fitted(trajectory, tmp_path, cli, method):
    out = tmp_path / "v"
    shown = json.loads(cli(*forecast_args(trajectory, method, out)).out)
    assert shown["method"] == method
    assert shown["window_steps"] == SEEN
    assert shown["target_step"] == TARGET
    assert shown["options"] == options(method).model_dump(mode="json")
    meta = json.loads((out / "variant.json").read_text())
    assert shown["fit"] == meta["fit"]
    adapter = (out / "adapter" / "adapter_config.json").is_file()
    assert adapter == (method in (*ADAPTERS, *BOTH))
    assert (out / "blend.json").is_file() == (method in WEIGHTS and method not in ADAPTERS)
    if method in ("alpharl-paper", "alpharl-repo"):
        assert shown["fit"]["accuracy"] == [trajectory.accuracy[step] for step in SEEN]
        assert set(shown["fit"]["r2"]) == set(trajectory.matrices())
        assert all(0 <= r2 <= 1 for r2 in shown["fit"]["r2"].values())
    if method == "relex":
        u, s, _ = np.linalg.svd(trajectory.stacked(UP, SEEN), full_matrices=False)
        fit = shown["fit"]["tensors"][UP]
        assert fit["share"] == pytest.approx([s[0] ** 2 / np.sum(s**2)])
        coefficient = u[:, 0] * s[0] * np.sign(u[-1, 0])
        line = np.polynomial.Polynomial.fit(SEEN, coefficient, 1)
        assert fit["coefficient"] == pytest.approx([line(TARGET)])
    if method == "weight-extrapolation":
        assert shown["fit"] == {"first": 20, "last": 50, "beta": pytest.approx(7 / 3)}


def test_target_as_a_multiple_of_the_window_s_last_step(trajectory, tmp_path, cli):
    arguments = forecast_args(trajectory, "momentum", tmp_path / "v")
    at = arguments.index("--target-step")
    arguments[at : at + 2] = ["--target-multiple", 1.81]
    assert json.loads(cli(*arguments).out)["target_step"] == 90  # 1.81 x 50 = 90.5, to even
    with pytest.raises(SystemExit):
        cli(*arguments, "--target-step", TARGET)
    arguments[at + 1] = 0.9
    with pytest.raises(SystemExit):
        cli(*arguments)


@pytest.mark.parametrize(
    ("method", "pair", "message"),
    [
        ("relx", None, "unknown method 'relx', did you mean 'relex'?"),
        ("alpharl", None, "did you mean 'alpharl-"),
        ("zzz", None, "expected one of: last, expo,"),
        ("relex", "rnk=2", "unknown key 'rnk', did you mean 'rank'?"),
        ("expo", "aplha=1", "unknown key 'aplha', did you mean 'alpha'?"),
        ("last", "gamma=1", "unknown key 'gamma', expected one of: method"),
        ("first-update", "gamma=0", "gamma: Input should be greater than 0 (found 0)"),
        ("recent", "share=1.5", "share: Input should be less than or equal to 1 (found 1.5)"),
        ("relex", "rank=0", "rank: Input should be greater than 0 (found 0)"),
        ("relex", "rank=two", "rank: Input should be a valid integer"),
        ("relex", "rank", "rank: Input should be a valid integer"),
        ("relex", "fit=cubic", "fit: Input should be 'linear', 'quadratic' or 'saturating'"),
        ("alpharl-repo", "target_accuracy=-1", "target_accuracy: Input should be greater than 0"),
        ("weight-extrapolation", "first=15", "first: found step 15, expected one of [10, 20, 35]"),
    ],
)
def test_bad_options_are_one_line(trajectory, tmp_path, cli, method, pair, message):
    more = [] if pair is None else ["--option", pair]
    result = cli(*forecast_args(trajectory, method, tmp_path / "v", *more))
    assert message in result.error
    assert result.error.startswith("alpharl forecast: error: ")
    assert not (tmp_path / "v").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--through": 10}, "holds 1 checkpoints"),
        ({"--through": 5}, "holds 0 checkpoints"),
        ({"--checkpoints": "nowhere/step-{step}"}, "no folder matches"),
        ({"--base": "nowhere"}, "no such checkpoint folder"),
        ({"--scores": "nowhere.csv"}, "expected a CSV with columns step,accuracy"),
        ({"--scores": "two,columns\n1,2\n"}, "expected a CSV with columns step,accuracy"),
        ({"--scores": "step,accuracy\n10,\n"}, "expected a CSV with columns step,accuracy"),
        ({"--scores": "step,accuracy\n10\n"}, "expected a CSV with columns step,accuracy"),
        ({"--scores": "step,accuracy\n10,0.5\n"}, "no validation accuracy for steps [20, 35, 50]"),
        ({"--scores": None}, "no validation accuracy for steps [10, 20, 35, 50]"),
        ({"--steps": [10, 20, 30]}, "no such checkpoint folder"),
    ],
)
def test_bad_input_is_one_line(trajectory, tmp_path, cli, change, message):
    arguments = forecast_args(trajectory, "alpharl-paper", tmp_path / "v")
    for key, value in change.items():
        if isinstance(value, str) and "\n" in value:
            (tmp_path / "S.csv").write_text(value)
            value = tmp_path / "S.csv"
        if key == "--steps":
            arguments += [key, *value]
        elif value is None:
            at = arguments.index(key)
            del arguments[at : at + 2]
        else:
            arguments[arguments.index(key) + 1] = value
    result = cli(*arguments)
    assert message in result.error
    assert not (tmp_path / "v").exists()


@pytest.mark.parametrize(
    ("stored", "message"),
    [("short", "20"), ("missing", "no such file; make it first")],
)
def test_gram_that_lacks_a_step_of_the_window_is_one_line(
    trajectory, tmp_path, cli, stored, message
):
    gram = tmp_path / "G.safetensors"
    if stored == "short":
        cli("gram", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
            "--steps", 10, 35, 50, "--out", gram)  # fmt: skip
    result = cli(*forecast_args(trajectory, "relex", tmp_path / "v", "--gram", gram))
    assert message in result.error


def test_nan_in_a_checkpoint_is_named(make_trajectory, tmp_path, cli, write_model):
    run = make_trajectory()
    weights = {name: t.clone() for name, t in run.weights[35].items()}
    weights[UP][0, 0] = float("nan")
    write_model(run.folders[35], weights)
    for method in ("relex", "alpharl-paper"):
        error = cli(*forecast_args(run, method, tmp_path / "v")).error
        assert f"{run.folders[35]}: {UP} holds 1 values that are not finite" in error
    assert not (tmp_path / "v").exists()


def test_methods_verb_lists_every_method_with_source_and_options(cli):
    shown = cli("methods").out
    for name, method in METHODS.items():
        block = shown[shown.index(f"{name}\n") :]
        assert method.source in block
        assert method.cost in block
    assert "target_accuracy" in shown
