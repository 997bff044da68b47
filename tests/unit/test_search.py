"""Methods that search on the validation suite: against dense references, and with real scores."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from alpharl.errors import MethodError
from alpharl.forecasting.contract import Window
from alpharl.forecasting.registry import METHODS
from safetensors.torch import load_file
from tests.unit.forecasts import SEEN, THROUGH, applied, forecast_args


def flat(update: dict[str, np.ndarray]) -> np.ndarray:
    """All tensors of an update as one vector."""
    return np.concatenate([update[name].ravel() for name in sorted(update)])


def moved(run, gaps: int, first: int = 20) -> np.ndarray:
    """Released code of arXiv 2605.11739: W + gaps d, d = W(50) - W(first), attention and MLP."""
    found = {name: run.update(THROUGH, name) for name in run.names}
    for name in found:
        if "self_attn" in name or "mlp" in name:
            found[name] = found[name] + gaps * (found[name] - run.update(first, name))
    return flat(found)


def scorer(run, scores: dict[float, float], model):
    """In place of a suite: a score for each of some models (key), by distance; notes what it saw.

    Args:
        run: the trajectory.
        scores: by key; 1000 questions.
        model: from a key to a model's update as one vector.
    """
    seen = []

    def validate(prediction) -> np.ndarray:
        found = flat(applied(prediction, run))
        key = min(scores, key=lambda k: np.linalg.norm(model(k) - found))
        np.testing.assert_allclose(found, model(key), atol=1e-9)
        seen.append(key)
        return (np.arange(1000) < 1000 * scores[key]).astype(float)

    return validate, seen


@pytest.mark.parametrize(
    ("scores", "options", "tried", "kept"),
    [
        ([0.5, 0.4], {}, [0, 2], 0),
        ([0.5, 0.5], {}, [0, 2], 0),  # no rise is a failure
        ([0.5, 0.6, 0.5, 0.9], {}, [0, 2, 4], 2),  # the first failure ends it
        ([0.5, 0.6, 0.7, 0.7], {}, [0, 2, 4, 6], 4),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], {}, [0, 2, 4, 6, 8, 10], 10),  # five at most
        ([0.1, 0.2, 0.3, 0.4], {"trials": 2}, [0, 2, 4], 4),
        ([0.1, 0.2, 0.1], {"first": 35}, [0, 2, 4], 2),
    ],
)
def test_effopd_against_the_published_rule(trajectory, scores, options, tried, kept):
    first = options.get("first", 20)

    def model(gaps: float) -> np.ndarray:
        return moved(trajectory, int(gaps), first)

    validate, seen = scorer(trajectory, {2 * n: s for n, s in enumerate(scores)}, model)
    window = Window(SEEN, None, trajectory.names, validate=validate)
    found = METHODS["effopd"](**options).forecast(window)
    np.testing.assert_allclose(flat(applied(found, trajectory)), model(kept), atol=1e-9)
    assert seen == tried
    assert found.fit["validation"] == pytest.approx(scores[: len(tried)])
    assert (found.fit["first"], found.fit["last"], found.fit["gaps"]) == (first, THROUGH, kept)


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ({0.0: 0.2, 0.5: 0.6, 1.0: 0.4}, 0.5),
        ({0.0: 0.6, 0.5: 0.6, 1.0: 0.4}, 0.0),  # of equal scores the smallest
        ({1.0: 0.6, 0.0: 0.1, 0.5: 0.6}, 0.5),  # in whatever order
        ({-0.5: 0.7, 0.0: 0.6, 2.0: 0.7}, -0.5),
    ],
)
def test_expo_takes_the_best_alpha_of_its_grid(trajectory, scores, best):
    def model(alpha: float) -> np.ndarray:
        last = {name: trajectory.update(THROUGH, name) for name in trajectory.names}
        return (1 + alpha) * flat(last)

    validate, seen = scorer(trajectory, scores, model)
    window = Window(SEEN, None, trajectory.names, validate=validate)
    options = METHODS["expo"](alpha="validation", grid=[*scores, *scores])
    found = options.forecast(window)
    np.testing.assert_allclose(flat(applied(found, trajectory)), model(best), atol=1e-9)
    assert sorted(seen) == sorted(scores), "each once, though it stands there twice"
    assert (found.fit["alpha"], found.fit["validation"]) == (best, pytest.approx(scores))


def test_expo_with_an_alpha_scores_nothing(trajectory):
    def never(prediction) -> np.ndarray:
        raise AssertionError("a trial model was scored")

    window = Window(SEEN, None, trajectory.names, validate=never)
    assert METHODS["expo"](alpha=0.5).forecast(window).fit["weights"] == {50: 1.5}
    assert METHODS["expo"]().reads == set()
    assert METHODS["expo"](alpha="validation").reads == METHODS["effopd"]().reads == {"suite"}


@pytest.mark.parametrize(("method", "given"), [("effopd", {}), ("expo", {"alpha": "validation"})])
def test_no_suite_is_one_line(trajectory, tmp_path, cli, method, given):
    window = Window(SEEN, None, trajectory.names)
    with pytest.raises(MethodError, match="found no validation suite"):
        METHODS[method](**given).forecast(window)
    pairs = [f"--option={key}={value}" for key, value in given.items()]
    result = cli(*forecast_args(trajectory, method, tmp_path / "v", *pairs))
    assert "found no validation suite; this method scores trial models" in result.error
    assert not (tmp_path / "v").exists()


def make_suite(cli, out, role: str, count: int = 40):
    spec = {"role": role, "tasks": [{"task": "addition", "split": role, "limit": count}],
            "max_new_tokens": 9}  # fmt: skip
    assert cli("suite", "--name", role, "--spec", json.dumps(spec), "--out", out).status == 0
    return out


@pytest.mark.parametrize("method", ["effopd", "auto"])
def test_a_test_suite_is_refused(trajectory, tmp_path, cli, method):
    suite = make_suite(cli, tmp_path / "test" / "suite.json", "test", 5)
    more = [f"--option=trials={'3' if method == 'effopd' else 'true'}", "--suite", suite]
    result = cli(*forecast_args(trajectory, method, tmp_path / "v", *more))
    assert "found a test suite, expected a validation suite" in result.error
    assert not (tmp_path / "v").exists()


# --- real scores: a 1M-parameter model that adds two numbers ---


def test_effopd_with_real_scores(golden, tmp_path, cli):
    """Each score that the search saw is what `evaluate` gives the model that it stands for."""
    run = golden / "trajectory"
    suite = make_suite(cli, tmp_path / "validation" / "suite.json", "validation")
    where = ["--base", run / "base"]
    result = cli("forecast", *where, "--checkpoints", f"{run}/step-{{step}}", "--through", 36,
                 "--target-step", 72, "--method", "effopd", "--option", "trials=2",
                 "--suite", suite, "--batch-size", 40, "--out", tmp_path / "v",
                 "--json")  # fmt: skip
    assert result.status == 0, result.err
    fit = json.loads(result.out)["fit"]
    scores = fit["validation"]
    assert 2 <= len(scores) <= 3
    assert result.err.count("trial model: validation accuracy") == len(scores)
    rises = [later > earlier for earlier, later in pairwise(scores)]
    assert rises[:-1] == [True] * (len(rises) - 1), "on only while the score rises"
    accepted = sum(rises)
    assert fit["gaps"] == 2 * accepted

    cli("evaluate", "--suite", suite, *where, "--batch-size", 40, "--variant",
        f"kept={tmp_path / 'v'}", "--variant", f"last={run / 'step-36'}",
        "--out", tmp_path / "out")  # fmt: skip
    kept, last = (json.loads((tmp_path / "out" / f"{n}.json").read_text())["accuracy"]
                  for n in ("kept", "last"))  # fmt: skip
    assert (last, kept) == (scores[0], scores[accepted])

    cli("export", tmp_path / "v", "--out", tmp_path / "m")
    folders = (tmp_path / "m", run / "step-36", run / f"step-{fit['first']}")
    found, b, a = (load_file(folder / "model.safetensors") for folder in folders)
    for name, weights in found.items():
        far = fit["gaps"] if "self_attn" in name or "mlp" in name else 0
        expected = b[name].double() + far * (b[name].double() - a[name].double())
        torch.testing.assert_close(weights.double(), expected, rtol=0, atol=1e-6)
