"""What several verbs read and write: folders of checkpoints, factors, grams, score tables."""

from __future__ import annotations

import csv
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from alpharl.checkpoints.files import write_atomic
from alpharl.checkpoints.sources import given_steps
from alpharl.errors import MethodError
from alpharl.progress import Lines
from alpharl.spectra.depth import Depth

if TYPE_CHECKING:
    import pandas as pd

    from alpharl.spectra.gram import Gram
    from alpharl.spectra.lowrank import Factors


LINES = Lines()
log = LINES.line


def run_folders(args: Namespace) -> dict[int, Path]:
    """Model folders of the run's steps, increasing, without the base."""
    folders = given_steps(args.checkpoints, args.steps)
    # Step 0 is the base, not an observation, also where it was saved with the run.
    return {step: folders[step] for step in sorted(folders) if step > 0}


def read_accuracy(path: Path) -> dict[int, float]:
    """A table `step,accuracy` as a mapping."""
    try:
        with path.open(newline="") as file:
            return {int(row["step"]): float(row["accuracy"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise MethodError(
            f"{path}: expected a CSV with columns step,accuracy ({error!r})"
        ) from None


def option_pair(pair: str, form: str = "KEY=VALUE") -> tuple[str, Any]:
    """The key and the value of `--option KEY=VALUE`; the value is YAML, as in a study file.

    Raises:
        MethodError: there is no `=`, or the value is not YAML.
    """
    key, equals, text = pair.partition("=")
    if not equals:
        raise MethodError(f"option '{pair}': found no '=', expected {form}")
    try:
        return key, yaml.safe_load(text)
    except yaml.YAMLError:
        raise MethodError(
            f"option '{pair}': found '{text}', expected a value as a study file has it"
        ) from None


def write_table(table: pd.DataFrame, out: Path) -> None:
    """Write a table as Parquet, and as CSV beside it."""
    write_csv(table, out.with_suffix(".csv"))
    write_atomic(out, lambda p: table.to_parquet(p, index=False))


def write_csv(table: pd.DataFrame, out: Path) -> None:
    """Write a table as CSV."""
    write_atomic(out, lambda p: table.to_csv(p, index=False))


def factors_of(
    args: Namespace, folders: Mapping[int, Path], depth: Depth
) -> dict[int, dict[str, Factors]]:
    """Factors of each step."""
    factors = {}
    for step, folder in folders.items():
        made = args.factors and shard_paths(args.factors.replace("{step}", str(step)), args.shards)
        factors[step] = factors_at(made, args.base, folder, depth)
    return factors


def factors_at(
    made: list[Path] | None, base: Path, checkpoint: Path, depth: Depth
) -> dict[str, Factors]:
    """Factors of one checkpoint: read where they were made before, else made now."""
    from alpharl.spectra.lowrank import read_factors

    if made:
        return read_factors(made)
    from alpharl.spectra.factors import Settings, factor_checkpoint

    log(f"factors of {checkpoint}")
    return factor_checkpoint(base, checkpoint, Settings(depth))


def gram_of(args: Namespace, folders: Mapping[int, Path]) -> Gram:
    """Gram of the steps: read where it was made before, else made now."""
    from alpharl.spectra.gram import gram_run, read_gram

    if args.gram:
        return read_gram(shard_paths(args.gram, args.shards))
    log(f"gram of {len(folders)} checkpoints")
    return gram_run(args.base, dict(folders))


def shard_paths(pattern: str, count: int) -> list[Path]:
    """Files of all shards of a pattern with `{shard}` in it."""
    return [Path(pattern.replace("{shard}", str(shard))) for shard in range(count)]
