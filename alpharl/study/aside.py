"""Damaged results of a study are renamed by the job that finds them, so that they are made again.

Snakemake makes what is not there, and hashes nothing: the next run makes the file again, and what
follows from it. Outside of a workflow nothing is renamed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

VARIABLE = "ALPHARL_RESULTS"
"""Environment variable of a workflow's jobs: the folder that its results lie in."""
END = ".damaged"


def set_aside(path: Path) -> str:
    """Rename a file of no use, if it is a result of the study whose job this is.

    Args:
        path: the file.

    Returns:
        What was done, to end the error's line with; empty if nothing was.
    """
    results = os.environ.get(VARIABLE)
    if not results or not path.resolve().is_relative_to(Path(results).resolve()):
        return ""
    aside = path.with_name(path.name + END)
    with suppress(OSError):
        path.replace(aside)
        return f"; it is now {aside.name}, and the same snakemake command makes it again"
    return ""
