"""Mutated suites: what is read is what `json` reads of a file whose two digests are right.

One digest is of the file; the other, of the questions and settings, is what scores name. Questions
themselves lie in a file of JSON lines next to it, whose digest the suite has.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

from alpharl.evaluation.questions import read_questions
from alpharl.evaluation.suites import SuiteFiles, read_suite

from tests.bad_inputs.made import READERS
from tests.fuzz.mutations import changed, dump, spoiled
from tests.fuzz.rounds import Kind
from tests.fuzz.seals import digest, mutate_record, require_sealed, write_sealed

FILE, QUESTIONS = "made/suite/suite.json", "made/suite/addition-validation.jsonl"
_VALUES = (3, 40, "test", "addition", "svamp", "\n", ["\n"], 0.7, "../../rows.jsonl", "c" * 64)


def _mutate(rng: random.Random) -> str:
    suite, way = Path(FILE), rng.random()
    if way < 0.5:
        return mutate_record(rng, FILE, *_VALUES)
    if way < 0.8:
        told = changed(rng, require_sealed(suite), *_VALUES)
        _write(told)
        return FILE
    path = Path(QUESTIONS)
    lines = path.read_text().splitlines()
    if rng.random() < 0.4:
        path.write_bytes(spoiled(rng, path.read_bytes()))
    else:
        at = rng.randrange(len(lines))
        lines[at] = dump(changed(rng, json.loads(lines[at]), "7", "1+1="), None)
        path.write_text("\n".join(lines) + "\n")
    if rng.random() < 0.8:
        told = require_sealed(suite)
        told["tasks"][0]["sha256"] = digest(path)
        _write(told)
    return QUESTIONS


def _write(told: Any) -> None:
    """Write a suite with both its digests made again."""
    if isinstance(told, dict) and isinstance(told.get("settings"), dict) and "digest" in told:
        told["digest"] = suite_digest(told)
    write_sealed(Path(FILE), told if isinstance(told, dict) else {"x": told})


def suite_digest(told: dict[str, Any]) -> str:
    content = {key: value for key, value in told.items() if key != "digest"}
    content["settings"] = {**content["settings"], "max_truncated": None}
    plain = json.loads(dump(content)) if _is_plain(content) else content
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _is_plain(content: dict[str, Any]) -> bool:
    """Whether the text that is written is JSON, so that a digest can be made of what it says."""
    try:
        json.loads(dump(content))
    except (ValueError, RecursionError):
        return False
    return True


def _read(file: str) -> tuple[SuiteFiles, list[Any] | None]:
    suite = read_suite(Path(FILE))
    return suite, read_questions(suite, Path("base")) if file == QUESTIONS else None


def _check(file: str, read: tuple[SuiteFiles, list[Any] | None]) -> None:
    suite, tasks = read
    told = require_sealed(Path(FILE))
    for key in ("name", "role", "tasks", "settings", "include_path", "digest"):
        assert getattr(suite, key) == told[key], f"{key}: another value"
    assert suite.digest == suite_digest(told), "another digest"
    assert suite.role in ("validation", "test")
    if tasks is None:
        return
    rows = [json.loads(line) for line in Path(QUESTIONS).read_text().splitlines()]
    (task,), (entry,) = tasks, told["tasks"]
    assert digest(Path(QUESTIONS)) == entry["sha256"], "other questions"
    texts = [hashlib.sha256(row["prompt"].encode()).hexdigest()[:16] for row in rows]
    assert texts[: len(entry["questions"])] == entry["questions"] == suite.questions
    # The grader finds numbers alone in an answer.
    right = {i: row["answer"] for i, row in enumerate(rows) if row["answer"].isdecimal()}
    right = {i: answer for i, answer in right.items() if i < len(task.tokens)}
    assert all(grade == 1 for grade, _ in task.grade([*right], [*right.values()])), "other answers"


KIND = Kind(
    "suites", _mutate, _read, _check,
    {FILE: [*READERS[FILE].values()], QUESTIONS: [*READERS[QUESTIONS].values()]},
    lenient=frozenset({"tokens", "evaluate", "disjoint", "trust", "train"}),
    leads_to=("task '",),
)  # fmt: skip
