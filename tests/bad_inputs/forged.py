"""Bad inputs of the kind forged: their digests are right, and no command writes what they hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from tests.bad_inputs.made import READERS, TRAIN, of_variant
from tests.bad_inputs.table import BadInput
from tests.fuzz.seals import about, digest, pack, require_sealed, resealed_bytes, write_sealed
from tests.fuzz.suites import suite_digest

Spoil = Callable[[Path], object]
GRAM, FACTORS = "made/gram.safetensors", "made/factors/step-30.safetensors"
SCORE, SUITE, QUESTIONS = (
    "made/scores/base.json", "made/suite/suite.json", "made/suite/addition-validation.jsonl",
)  # fmt: skip
Q, UP = "model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.up_proj.weight"


def arrays(file: str, change: Callable[[dict[str, np.ndarray], Any], object]) -> Spoil:
    """A file of arrays, or what it says of itself, is changed and sealed again."""

    def spoil(_: Path) -> None:
        stored, told = load_file(file), about(Path(file))
        change(stored, told)
        Path(file).write_bytes(pack(stored, told))

    return spoil


def record(file: str, change: Callable[[Any], object]) -> Spoil:
    """A record is changed and sealed again."""

    def spoil(_: Path) -> None:
        told = require_sealed(Path(file))
        change(told)
        write_sealed(Path(file), told)

    return spoil


def exchanged_sides(stored: dict[str, np.ndarray], told: Any) -> None:
    stored[f"{UP}/u"], stored[f"{UP}/v"] = stored[f"{UP}/v"], stored[f"{UP}/u"]


def after_the_seal(_: Path) -> None:
    """A second accuracy stands behind the digest."""
    text = Path(SCORE).read_text().rstrip()[:-1].rstrip()
    Path(SCORE).write_bytes(resealed_bytes(f'{text},\n "accuracy": 0.9\n}}\n'.encode()))


def beyond_floats(_: Path) -> None:
    """The scale of an adapter is a whole number that no float holds."""
    file = Path("made/low/adapter/adapter_config.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "lora_alpha": 10**400}))
    listed = {"adapter/adapter_config.json": digest(file)}
    record("made/low/variant.json", lambda told: told["files"].update(listed))(Path())


def twice(_: Path) -> None:
    """A step stands twice in a blend, the second time with a space."""
    blend = json.loads(Path("made/blend/blend.json").read_text())
    for row in blend.values():
        row["10 "] = 5.0
    Path("made/blend/blend.json").write_text(json.dumps(blend))
    record("made/blend/variant.json", lambda t: t["files"].update({"blend.json": digest(Path(
        "made/blend/blend.json"))}))(Path())  # fmt: skip


def number_for_an_answer(_: Path) -> None:
    """A question's answer is no text; the suite has the file's digest."""
    text = Path(QUESTIONS).read_text().replace('"answer": "062"', '"answer": 62')
    Path(QUESTIONS).write_text(text)
    told = require_sealed(Path(SUITE))
    told["tasks"][0]["sha256"] = digest(Path(QUESTIONS))
    told["digest"] = suite_digest(told)
    write_sealed(Path(SUITE), told)


OF_GRAM, OF_FACTORS, OF_SUITE = READERS[GRAM], READERS[FACTORS], READERS[SUITE]
ROWS = [
    BadInput("a gram without steps", arrays(GRAM, lambda a, t: a.pop("steps")),
             "gram.safetensors: found other steps than", OF_GRAM),
    BadInput("a gram of fractions of steps", arrays(GRAM, lambda a, t: a.update(
             steps=a["steps"].astype(float))), "found other steps than", OF_GRAM),
    BadInput("a gram that is not symmetric", arrays(GRAM, lambda a, t: np.put(a[Q], 1, 7.0)),
             f"found no inner products under '{Q}'", OF_GRAM),
    BadInput("a gram with a negative square", arrays(GRAM, lambda a, t: np.put(a[Q], 0, -1.0)),
             f"found no inner products under '{Q}'", OF_GRAM),
    BadInput("a gram with a text for the base's norm", arrays(GRAM, lambda a, t: t.update(
             base_square="7")), "found a base_square that is no number", OF_GRAM),
    BadInput("factors without residuals", arrays(FACTORS, lambda a, t: a.pop(f"{Q}/residual")),
             f"step-30.safetensors: found no factors of a matrix under '{Q}'", OF_FACTORS),
    BadInput("factors with exchanged sides", arrays(FACTORS, exchanged_sides),
             rf"step-30.safetensors: found factors of {UP} with shape \(16, 24\)", OF_FACTORS),
    BadInput("a text for an accuracy", record(SCORE, lambda t: t.update(accuracy="0.9")),
             "base.json: accuracy: Input should be a valid number", READERS[SCORE]),
    BadInput("a second accuracy behind the digest", after_the_seal,
             "base.json: something follows its digest", READERS[SCORE]),
    BadInput("a suite with other settings", record(SUITE, lambda t: t["settings"].update(
             temperature=1.0)), "suite.json: found another digest than its questions", OF_SUITE),
    BadInput("a suite without a setting", record(SUITE, lambda t: t["settings"].pop("samples")),
             "suite.json: settings.samples: Field required", OF_SUITE),
    BadInput("a suite of another version", record(SUITE, lambda t: t.update(version=2)),
             "suite.json: version: Input should be", OF_SUITE),
    BadInput("a variant that hides its blend", record("made/blend/variant.json", lambda t: t.update(
             files={})), "variant.json: lists other files than", of_variant("blend")),
    BadInput("a variant that hides a model", record("made/blend/variant.json",
             lambda t: t["models"].pop("20")), "variant.json: lacks a model", of_variant("blend")),
    BadInput("a step twice in a blend", twice, "blend.json: .*expected a step in plain digits",
             of_variant("blend")),
    BadInput("an adapter with a scale that is too large", beyond_floats,
             "low/adapter.*lora_alpha 1.*expected a number of at most 1e", of_variant("low")),
    BadInput("a number for an answer", number_for_an_answer,
             r"addition-validation.jsonl: line \d+: found no question of 'addition'",
             READERS[QUESTIONS]),
    BadInput("rows of another data set", lambda folder: None,
             "rows.jsonl: line 1: found no question of 'addition'",
             {"train": TRAIN.replace("svamp", "addition")}),
]  # fmt: skip
