"""Suites in a folder, and a task of a user's own."""

from __future__ import annotations

import json
from pathlib import Path

from alpharl.evaluation.settings import Suite
from alpharl.evaluation.suites import write_suite


def make_suite(out: Path, role: str = "test", tasks: list | None = None, **options) -> Path:
    """Write a suite under `out`, named after the folder, and give its file."""
    tasks = tasks or [{"task": "addition", "split": role, "limit": 40}]
    spec = Suite.model_validate({"role": role, "tasks": tasks, **options})
    write_suite(out.name, spec, out / "suite.json")
    return out / "suite.json"


def own_task(folder: Path, rows: list[tuple[str, str]], more: str = "") -> Path:
    """A user's own lm-eval task `mine` with given prompts and answers."""
    name = "mine"
    folder.mkdir(exist_ok=True)
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps({"q": q, "a": a}) + "\n" for q, a in rows))
    (folder / f"{name}.yaml").write_text(
        f"task: {name}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {data}\n"
        "test_split: test\noutput_type: generate_until\n"
        'doc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\n'
        "generation_kwargs:\n  until: []\nmetric_list:\n  - metric: exact_match\n" + more
    )
    return folder
