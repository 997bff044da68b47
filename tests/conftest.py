"""Shared fixtures: the golden numbers, tiny model folders that cost nothing, the shrunken study."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.workflow.mini import finished, mini

__all__ = ["finished", "mini"]

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
"""Reference numbers of published code, beside the checkout; no other place knows where."""

DATA = GOLDEN.parent / "data"
"""Published question files, beside the checkout; no other place knows where."""

HIDDEN, MLP, VOCAB, LAYERS = 8, 12, 10, 2
STEPS = (10, 20, 35, 50, 60, 90)
"""Not evenly spaced, so that a fit on row numbers would differ from one on steps."""


TOGETHER = {
    "tests/engines": "engines",
    "tests/faults": "study",
    "tests/slurm": "cluster",
    "tests/workflow/test_examples.py": "study",
    "tests/workflow/test_study.py": "study",
}
"""Folders and files whose session fixtures cost minutes, so that one process makes each."""


def group(nodeid: str) -> str:
    """Tests of one group run in one process: those of a file, for its fixtures train models."""
    file = nodeid.partition("::")[0]
    return TOGETHER.get(file) or TOGETHER.get(str(Path(file).parent), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Hand groups to processes in the order of the command line: `pytest -n 2 long short`."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The good files of `tests.bad_inputs`. Shared: copied, never changed."""
    from tests.bad_inputs.good import make_good

    return make_good(tmp_path_factory.mktemp("good"))


@pytest.fixture
def files(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the good files, which is the current folder; temporary files lie in it too."""
    shutil.copytree(good, tmp_path / "files")
    monkeypatch.chdir(tmp_path / "files")
    (tmp_path / "files" / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "files" / "temporary"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)  # where locks would lie instead
    return tmp_path / "files"


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the golden numbers; its README says what they are."""
    if not (GOLDEN / "README.md").is_file():
        pytest.skip("found no ../shared/golden beside the checkout: golden numbers not compared")
    return GOLDEN


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the question files: gsm8k/{train,test}.jsonl and svamp/SVAMP.json."""
    if not (DATA / "gsm8k" / "test.jsonl").is_file():
        pytest.skip("found no ../shared/data beside the checkout: real questions not graded")
    return DATA


def qwen_shapes(hidden: int = HIDDEN, mlp: int = MLP, layers: int = LAYERS) -> dict[str, tuple]:
    """Tensor names of a Qwen2 model with their shapes: matrices, vectors and an embedding."""
    attention = {f"self_attn.{p}_proj.weight": (hidden, hidden) for p in "qkvo"}
    dense = {f"mlp.{p}_proj.weight": (mlp, hidden) for p in ("gate", "up")}
    one = {
        "input_layernorm.weight": (hidden,),
        **attention,
        "self_attn.q_proj.bias": (hidden,),
        **dense,
        "mlp.down_proj.weight": (hidden, mlp),
    }
    blocks = {
        f"model.layers.{i}.{name}": shape for i in range(layers) for name, shape in one.items()
    }
    return {"model.embed_tokens.weight": (VOCAB, hidden), **blocks, "model.norm.weight": (hidden,)}


def save_model(folder: Path, tensors: Mapping[str, torch.Tensor], files: int = 1) -> Path:
    """Write a model folder: one file, or several with an index, as Hugging Face names them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    if files == 1:
        save_file(dict(tensors), folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    weight_map = {}
    for i, names in enumerate(np.array_split(list(tensors), files), start=1):
        file = f"model-{i:05d}-of-{files:05d}.safetensors"
        save_file({n: tensors[n] for n in names.tolist()}, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(names.tolist(), file)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


@dataclass(frozen=True)
class Trajectory:
    """A run on disk, and its weights in memory: step 0 is the base."""

    base: Path
    pattern: str
    steps: list[int]
    weights: dict[int, dict[str, torch.Tensor]]
    scores: Path
    accuracy: dict[int, float]

    @property
    def names(self) -> list[str]:
        """All tensor names, in file order."""
        return list(self.weights[0])

    @property
    def folders(self) -> dict[int, Path]:
        """Model folder of each step, without the base."""
        return {step: Path(self.pattern.replace("{step}", str(step))) for step in self.steps}

    def matrices(self) -> list[str]:
        """Names of the projections of the paper's scope."""
        return [name for name in self.names if name.endswith("_proj.weight")]

    def update(self, step: int, name: str) -> np.ndarray:
        """W(step) - W(0), subtracted in float32, as float64."""
        delta = self.weights[step][name].float() - self.weights[0][name].float()
        return delta.double().numpy()

    def stacked(self, name: str, steps: list[int]) -> np.ndarray:
        """(T, d) updates of some steps as rows."""
        return np.stack([self.update(step, name).ravel() for step in steps])


MakeTrajectory = Callable[..., Trajectory]


def make_run(
    folder: Path,
    steps: tuple[int, ...] = STEPS,
    dtype: torch.dtype = torch.float32,
    files: int = 1,
    frozen: tuple[str, ...] = (),
    seed: int = 0,
) -> Trajectory:
    """Write a random trajectory: drift along one direction per tensor, and a random walk on it."""
    rng = torch.Generator().manual_seed(seed)

    def noise(shape: tuple, scale: float) -> torch.Tensor:
        return scale * torch.randn(shape, generator=rng, dtype=torch.float64)

    shapes = qwen_shapes()
    current = {name: noise(shape, 0.3) for name, shape in shapes.items()}
    drift = {name: noise(shape, 1e-3) for name, shape in shapes.items()}
    weights, before = {0: {n: w.to(dtype) for n, w in current.items()}}, 0
    for step in steps:
        for name in shapes if step else ():
            if name not in frozen:
                gap = step - before
                current[name] = current[name] + gap * drift[name]
                current[name] = current[name] + noise(shapes[name], 2e-3 * gap**0.5)
        weights[step], before = {n: w.to(dtype) for n, w in current.items()}, step
    base = save_model(folder / "base", weights[0], files)
    for step in steps:
        save_model(folder / "run" / f"step-{step}", weights[step], files)
    accuracy = {s: round(0.4 + 0.5 * (1 - 2.0 ** (-s / 30)), 4) for s in (0, *steps)}
    lines = "".join(f"{step},{value}\n" for step, value in accuracy.items())
    (folder / "scores.csv").write_text("step,accuracy\n" + lines)
    return Trajectory(
        base, f"{folder}/run/step-{{step}}", list(steps), weights, folder / "scores.csv", accuracy
    )


@pytest.fixture(scope="session")
def write_model() -> Callable[..., Path]:
    """`write_model(folder, tensors, files=1)` writes a model folder."""
    return save_model


@pytest.fixture
def make_trajectory(tmp_path: Path) -> MakeTrajectory:
    """`make_trajectory(name="...", **options)` writes a trajectory of its own for a test."""
    return lambda name="trajectory", **options: make_run(tmp_path / name, **options)


@pytest.fixture(scope="session")
def trajectory(tmp_path_factory: pytest.TempPathFactory) -> Trajectory:
    """A float32 trajectory in single files. Shared by all tests: read only."""
    return make_run(tmp_path_factory.mktemp("trajectory"))


@dataclass(frozen=True)
class CliResult:
    """What one call of the command line gave back."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that a failed call ends with, after its progress lines."""
        assert self.status == 1, f"expected status 1, found {self.status}: {self.err}"
        return self.err.splitlines()[-1]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., CliResult]:
    """`cli("factors", "--base", folder, ...)` runs one verb in this process."""
    from alpharl.cli import main

    def call(*args: object) -> CliResult:
        capsys.readouterr()
        status = main([str(arg) for arg in args])
        captured = capsys.readouterr()
        return CliResult(status, captured.out, captured.err)

    return call
