"""Studies that no job could run are refused in one line, and soon; unusual ones that can are not.

What each refusal says: tests/bad_inputs/studies.py.
"""

from __future__ import annotations

import copy
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from alpharl.errors import AlpharlError, StudyError
from alpharl.study.config import load_study, parse_study
from alpharl.study.plan import Plan
from alpharl.study.sound import require_sound
from tests.bad_inputs import studies
from tests.bad_inputs.studies import asked, changed, forecast, renamed
from tests.unit.suites import own_task

REPO = Path(__file__).resolve().parents[2]
SHIPPED = [
    *sorted(REPO.glob("config/**/*.yaml")),
    REPO / "tests/workflow/mini.yaml",
]
ODD: list[Any] = [
    None, True, 0, -1, 10**30, 1e308, float("nan"), "", "..", "-x", "{run}", "a\nb", "a\0b",
    "\ud800", "x" * 5000, [], [None], [[1]], {}, {"x": "y"}, {1: 2}, {None: 1}, "0010",
]  # fmt: skip
"""What stands where something else should."""


def rich() -> dict[str, Any]:
    """A study with every kind of section."""
    study: dict[str, Any] = yaml.safe_load((REPO / "tests/workflow/mini.yaml").read_text())
    study["bases"] |= {
        "hub": {"hub": {"repo": "a/b"}},
        "gguf": {"gguf": {"file": "f", "wheel": "a==1", "sha256": "0" * 64}},
        "path": {"path": "b"},
    }
    hub = {"repo": "a/b", "revision": "s{step}", "revisions": {2: "main"}}
    distilled = {"algorithm": "distill", "teacher": "rl", "steps": 2, "save_every": 1}
    study["runs"] |= {
        "fetched": {"base": "hub", "hub": hub, "steps": [{"first": 2, "last": 8, "every": 2}, 10]},
        "there": {
            "base": "path", "checkpoints": {1: "a", 2: "b"}, "merge": {"environment": "v"},
            "accept": ["base"], "leave_out": [1],
        },
        "taught": {
            "base": "path", "seeds": [1, 2], "group": "g",
            "train": {**distilled, "lora": {"rank": 1, "targets": ["q"]}, "save_at": [1]},
        },
    }  # fmt: skip
    task = {"task": "gsm8k", "split": "test", "limit": 4}
    study["suites"]["more"] = {"role": "test", "protocol": "relex-paper", "tasks": [task]}
    study["evaluation"] = {"engine": "vllm", "environment": "e", "vllm": {"max_num_seqs": 3}}
    methods = study["forecast"]["methods"]
    methods |= {"next": {"horizon": 1}, "weight-extrapolation": {"first": 2}, "last": None}
    return study


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each value of a study stands."""
    yield path
    for key in value if isinstance(value, dict) else ():
        yield from places(value[key], (*path, key))
    for index, entry in enumerate(value if isinstance(value, list) else ()):
        yield from places(entry, (*path, index))


def put(study: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of the study with another value there."""
    if not path:
        return value
    study = copy.deepcopy(study)
    section = study
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    return study


def test_an_odd_value_anywhere_is_taken_or_refused_in_one_line():
    study = rich()
    require_sound(Plan(parse_study(study)))
    refused = 0
    for path in places(study):
        for value in ODD:
            try:
                require_sound(Plan(parse_study(put(study, path, value))))
            except AlpharlError as error:
                line = str(error)
                assert "\n" not in line, (path, value)
                assert len(line) < 3200, (path, value)
                refused += 1
    assert refused > 2000


@pytest.mark.parametrize("row", studies.ROWS, ids=lambda row: row.name.replace(" ", "-"))
def test_check_refuses_within_a_second(files, cli, row):
    row.spoil(Path())
    started = time.process_time()
    assert cli(*shlex.split(row.calls["check"])).status == 1
    assert time.process_time() - started < 1


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_studies_pass_but_for_what_is_not_here(path, cli):
    require_sound(Plan(load_study(path)))
    done = cli("check", path)
    assert done.status == 0 or "no such checkpoint folder" in done.err, done.err


def own_tasks(folder: Path) -> None:
    """Tasks of the user's own in a folder with a space and a colon, one named so."""
    tasks = own_task(folder / "meine:Aufgaben ü", [("1+1=", "2")])
    text = (tasks / "mine.yaml").read_text().replace("task: mine", "task: 'mine: größer'")
    (tasks / "mine.yaml").write_text(text)
    asked({"task": "mine: größer"}, include_path=str(tasks))(folder)


def moved(name: str) -> studies.Spoil:
    """The base in a folder of another name."""

    def spoil(folder: Path) -> None:
        (folder / "base").rename(folder / name)
        changed(("bases/b/path", name))(folder)

    return spoil


GOOD = {
    "results in another language": changed(("results", "Ergebnisse für: Läufe/ü")),
    "results of the folder above": changed(("results", "../results")),
    "a base with braces": moved("base {1}"),
    "a base with a quote": moved("the base's"),
    "a long run": renamed("runs", "a" * 150),
    "dots in names": renamed("suites", "v1..2"),
    "names of endings": renamed("runs", "r.csv"),
    "an own task": own_tasks,
    "local data": asked({"task": "svamp", "data": "rows.jsonl"}),
    "parts of one data set": changed(
        ("suites/validation/tasks", [{"task": "gsm8k", "split": "validation"}]),
        ("suites/test/tasks", [{"task": "gsm8k"}]),
    ),
    "a generator with options": asked(
        {"task": "rg-gcd", "split": "test", "options": {"min_numbers": 3, "max_numbers": 3}}
    ),
    "a rank above all matrices": changed(("rank/ranks", [1, 10**6])),
    "nothing of ranks and measures": changed(
        ("rank", {"ranks": [], "unscaled": [], "without": [], "full_update": False}),
        ("measures", {}),
    ),
    "no forecasts": changed(("forecast", {"windows": [], "methods": {}})),
    "a label of a checkpoint's kind": forecast({"step-20": {"method": "last"}}),
    "a far target": forecast({"last": {}}, target_step=10**12),
    "many answers": changed(("suites/test/samples", 1000), ("suites/test/temperature", 0.6)),
    "a budget that just fits": changed(("suites/test/max_new_tokens", 32_000)),
    "a base that no run needs": changed(("bases/other", {"path": "nowhere"})),
    "a teacher of this study": changed(
        ("runs/p", {"base": "b", "train": {"algorithm": "distill", "teacher": "r", "steps": 6}})
    ),
    "a teacher in a folder": changed(
        ("runs/p", {"base": "b", "train": {"algorithm": "distill", "teacher": "./base"}})
    ),
    "adapters on some layers": changed(
        ("runs/r", {"base": "b", "train": {"lora": {"targets": ["q_proj", "of_another_model"]}}})
    ),
    "a mark of the byte order": lambda folder: (folder / "study.yaml").write_text(
        (folder / "study.yaml").read_text(), "utf-8-sig"
    ),
}


@pytest.mark.parametrize("spoil", GOOD.values(), ids=GOOD)
def test_what_can_run_is_not_refused(files, cli, spoil):
    spoil(Path())
    for verb in ("check", "status"):
        done = cli(verb, "study.yaml")
        assert done.status == 0, done.err
    assert cli("check", "study.yaml", "--cost").status == 0


def test_halves_of_characters_are_refused_in_json_too():
    with pytest.raises(StudyError, match=r"found half a character in '.ud800'"):
        parse_study({"study": "\ud800"})
