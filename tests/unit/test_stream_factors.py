"""Factor files of several checkpoints at once: same numbers, same bytes, nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from alpharl.checkpoints import stage
from alpharl.checkpoints.array_files import ArrayFile
from alpharl.checkpoints.identity import made_from
from alpharl.errors import CheckpointError
from alpharl.spectra import factors as factors_module
from alpharl.spectra import svd
from alpharl.spectra.depth import Depth
from alpharl.spectra.factors import Settings, factor_checkpoint, write_factors
from alpharl.spectra.lowrank import Factors, factors_made_from, read_factors, read_metadata
from safetensors import safe_open
from safetensors.numpy import load_file
from tests.unit.matrices import planted

LAYER = "model.layers.0."
LARGE = f"{LAYER}mlp.up_proj.weight"
SMALL = [f"{LAYER}self_attn.o_proj.weight", f"{LAYER}self_attn.q_proj.weight"]
SHAPES = {LARGE: (300, 400), SMALL[0]: (20, 30), SMALL[1]: (30, 20)}
"""In file order."""
DEPTH = Settings(Depth(4))


@dataclass(frozen=True)
class Run:
    """A base (step 0) and checkpoints, and what they hold."""

    folders: dict[int, Path]
    weights: dict[int, dict[str, torch.Tensor]]

    @property
    def checkpoints(self) -> dict[int, Path]:
        return {step: folder for step, folder in self.folders.items() if step}

    def update(self, step: int, name: str) -> np.ndarray:
        delta = self.weights[step][name].float() - self.weights[0][name].float()
        return delta.double().numpy()

    def write(self, out: Path, settings: Settings = DEPTH) -> dict[int, Path]:
        """Factor files of all checkpoints, made in one call."""
        files = {step: out / f"{step}.safetensors" for step in self.checkpoints}
        models = made_from(self.folders[0], self.checkpoints)
        write_factors(self.folders[0], self.checkpoints, settings, files, models)
        return files


def decaying(shape: tuple[int, int], seed: int) -> torch.Tensor:
    return planted(shape, 4 * 0.6 ** np.arange(min(shape)), seed)


@pytest.fixture
def make_run(tmp_path, write_model) -> Callable[..., Run]:
    """`make_run(dtype)` writes a base, two near checkpoints, the base again and a far one."""

    def make(dtype: torch.dtype = torch.float32) -> Run:
        rng = torch.Generator().manual_seed(0)
        base = {n: 0.1 * torch.randn(shape, generator=rng) for n, shape in SHAPES.items()}
        base = {n: w.to(dtype) for n, w in base.items()}
        first = {n: decaying(shape, 1) for n, shape in SHAPES.items()}
        other = {n: decaying(shape, 2) for n, shape in SHAPES.items()}
        far = {n: decaying(shape, 3) for n, shape in SHAPES.items()}
        near = {n: first[n] + 0.1 * other[n] for n in SHAPES}
        weights = {0: base, 3: base}
        for step, delta in ((1, first), (2, near), (4, far)):
            weights[step] = {n: (w.float() + delta[n]).to(dtype) for n, w in base.items()}
        weights = dict(sorted(weights.items()))
        folders = {s: write_model(tmp_path / f"step-{s}", row) for s, row in weights.items()}
        return Run(folders, weights)

    return make


@pytest.fixture
def threads():
    """`threads(n)` sets torch's threads until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def assert_near(found: Factors, expected: Factors, sigma: float = 1e-5) -> None:
    """Equal singular values, and vectors where the gaps to the neighbours allow."""
    (u, s, v), (eu, es, ev) = ((f.low.u, f.low.s, f.low.v) for f in (found, expected))
    np.testing.assert_allclose(s, es, atol=sigma * es[0], rtol=0)
    assert found.norm == pytest.approx(expected.norm, rel=1e-6)
    for own, other in ((u, eu), (v, ev)):
        distance = np.linalg.norm(own.astype(np.float64) - other, axis=0)
        # The last one's lower neighbour is not stored, but the spectra decay by 0.6 a step.
        assert (distance <= 1e-4).all() or es[0] == 0, distance


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_several_checkpoints_at_once_equal_one_call_each(make_run, tmp_path, dtype):
    assert max(map(min, (SHAPES[n] for n in SMALL))) <= svd.GRAM_LIMIT < min(SHAPES[LARGE])
    run = make_run(dtype)
    for step, path in run.write(tmp_path / "out").items():
        alone = factor_checkpoint(run.folders[0], run.folders[step], DEPTH)
        methods = read_metadata(path)["methods"]
        some = {"gram": SMALL, "krylov": [LARGE]}
        assert methods == ({"zero": list(SHAPES)} if step == 3 else some)
        for name, found in read_factors([path]).items():
            sigma = np.linalg.svd(run.update(step, name), compute_uv=False)
            np.testing.assert_allclose(found.low.s, sigma[:4], atol=1e-5 * sigma[0])
            assert_near(found, alone[name])


@pytest.mark.parametrize("count", [1, 2])
def test_same_input_gives_the_same_bytes(make_run, tmp_path, threads, count):
    threads(count)
    run = make_run()
    first, second = run.write(tmp_path / "first"), run.write(tmp_path / "second")
    for step, path in first.items():
        assert path.read_bytes() == second[step].read_bytes()


def test_number_of_threads_changes_roundings_only(make_run, tmp_path, threads):
    run, found = make_run(), {}
    for count in (1, 2):
        threads(count)
        found[count] = run.write(tmp_path / str(count))
    for step, path in found[1].items():
        one, two = read_factors([path]), read_factors([found[2][step]])
        assert list(one) == list(two)
        for name in one:
            assert_near(two[name], one[name], sigma=1e-6)


def test_matrices_beside_each_other_equal_one_at_a_time(make_run, tmp_path, threads, monkeypatch):
    run = make_run()
    threads(2)
    beside = run.write(tmp_path / "beside")
    monkeypatch.setattr(factors_module, "SMALL", 0)
    for step, path in run.write(tmp_path / "alone").items():
        alone, together = read_factors([path]), read_factors([beside[step]])
        for name in SHAPES:
            assert_near(together[name], alone[name], sigma=1e-6)


def test_broken_checkpoint_leaves_nothing_behind(make_run, tmp_path, write_model):
    run, out = make_run(), tmp_path / "out"
    files = run.write(out)
    for step in (2, 3, 4):
        files[step].unlink()
    old = files[1].read_bytes()
    broken = dict(run.weights[2])
    last = broken[SMALL[1]].clone()
    last[-1, -1] = float("nan")
    write_model(run.folders[2], {**broken, SMALL[1]: last})
    with pytest.raises(CheckpointError, match=r"step-2.*q_proj.*not finite") as error:
        run.write(out)
    assert "\n" not in str(error.value)
    assert list(out.iterdir()) == [files[1]]
    assert files[1].read_bytes() == old


# --- the command line ---


@pytest.fixture
def call(make_run, tmp_path, cli):
    """`call(name, *options)` factors two checkpoints into tmp_path/name by the verb."""
    run = make_run()

    def factors(name: str, *options: object, out: tuple[str, ...] = ("a", "b")):
        files = [tmp_path / name / file for file in out]
        return cli("factors", "--base", run.folders[0], "--checkpoint", run.folders[1],
                   run.folders[2], "--rank", 3, "--out", *files, *options), files  # fmt: skip

    factors.run = run
    return factors


def test_verb_takes_several_checkpoints_and_stores_spectra(call):
    result, files = call("out", "--spectrum")
    assert result.status == 0
    for step, path in enumerate(files, start=1):
        models = factors_made_from([path])
        assert [m["path"] for m in models["checkpoints"].values()] == [str(call.run.folders[step])]
        found = read_factors([path])
        assert set(found) == set(SHAPES)
        for name in SHAPES:
            sigma = np.linalg.svd(call.run.update(step, name), compute_uv=False)
            assert found[name].spectrum.shape == sigma.shape
            np.testing.assert_allclose(found[name].spectrum, sigma, atol=2e-7 * sigma[0])
            np.testing.assert_allclose(found[name].low.s, sigma[:3], atol=1e-5 * sigma[0])


def test_verb_without_spectrum_stores_none(call):
    assert not [key for key in load_file(call("out")[1][0]) if key.endswith("/spectrum")]


def test_checkpoints_and_files_must_be_as_many(call, tmp_path):
    result, _ = call("out", out=("only",))
    assert "found 2 checkpoints and 1 files for --out" in result.error
    assert not (tmp_path / "out").exists()


def test_staged_models_give_the_same_bytes_and_leave_nothing(call, tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir()
    monkeypatch.setenv("FAST_DISK", str(disk))
    (_, plain), (result, staged) = call("plain"), call("staged", "--stage", "$FAST_DISK")
    assert result.status == 0
    assert [path.read_bytes() for path in plain] == [path.read_bytes() for path in staged]
    assert not list(disk.iterdir())


def test_stage_in_an_unset_variable_is_one_line(call, monkeypatch, tmp_path):
    monkeypatch.delenv("UNSET_VARIABLE", raising=False)
    result, _ = call("out", "--stage", "$UNSET_VARIABLE")
    assert "stage $UNSET_VARIABLE: found no such folder" in result.error
    assert not (tmp_path / "out").exists()


def test_stage_with_too_little_room_is_one_line(call, monkeypatch, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    monkeypatch.setattr(stage.shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    result, _ = call("out", "--stage", disk)
    assert "found 1 MiB free, expected 1 MiB for 3 models" in result.error
    assert not list(disk.iterdir()) and not (tmp_path / "out").exists()


# --- files written array by array ---


def test_array_file_is_read_as_safetensors(tmp_path):
    path, arrays = tmp_path / "f", {"a": np.ones((2, 3)), "b/s": np.arange(4.0), "n": np.array(7.0)}
    file = ArrayFile(path, {name: a.shape for name, a in arrays.items()}, room=100)
    for name in reversed(arrays):
        file.write(name, arrays[name])
    file.finish({"made": "here"})
    file.discard()
    found = load_file(path)
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], array)
    with safe_open(path, framework="np") as opened:
        assert json.loads(opened.metadata()["alpharl"])["made"] == "here"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_array_file_refuses_another_shape(tmp_path):
    file = ArrayFile(tmp_path / "f", {"a": (2, 3)}, room=10)
    with pytest.raises(ValueError, match="declared"):
        file.write("a", np.ones((3, 2)))
    file.discard()


def test_array_file_leaves_the_old_file_until_it_is_finished(tmp_path):
    path = tmp_path / "f"
    path.write_text("old")
    file = ArrayFile(path, {"a": (1,)}, room=10)
    file.write("a", np.ones(1))
    assert path.read_text() == "old"
    file.discard()
    assert [p.name for p in tmp_path.iterdir()] == ["f"] and path.read_text() == "old"


# --- a tied head beside the embedding ---


@pytest.mark.parametrize("tied", [True, False])
def test_head_beside_the_embedding_is_ignored_only_where_it_is_tied(tmp_path, write_model, tied):
    name, embedding = SMALL[0], torch.ones(5, 30)
    base = {name: torch.zeros(20, 30), "model.embed_tokens.weight": embedding}
    after = {**base, name: decaying((20, 30), 1), "lm_head.weight": embedding.clone()}
    folders = [write_model(tmp_path / "base", base), write_model(tmp_path / "step-1", after)]
    for folder in folders:
        (folder / "config.json").write_text(json.dumps({"tie_word_embeddings": tied}))
    if tied:
        found = factor_checkpoint(*folders, DEPTH)
        np.testing.assert_allclose(found[name].low.s, 4 * 0.6 ** np.arange(4), rtol=1e-6)
    else:
        with pytest.raises(CheckpointError, match="has an extra tensor lm_head"):
            factor_checkpoint(*folders, DEPTH)
