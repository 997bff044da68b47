"""Every verb that writes, as a command on good files, and what it writes undisturbed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tests.bad_inputs.good import RUN, make_good
from tests.workflow.contents import contents

Outcome = Literal["same", "one line", "BAD"]
"""The same results as undisturbed; or an error in one line, and nothing half-done."""
GRAM = "--gram made/gram.safetensors"
FACTORS = "--factors 'made/factors/step-{step}.safetensors'"
RANK = '[{"name": "rank-1@30", "step": 30, "recipe": {"kind": "rank", "depth": {"rank": 1}}}]'
FORECAST = (
    '[{"name": "relex@20", "label": "relex", "window": "20", "through": 20, "target_step": 30, '
    '"options": {"method": "relex"}}]'
)
MANIFESTS = "made/manifests/step-10.json made/manifests/step-30.json"
TRAIN = '{"algorithm": "sft", "problem": "addition", "steps": 4, "save_every": 2}'
PRETRAIN = '{"problem": "addition", "steps": 20}'
SUITE = '{"role": "test", "tasks": [{"task": "addition", "split": "test", "limit": 20}]}'
WRITERS = {
    "init": "init run --base base --out OUT/new.yaml",
    "factors": f"factors {RUN.replace('--checkpoints', '--checkpoint')} --rank 2 "
    "--out 'OUT/step-{step}.safetensors'",
    "gram": f"gram {RUN} --out OUT/gram.safetensors",
    "audit": f"audit {RUN} {GRAM} --out OUT/audit.json",
    "measure": f"measure floor {RUN} --out OUT/measures",
    "dynamics": f"dynamics {RUN} {GRAM} --scores scores.csv --permutations 20 "
    "--out OUT/fits.parquet --pca OUT/pca.csv",
    "rank": "rank --base base --checkpoint run/step-30 --kind full-update --out OUT/full",
    "dense": "rank --base base --checkpoint run/step-30 --rank 1 --dense --out OUT/dense",
    "ranks": f"ranks {RUN} {FACTORS} --spec '{RANK}' --out OUT/ranks",
    "unpack": "unpack model.gguf --out OUT/model",
    "trust": f"trust {RUN} {GRAM} --scores scores.csv --out OUT/trust.json",
    "forecast": f"forecast {RUN} {GRAM} --method raw-linear --target-step 60 --out OUT/forecast",
    "forecasts": f"forecasts {RUN} {GRAM} --spec '{FORECAST}' --out OUT/forecasts",
    "export": "export made/blend --out OUT/export",
    "truth": "truth --variant made/low --target run/step-30 --step 30 "
    "--gram made/gram.safetensors --out OUT/truth.parquet",
    "fetch": "fetch --task svamp --data rows.jsonl --out OUT/svamp-test.jsonl",
    "suite": f"suite --name s --spec '{SUITE}' --out OUT/suite.json",
    "evaluate": "evaluate --suite made/suite/suite.json --base base --variant a=base "
    "--variant b=run/step-30 --out OUT/scores",
    "accuracy": "accuracy --scores made/scores/base.json --out OUT/accuracy.csv",
    "tokens": "tokens --suite made/suite/suite.json --base base "
    "--writer base=made/scores/base.answers.jsonl --out OUT/tokens",
    "manifest": "manifest --checkpoint run/step-30 --step 30 --base base --out OUT/30.json",
    "checkpoints": f"checkpoints --run r --base b --manifests {MANIFESTS} --out OUT/table.json",
    "disjoint": "disjoint --suites made/suite/suite.json --out OUT/disjoint.json",
    "pretrain": f"pretrain --spec '{PRETRAIN}' --out OUT/base --manifest OUT/base.json --replace",
    "train": f"train --spec '{TRAIN}' --base base --out OUT/run "
    "--manifests 'OUT/step-{step}.json' --replace",
}  # fmt: skip
"""Commands without `alpharl`; `OUT` is the folder that is written to."""


@dataclass(frozen=True)
class Case:
    """A verb in a folder of good files of its own."""

    name: str
    folder: Path
    other: Path
    """Good files of other models."""
    expected: dict[str, object]
    """What it writes undisturbed: contents by name."""
    seconds: float
    """How long it takes undisturbed."""
    target: str = "out"
    """Where it writes, from its folder."""

    @property
    def out(self) -> Path:
        """Where it writes."""
        return self.folder / self.target

    @property
    def temporary(self) -> Path:
        """Its folder of temporary files, and of locks, which other writers share."""
        return self.folder.parent / "tmp"

    def command(self) -> list[str]:
        """Its command line."""
        words = shlex.split(WRITERS[self.name].replace("OUT", self.target))
        return [sys.executable, "-m", "alpharl", *words]

    def start(self, limits: str = "") -> subprocess.Popen[str]:
        """Start it, perhaps within limits of the shell."""
        command = self.command()
        if limits:
            command = ["bash", "-c", f'{limits}; exec "$@"', "bash", *command]
        return subprocess.Popen(
            command, cwd=self.folder, start_new_session=True, text=True,
            env=os.environ | {"TMPDIR": str(self.temporary), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def undisturbed(self) -> tuple[int, str]:
        """Run it to its end: the exit status and standard error."""
        process = self.start()
        _, errors = process.communicate()
        return process.returncode, errors

    def judged(self, status: int, errors: str) -> Outcome:
        """What a run that ended by itself is worth."""
        left = [*self.out.rglob("*.partial*")] if self.out.is_dir() else []
        made = contents(self.out)
        if status == 0 and made == self.expected and not left:
            return "same"
        lines = [line for line in errors.splitlines() if re.match(r"alpharl \w+: error: ", line)]
        clean = self.is_whole() and not left and "Traceback" not in errors
        if status == 1 and len(lines) == 1 and clean:
            return "one line"
        return self.bad(f"status {status}, left {left}: {errors}")

    def is_whole(self) -> bool:
        """Whether each file under its own name is as expected; of a growing log, its first rows."""
        made = {name: data for name, data in contents(self.out).items() if ".partial" not in name}
        logs = {name for name in made if Path(name).name == "training.csv"}
        return all(
            str(self.expected.get(name)).startswith(str(data))
            if name in logs
            else self.expected.get(name) == data
            for name, data in made.items()
        )

    def bad(self, why: str) -> Outcome:
        """Say on standard error what is wrong, and which files differ."""
        made = contents(self.out)
        names = sorted(made.keys() | self.expected.keys())
        differ = [name for name in names if made.get(name) != self.expected.get(name)]
        print(f"BAD: {self.name}: {differ} differ; {why[-3000:]}", file=sys.stderr, flush=True)
        return "BAD"


@dataclass(frozen=True)
class Good:
    """Good files, and those of other models."""

    files: Path
    other: Path


def make_both(folder: Path) -> Good:
    """Write them below a folder."""
    folders = [folder / name for name in ("good", "other")]
    for seed, each in enumerate(folders):
        each.mkdir()
        make_good(each, seed)
    return Good(*folders)


def case_of(good: Good, folder: Path, name: str) -> Case:
    """A verb with what it writes undisturbed."""
    case = Case(name, fresh(good.files, folder / f"{name}-first"), good.other, {}, 0.0)
    began = time.monotonic()
    status, errors = case.undisturbed()
    seconds = time.monotonic() - began
    assert status == 0, f"{name}: {errors}"
    return replace(case, expected=contents(case.out), seconds=seconds)


def fresh(good: Path, folder: Path) -> Path:
    """A copy of good files, with a folder of temporary files next to it."""
    shutil.copytree(good, folder)
    (folder.parent / "tmp").mkdir(exist_ok=True)
    return folder
