"""Time of planning: our dry runs beside bare Snakemake's on as many jobs: `make benchmark-plan`.

CPU seconds of the process count, since machines are shared. Nothing is made: a plan reads no
weights, and no file of a study has to exist.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.benchmarks.run import machine

REPO = Path(__file__).resolve().parents[2]
CHECKPOINTS, BASES, ALGORITHMS = 30, 13, 10
BAR = 2.0
"""Our seconds over bare Snakemake's, at most."""
REPEATS = 2
HEADER = (
    "study", "jobs", "s", "ms a job", "MiB",
    "bare, as many runs: jobs", "s", f"ratio (bar {BAR:g})",
    "bare, as many jobs: s", f"ratio (bar {BAR:g})", "asking, as many jobs: s", "ratio",
    "start of one job, s", "bare",
)  # fmt: skip
LEGEND = """
`bare` are jobs of no work that ask for nothing, in Snakemake alone: per run 30 checkpoints, 30
factor jobs, a gram, 30 variants and 30 scores. `asking` are the same with what a job on a cluster
cannot do without: memory, time, disk and GPUs by functions of the run, a log, a benchmark file, a
command with parameters. The difference between both is Snakemake's own price of these.
"""
# A run's jobs in Snakemake alone: what is asked for is what is done, by nothing.
BARE = """
N = range(1, {checkpoints} + 1)
def one(wildcards):
    return 1
def grows(wildcards, attempt):
    return attempt
rule all:
    input: [f"{{run}}/scores/{{n}}" for run in [f"run{{i}}" for i in range({runs})] for n in N]
rule checkpoint:
    output: "{{run}}/checkpoints/{{n}}"
    {checkpoint}
rule factors:
    input: "{{run}}/checkpoints/{{n}}"
    output: "{{run}}/factors/{{n}}"
    {factors}
rule gram:
    input: lambda w: [f"{{w.run}}/checkpoints/{{n}}" for n in N]
    output: "{{run}}/gram"
    {gram}
rule variant:
    input: "{{run}}/gram", "{{run}}/factors/{{n}}"
    output: "{{run}}/variants/{{n}}"
    {variant}
rule score:
    input: "{{run}}/variants/{{n}}"
    output: "{{run}}/scores/{{n}}"
    {score}
"""
NOTHING = 'shell: "true"'
ASKING = """
    log: "logs/{rule}/{name}"
    benchmark: "benchmarks/{rule}/{name}"
    threads: one
    resources: mem_mb=grows, runtime=grows, disk_mb=one, gpu=one
    params: model=one, version=1
    message: "Doing {rule} of {{wildcards}}"
    shell: "do {{params.model}} --gpus {{resources.gpu}} --out {{output:q}} 2> {{log:q}}"
"""


@dataclass(frozen=True)
class Cost:
    """What one `snakemake` took."""

    jobs: int
    seconds: float
    """CPU time, user and system."""
    memory: float
    """Peak, MiB."""

    @property
    def cells(self) -> list[str]:
        """Jobs, seconds, milliseconds a job, memory."""
        each = 1000 * self.seconds / self.jobs
        return [str(self.jobs), f"{self.seconds:.1f}", f"{each:.2f}", f"{self.memory:.0f}"]


def study(runs: dict[str, Any], bases: dict[str, Any], **spectra: int) -> dict[str, Any]:
    """A study of these runs with thirty variants of each: 14 rank-k models, 16 forecasts."""
    suites = {
        role: {"role": role, "tasks": [{"task": "addition", "split": role}], "max_new_tokens": 9}
        for role in ("validation", "test")
    }
    methods = ("last", "expo", "first-update", "weight-extrapolation", "momentum", "relex",
               "relex-pinned", "alpharl-step")  # fmt: skip
    return {
        "study": "plan",
        "bases": bases,
        "runs": runs,
        "suites": suites,
        "spectra": spectra,
        "rank": {"ranks": [1, 2, 4, 8, 16], "unscaled": [1], "without": [], "rest": [],
                     "percent_components": [], "full_update": True, "components": []},
        "forecast": {"windows": [0.2, 0.4], "methods": {name: {} for name in methods}},
    }  # fmt: skip


def own_checkpoints(runs: int) -> dict[str, Any]:
    """A study of checkpoints that exist: about a hundred jobs a run."""
    steps = {"first": 10, "last": 10 * CHECKPOINTS, "every": 10}
    specs = {
        f"run{i}": {"base": "base", "checkpoints": f"runs/{i}/step-{{step}}", "steps": steps}
        for i in range(runs)
    }
    return study(specs, {"base": {"path": "models/base"}})


def trained(checkpoints_per_job: int) -> dict[str, Any]:
    """The large study: every algorithm from every base, thirty checkpoints and variants of each."""
    bases = {f"base{b}": {"path": f"models/{b}"} for b in range(BASES)}
    runs = {
        f"base{b}-algorithm{a}": {
            "base": f"base{b}",
            "train": {"seed": a, "steps": 10 * CHECKPOINTS, "save_every": 10},
        }
        for b in range(BASES)
        for a in range(ALGORITHMS)
    }
    return study(runs, bases, checkpoints_per_job=checkpoints_per_job)


def measure(folder: Path, *options: str) -> tuple[str, float, float]:
    """Output, CPU seconds and peak MiB of one `snakemake` in a folder."""
    with tempfile.TemporaryFile("w+") as out:
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *options]
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    if process.returncode:
        raise SystemExit(f"error: {' '.join(command)} in {folder} failed:\n{text}")
    return text, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def dry_run(folder: Path, options: list[str], repeats: int = REPEATS) -> Cost:
    """The fastest of several dry runs."""
    best = []
    for _ in range(repeats):
        text, seconds, memory = measure(folder, *options, "--dry-run", "--quiet", "rules", "host")
        (jobs,) = re.findall(r"^total\s+(\d+)$", text, re.M)[:1]
        best.append(Cost(int(jobs), seconds, memory))
    return min(best, key=lambda cost: cost.seconds)


def alone(target: str) -> list[str]:
    """Options with which a scheduler's job runs one job of the plan: the same files, read again."""
    rule = target.partition(":")[0]
    options = ["--target-jobs", target, "--allowed-rules", rule, "--force", "--mode", "remote"]
    return [*options, "--target-files-omit-workdir-adjustment", "--nolock"]


def start(folder: Path, options: list[str], target: str, repeats: int = REPEATS) -> float:
    """CPU seconds until a job that was submitted alone would start."""
    command = [*options, *alone(target), "--dry-run"]
    return min(measure(folder, *command)[1] for _ in range(repeats))


def ours(config: dict[str, Any], folder: Path) -> list[str]:
    """Options that plan a study, whose file is written into the folder."""
    (folder / "study.yaml").write_text(yaml.safe_dump(config))
    snakefile = ["--snakefile", str(REPO / "workflow/Snakefile"), "--configfile", "study.yaml"]
    return [*snakefile, "--workflow-profile", str(REPO / "profiles/default")]


def runs_of(jobs: int) -> int:
    """Bare runs of about so many jobs."""
    return max(1, round(jobs / (4 * CHECKPOINTS + 1)))


def bare(runs: int, folder: Path, rest: str = NOTHING) -> list[str]:
    """Options that plan so many runs with Snakemake alone; the rest of each rule is given."""
    rules = {rule: "{run}-{n}" for rule in ("checkpoint", "factors", "variant", "score")}
    rests = {
        rule: rest.format(rule=rule, name=name)
        for rule, name in (rules | {"gram": "{run}"}).items()
    }
    text = BARE.format(checkpoints=CHECKPOINTS, runs=runs, **rests)
    (folder / "bare.smk").write_text(text)
    return ["--snakefile", "bare.smk", "--scheduler", "greedy"]


def line(name: str, config: dict[str, Any]) -> list[str]:
    """One row of the table, also printed at once."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        options = ours(config, folder)
        mine = dry_run(folder, options)
        first, count = next(iter(config["runs"])), runs_of(mine.jobs)
        started = start(folder, options, f"gram:run={first},shard=0")
        alike = dry_run(folder, bare(len(config["runs"]), folder))
        options = bare(count, folder)
        other = dry_run(folder, options)
        alone = start(folder, options, "gram:run=run0")
        asking = dry_run(folder, bare(count, folder, ASKING))
    ratios = [f"{mine.seconds / cost.seconds:.2f}" for cost in (alike, other, asking)]
    row = [name, *mine.cells, str(alike.jobs), f"{alike.seconds:.1f}", ratios[0],
           f"{other.seconds:.1f}", ratios[1], f"{asking.seconds:.1f}", ratios[2],
           f"{started:.1f}", f"{alone:.1f}"]  # fmt: skip
    print(" | ".join(row), flush=True)
    return row


def lines(sizes: list[int]) -> Iterator[list[str]]:
    """All rows."""
    for runs in sizes:
        yield line(f"{runs} runs of existing checkpoints", own_checkpoints(runs))
    shape = f"{BASES} bases x {ALGORITHMS} algorithms, trained"
    for each in (1, CHECKPOINTS):
        yield line(f"{shape}, checkpoints_per_job {each}", trained(each))


def main() -> None:
    """Measure every size and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 12, 123], help="sizes")
    parser.add_argument("--out", type=Path, help="Markdown file")
    args = parser.parse_args()
    print(" | ".join(HEADER), flush=True)
    rows = list(lines(args.runs))
    if args.out:
        text = ["# Benchmarks of the plan", "", f"`make benchmark-plan`. {machine()}.", ""]
        text += [f"| {' | '.join(line)} |" for line in (HEADER, ["---"] * len(HEADER), *rows)]
        text += LEGEND.rstrip().split("\n")
        args.out.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
