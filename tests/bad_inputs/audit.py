"""Bad inputs of the kind trajectories: each file is good, and they are not what their names say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.bad_inputs.good import RUN, save_model
from tests.bad_inputs.spoil import Q
from tests.bad_inputs.table import Faulty

Weights = dict[str, torch.Tensor]
STEPS = range(10, 90, 10)


def updates(seed: int) -> dict[int, Weights]:
    """The updates of a run with a drift, by step."""
    torch.manual_seed(seed)
    base = load_file("base/model.safetensors")
    drift = {name: 1e-4 * torch.randn_like(w) for name, w in base.items()}
    walk = {name: torch.zeros_like(w) for name, w in base.items()}
    made = {}
    for step in STEPS:
        walk = {name: w + 1e-3 * torch.randn_like(w) for name, w in walk.items()}
        made[step] = {name: walk[name] + step * drift[name] for name in base}
    return made


def save(step: int, update: Weights) -> None:
    """Replace or add a checkpoint of the run."""
    base = load_file("base/model.safetensors")
    shutil.rmtree(f"run/step-{step}", ignore_errors=True)
    save_model(Path(f"run/step-{step}"), {name: w + update[name] for name, w in base.items()})


def long(change: Callable[[], object]) -> Callable[[Path], None]:
    """A run of eight checkpoints, then a change of it."""

    def spoil(folder: Path) -> None:
        for step, update in updates(1).items():
            save(step, update)
        change()

    return spoil


def short(change: Callable[[], None]) -> Callable[[Path], object]:
    """A change of the good run's three checkpoints."""
    return lambda folder: change()


def named(**sources: str) -> Callable[[], None]:
    """Steps, as `s10`, that hold what stands in another folder, all at once."""

    def change() -> None:
        for source in {*sources.values()}:
            shutil.copytree(source, Path("copies") / source)
        for step, source in sources.items():
            folder = Path(f"run/step-{step[1:]}")
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(Path("copies") / source, folder)
        shutil.rmtree("copies")

    return change


def run(**steps: int) -> Callable[[], None]:
    """Steps that hold those of other steps."""
    return named(**{step: f"run/step-{source}" for step, source in steps.items()})


def linked(*steps: int, to: str) -> Callable[[], None]:
    """Steps that are links to one folder."""

    def change() -> None:
        for step in steps:
            shutil.rmtree(f"run/step-{step}")
            Path(f"run/step-{step}").symlink_to(Path(to).absolute())

    return change


def other_run(step: int) -> Callable[[], None]:
    """A step that is another run's."""
    return lambda: save(step, updates(2)[step])


def adapters(alpha: int, zeros: bool = False) -> Callable[[Path], None]:
    """All checkpoints are adapters of this alpha, or of a B that was never trained."""

    def spoil(folder: Path) -> None:
        for step in (10, 20, 30):
            here = Path(f"run/step-{step}")
            shutil.rmtree(here)
            shutil.copytree("adapters/step-30", here)
            config = json.loads((here / "adapter_config.json").read_text())
            (here / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": alpha}))
            if zeros:
                file = here / "adapter_model.safetensors"
                pair = {n: w * ("lora_A" in n) for n, w in load_file(file).items()}
                save_pair(file, pair)

    return spoil


def save_pair(file: Path, pair: Weights) -> None:
    """Write an adapter's tensors."""
    from safetensors.torch import save_file

    save_file(pair, file, metadata={"format": "pt"})


def unmerged(folder: Path) -> None:
    """The base as it was, next to the adapter."""
    for step in (10, 20, 30):
        here = Path(f"run/step-{step}")
        shutil.rmtree(here)
        shutil.copytree("base", here / "merged")
        shutil.copytree("adapters/step-30", here / "lora_adapter")


def one_tensor(folder: Path) -> None:
    """Two steps that differ in one tensor's last bit."""
    weights = load_file("run/step-10/model.safetensors")
    weights[Q][0, 0] = torch.nextafter(weights[Q][0, 0], torch.tensor(9.0))
    shutil.rmtree("run/step-20")
    save_model(Path("run/step-20"), weights)


CONCLUDING = {
    "audit": (f"audit {RUN}", 1),
    "trust": (f"trust {RUN}", 0),
    "trust in a script": (f"trust {RUN} --exit-code", 3),
    "forecast": (f"forecast {RUN} --method last --target-step 200 --out new", 0),
}
"""The verbs that conclude something of a run, and their exit statuses."""
MERGED = {
    name: (command.replace(RUN, f"--base base --checkpoints {' '.join(folders)}"), status)
    for folders in [[f"{step}=run/step-{step}/merged" for step in (10, 20, 30)]]
    for name, (command, status) in CONCLUDING.items()
}

EARLY, LATE = "likely a copy of it, or the learning rate was 0", "likely the final model under"
UNMERGED = "an adapter lies in .*lora_adapter and was not merged: name that folder"
ROWS = [
    Faulty("a step that is the base", long(named(s50="base")), "base", "step 50 equals the base; "
           + EARLY, CONCLUDING),
    Faulty("a first step that is the base", long(named(s10="base")), "base",
           "step 10 equals the base; " + EARLY, CONCLUDING),
    Faulty("a last step that is the base", long(named(s80="base")), "base",
           "step 80 equals the base; " + EARLY, CONCLUDING),
    Faulty("links to the base", short(linked(10, 20, 30, to="base")), "base",
           "steps 10, 20 and 30 equal the base; likely lora_alpha or", CONCLUDING),
    Faulty("a step twice", long(run(s40=30)), "duplicate",
           "steps 30 and 40 are equal; likely one file under several names", CONCLUDING),
    Faulty("steps far apart that are equal", long(run(s70=20)), "duplicate",
           "steps 20 and 70 are equal", CONCLUDING),
    Faulty("links to one folder", long(linked(30, 40, to="run/step-20")), "duplicate",
           "steps 20, 30 and 40 are equal", CONCLUDING),
    Faulty("a difference of one bit", one_tensor, "duplicate", "steps 10 and 20 are equal",
           CONCLUDING),
    Faulty("late steps that serve the last", long(run(s50=80, s60=80, s70=80)), "serves-last",
           "steps 50, 60 and 70 equal the last step, 80; " + LATE, CONCLUDING),
    Faulty("all steps serve the last", short(run(s10=30, s20=30)), "serves-last",
           "steps 10 and 20 equal the last step, 30; " + LATE, CONCLUDING),
    Faulty("two swapped steps", long(run(s30=40, s40=30)), "swapped",
           "steps 30 and 40 are swapped: the path turns back there", CONCLUDING),
    Faulty("two swapped steps at the end", long(run(s70=80, s80=70)), "swapped",
           "steps 70 and 80 are swapped", CONCLUDING),
    Faulty("steps that count down",
           long(run(**{f"s{step}": 90 - step for step in STEPS})), "misordered",
           "another order than their names: .* as 80, 70, 60, 50, 40, 30, 20, 10;", CONCLUDING),
    Faulty("a step of another run", long(other_run(50)), "foreign",
           "step 50 is off the path that the other steps draw; likely it is of another run",
           CONCLUDING),
    Faulty("a last step of another run", long(other_run(80)), "foreign", "step 80 is off the path",
           CONCLUDING),
    Faulty("adapters that were not trained", adapters(2, zeros=True), "base",
           "steps 10, 20 and 30 equal the base; likely lora_alpha or the learning rate is 0",
           CONCLUDING),
    Faulty("an adapter next to an unmerged base", unmerged, "base",
           f"steps 10, 20 and 30 equal the base; {UNMERGED}", MERGED),
]  # fmt: skip
