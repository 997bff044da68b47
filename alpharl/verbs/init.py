"""Write a study file for the checkpoints in a folder, or a Snakemake profile for this cluster.

Looks for the checkpoints that trainers leave (TRL, verl, any step-N folders). The study file is
commented, and `alpharl check` accepts it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alpharl.errors import StudyError
from alpharl.frozen import Frozen
from alpharl.slurm.choose import Site
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputNew
from alpharl.verbs.result import Result

if TYPE_CHECKING:
    from alpharl.checkpoints.discover import FoundRun, LeftOut

EXAMPLE = "alpharl init runs/foo --base models/base --out my-study.yaml"
NAMES, REASONS = 8, 5
"""Names in a line, and lines with a reason, of what is left out."""


class DiscoveredRun(Frozen):
    """A run that lies in the folder."""

    checkpoints: str
    """Pattern of its checkpoint folders, or the first of them."""
    steps: list[int]
    """Steps of its checkpoints."""
    note: str
    """What was found, in a few words."""
    base: str
    """Its base: the one that was named, or else the one that its files tell."""


class LeftOutFolders(Frozen):
    """Folders that look like checkpoints and are in no run, for one reason."""

    folders: list[str]
    """Their paths."""
    reason: str
    """What they hold, or how their names differ."""

    def line(self) -> str:
        """The folders by name, and the reason."""
        return f"left out {_names(self.folders)}: {self.reason}"


class Started(Result):
    """What `init` wrote, and from what."""

    written: str
    """The study file, or the folder of the profile."""
    runs: list[DiscoveredRun]
    """Runs in the study file."""
    fetched: list[str]
    """Bases that are no folders here, but repositories of the Hub."""
    left_out: list[LeftOutFolders]
    """What looks like a checkpoint and is in none of them, grouped by the reason."""
    site: Site | None
    """What the profile says of the cluster, with `--slurm`."""

    def blocks(self) -> Iterator[str]:
        """What was found, and what to do next."""
        for run in self.runs:
            yield f"found {run.note} in {run.checkpoints}, base {run.base}"
        yield from (group.line() for group in self.left_out[:REASONS])
        more = [folder for group in self.left_out[REASONS:] for folder in group.folders]
        yield from [f"left out {_names(more)}: --json tells why"] if more else []
        for repository in self.fetched:
            yield (
                f"{repository} is no folder here: the study will fetch it from the Hub; if it is a "
                "folder, correct its path in the study file"
            )
        if self.site is None:
            yield f"wrote {self.written}; next: see what its suites ask, then"
            yield f"  alpharl check {self.written}"
            return
        yield from _site_lines(self.site)
        yield f"wrote {self.written}; look at the first block of its config.yaml, then"
        yield f"  snakemake --profile {self.written} --configfile STUDY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "folder", type=Path, nargs="?", metavar="FOLDER",
        help="folder of a trainer's output, or of several",
    )  # fmt: skip
    parser.add_argument(
        "--base", metavar="MODEL",
        help="model before RL, a folder or a Hub repository (default: what the checkpoints tell)",
    )  # fmt: skip
    parser.add_argument(
        "--task", default="gsm8k", metavar="NAME",
        help="what the study file's suites ask, see `alpharl tasks` (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, action=OutputNew, metavar="PATH",
        help="study file to write (default: FOLDER's name with .yaml), or with --slurm the "
        "profile's folder (default: slurm)",
    )  # fmt: skip
    _add_slurm(parser.add_argument_group("profile for this SLURM cluster"))
    prints(parser, Started)


def _add_slurm(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--slurm", action="store_true", help="write a profile, not a study file")
    group.add_argument(
        "--account", metavar="NAME", help="account that pays for jobs (default: your first)"
    )
    group.add_argument(
        "--partition", metavar="NAME",
        help="partition for jobs without GPUs (default: the cluster's, without GPUs if there is "
        "one)",
    )  # fmt: skip
    group.add_argument(
        "--gpu-partition", metavar="NAME", help="partition for jobs with GPUs (default: guessed)"
    )
    group.add_argument(
        "--gpu-model", metavar="NAME", help="model of GPU that jobs ask for (default: any)"
    )
    group.add_argument(
        "--gpu-syntax", choices=["gpus", "gres"],
        help="option of sbatch that asks for GPUs (default: gpus where SLURM knows it)",
    )  # fmt: skip
    group.add_argument(
        "--force", action="store_true", help="overwrite files of a profile that were changed"
    )


def run(
    folder: Path | None,
    base: str | None,
    task: str,
    out: Path | None,
    slurm: bool,
    account: str | None,
    partition: str | None,
    gpu_partition: str | None,
    gpu_model: str | None,
    gpu_syntax: str | None,
    force: bool,
) -> Started:
    """Write a study file or a profile."""
    if slurm:
        from alpharl.slurm.choose import choose
        from alpharl.slurm.profile import profile_files, write_profile
        from alpharl.slurm.site import look

        site = choose(look(), account, partition, gpu_partition, gpu_model, gpu_syntax)
        written = out or Path("slurm")
        write_profile(written, profile_files(site), force)
        return Started(written=str(written), runs=[], fetched=[], left_out=[], site=site)
    if any((account, partition, gpu_partition, gpu_model, gpu_syntax, force)):
        raise StudyError("found options of a profile without --slurm; add it to write one")
    if folder is None:
        raise StudyError("found no folder, expected that of a trainer's output, or --slurm")
    return _write_study(folder, base, task, out)


def _write_study(folder: Path, base: str | None, task: str, out: Path | None) -> Started:
    from alpharl.checkpoints.discover import find_runs
    from alpharl.checkpoints.files import write_text
    from alpharl.study.starter import study_text
    from alpharl.study.starter_runs import (
        bases_of,
        has_chat_template,
        named,
        repository,
        starters,
    )

    name = named(folder.resolve().name)
    out = out or Path(f"{name}.yaml")
    if out.exists():
        raise StudyError(f"{out}: exists already; remove it, or name another file with --out")
    discovered, elsewhere = find_runs(folder)
    bases = bases_of(discovered, base)
    chat = any(has_chat_template(keys.get("path")) for keys in bases.values())
    write_text(out, study_text(name, bases, starters(discovered, bases, name), chat, task))
    left_out = [*(entry for run in discovered for entry in run.left_out), *elsewhere]
    return Started(
        written=str(out),
        runs=[_described(run, base) for run in discovered],
        fetched=[repo for keys in bases.values() if (repo := repository(keys))],
        left_out=_grouped(left_out),
        site=None,
    )


def _names(folders: Sequence[str]) -> str:
    names = [Path(folder).name for folder in folders]
    if len(names) <= NAMES:
        return ", ".join(names)
    return f"{', '.join(names[: NAMES - 2])}, ..., {names[-1]} ({len(names)} folders)"


def _grouped(left_out: Iterable[LeftOut]) -> list[LeftOutFolders]:
    """By reason, in the order of the first folder of each."""
    groups: dict[str, list[str]] = {}
    for entry in left_out:
        groups.setdefault(entry.reason, []).append(str(entry.folder))
    return [LeftOutFolders(folders=paths, reason=reason) for reason, paths in groups.items()]


def _described(run: FoundRun, base: str | None) -> DiscoveredRun:
    from alpharl.study.starter_runs import note

    return DiscoveredRun(
        checkpoints=run.pattern or str(next(iter(run.folders.values()))),
        steps=list(run.folders),
        note=note(run),
        base=base or run.base or "",
    )


def _site_lines(site: Site) -> Iterator[str]:
    gpus = f"{site.gpu_partition}, {site.gpus} a node" if site.gpu_partition else "none found"
    yield f"partition: {site.partition}"
    yield f"GPUs: {gpus}, model {site.gpu_model or 'any'}, by {'--gres' if site.gres else '--gpus'}"
    yield f"account: {site.account or 'none'}"
    yield f"time limit: {f'{site.minutes} minutes' if site.minutes else 'none'}"
    yield f"states of jobs: {site.status}"
