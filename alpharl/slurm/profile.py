"""A Snakemake profile for a SLURM site: its facts in one block, then what never differs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import yaml

from alpharl.checkpoints.files import write_text
from alpharl.errors import ClusterError
from alpharl.slurm.choose import Site

EXAMPLE = Site(partition="cpu", gpu_partition="gpu", gpus=8, minutes=1440)
"""The site that `profiles/slurm` is written for."""


def profile_files(site: Site) -> dict[str, str]:
    """The files of the profile's folder by name."""
    common = files("alpharl.slurm").joinpath("profile.yaml").read_text()
    texts = {"config.yaml": "\n".join([*_head(), *_facts(site), f"# {'-' * 98}", "", common])}
    if _two(site):
        texts["partitions.yaml"] = _partitions(site)
    return texts


def write_profile(folder: Path, texts: Mapping[str, str], force: bool) -> None:
    """Write the files of a profile, all or none; a file that says something else is left alone.

    Raises:
        ClusterError: such a file is there, and nothing forces.
    """
    other = [
        folder / name
        for name, text in texts.items()
        if (folder / name).exists() and (folder / name).read_text() != text
    ]
    if other and not force:
        raise ClusterError(
            f"found {', '.join(map(str, other))} with other contents, expected none; give another "
            "folder with --out, or --force"
        )
    for name, text in texts.items():
        write_text(folder / name, text)


def _two(site: Site) -> bool:
    return site.gpu_partition not in (None, site.partition)


def _head() -> list[str]:
    return [
        "# A SLURM cluster. `alpharl init --slurm` writes this for the one that it is run on, and",
        "# `snakemake --profile slurm` uses it. How, and other schedulers: profiles/README.md.",
        "",
    ]


def _facts(site: Site) -> list[str]:
    return [
        f"# --- Site facts: change what is wrong {'-' * 62}",
        "# What every job asks for.",
        "default-resources:",
        "  # Jobs run on one node each; GPUs would otherwise be spread over several.",
        "  nodes: 1",
        *_account(site),
        *_where(site),
        *_model(site),
        *_syntax(site),
        "  # A disk of each node's own, where models are built that are only scored; the default",
        "  # is what the node calls TMPDIR, or /tmp.",
        f"  # tmpdir: {_text('/scratch')}",
        *([] if not _two(site) else _file()),
        *_caps(site),
        "# How to ask for the state of jobs: `sacct` needs an accounting database, `squeue` none.",
        f"slurm-status-command: {site.status}",
        "# Seconds before that is done for the first time; most jobs of a study run for minutes.",
        f"slurm-init-seconds-before-status-checks: {site.status_seconds}",
    ]


def _account(site: Site) -> list[str]:
    line = f"slurm_account: {_text(site.account or 'my-account')}"
    return [
        "  # Who pays, where the site wants to know. Two kinds of quotes, because Snakemake reads",
        "  # what stands between the outer ones as Python.",
        f"  {line}" if site.account else f"  # {line}",
    ]


def _where(site: Site) -> list[str]:
    if _two(site):
        return []
    return ["  # The partition of all jobs.", f"  slurm_partition: {_text(site.partition)}"]


def _model(site: Site) -> list[str]:
    line = f"gpu_model: {_text(site.gpu_model or 'a100')}"
    return [
        "  # The model of GPU that jobs with GPUs ask for; without this line, whichever is free.",
        f"  {line}" if site.gpu_model else f"  # {line}",
    ]


def _syntax(site: Site) -> list[str]:
    return [
        "  # With this line, jobs ask for GPUs with --gres, as older SLURMs and some sites want;",
        "  # without it, with --gpus.",
        f"  {'' if site.gres else '# '}gpu_syntax: {_text('gres')}",
    ]


def _file() -> list[str]:
    return [
        "# That file sends jobs with GPUs to the partition that has them, all others elsewhere.",
        "slurm-partition-config: partitions.yaml",
    ]


def _caps(site: Site) -> list[str]:
    return [
        "# What jobs may not exceed.",
        "resources:",
        "  # The most minutes that a job may ask for at any attempt: what the partitions allow.",
        f"  runtime: {site.minutes}" if site.minutes else "  # runtime: 1440",
        "  # GPUs that all jobs together may hold at a time.",
        "  # gpu: 16",
        "# Minutes are a limit for each job, not for all together.",
        "set-resource-scopes:",
        "  runtime: local",
    ]


def _partitions(site: Site) -> str:
    listed = {site.partition: {}, site.gpu_partition: {"max_gpu": site.gpus}}
    return (
        "# Partitions by name. A job without GPUs goes to the first, one with GPUs to the other.\n"
        "# Give no other limits here: a job that exceeds those of the first would go to the GPUs.\n"
        + yaml.safe_dump({"partitions": listed}, sort_keys=False)
    )


def _text(value: str) -> str:
    """As YAML, a Python string."""
    return json.dumps(repr(value))


if __name__ == "__main__":
    for name, text in profile_files(EXAMPLE).items():
        (Path(sys.argv[1]) / name).write_text(text)
