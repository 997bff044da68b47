"""Fetched questions: local files, hashes, the Hub out of reach, private sets, suites of them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from alpharl.checkpoints.files import read_record
from alpharl.errors import EvaluationError, StudyError
from alpharl.evaluation.datasets import DATASETS, Dataset
from alpharl.evaluation.fetching import about, fetch, read_rows
from alpharl.evaluation.settings import Suite, Task
from alpharl.evaluation.suites import read_suite, require_disjoint, write_suite
from alpharl.study.data_files import data_file, fetched, needs_data

SEPARATOR = "\u2028"
ROWS = [
    {"question": f"1 +{SEPARATOR}1 = ?", "answer": "2", "level": 1},
    {"question": "2 + 2 = ?\nSay it.", "answer": "vier \u00fc", "level": 2},
    {"question": "3 + 3 = ?", "answer": "6", "level": 3},
]
SECRET = "the secret question"


def local(path: Path, rows: list[dict] = ROWS) -> Path:
    """Rows as a file of the kind that its name says; separators are not escaped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    else:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        path.write_text("\n".join(lines), encoding="utf-8")
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def mine(data: Path, **more: object) -> Task:
    return Task.model_validate({"task": "mine", "data": str(data), **more})


# --- local files ---


@pytest.mark.parametrize("kind", ["json", "jsonl", "parquet"])
def test_all_kinds_of_file_give_the_same_lines(tmp_path, cli, kind):
    source, out = local(tmp_path / f"in.{kind}"), tmp_path / "data" / "mine-test.jsonl"
    result = cli("fetch", "--task", "mine", "--data", source, "--sha256", sha256(source),
                 "--out", out)  # fmt: skip
    assert result.status == 0, result.err
    assert [json.loads(line) for line in out.read_text().split("\n") if line] == ROWS
    assert len(out.read_text().splitlines()) == 3, "safe for readers that cut at any separator"
    found = read_record(about(out), dict, "alpharl fetch")
    assert found == {
        "task": "mine", "split": "test", "private": False, "file": str(source),
        "file_sha256": sha256(source), "rows": 3, "sha256": sha256(out),
    }  # fmt: skip
    before = about(out).read_bytes()
    fetch(mine(source), {}, out)
    assert about(out).read_bytes() == before, "nothing in it changes with time"


def test_a_separator_inside_a_string_is_no_end_of_line(tmp_path):
    path = local(tmp_path / "in.jsonl")
    assert len(path.read_text(encoding="utf-8").splitlines()) == 4, "the trap is there"
    assert read_rows(path) == ROWS


def test_wrong_hash_leaves_nothing(tmp_path, cli):
    source, out = local(tmp_path / "in.jsonl"), tmp_path / "data" / "mine-test.jsonl"
    wrong = "0" * 64
    error = cli("fetch", "--task", "mine", "--data", source, "--sha256", wrong, "--out", out).error
    assert f"found sha256 {sha256(source)}, expected {wrong}" in error
    assert not out.parent.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.jsonl", b'{"a": 1}\n{"a": the secret question}\n', "line 2: not JSON"),
        ("in.json", b'[{"a": the secret question}]', "not JSON (Expecting value at column 8)"),
        ("in.json", b'{"a": "the secret question"}', "expected a list of at least one row"),
        ("in.json", b"[]", "expected a list of at least one row"),
        ("in.jsonl", b'"the secret question"\n', "expected a list of at least one row"),
        ("in.jsonl", b'{"a": "the secret question \xff"}\n', "not UTF-8"),
        ("in.parquet", b"the secret question", "not Parquet"),
        ("in.csv", b"the secret question", "expected a file that ends in .json, .jsonl, .parquet"),
    ],
)
def test_broken_files_are_one_line_without_their_text(tmp_path, cli, name, content, message):
    path, out = tmp_path / name, tmp_path / "out.jsonl"
    path.write_bytes(content)
    result = cli("fetch", "--task", "gpqa_diamond", "--data", path, "--out", out)
    assert message in result.error
    assert str(path) in result.error
    assert "secret" not in result.err + result.out
    assert not out.exists()


def test_a_missing_file_is_named(tmp_path, cli):
    error = cli("fetch", "--task", "mine", "--data", tmp_path / "no.json", "--out", tmp_path / "o")
    assert "no.json: no such file, which task 'mine' names as its data" in error.error


# --- the Hub ---


def test_a_folder_of_files_is_read_as_the_hub_s_are(tmp_path, monkeypatch):
    """The same calls as for a repository; only the transport differs."""
    local(tmp_path / "set" / "train.jsonl")
    sets = {"own": Dataset(str(tmp_path / "set"), None, {"test": "train"}, "none")}
    out = tmp_path / "own-test.jsonl"
    fetch(Task(task="own"), sets, out)
    assert [json.loads(line) for line in out.read_text().split("\n") if line] == ROWS
    found = json.loads(about(out).read_text())
    assert (found["hub"], found["hub_split"]) == (str(tmp_path / "set"), "train")
    assert found["revision"]
    assert found["sha256"] == sha256(out)
    with pytest.raises(EvaluationError, match=f"found sha256 {sha256(out)}, expected {'0' * 64}"):
        fetch(Task(task="own", sha256="0" * 64), sets, tmp_path / "other.jsonl")
    assert not (tmp_path / "other.jsonl").exists()
    with pytest.raises(EvaluationError, match="task 'own' has no split 'validation', expected one"):
        fetch(Task(task="own", split="validation"), sets, out)


def test_without_network_one_line_says_what_to_do(tmp_path):
    """In a process of its own: the libraries read the switch when they are imported."""
    code = (
        "import os, sys\nos.environ |= {'HF_HUB_OFFLINE': '1', 'HF_HOME': sys.argv[1]}\n"
        "from alpharl.cli import main\n"
        "sys.exit(main(['fetch', '--task', sys.argv[2], '--out', sys.argv[1] + '/out.jsonl']))"
    )
    for task, hub in (("gsm8k", "openai/gsm8k"), ("gpqa_diamond", "Idavidrein/gpqa")):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), task], text=True, capture_output=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 1
        (line,) = done.stderr.strip().split("\n")
        assert line.startswith(f"alpharl fetch: error: task '{task}': cannot get {hub}")
        assert "snakemake --until fetch" in line and "'data:'" in line
        assert not (tmp_path / "out.jsonl").exists()


def test_unknown_data_task(tmp_path, cli):
    error = cli("fetch", "--task", "gsm9k", "--out", tmp_path / "o.jsonl").error
    assert "unknown data task 'gsm9k', did you mean 'gsm8k'?" in error


# --- private sets ---


def test_private_questions_are_for_their_owner_only(tmp_path):
    sets = {"mine": Dataset("a/b", None, {"test": "test"}, "none", private=True)}
    source = local(tmp_path / "in.jsonl", [{"question": SECRET, "answer": "A"}])
    out = tmp_path / "mine-test.jsonl"
    out.write_text("older, open to all")
    fetch(mine(source), sets, out)
    assert out.stat().st_mode & 0o777 == 0o600
    assert SECRET in out.read_text()
    assert SECRET not in about(out).read_text()
    fetch(mine(source), {}, tmp_path / "open.jsonl")
    assert (tmp_path / "open.jsonl").stat().st_mode & 0o777 == 0o644


def test_private_reasons_are_not_quoted(tmp_path):
    """The reader of a broken file quotes it; of private data, only the kind of error is told."""
    broken = tmp_path / "set" / "train.jsonl"
    broken.parent.mkdir()
    broken.write_text(f'{{"question": {SECRET}\n')
    sets = {"own": Dataset(str(broken.parent), None, {"test": "train"}, "none", private=True)}
    with pytest.raises(EvaluationError) as error:
        fetch(Task(task="own"), sets, tmp_path / "o.jsonl")
    assert "secret" not in str(error.value)
    assert "cannot get" in str(error.value)


# --- suites ---


def own_task(folder: Path) -> str:
    """A user's own lm-eval task `mine` without questions; they come with `data`."""
    folder.mkdir(exist_ok=True)
    (folder / "mine.yaml").write_text(
        "task: mine\ndataset_path: json\ntest_split: test\noutput_type: generate_until\n"
        'doc_to_text: "{{question}}"\ndoc_to_target: "{{answer}}"\n'
        "generation_kwargs:\n  until: []\nmetric_list:\n  - metric: exact_match\n"
    )
    return str(folder)


def data_suite(folder: Path, source: Path, data: Path | None, **more: object) -> Path:
    tasks = [{"task": "mine", "data": str(source), **more}]
    spec = {"role": "test", "tasks": tasks, "include_path": own_task(folder / "tasks")}
    write_suite("s", Suite.model_validate(spec), folder / "suites" / "s" / "suite.json", data)
    return folder / "suites" / "s" / "suite.json"


def test_a_suite_of_fetched_questions(tmp_path, cli):
    source = local(tmp_path / "in.jsonl")
    task, data = mine(source), tmp_path / "data"
    fetch(task, {}, data / data_file(task))
    spec = {"role": "test", "tasks": [{"task": "mine", "data": str(source), "limit": 2}],
            "include_path": own_task(tmp_path / "tasks")}  # fmt: skip
    out = tmp_path / "suites" / "s" / "suite.json"
    result = cli("suite", "--name", "s", "--spec", json.dumps(spec), "--data", data, "--out", out)
    assert result.status == 0, result.err
    (entry,) = read_suite(out).tasks
    assert entry["sha256"] == sha256(data / data_file(task))
    assert (out.parent / entry["data"]).resolve() == data / data_file(task)
    asked = [hashlib.sha256(row["question"].encode()).hexdigest()[:16] for row in ROWS[:2]]
    assert entry["questions"] == asked
    assert "Say it" not in out.read_text(), "digests only"


def test_content_follows_the_data_but_not_its_place(tmp_path):
    found = []
    for place, rows in (("a", ROWS), ("b", ROWS), ("c", [*ROWS[:2], {**ROWS[2], "answer": "7"}])):
        source, data = local(tmp_path / place / "in.jsonl", rows), tmp_path / place / "data"
        fetch(mine(source), {}, data / data_file(mine(source)))
        (entry,) = read_suite(data_suite(tmp_path / place, source, data)).tasks
        found.append(entry["content"])
    assert found[0] == found[1] != found[2]


def test_overlap_of_fetched_questions_is_found(tmp_path):
    paths = []
    for role, rows in (("validation", ROWS[:2]), ("test", ROWS[1:])):
        source, data = local(tmp_path / f"{role}.json", rows), tmp_path / "data"
        task = mine(source, split=role)
        fetch(task, {}, data / data_file(task))
        spec = {"role": role, "tasks": [task.model_dump()],
                "include_path": own_task(tmp_path / "tasks")}  # fmt: skip
        paths.append(tmp_path / role / "suite.json")
        write_suite(role, Suite.model_validate(spec), paths[-1], data)
    with pytest.raises(EvaluationError, match="found 1 questions in both"):
        require_disjoint([read_suite(path) for path in paths])


def test_suites_of_published_questions(tmp_path, shared_data):
    """GSM8K and SVAMP as their authors publish them, in one suite."""
    sources = {"gsm8k": shared_data / "gsm8k/test.jsonl", "svamp": shared_data / "svamp/SVAMP.json"}
    tasks = [Task(task=name, data=str(path)) for name, path in sources.items()]
    for task in tasks:
        fetch(task, DATASETS, tmp_path / "data" / data_file(task))
    spec = {"role": "test", "tasks": [task.model_dump() for task in tasks]}
    out = tmp_path / "suites" / "s" / "suite.json"
    write_suite("s", Suite.model_validate(spec), out, tmp_path / "data")
    found = read_suite(out)
    assert [len(entry["questions"]) for entry in found.tasks] == [1319, 1000]
    assert len(set(found.tasks[0]["questions"])) == 1319
    assert "Janet" in sources["gsm8k"].read_text() and "Janet" not in out.read_text()


def test_a_suite_of_private_questions_shows_none(tmp_path, cli):
    columns = ["Question", "Correct Answer", *(f"Incorrect Answer {i}" for i in (1, 2, 3))]
    rows = [{c: f"{SECRET} {c} {i}" for c in columns} | {"Record ID": f"r{i}"} for i in range(3)]
    task = mine(local(tmp_path / "in.json", rows), task="gpqa_diamond")
    data = tmp_path / "data" / data_file(task)
    fetched_by = cli("fetch", "--task", task.task, "--data", task.data, "--out", data)
    spec = json.dumps({"role": "test", "tasks": [task.model_dump()]})
    out = tmp_path / "suites" / "s" / "suite.json"
    made = cli("suite", "--name", "s", "--spec", spec, "--data", data.parent, "--out", out)
    assert (fetched_by.status, made.status) == (0, 0), made.err
    assert len(read_suite(out).questions) == 3
    assert data.stat().st_mode & 0o777 == 0o600
    open_files = [about(data), *(p for p in out.parent.rglob("*") if p.is_file())]
    texts = [path.read_text() for path in open_files]
    texts += [r.out + r.err for r in (fetched_by, made)]
    assert not any("secret" in text for text in texts)


def test_missing_data_says_what_to_run(tmp_path):
    source = local(tmp_path / "in.jsonl")
    with pytest.raises(EvaluationError, match="task 'mine' reads fetched questions; give the fold"):
        data_suite(tmp_path, source, None)
    with pytest.raises(EvaluationError, match=r"run `alpharl fetch --task mine --split validation"):
        data_suite(tmp_path, source, tmp_path / "data", split="validation")


def test_names_of_data_files():
    assert data_file(Task(task="gsm8k")) == data_file(Task(task="gsm8k", split="test"))
    assert data_file(Task(task="gsm8k", split="validation")) == "gsm8k-validation.jsonl"
    names = {data_file(mine(Path(path))) for path in ("a.json", "b.json")}
    assert len(names) == 2
    assert all(name.startswith("mine-test-") for name in names)
    assert needs_data(Task(task="gsm8k")) and needs_data(mine(Path("a.json")))
    assert not needs_data(Task(task="addition", split="test"))
    assert not needs_data(Task(task="rg-gcd", split="test"))


def test_one_file_has_one_hash():
    def suite(sha256: str | None) -> Suite:
        return Suite.model_validate(
            {"role": "test", "tasks": [{"task": "gsm8k", "sha256": sha256}]}
        )

    a, b = "a" * 64, "b" * 64
    for suites in ([suite(None), suite(a)], [suite(a), suite(None)], [suite(a), suite(a)]):
        assert [task.sha256 for task in fetched(suites).values()] == [a]
    with pytest.raises(StudyError, match="for the same data, expected one"):
        fetched([suite(a), suite(b)])


def test_tasks_are_listed(cli):
    listed = cli("tasks").out
    assert "addition" in listed and "rg-<generator>" in listed
    for name, known in DATASETS.items():
        assert f"{name}\n  source: {known.hub}" in listed
    told = {task["name"]: task for task in json.loads(cli("tasks", "--json").out)["tasks"]}
    assert told["gsm8k"]["splits"] == ["validation", "test"] and told["gsm8k"]["licence"] == "MIT"
    assert told["addition"]["licence"] is None


def test_no_copy_of_the_questions_stays_behind(tmp_path):
    """The library that reads them keeps one; private questions must not lie about."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom alpharl.evaluation.lm_tasks import load_task\n"
        "task = load_task('gsm8k', Path(sys.argv[1]), None)\n"
        "print(task.doc_to_text(task.eval_docs[0]))"
    )
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"question": "Unheard-of marmalade?", "answer": "#### 1"}) + "\n")
    homes = {name: str(tmp_path / name) for name in ("HOME", "HF_HOME", "TMPDIR")}
    for folder in homes.values():
        Path(folder).mkdir()
    environment = os.environ | homes
    environment.pop("HF_DATASETS_CACHE", None)
    done = subprocess.run([sys.executable, "-c", code, rows], env=environment, text=True,
                          capture_output=True, check=True)  # fmt: skip
    assert "marmalade" in done.stdout
    left = [p for folder in homes.values() for p in Path(folder).rglob("*") if p.is_file()]
    assert not [p for p in left if b"marmalade" in p.read_bytes()]
