"""Bad inputs of the kind studies: study files that are none, that no workflow could plan, or that
some later job would fail on.

Steps, windows and tables have rows in `steps.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bad_inputs.steps import PLANNERS, raw
from tests.bad_inputs.table import BadInput
from tests.unit.suites import own_task

PARSED = PLANNERS | {"report": "report study.yaml"}
"""Every verb that reads a study refuses what is wrong with the file alone."""
PLANNED = {"check": "check study.yaml"}
"""What else a job would fail on is told before the first one."""
TRAIN = {"base": "b", "train": {"steps": 6, "save_every": 2}}
Spoil = Callable[[Path], object]


def changed(*changes: tuple[str, Any]) -> Spoil:
    """The good study with these keys set: paths with slashes, and values."""

    def spoil(folder: Path) -> None:
        study = json.loads((folder / "study.yaml").read_text())
        for path, value in changes:
            *parents, key = path.split("/")
            section = study
            for parent in parents:
                section = section.setdefault(parent, {})
            section[key] = value
        (folder / "study.yaml").write_text(json.dumps(study))

    return spoil


def asked(task: dict[str, Any], **suite: Any) -> Spoil:
    """The test suite asks this task."""
    keys = [(f"suites/test/{key}", value) for key, value in suite.items()]
    return changed(("suites/test/tasks", [task]), *keys)


def trained(**keys: Any) -> Spoil:
    """The run is trained here, with these keys."""
    return changed(("runs/r", {**TRAIN, "train": {**TRAIN["train"], **keys}}))


def forecast(methods: Any, **keys: Any) -> Spoil:
    """These methods forecast from the first two checkpoints."""
    return changed(("forecast", {"windows": [20], "methods": methods, **keys}))


def renamed(section: str, name: str) -> Spoil:
    """The only base, run or test suite has another name."""

    def spoil(folder: Path) -> None:
        study = json.loads((folder / "study.yaml").read_text())
        entries = study[section]
        entries[name] = entries.pop({"bases": "b", "runs": "r", "suites": "test"}[section])
        study["runs"][next(iter(study["runs"]))]["base"] = next(iter(study["bases"]))
        (folder / "study.yaml").write_text(json.dumps(study))

    return spoil


def folders(checkpoints: dict[str, str]) -> Spoil:
    """The run's checkpoints lie in these folders."""
    return changed(("runs/r", {"base": "b", "checkpoints": checkpoints}))


def taught(**teachers: str) -> Spoil:
    """Runs that learn from these."""
    recipe = {**TRAIN["train"], "algorithm": "distill"}
    runs = {run: {"base": "b", "train": recipe | {"teacher": t}} for run, t in teachers.items()}
    return changed(("runs", runs))


def pipe(folder: Path) -> None:
    """A study file that nobody ever writes."""
    (folder / "study.yaml").unlink()
    os.mkfifo(folder / "study.yaml")


def device(folder: Path) -> None:
    """A study file without an end."""
    (folder / "study.yaml").unlink()
    (folder / "study.yaml").symlink_to("/dev/zero")


def recoded(encoding: str) -> Spoil:
    """The good study in another encoding."""

    def spoil(folder: Path) -> None:
        file = folder / "study.yaml"
        file.write_bytes(file.read_text().encode(encoding))

    return spoil


def own_tasks(folder: Path) -> None:
    """A folder of the user's own, which has not the task that is asked."""
    own_task(folder / "tasks", [("1+1=", "2")])
    asked({"task": "yours"}, include_path="tasks")(folder)


def narrow(folder: Path) -> None:
    """A base that reads and writes ten tokens together."""
    config = json.loads((folder / "base/config.json").read_text())
    (folder / "base/config.json").write_text(json.dumps({**config, "max_position_embeddings": 10}))
    changed(("suites/validation/max_new_tokens", 4), ("suites/test/max_new_tokens", 5))(folder)


MANY = b"study: s\n" + b"".join(b"k%d: 1\n" % i for i in range(60_000))
MERGED = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 30)
)
NO_TEXT = "study.yaml: found no text in UTF-8, expected a YAML file; save it as that"
NO_MAPPING = "Input should be a valid dictionary"
NOT_A_STUDY = "study.yaml: found .*, expected the keys study, bases, runs and suites"
PATTERN = "String should match pattern"
FILES = {
    "comments alone": (
        raw(b"# to be written\n"),
        "found nothing, expected the keys study, bases",
    ),
    "a date for a name": (
        raw(b"study: 2026-01-01\n"),
        r"study: Input .* \(found 2026-01-01, a date without quotes\)",
    ),
    "UTF-16": (recoded("utf-16"), NO_TEXT),
    "UTF-16 without a mark": (recoded("utf-16-le"), NO_TEXT),
    "UTF-32": (recoded("utf-32"), NO_TEXT),
    "zeros": (raw(bytes(100)), NO_TEXT),
    "a pipe": (pipe, "study.yaml: no such study file, but a folder, a pipe or a device"),
    "a device": (device, "study.yaml: found a device, expected a file or a folder to read"),
    "megabytes": (raw(b"study: '" + b"x" * 10**8 + b"'\n"), "found more than 1 MiB, expected"),
    "sixty thousand keys": (raw(MANY), "found more than 100,000 values, expected a study of some"),
    "braces without end": (raw(b"{a: " * 5000), "found more than 50 values inside one another"),
    "merges without end": (raw(MERGED.encode()), "found aliases that stand for more than"),
    "nothing": (raw(b""), NOT_A_STUDY),
    "a list": (raw(b"- 1\n"), NOT_A_STUDY),
    "a word": (raw(b"hello\n"), NOT_A_STUDY),
    "two documents": (raw(b"study: s\n---\nstudy: t\n"), "not valid YAML: expected a single"),
    "a tab": (raw(b"study: s\n\tbases: x\n"), "not valid YAML"),
    "a Python object": (raw(b"study: !!python/object/apply:os.getcwd []\n"), "not valid YAML"),
    "a number of 5000 digits": (raw(b"study: s\ngpus: " + b"9" * 5000), "not valid YAML: Exceeds"),
}
KEYS = {
    "no runs": (changed(("runs", {})), "runs: Dictionary should have at least 1 item"),
    "no suites": (changed(("suites", {})), "suites: Dictionary should have at least 1 item"),
    "no tasks": (changed(("suites/test/tasks", [])), "test.tasks: List should have at least 1"),
    "a task twice": (
        changed(("suites/test/tasks", [{"task": "addition", "split": "test", "limit": 5},
                                       {"task": "addition", "split": "test"}])),
        "suites.test: found task 'addition' twice, expected each once",
    ),
    "null for a run": (changed(("runs/r", None)), f"runs.r: {NO_MAPPING}"),
    "null for the engine": (changed(("evaluation", None)), "evaluation: found None, expected keys"),
    "a list of methods": (forecast([]), f"forecast.methods: {NO_MAPPING}"),
    "a word for a method": (forecast({"x": "y"}), "methods: found 'y' for 'x', expected the opt"),
    "a list for a method's name": (forecast({"x": {"method": ["last"]}}), "unknown method"),
    "a mapping for a protocol": (
        changed(("suites/test/protocol", {"a": 1})), "suites.test: unknown protocol"
    ),
    "methods without a window": (forecast({"last": {}}, windows=[]), "found methods and no window"),
    "a billion shards": (changed(("spectra/shards", 10**9)), "spectra.shards: Input should be"),
    "ranges without end": (
        changed(("runs/r/steps", [{"first": i * 99_999 + 1, "last": (i + 1) * 99_999, "every": 1}
                                  for i in range(40)])), "runs.r.steps: found more than 100000",
    ),
    "a trillion steps": (
        trained(steps=10**12, save_every=10**9), "train.steps: Input should be less than or equal"
    ),
    "a billion files": (
        changed(("runs/r", {"base": "b", "train": {"steps": 10**5, "save_every": 1}}),
                ("spectra/shards", 10**4)), r"found 1,000,010,000 factors \(steps times 'spectra",
    ),
    "ranks without end": (
        changed(("rank/ranks", list(range(1, 5000)))), "rank.ranks: List should have at most 1000",
    ),
    "a rank of a billion": (changed(("rank/ranks", [10**9])), "rank.ranks.0: Input should be less"),
    "a million variants": (
        changed(("rank/ranks", list(range(1, 900))),
                ("rank/scales", [i / 8 for i in range(1, 900)])),
        r"found 1,\d\d\d,\d\d\d variants",
    ),
    "permutations without end": (
        changed(("dynamics/permutations", 10**12)), "dynamics.permutations: Input should be less"
    ),
    "questions without end": (
        asked({"task": "addition", "split": "test", "limit": 10**12}), "limit: Input should be less"
    ),
    "a temperature that nothing can be divided by": (
        changed(("suites/test/temperature", 1e-40)), "found 1e-40, expected 0, which is greedy, or"
    ),
    "answers without end": (changed(("suites/test/samples", 10**12)), "samples: Input should be"),
    "seeds without end": (
        changed(("runs/r", {**TRAIN, "seeds": list(range(5000))})), "seeds: List should have at"
    ),
    "a teacher of its own": (taught(p="p"), "found teachers in a circle: p learns from p;"),
    "two teachers of each other": (taught(p="q", q="p"), "in a circle: p learns from q learns"),
    "three teachers in a circle": (
        taught(x="p", p="q", q="r", r="p"), "circle: p learns from q learns from r learns from p;"
    ),
    "a teacher that there is not": (taught(p="nobody"), "run 'p' has unknown teacher 'nobody'"),
    "a name with a slash": (changed(("study", "../s")), f"study: {PATTERN}"),
    "a name that is hidden": (renamed("runs", ".r"), f"runs..r: {PATTERN}"),
    "a name like an option": (renamed("suites", "-t"), f"suites.-t: {PATTERN}"),
    "a name with a wildcard": (renamed("bases", "{run}"), f"bases.{{run}}: {PATTERN}"),
    "a name on two lines": (renamed("runs", "r\n"), rf"runs.r\\n: {PATTERN}"),
    "a Cyrillic name": (renamed("runs", "\u0430"), f"runs.\u0430: {PATTERN}"),
    "a name that is a folder of ours": (changed(("study", "data")), "found study 'data', which is"),
    "a name that is a file of ours": (renamed("suites", "disjoint.json"), "suite 'disjoint.json'"),
    "names that differ in case": (
        changed(("runs/R", {"base": "b", "checkpoints": {"10": "run/step-10"}})),
        "found runs 'r' and 'R', whose files would go by one name on some disks",
    ),
    "labels that differ in case": (
        forecast({"last": {}, "Last": {"method": "last"}}), "found labels 'last' and 'Last'"
    ),
    "names that differ by an ending": (
        changed(("suites/test.csv", {"role": "test", "tasks": [{"task": "gsm8k"}]})),
        "found suites 'test' and 'test.csv'",
    ),
    "a task's name that leaves its folder": (
        asked({"task": "../mine", "data": "rows.jsonl"}), r"tasks\.0\.task: found name '../mine'"
    ),
    "results on two lines": (changed(("results", "a\nb")), r"results: found the character '\\n'"),
    "results with a wildcard": (changed(("results", "a{run}")), "found braces in 'a{run}'"),
    "results of no name": (changed(("results", "")), "results: found an empty path, expected"),
    "a base like an option": (changed(("bases/b/path", "-b")), r"found path '-b', .* write './-b'"),
    "a checkpoint with a zero": (
        changed(("runs/r/checkpoints", "a\0{step}")), r"checkpoints: found the character '\\x00'"
    ),
    "a repository above the Hub": (
        changed(("bases/b", {"hub": {"repo": "../.."}})), "found '../..', expected a repository"
    ),
    "a revision of two words": (
        changed(("bases/b", {"hub": {"repo": "a/b", "revision": "x y"}})), "found 'x y', expected a"
    ),
    "questions of both roles by one split": (
        changed(("suites/validation/tasks", [{"task": "gsm8k", "split": "test"}]),
                ("suites/test/tasks", [{"task": "gsm8k"}])), "overlap: both hold task 'gsm8k'",
    ),
    "questions of both roles in one file": (
        changed(("suites/validation/tasks", [{"task": "svamp", "data": "rows.jsonl"}]),
                ("suites/test/tasks", [{"task": "svamp", "data": "./rows.jsonl"}])),
        "overlap: both hold task 'svamp' data",
    ),
    "an argument that the study sets": (
        changed(("evaluation", {"engine": "vllm", "environment": "e", "vllm": {"model": "m"}})),
        "evaluation.vllm: found 'model', which would be scored in every model's place",
    ),
}  # fmt: skip
PLANS = {
    "a label of a rank-k model": (
        changed(("forecast", {"windows": [20], "methods": {"rank-1": {"method": "last"}}}),
                ("rank/at", [20])), "label 'rank-1', whose forecast 'rank-1@20' has the name",
    ),
    "a first step outside the window": (
        forecast({"weight-extrapolation": {"first": 15}}),
        r"methods.weight-extrapolation: run 'r', window 20: first: found step 15, expected one of",
    ),
    "a horizon beyond the window": (forecast({"next": {"horizon": 15}}), "methods.next: run 'r'"),
}  # fmt: skip
LONG = "found the file name .* of .* bytes, expected at most"
JOBS = {
    "a long run": (renamed("runs", "a" * 240), LONG),
    "a long suite": (renamed("suites", "a" * 240), LONG),
    "a long base": (renamed("bases", "a" * 240), LONG),
    "a long label": (forecast({"a" * 200: {"method": "last"}}), LONG),
    "a long task": (asked({"task": "a" * 200, "data": "rows.jsonl"}), LONG),
    "results far down": (changed(("results", "/".join(["a" * 200] * 20))), "found the path a+.*"),
    "a study longer than a command": (
        changed(("suites/test/stop", ["x" * 1000] * 200)), "found the study of .* bytes as JSON"
    ),
    "a task that there is not": (
        asked({"task": "nonsense", "split": "test"}), "suite 'test': found no task 'nonsense'"
    ),
    "a generator that there is not": (
        asked({"task": "rg-nonsense", "split": "test"}), "suite 'test': unknown generator 'rg-nons"
    ),
    "an option that a generator has not": (
        asked({"task": "rg-gcd", "split": "test", "options": {"nope": 1}}), "unknown option 'nope'"
    ),
    "a value that a generator refuses": (
        asked({"task": "rg-gcd", "split": "test", "options": {"min_numbers": -1}}), "are refused"
    ),
    "a generator that cannot be used": (asked({"task": "rg-composite", "split": "test"}), "cannot"),
    "no split of generated questions": (asked({"task": "addition"}), "'addition' lacks 'split'"),
    "a split that the data have not": (
        changed(("suites/validation/tasks", [{"task": "math500", "split": "validation"}])),
        "suite 'validation': task 'math500' has no split 'validation', expected one of: test",
    ),
    "data of generated questions": (
        asked({"task": "addition", "split": "test", "data": "rows.jsonl"}), "found 'data', but it"
    ),
    "a digest of generated questions": (
        asked({"task": "addition", "split": "test", "sha256": "0" * 64}), "found 'sha256', but it"
    ),
    "options of a data set": (
        asked({"task": "gsm8k", "options": {"a": 1}}), "task 'gsm8k': found options a, which only"
    ),
    "data that are not there": (asked({"task": "svamp", "data": "no.jsonl"}), "no.jsonl: no such"),
    "data that are a folder": (asked({"task": "svamp", "data": "run"}), "run: no such file"),
    "data of another kind": (asked({"task": "svamp", "data": "scores.csv"}), "expected a file"),
    "data of another digest": (
        asked({"task": "svamp", "data": "rows.jsonl", "sha256": "0" * 64}), "rows.jsonl: found sha"
    ),
    "two digests of one file": (
        changed(("suites/test/tasks", [{"task": "gsm8k", "sha256": "0" * 64}]),
                ("suites/more/role", "test"),
                ("suites/more/tasks", [{"task": "gsm8k", "sha256": "1" * 64}])),
        "task 'gsm8k': found sha256 0+ and 1+ for the same data",
    ),
    "a folder of tasks that there is not": (
        asked({"task": "mine"}, include_path="nowhere"), "include_path nowhere: found no such"
    ),
    "a file as a folder of tasks": (
        asked({"task": "mine"}, include_path="study.yaml"), "include_path study.yaml: found no such"
    ),
    "a task that the folder has not": (own_tasks, "found no task 'yours' in include_path tasks"),
    "results in the base": (
        changed(("results", "base/../base")), "found 'results' in base, a model that the study rea"
    ),
    "results in a checkpoint": (
        changed(("results", "run/step-10/deep")), "found 'results' in run/step-10, a model that th"
    ),
    "a problem that there is not": (trained(problem="nonsense"), "run 'r': found no task 'nons"),
    "a problem without training questions": (trained(problem="math500"), "no split 'validation'"),
    "options of a problem that takes none": (trained(options={"a": 1}), "but it takes none"),
    "an option that the trainer has not": (
        trained(args={"num_generation": 8}),
        "run 'r': args: unknown option 'num_generation' of grpo, did you mean 'num_generations'",
    ),
    "a word for a number of the trainer": (
        trained(args={"temperature": "high"}), "'r': args: found 'high' for 'temperature', expected"
    ),
    "a number for a switch of the trainer": (
        trained(args={"use_vllm": 3}), "run 'r': args: found 3 for 'use_vllm', expected bool; corr"
    ),
    "training data that are not there": (
        trained(problem="svamp", data="no.jsonl"), "run 'r': no.jsonl: no such file"
    ),
}  # fmt: skip
MODELS = {
    "a budget beyond the base": (
        changed(("suites/test/max_new_tokens", 10**6)),
        r"base 'b', suite 'test', task 'addition': found a prompt of \d+ tokens and a budget of "
        r"1000000, expected at most \d+ together",
    ),
    "a budget that leaves no room for prompts": (narrow, "expected at most 10 together"),
    "a budget of training beyond the base": (
        trained(args={"max_completion_length": 10**6}), "base 'b', grpo: found a prompt of"
    ),
    "a budget beyond a base that is pretrained": (
        changed(("bases/b", {"pretrain": {}}), ("runs/r", TRAIN)), "expected at most 128 together"
    ),
    "a chat with a base that is pretrained": (
        changed(("bases/b", {"pretrain": {}}), ("runs/r", TRAIN),
                ("suites/test/chat_template", True)),
        "base 'b': found a base that is pretrained here, whose tokenizer has no chat template",
    ),
    "a teacher that is no folder": (taught(p="no/where"), "no/where: no such checkpoint folder"),
    "a teacher that is an adapter": (taught(p="adapters/step-30"), "found a LoRA adapter alone"),
    "layers that the base has not": (
        trained(lora={"targets": ["nonsense"]}), "found lora.targets nonsense, expected layers of"
    ),
    "a component that no matrix has": (
        changed(("rank/components", [500])), "rank.components: found 500, expected at most 16"
    ),
    "a step that the run has not": (changed(("runs/r/steps", [10, 20, 40])), "step-40: no such"),
    "two steps in one folder": (
        folders({"10": "run/step-10", "20": "run/step-10"}),
        "run 'r': found run/step-10 as step 20 and as step 10, expected a folder for each",
    ),
    "the base as a step": (
        folders({"10": "base", "20": "run/step-20"}),
        "run 'r': found base as step 10 and as the base",
    ),
    "a GGUF file that is not there": (
        changed(("bases/b", {"gguf": {"file": "no.gguf"}}), ("runs/r", TRAIN)), "no such file, exp"
    ),
    "a GGUF file of something else": (
        changed(("bases/b", {"gguf": {"file": "scores.csv"}}), ("runs/r", TRAIN)), "found no GGUF"
    ),
    "results in a file": (changed(("results", "scores.csv")), "scores.csv: found a file that no"),
    "an engine that is not there": (
        changed(("evaluation", {"engine": "vllm", "environment": "made"})), "made: found no vLLM"
    ),
    "more GPUs than a job has": (
        changed(("evaluation", {"engine": "vllm", "environment": "nowhere",
                                "vllm": {"tensor_parallel_size": 8}}), ("gpus", 2)),
        "found tensor_parallel_size 8 and 'gpus: 2', expected as many at most",
    ),
}  # fmt: skip
ROWS = [
    *(BadInput(name, spoil, line, PARSED) for name, (spoil, line) in {**FILES, **KEYS}.items()),
    *(BadInput(name, spoil, line, PLANNERS) for name, (spoil, line) in PLANS.items()),
    *(BadInput(name, spoil, line, PLANNED) for name, (spoil, line) in {**JOBS, **MODELS}.items()),
]
