"""Mutated files of answers: what is read are the first lines that are whole, and nothing else.

A line is whole if `hashlib` finds its digest, and an answer if `json` reads what an answer has.
Lines count up to the first that is none; the other answers are asked for again.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from pathlib import Path
from typing import Any

from alpharl.evaluation.answers import AnswerKey, open_answers

from tests.bad_inputs.made import READERS
from tests.fuzz.mutations import changed, dump, spoiled
from tests.fuzz.rounds import Kind

FILE, RESULT = "made/scores/base.answers.jsonl", "made/scores/base.json"
EVALUATE = (
    "evaluate --suite made/suite/suite.json --base base --variant base=base --out made/scores"
)
Answers = dict[AnswerKey, dict[str, Any]]
_GRADED = {"correct": 1.0, "answer": "7", "graded_by": 1}


def _mutate(rng: random.Random) -> str:
    path = Path(FILE)
    data, way = path.read_bytes(), rng.random()
    Path(RESULT).unlink()  # which else would stand, and nothing would be asked
    if way < 0.3:
        path.write_bytes(spoiled(rng, data))
        return FILE
    lines = data.splitlines(keepends=True)
    for _ in range(rng.choice([1, 1, 2])):
        at = rng.choice([0, 1, rng.randrange(len(lines))])
        change = rng.choice(["values", "values", "values", "drop", "again", "swap", "bytes", "raw"])
        if change == "values":
            lines[at] = _changed(rng, lines[at])
        elif change == "drop":
            del lines[at]
        elif change == "again":
            lines.insert(rng.randint(0, len(lines)), lines[at])
        elif change == "swap":
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at] = spoiled(rng, lines[at])
            lines[at] = _line(lines[at][31:]) if change == "raw" else lines[at]
    path.write_bytes(b"".join(lines))
    return FILE


def _changed(rng: random.Random, line: bytes) -> bytes:
    """A line with another content, and the digest of that."""
    try:
        content = _content(line)
    except (ValueError, RecursionError):
        return line
    if rng.random() < 0.1:
        content = {**content, **_GRADED}
        content.pop("text", None)
    content = changed(rng, content, "addition", {"torch": "2"}, 3, *_GRADED)
    text = dump(content, None)
    return _line(text.encode("utf-8", "surrogatepass")[1:] + b"\n")


def _line(content: bytes) -> bytes:
    digest = hashlib.sha256(content).hexdigest()[:16].encode()
    return b'{"digest": "' + digest + b'", ' + content


def _read(file: str) -> Answers:
    answers = open_answers(Path(file))
    told = [key for key, row in answers.rows.items() if "graded_by" not in row]
    texts = dict(zip(told, answers.texts(told), strict=True))
    return {key: {**row, "text": texts.get(key)} for key, row in answers.rows.items()}


def _check(file: str, read: Answers) -> None:
    expected = _whole(Path(file).read_bytes())
    assert read.keys() == expected.keys(), f"{len(read)} answers, expected {len(expected)}"
    for key, row in expected.items():
        assert {name: read[key].get(name) for name in row} == row, f"{key}: another answer"
        assert isinstance(read[key]["text"], str) or "graded_by" in row, f"{key}: no text"


def _whole(data: bytes) -> Answers:
    answers: Answers = {}
    for number, line in enumerate(data.split(b"\n")[:-1]):
        try:
            content = _content(line + b"\n")
        except (ValueError, RecursionError):
            break
        if number == 0 or _is_versions(content):
            continue
        if not _is_answer(content):
            break
        answers[content["task"], content["prompt"], content["sample"]] = {
            key: value for key, value in content.items() if key not in ("task", "prompt", "sample")
        }
    return answers


def _content(line: bytes) -> dict[str, Any]:
    found = re.fullmatch(rb'\{"digest": "([0-9a-f]{16})", (.*\n)', line, re.DOTALL)
    if not found or hashlib.sha256(found[2]).hexdigest()[:16].encode() != found[1]:
        raise ValueError("broken")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a key twice")
        return dict(pairs)

    content: dict[str, Any] = json.loads(b"{" + found[2], object_pairs_hook=once)
    return content


def _is_versions(content: dict[str, Any]) -> bool:
    values = content.get("versions")
    return [*content] == ["versions"] and isinstance(values, dict) and all(
        isinstance(value, str) for value in values.values()
    )  # fmt: skip


def _is_answer(content: dict[str, Any]) -> bool:
    kinds = {
        name: type(content.get(name)) for name in ("task", "prompt", "sample", "tokens", "finished")
    }
    if kinds != {"task": str, "prompt": str, "sample": int, "tokens": int, "finished": bool}:
        return False
    graded = type(content.get("answer")) is str and type(content.get("graded_by")) is int
    graded &= type(content.get("correct")) in (int, float) and 0 <= content["correct"] <= 1
    whole = content["sample"] >= 0 and content["tokens"] >= 0
    return whole and (type(content.get("text")) is str or graded)


def _compare(call: str) -> None:
    """A scoring that goes on from answers that are as they were ends as the first one did."""
    if call != EVALUATE:
        return
    score = json.loads(Path(RESULT).read_text())
    answers = _whole(Path(FILE).read_bytes())
    assert len(answers) >= score["n"], "answers are lacking still"


KIND = Kind(
    "answers", _mutate, _read, _check, {FILE: [*READERS[FILE].values(), EVALUATE]},
    lenient=frozenset({"evaluate"}),  # asks again for what it cannot read
    compare=_compare,
)  # fmt: skip
