"""The table of trajectory fits, and the verb that writes it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from alpharl.dynamics.fits import Settings
from alpharl.dynamics.lines import line_holdout
from alpharl.dynamics.summary import by_module, summarize
from alpharl.dynamics.table import dynamics_table
from alpharl.errors import MethodError
from alpharl.progress import Progress
from alpharl.verbs.dynamics import Dynamics
from alpharl.verbs.result import Table
from tests.unit.trajectories import PLANTED, planted_run, sklearn_pls


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(0)


COLUMNS = ["tensor", "layer", "module", "measure", "value", "null", "null_q05", "null_q50",
           "null_q95", "p"]  # fmt: skip
GRAM = ("noise", "random-walk", "bf16")
ALL = ("permutation", *GRAM)
MEASURES = {
    *((f"pls_{kind}r2", null) for kind in ("", "left_out_") for null in ALL),
    *(("holdout_pls_mae", null) for null in (*ALL, "keep-last")),
    *((f"line_{kind}r2", null) for kind in ("", "accuracy_") for null in ALL),
    *(("temporal_share", null) for null in GRAM),
    *(("holdout_line_ratio", null) for null in (*ALL, "keep-last")),
    *((f"cosine_{side}", null) for side in ("u1", "v1") for null in ALL),
}


class Told(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.items: list[tuple[int, int, str]] = []

    def step(self, task: str, done: int, total: int, item: str) -> None:
        self.items.append((done, total, item))


def test_dynamics_table_of_a_planted_run():
    factors, gram, accuracy, blocks, flat = planted_run()
    told = Told()
    table = dynamics_table(factors, gram, accuracy, blocks, Settings(99, 0.6, 0), told)
    assert list(table.columns) == COLUMNS
    assert len(table) == 2 * len(MEASURES)
    assert told.items == [(i, 2, name) for i, name in enumerate(flat, start=1)]
    steps, y = np.array(PLANTED, np.float64), np.array([accuracy[s] for s in PLANTED])
    for name, rows in flat.items():
        part = table[table.tensor == name].set_index(["measure", "null"])
        assert set(part.index) == MEASURES
        assert (part.layer == int(name.split(".")[2])).all()
        assert set(part.module) == {name.split(".")[-2]}

        vectors = np.stack([factors[s][name].low.u[:, 0] for s in PLANTED])
        for t in range(6, -1, -1):
            vectors[t] *= np.sign(vectors[t] @ vectors[t + 1])
        pls, line = sklearn_pls(vectors, y)
        u, s, _ = np.linalg.svd(rows, full_matrices=False)
        expected = {
            "pls_r2": line.score(pls.transform(vectors), y),
            "line_r2": np.corrcoef(steps, u[:, 0])[0, 1] ** 2,
            "line_accuracy_r2": np.corrcoef(y, u[:, 0])[0, 1] ** 2,
            "temporal_share": s[0] ** 2 / np.sum(s**2),
            "cosine_u1": np.abs(np.sum(vectors[1:] * vectors[:-1], axis=1)).mean(),
        }
        for measure, value in expected.items():
            assert part.loc[measure].value.tolist() == pytest.approx(
                [value] * len(part.loc[measure]), abs=1e-7
            )
        early, fit = sklearn_pls(vectors[:5], y[:5])
        error = np.abs(fit.predict(early.transform(vectors[5:])) - y[5:]).mean()
        row = part.loc[("holdout_pls_mae", "keep-last")]
        assert row.value == pytest.approx(error, rel=1e-6)
        assert row.null_q50 == pytest.approx(np.abs(y[4] - y[5:]).mean())
        ratio = part.loc[("holdout_line_ratio", "keep-last")]
        assert ratio.value == pytest.approx(line_holdout(rows @ rows.T, steps, 5), rel=1e-6)
        assert ratio.null_q50 == 1.0
        nulls = part[part.index.get_level_values("null") != "keep-last"]
        assert (nulls.null_q05 <= nulls.null_q50).all()
        assert (nulls.null_q50 <= nulls.null_q95).all()
        assert nulls.p.between(1 / 100, 1).all()
        assert part.p[part.index.get_level_values("null") == "keep-last"].isna().all()

    value = table.set_index(["tensor", "measure", "null"])
    signal, noise = flat
    share = ("temporal_share", "random-walk")
    assert value.p[(signal, *share)] == 0.01
    assert value.p[(noise, *share)] > 0.05, "a random walk looks like a random walk"
    assert value.value[(signal, "holdout_line_ratio", "keep-last")] < 0.5
    assert value.value[(noise, "holdout_line_ratio", "keep-last")] > 1


def test_flat_accuracy_leaves_out_pls_and_keeps_the_rest():
    factors, gram, accuracy, blocks, _ = planted_run()
    flat = dict.fromkeys(accuracy, 0.7)
    table = dynamics_table(factors, gram, flat, blocks, Settings(9, 0.6, 0))
    found = set(zip(table.measure, table.null, strict=True))
    accuracy_needed = ("pls", "accuracy")
    assert found == {m for m in MEASURES if not any(word in m[0] for word in accuracy_needed)}


def test_a_fit_on_a_flat_start_leaves_out_pls_and_keeps_the_rest():
    """Accuracy moves only after the fitted share: the hold-out has no fit."""
    factors, gram, accuracy, blocks, _ = planted_run()
    late = {step: 0.7 if step < 72 else 0.9 for step in accuracy}
    table = dynamics_table(factors, gram, late, blocks, Settings(9, 0.6, 0))
    assert {m for m in MEASURES if "pls" not in m[0]} <= set(
        zip(table.measure, table.null, strict=True)
    )


@pytest.mark.parametrize(
    ("drop", "lose", "message"),
    [
        (6, [], "found 2 checkpoints"),
        (0, [24, 60], r"no accuracy for steps \[24, 60\]"),
    ],
)
def test_dynamics_refuses(drop, lose, message):
    factors, gram, accuracy, blocks, _ = planted_run()
    factors = {step: factors[step] for step in PLANTED[drop:]}
    known = {step: a for step, a in accuracy.items() if step not in lose}
    with pytest.raises(MethodError, match=message) as error:
        dynamics_table(factors, gram, known, blocks, Settings(9, 0.6, 0))
    assert "\n" not in str(error.value)


def test_summary_is_the_mean_over_matrices():
    factors, gram, accuracy, blocks, _ = planted_run()
    table = dynamics_table(factors, gram, accuracy, blocks, Settings(99, 0.6, 0))
    summary = summarize(table)
    for (measure, null), row in summary.iterrows():
        part = table[(table.measure == measure) & (table.null == null)]
        assert row["value"] == pytest.approx(part.value.mean())
        assert row["null_q95"] == pytest.approx(part.null_q95.mean())
        share = float("nan") if null == "keep-last" else (part.p < 0.05).mean()
        assert row["p<0.05"] == pytest.approx(share, nan_ok=True)


def test_dynamics_verb_writes_parquet_and_its_csv_twin(trajectory, tmp_path, cli):
    out = tmp_path / "T.parquet"
    arguments = ["dynamics", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
                 "--scores", trajectory.scores, "--permutations", 20, "--out", out]  # fmt: skip
    result = cli(*arguments)
    assert result.status == 0, result.err
    table, twin = pd.read_parquet(out), pd.read_csv(out.with_suffix(".csv"))
    assert list(table.columns) == list(twin.columns) == COLUMNS
    assert set(table.tensor) == set(trajectory.matrices())
    pd.testing.assert_frame_equal(table, twin, check_dtype=False, rtol=1e-9)
    assert "holdout_line_ratio" in result.out and "By module" in result.out
    assert len(result.out.splitlines()) <= 40

    factors, gram = tmp_path / "F-{step}.safetensors", tmp_path / "G.safetensors"
    for step, folder in trajectory.folders.items():
        cli("factors", "--base", trajectory.base, "--checkpoint", folder,
            "--rank", 2, "--out", str(factors).replace("{step}", str(step)))  # fmt: skip
    cli("gram", "--base", trajectory.base, "--checkpoints", trajectory.pattern, "--out", gram)
    stored = tmp_path / "S.parquet"
    arguments[-1] = stored
    assert cli(*arguments, "--factors", factors, "--gram", gram).status == 0
    pd.testing.assert_frame_equal(pd.read_parquet(stored), table, rtol=1e-4, atol=1e-6)


@pytest.fixture
def shown(trajectory, tmp_path, cli):
    """What the verb says of the trajectory as JSON, and the table that it wrote."""
    where = ["--base", trajectory.base, "--checkpoints", trajectory.pattern]
    result = cli("dynamics", *where, "--scores", trajectory.scores, "--permutations", 20,
                 "--out", tmp_path / "T.parquet", "--json")  # fmt: skip
    return json.loads(result.out), pd.read_parquet(tmp_path / "T.parquet")


def test_dynamics_verb_says_what_the_table_holds_in_brief(shown):
    found, table = shown
    assert found["matrices"] == table.tensor.nunique()
    fits = pd.DataFrame(found["fits"]).set_index(["measure", "null"])
    expected = summarize(table).rename(columns={"p<0.05": "beyond"})
    pd.testing.assert_frame_equal(fits, expected, check_index_type=False)
    brief, rows = by_module(table), found["by_module"]
    assert len(rows) == brief.drop("value", level="null").size
    for row in rows:
        number = brief[row["module"]]
        assert row["value"] == number[row["measure"], "value"]
        assert row["beyond"] == number[row["measure"], row["null"]]


def test_dynamics_verb_shows_the_null_that_the_fewest_matrices_beat(shown):
    found, table = shown
    overall, modules = (b for b in Dynamics.model_validate(found).blocks() if isinstance(b, Table))
    assert [row[0] for row in overall.rows] == sorted(table.measure.unique())
    judged = table[table.p.notna()].assign(beats=table.p < 0.05)
    shares = judged.groupby(["measure", "null"]).beats.mean()
    for row, by_name in zip(overall.rows, modules.rows, strict=True):
        measure, value, last, null, *_, beyond = row
        assert beyond == shares[measure, null] == shares[measure].min()
        assert value == pytest.approx(table[table.measure == measure].value.mean())
        assert (last is not None) == measure.startswith("holdout")
        part = judged[(judged.measure == measure) & (judged.null == null)]
        by_module = part.groupby("module").beats.mean()
        assert dict(zip(modules.columns[1:], by_name[1:], strict=True)) == by_module.to_dict()


def test_dynamics_verb_ends_with_the_verdict_on_twice_the_last_step(trajectory, cli, shown):
    trust = cli("trust", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
                "--scores", trajectory.scores, "--target-multiple", 2, "--json")  # fmt: skip
    assert shown[0]["verdict"] == json.loads(trust.out)
    assert shown[0]["verdict"]["target_step"] == 2 * trajectory.steps[-1]


def test_dynamics_verb_needs_a_score_for_each_checkpoint(trajectory, tmp_path, cli):
    short = tmp_path / "S.csv"
    short.write_text("step,accuracy\n0,0.4\n10,0.5\n")
    result = cli("dynamics", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
                 "--scores", short, "--out", tmp_path / "T.parquet")  # fmt: skip
    assert "no accuracy for steps [20, 35, 50, 60, 90]" in result.error
    assert not (tmp_path / "T.parquet").exists()


def test_by_module_counts_the_matrices_of_each():
    factors, gram, accuracy, blocks, _ = planted_run()
    table = dynamics_table(factors, gram, accuracy, blocks, Settings(99, 0.6, 0))
    brief = by_module(table)
    assert set(brief.columns) == {"up_proj", "q_proj"}
    for module in brief.columns:
        for measure, null in MEASURES - {("holdout_pls_mae", "keep-last"),
                                         ("holdout_line_ratio", "keep-last")}:  # fmt: skip
            part = table[(table.module == module) & (table.measure == measure)]
            assert brief[module][measure, "value"] == pytest.approx(part.value.mean())
            assert brief[module][measure, null] == (part.p[part.null == null] < 0.05).mean()


def test_more_draws_do_not_cost_memory_for_each(monkeypatch):
    """In small batches the same table comes out."""
    factors, gram, accuracy, blocks, _ = planted_run()
    whole = dynamics_table(factors, gram, accuracy, blocks, Settings(30, 0.6, 0))
    monkeypatch.setattr("alpharl.dynamics.nulls.AT_ONCE", 10_000)
    parts = dynamics_table(factors, gram, accuracy, blocks, Settings(30, 0.6, 0))
    pd.testing.assert_frame_equal(whole, parts, rtol=1e-9)
