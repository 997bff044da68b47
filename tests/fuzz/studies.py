"""Mutated study files: what is read is what PyYAML's own reader reads, and in each field its value.

Silent readings are none: a key that stands twice, or a number that YAML reads otherwise than people
do. A study that is accepted has the values of the file, and what it is made of again reads alike.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import yaml
from alpharl.study.config import Study, load_study, parse_study

from tests.fuzz.mutations import changed, dump, spoiled, strange
from tests.fuzz.rounds import Kind

FILE = "study.yaml"
_TASKS = {
    role: [{"task": "addition", "split": role, "limit": 5}] for role in ("validation", "test")
}
STUDY: dict[str, Any] = {
    "study": "s",
    "bases": {"b": {"path": "base"}},
    "runs": {"r": {"base": "b", "checkpoints": "run/step-{step}", "steps": [10, 20, 30]}},
    "suites": {
        "validation": {"role": "validation", "tasks": _TASKS["validation"], "max_new_tokens": 4},
        "test": {"role": "test", "tasks": _TASKS["test"], "stop": ["\n"], "temperature": 0.0},
    },
    "spectra": {"rank": 4, "spectrum": False, "shards": 1},
    "dynamics": {"permutations": 50, "holdout": 0.6, "seed": 0},
    "rank": {"ranks": [1, 2], "scales": [0.5], "at": [1.0], "controls": True},
    "forecast": {"windows": [20, 0.7], "methods": {"relex": {}, "expo": {"alpha": 0.5}}},
    "audit": {"accept": ["duplicate"]},
}
_VALUES = (
    10,
    20,
    0.5,
    "test",
    "b",
    "relex",
    {"path": "base"},
    {"train": {"steps": 6, "save_every": 2}},
)
_PLAIN = ["010", "0x1F", "1_000", "1:30", "yes", "off", "1e3", "1.e+3", ".inf", ".nan", "~", "null",
          "2001-01-01", "!!str 1", "!!float 1", "!!binary aGk=", "!!python/object:os.system {}",
          "!!set {a, b}", "!!omap [a: 1]", "&a {x: *a}", "*a", "&x 4", "<<", "'1'", '"1"', "|\n a",
          "[1, 2]", "{a: 1, a: 2}", "=", "@", "`", "%", "- 1", "? a", "1.0", "+1", "-0", "1e400",
          "9" * 400, "!t 1", "a: b", "\t", "#", "...", "---"]  # fmt: skip
"""Texts that YAML reads as many kinds of values, or as none."""


def _mutate(rng: random.Random) -> str:
    study, way = STUDY, rng.random()
    for _ in range(rng.choice([1, 1, 1, 2]) if way < 0.6 else 0):
        study = changed(rng, study, *_VALUES)
    text = _text(rng, study)
    if way > 0.6:
        text = _written_otherwise(rng, text)
    data = text.encode(rng.choice(["utf-8"] * 9 + ["utf-16"]), "surrogatepass")
    Path(FILE).write_bytes(spoiled(rng, data) if way > 0.9 else data)
    return FILE


def _text(rng: random.Random, study: Any) -> str:
    """A study as JSON, which may hold what no library writes, or as YAML in one of two styles."""
    if rng.random() < 0.5:
        return dump(study)
    try:
        plain = json.loads(dump(study))
        return yaml.safe_dump(plain, default_flow_style=rng.choice([False, None]), sort_keys=False)
    except (ValueError, RecursionError, yaml.YAMLError):
        return dump(study)


def _written_otherwise(rng: random.Random, text: str) -> str:
    """One line changed: its value, its key, its place, its depth; or a merged mapping."""
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    key, _, value = lines[at].partition(": ")
    plain = rng.choice(_PLAIN)
    lines[at : at + 1] = rng.choice([
        [f"{key}: {plain}"], [f"{key}: {plain}"], [f"{key}: {plain}"], [lines[at]] * 2, [],
        [f"{key}: &a {value}"], [lines[at], f"{key.split(':')[0]}: {plain}"], [f" {lines[at]}"],
        [f"{plain}: {value}"], [lines[at], "<<: *a"], [f"\t{lines[at]}"], [lines[at], plain],
        [lines[at], *(f"a{i}: &a{i} [{f'*a{i - 1},' * 9 * (i > 0)}]" for i in range(12))],
        [f"{key}: {strange(rng)!r}"], [f"{lines[at]} # {plain}"],
    ])  # fmt: skip
    return "\n".join(lines)


def _read(file: str) -> Study:
    return load_study(file)


def _check(file: str, study: Study) -> None:
    text = Path(file).read_bytes().decode("utf-8-sig")
    # In brackets, a tab is a space to YAML, and to libyaml's reader.
    loader = yaml.CSafeLoader if "\t" in text else yaml.SafeLoader
    _require_plain(text, loader)
    told = yaml.load(text, Loader=loader)
    _compare(told, study.model_dump(mode="json"), "study")
    again = json.loads(study.model_dump_json(exclude_unset=True))
    assert parse_study(again) == study, "another study when written and read again"


def _require_plain(text: str, loader: Any) -> None:
    """No key stands twice in a mapping, and numbers have one form."""
    stack: list[list[Any]] = []
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
            continue
        if isinstance(event, yaml.NodeEvent) and stack:
            keys, place = stack[-1][1:]
            if stack[-1][0] and place % 2 == 0 and isinstance(event, yaml.ScalarEvent):
                assert event.value not in keys, f"key {event.value!r} twice"
                keys.add(event.value)
            stack[-1][2] += 1
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append([isinstance(event, yaml.MappingStartEvent), set(), 0])
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and not event.style:
            odd = re.fullmatch(
                r"[-+]?(0[0-9xb]+[0-9a-fA-F_]*|[0-9][0-9_:.]*[_:][0-9_:.]*)", event.value
            )
            assert not odd or yaml.safe_load(event.value) == event.value, (
                f"{event.value} is a number"
            )


def _compare(told: Any, read: Any, where: str) -> None:
    """Each value of a file stands in the study, where it may have become another kind of number."""
    if isinstance(told, dict) and isinstance(read, dict):
        for key, value in told.items():
            assert str(key) in read, f"{where}.{key} is lost"
            _compare(value, read[str(key)], f"{where}.{key}")
    elif isinstance(told, list) and isinstance(read, list):
        assert len(told) == len(read), f"{where}: {told} became {read}"
        for i, (one, other) in enumerate(zip(told, read, strict=True)):
            _compare(one, other, f"{where}.{i}")
    elif isinstance(read, bool) or isinstance(told, bool):
        assert str(told).lower() in _SWITCHES[bool(read)], f"{where}: {told!r} became {read!r}"
    elif isinstance(read, int | float):
        assert float(told) == read, f"{where}: {told!r} became {read!r}"
    elif told is not None:
        assert told == read, f"{where}: {told!r} became {read!r}"


_SWITCHES = {
    True: {"true", "yes", "on", "1", "t", "y", "1.0"},
    False: {"false", "no", "off", "0", "f", "n", "0.0"},
}

KIND = Kind("studies", _mutate, _read, _check, {FILE: ["check study.yaml", "status study.yaml"]})
