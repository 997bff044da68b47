"""The contract of measures: one pass for all, each with its null, from what it reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from alpharl.checkpoints import stage
from alpharl.checkpoints.reader import ModelReader
from alpharl.measures.measure import Measure, Row, TensorPath, last_step
from alpharl.measures.registry import MEASURES
from alpharl.measures.run import measure_run
from alpharl.measures.sparsity import Sparsity
from alpharl.spectra.depth import Depth
from alpharl.spectra.factors import Settings, factor_checkpoint
from alpharl.spectra.gram import gram_run


class Growth(Measure):
    """Norm of the last update over that of the first; the root of T for a random walk."""

    version = 1
    reads = frozenset({"gram"})
    operations = 1
    title = text = null = "growth"
    columns: ClassVar = {"growth": "growth"}
    nulls: ClassVar = {"growth": "null_growth"}
    labels: ClassVar = {"tensor": "tensor"}

    def rows(self, tensor: TensorPath) -> Iterator[Row]:
        assert tensor.gram is not None and not tensor.checkpoints
        squares = np.diag(tensor.gram)
        growth = float(np.sqrt(squares[-1] / squares[0])) if squares[0] else float("nan")
        yield {"tensor": tensor.name, "growth": growth, "null_growth": len(squares) ** 0.5}

    def summary(self, table: pd.DataFrame) -> pd.DataFrame:
        return table


def test_a_measure_of_the_gram_opens_no_weights(trajectory, monkeypatch):
    gram = gram_run(trajectory.base, trajectory.folders)
    opened = []
    init = ModelReader.__init__

    def noted(self, folder, *args, **kwargs):
        opened.append(folder)
        init(self, folder, *args, **kwargs)

    monkeypatch.setattr(ModelReader, "__init__", noted)
    folders = trajectory.folders
    table = measure_run(trajectory.base, folders, {"growth": Growth()}, gram=gram)["growth"]
    assert opened == [trajectory.base], "whose headers name the tensors"
    for name, growth in zip(table.tensor, table.growth, strict=True):
        first, last = (np.linalg.norm(trajectory.update(step, name)) for step in (10, 90))
        assert growth == pytest.approx(last / first, rel=1e-5)


def test_measures_made_together_are_those_made_alone(trajectory):
    """One pass serves all, and none changes another's numbers."""
    factors = {90: factor_checkpoint(trajectory.base, trajectory.folders[90], Settings(Depth(1)))}
    measures = {name: cls.model_validate({"seed": 3}) for name, cls in MEASURES.items()}
    together = measure_run(trajectory.base, trajectory.folders, measures, factors)
    assert list(together) == list(MEASURES)
    for name, measure in measures.items():
        alone = measure_run(trajectory.base, trajectory.folders, {name: measure}, factors)
        pd.testing.assert_frame_equal(alone[name], together[name])


@pytest.mark.parametrize("name", MEASURES)
def test_each_measure_has_its_null_and_says_what_nothing_looks_like(trajectory, name):
    cls = MEASURES[name]
    measure = cls.model_validate({})
    factors = {90: factor_checkpoint(trajectory.base, trajectory.folders[90], Settings(Depth(1)))}
    table = measure_run(trajectory.base, trajectory.folders, {name: measure}, factors)[name]
    shown = last_step(measure.summary(table))
    assert measure.nulls and measure.nulls.keys() <= measure.columns.keys()
    for column in {*measure.columns, *measure.nulls.values(), *measure.labels}:
        assert column in shown
    for measured, null in measure.nulls.items():
        assert shown[measured].notna().all() and shown[null].notna().all()
    assert measure.null.startswith("If ") and measure.null.endswith(".")
    assert set(measure.compared) <= measure.nulls.keys()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("floor.seed=1", "found options of 'floor', expected one of the measures that are made"),
        ("seed=1", "found options of 'seed', expected one of the measures that are made: sparsity"),
        ("sparsity.sed=1", "unknown key 'sed', did you mean 'seed'?"),
        ("sparsity.seed", "option 'sparsity.seed': found no '=', expected NAME.KEY=VALUE"),
        ("sparsity.seed=[", "found '[', expected a value as a study file has it"),
        ("sparsity.seed=-1", "sparsity: option seed: Input should be greater than or equal to 0"),
    ],
)
def test_an_option_that_fits_nothing_is_one_line(trajectory, tmp_path, cli, option, said):
    done = cli(
        "measure", "sparsity", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
        "--option", option, "--out", tmp_path / "m",
    )  # fmt: skip
    assert done.status == 1 and done.err.count("\n") == 1 and said in done.err
    assert not (tmp_path / "m").exists()


def test_without_names_all_measures_are_made(trajectory, tmp_path, cli):
    done = cli(
        "measure", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
        "--out", tmp_path / "m",
    )  # fmt: skip
    assert done.status == 0
    assert {path.stem for path in (tmp_path / "m").iterdir()} == set(MEASURES)
    titles = [line for line in done.out.splitlines() if line.endswith(", last step")]
    assert titles == [f"{cls.title}, last step" for cls in MEASURES.values()]


def test_only_checkpoints_that_are_measured_are_staged(make_trajectory, tmp_path, cli, monkeypatch):
    run, copied = make_trajectory(steps=tuple(range(1, 13))), []
    copy = stage._copy
    monkeypatch.setattr(stage, "_copy", lambda *args: (copied.append(args[0].name), copy(*args)))
    for verb_stage in ([], ["--stage", tmp_path]):
        done = cli(
            "measure", "--base", run.base, "--checkpoints", run.pattern,
            "--out", tmp_path / f"m{len(verb_stage)}", *verb_stage,
        )  # fmt: skip
        assert done.status == 0
    measured = Sparsity().steps(run.steps)
    assert len(measured) < len(run.steps)
    assert copied == ["base", *(f"step-{step}" for step in measured)]
    for name in MEASURES:
        plain, staged = ((tmp_path / m / f"{name}.csv").read_bytes() for m in ("m0", "m2"))
        assert plain == staged
