"""Every verb that writes, under every fault: what it leaves, and what the next run makes of it.

`python -m tests.faults.verbs` prints the table: verbs, faults, and how often each ended how.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from tests.bad_inputs.good import RUN, make_good
from tests.markdown import markdown

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
TIMES = {"seconds", "seal", "stamps", "step_seconds"}
"""What differs from run to run in JSON."""


@dataclass(frozen=True)
class Case:
    """A verb in a folder of good files of its own."""

    name: str
    folder: Path
    expected: dict[str, str]
    """What it writes undisturbed: digests by name."""
    seconds: float
    """How long it takes undisturbed."""

    @property
    def out(self) -> Path:
        """Where it writes."""
        return self.folder / "out"

    @property
    def temporary(self) -> Path:
        """Its folder of temporary files."""
        return self.folder / "tmp"

    def command(self) -> list[str]:
        """Its command line."""
        words = shlex.split(WRITERS[self.name].replace("OUT", "out"))
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

    def judged(self, status: int, errors: str) -> Outcome:
        """What a run that ended by itself is worth."""
        left = [*self.out.rglob("*.partial*")] if self.out.is_dir() else []
        made = written(self.out)
        if status == 0 and made == self.expected and not left:
            return "same"
        lines = [line for line in errors.splitlines() if re.match(r"alpharl \w+: error: ", line)]
        whole = all(self.expected.get(name) == digest for name, digest in made.items())
        if status == 1 and len(lines) == 1 and whole and not left and "Traceback" not in errors:
            return "one line"
        return "BAD"


def written(out: Path) -> dict[str, str]:
    """Digests of the content of the files in a folder, without what differs from run to run."""
    paths = out.rglob("*") if out.is_dir() else ()
    files = [path for path in sorted(paths) if path.is_file()]
    return {str(path.relative_to(out)): _digest(path) for path in files if _lasts(path)}


def _lasts(path: Path) -> bool:
    """Whether a file is a result; lists of digests follow from others, answers are gone on with."""
    names = {".resume", ".rows.jsonl"}
    return path.suffix not in {".sha256", ".jsonl", ".pid"} and not names & {*path.parts}


def _digest(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".json":
        content = json.dumps(_timeless(json.loads(content)), sort_keys=True).encode()
    elif path.name == "training.csv":
        content = pd.read_csv(path).drop(columns="seconds").to_csv().encode()
    return hashlib.sha256(content).hexdigest()


def _timeless(data: object) -> object:
    if isinstance(data, dict):
        return {key: _timeless(value) for key, value in data.items() if key not in TIMES}
    return data


# --- faults ---


def undisturbed(case: Case) -> tuple[int, str]:
    """The run itself."""
    process = case.start()
    _, errors = process.communicate()
    return process.returncode, errors


def killed(case: Case, chance: random.Random) -> Outcome:
    """`kill -9` at a random moment, then the same command again."""
    process = case.start()
    time.sleep(chance.uniform(0, 1.05 * case.seconds))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    made = written(case.out)
    if not all(case.expected.get(name) == digest for name, digest in made.items()):
        return "BAD"  # a file under its own name is whole, also before the next run
    outcome = case.judged(*undisturbed(case))
    left = [path.name for path in case.temporary.glob("alpharl-*-*")]
    return "BAD" if left else outcome


def ended(case: Case, chance: random.Random) -> Outcome:
    """SIGTERM at a random moment: the command ends in order, and leaves nothing half-done."""
    process = case.start()
    time.sleep(chance.uniform(0, 1.05 * case.seconds))
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate()
    left = [*case.out.rglob("*.partial*"), *case.temporary.glob("alpharl-*-*")]
    whole = all(case.expected.get(n) == digest for n, digest in written(case.out).items())
    # Before Python has started, nobody handles signals.
    if process.returncode not in (0, 143, -signal.SIGTERM) or left or not whole:
        return "BAD"
    return case.judged(*undisturbed(case))


def limited(limits: str) -> Callable[[Case, random.Random], Outcome]:
    """Limits of the shell."""

    def fault(case: Case, chance: random.Random) -> Outcome:
        process = case.start(limits)
        _, errors = process.communicate()
        return case.judged(process.returncode, errors)

    return fault


def on_disk(options: str) -> Callable[[Case, random.Random], Outcome]:
    """A file system of its own for what is written: small, or read-only."""

    def fault(case: Case, chance: random.Random) -> Outcome:
        case.out.mkdir(exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(case.out)]
        subprocess.run(mount, check=True)
        try:
            return case.judged(*undisturbed(case))
        finally:
            subprocess.run(["umount", str(case.out)], check=True)

    return fault


def vanishing(case: Case, chance: random.Random) -> Outcome:
    """The folder of results is removed while the command runs."""
    process = case.start()
    time.sleep(chance.uniform(0.3, 1) * case.seconds)
    shutil.rmtree(case.out, ignore_errors=True)
    _, errors = process.communicate()
    if process.returncode == 0:  # it was removed when all was written
        return case.judged(*undisturbed(case))
    return case.judged(process.returncode, errors)


def replaced(case: Case, chance: random.Random) -> Outcome:
    """A checkpoint's weights are written anew while they are read; afterwards they are back."""
    path = case.folder / "run/step-30/model.safetensors"
    content, stat = path.read_bytes(), path.stat()
    process = case.start()
    time.sleep(chance.uniform(0.3, 1) * case.seconds)
    path.write_bytes(content[:-64] + bytes(64))
    _, errors = process.communicate()
    found, made = case.judged(process.returncode, errors), written(case.out)
    if found == "BAD" and process.returncode == 0:
        # They were new before anything was read: then all results have to be of the new ones.
        shutil.rmtree(case.out)
        undisturbed(case)
        found = "same" if written(case.out) == made else "BAD"
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return found


def clock_back(case: Case, chance: random.Random) -> Outcome:
    """All files are of tomorrow: the clock went back."""
    for path in case.folder.rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            os.utime(path, (time.time() + 86400,) * 2)
    return case.judged(*undisturbed(case))


def two_writers(case: Case, chance: random.Random) -> Outcome:
    """Two processes write the same results at once."""
    processes = [case.start(), case.start()]
    ends = [process.communicate()[1] for process in processes]
    outcomes = [
        case.judged(process.returncode, errors)
        for process, errors in zip(processes, ends, strict=True)
    ]
    return "BAD" if "BAD" in outcomes else "same" if "same" in outcomes else outcomes[0]


FAULTS: dict[str, Callable[[Case, random.Random], Outcome]] = {
    "kill -9": killed,
    "SIGTERM": ended,
    "two writers": two_writers,
    "disk full (8 KiB)": on_disk("size=8k"),
    "disk full (128 KiB)": on_disk("size=128k"),
    "read-only disk": on_disk("ro"),
    "ulimit -f 4": limited("ulimit -f 4"),
    "ulimit -n 24": limited("ulimit -n 24"),
    "results removed": vanishing,
    "weights replaced": replaced,
    "clock back": clock_back,
}
"""What happens, by name."""


def cases(good: Path, folder: Path, names: list[str]) -> Iterator[Case]:
    """Each verb with what it writes undisturbed."""
    for name in names:
        case = Case(name, _fresh(good, folder / f"{name}-first"), {}, 0.0)
        began = time.monotonic()
        status, errors = undisturbed(case)
        seconds = time.monotonic() - began
        assert status == 0, f"{name}: {errors}"
        yield Case(name, case.folder, written(case.out), seconds)


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _fresh(good: Path, folder: Path) -> Path:
    shutil.copytree(good, folder)
    (folder / "tmp").mkdir()
    return folder


def outcome(case: Case, good: Path, fault: str, seed: int) -> Outcome:
    """What a verb makes of a fault, with good files of its own."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        fresh = Case(case.name, _fresh(good, Path(folder) / "x"), case.expected, case.seconds)
        return FAULTS[fault](fresh, random.Random(f"{seed} {case.name} {fault}"))


def main(times: int = 2) -> None:
    """Print the table: how often each verb ended in each way."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        good = make_good(_empty(Path(folder) / "good"))
        rows = []
        for case in cases(good, Path(folder), [*WRITERS]):
            row = {"verb": case.name}
            for fault in FAULTS:
                repeats = times if fault in {"kill -9", "SIGTERM"} else 1
                ends = Counter(outcome(case, good, fault, seed) for seed in range(repeats))
                row[fault] = ", ".join(f"{n} {end}" for end, n in ends.items())
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
    print(markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
