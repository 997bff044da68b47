"""Bad inputs of the kind made: files that commands and others wrote, damaged since or exchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.bad_inputs.good import RUN
from tests.bad_inputs.table import BadInput
from tests.bad_inputs.weights import READERS as OF_WEIGHTS

EVALUATE, TOKENS = OF_WEIGHTS["evaluate"], OF_WEIGHTS["tokens"]
TRAIN = (
    """train --spec '{"algorithm": "sft", "problem": "svamp", "steps": 1, "save_every": 1}' """
    "--base base --data rows.jsonl --without made/suite/suite.json --out new"
)
RANK = '[{"name": "rank-1@30", "step": 30, "recipe": {"kind": "rank", "depth": {"rank": 1}}}]'


def of_variant(name: str) -> dict[str, str]:
    """What reads a variant's folder."""
    return {
        "export": f"export made/{name} --out new",
        "evaluate": EVALUATE.replace("x=run/step-30", f"x=made/{name}"),
    }


GRAM = "--gram made/gram.safetensors"
FACTORS = "--factors 'made/factors/step-{step}.safetensors'"
FORECAST = (
    '[{"name": "relex@20", "label": "relex", "window": "20", "through": 20, "target_step": 30, '
    '"options": {"method": "relex"}}]'
)
LOW = of_variant("low") | {"truth": OF_WEIGHTS["truth"]}
READERS = {
    "made/suite/suite.json": {
        "evaluate": EVALUATE, "tokens": TOKENS,
        "disjoint": "disjoint --suites made/suite/suite.json --out new.json",
        "trust": f"trust {RUN} --scores scores.csv --suite made/suite/suite.json --trials new",
        "train": TRAIN,
    },
    "made/suite/addition-validation.jsonl": {"evaluate": EVALUATE, "tokens": TOKENS},
    "made/scores/base.json": {"accuracy": "accuracy --scores made/scores/base.json --out new.csv"},
    "made/scores/base.answers.jsonl": {"tokens": TOKENS},
    "made/gram.safetensors": {
        "forecast": f"forecast {RUN} {GRAM} --method relex --target-step 60 --out new",
        "trust": f"trust {RUN} {GRAM}",
        "dynamics": f"dynamics {RUN} {GRAM} --scores scores.csv --out new.parquet",
        "audit": f"audit {RUN} {GRAM}",
        "truth": OF_WEIGHTS["truth"],
        "forecasts": f"forecasts {RUN} {GRAM} --spec '{FORECAST}' --out new",
    },
    "made/manifests/step-30.json": {
        "checkpoints": "checkpoints --run r --base b --manifests made/manifests/step-10.json "
        "made/manifests/step-30.json --out new.json",
        "audit": f"audit {RUN} {GRAM} --manifests made/manifests/step-30.json",
    },
    "made/factors/step-30.safetensors": {
        "forecast": f"forecast {RUN} {FACTORS} --scores scores.csv --method alpharl-step "
        "--target-step 60 --out new",
        "dynamics": f"dynamics {RUN} {FACTORS} --scores scores.csv --out new.parquet",
        "ranks": f"ranks {RUN} {FACTORS} --spec '{RANK}' --out new",
    },
    "made/blend/blend.json": of_variant("blend"),
    "made/blend/variant.json": of_variant("blend"),
    "made/low/adapter/adapter_model.safetensors": LOW,
    "made/low/adapter/adapter_config.json": LOW,
    "made/data/svamp-test.jsonl": {
        "suite": """suite --name s --spec '{"role": "test", "tasks": [{"task": "svamp"}]}' """
        "--data made/data --out new.json",
    },
    "model.gguf": {"unpack": "unpack model.gguf --out new"},
    "study.yaml": {"check": "check study.yaml", "status": "status study.yaml",
                   "report": "report study.yaml"},
}  # fmt: skip
"""The verbs that read each file."""


def written(data: bytes) -> Callable[[Path], object]:
    """The file holds these bytes."""
    return lambda file: file.write_bytes(data)


def cut(file: Path) -> None:
    """The file lacks its second half, as after a full disk."""
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def zeros(file: Path) -> None:
    """The file has its length and no content, as after a crash."""
    file.write_bytes(bytes(file.stat().st_size))


def folder(file: Path) -> None:
    """A folder has the file's name."""
    file.unlink()
    file.mkdir()


def link(file: Path) -> None:
    """A link that leads to itself has the file's name."""
    file.unlink()
    file.symlink_to(file.name)


WAYS = {
    "missing": Path.unlink,
    "empty": written(b""),
    "cut": cut,
    "zeros": zeros,
    "a list": written(b"[]"),
    "another object": written(b'{"a": 1}'),
    "a number": written(b"7"),
    "a page": written(b"<!DOCTYPE html><html>404</html>"),
    "not UTF-8": written(b'\xff\xfe{"\xe9": 1}'),
    "deep": written(b"[" * 200_000),
    "a folder": folder,
    "a loop": link,
}
"""What happens to a file."""


def row(file: str, what: str) -> BadInput:
    """A file that something happened to; the line names it, or the folder that lacks it."""
    way = WAYS[what]
    name = Path(file).name.replace(".", r"\.")
    folders = "|".join(part for part in (Path(file).parent.as_posix(), "suite 'suite'"))
    return BadInput(f"{file} {what}", lambda _: way(Path(file)), f"{name}|{folders}", READERS[file])


ROWS = [row(file, what) for file in READERS for what in WAYS]
