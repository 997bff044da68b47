"""Each public verb's example runs as its help shows it, and prints what its schema says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml
from alpharl.verbs import GROUPS, VERBS, module_of
from alpharl.verbs.reference import result_of

from tests.workflow.mini import REPO
from tests.workflow.tiny_gguf import write_gguf

PUBLIC = [verb for verb in VERBS if verb not in GROUPS["Used by the workflow"]]
SCHEMAS = json.loads((REPO / "docs/output.schema.json").read_text())
FIRST = ["init", "factors", "gram", "rank", "forecast", "suite", "evaluate"]
"""Verbs whose files the examples of others read."""
ORDER = [*FIRST, *(verb for verb in PUBLIC if verb not in FIRST)]


@pytest.fixture(scope="module")
def folder(finished, mini, tmp_path_factory) -> Path:
    """A base, three checkpoints, scores, a study that is finished, a model as a GGUF file."""
    folder = tmp_path_factory.mktemp("examples")
    made = finished.folder / "results/mini"
    shutil.copytree(made, folder / "results/mini")
    shutil.copytree(made / "bases/tiny/model", folder / "models/base")
    for trained, example in ((2, 50), (4, 100), (6, 150)):
        source = made / f"runs/rl/checkpoints/step-{trained}"
        shutil.copytree(source, folder / f"runs/foo/checkpoint-{example}")
    (folder / "scores.csv").write_text("step,accuracy\n0,0.10\n50,0.20\n100,0.40\n150,0.45\n")
    question = {"question": "What is 1 + 1?", "answer": "1 + 1 = <<1+1=2>>2\n#### 2"}
    (folder / "gsm8k.jsonl").write_text(json.dumps(question) + "\n")
    write_gguf(folder / "model.gguf")
    (folder / "mini.yaml").write_text(yaml.safe_dump(mini()))
    return folder


@pytest.mark.parametrize("verb", ORDER)
def test_example(folder, monkeypatch, cli, verb):
    monkeypatch.chdir(folder)
    arguments = shlex.split(module_of(verb).EXAMPLE)[1:]
    done = cli(*arguments, "--json")
    assert done.status == 0, done.err
    shown = json.loads(done.out)
    jsonschema.validate(shown, SCHEMAS[verb])
    blocks = [*result_of(verb).model_validate(shown).blocks()]
    assert blocks, "people read something too"
    if verb == "init":  # What it wrote has no suites yet: from here on it is a study that is done.
        assert re.search(r"^bases:", (folder / "my-study.yaml").read_text(), re.M)
        shutil.move(folder / "mini.yaml", folder / "my-study.yaml")


def test_text_is_what_the_json_says(folder, monkeypatch, cli):
    monkeypatch.chdir(folder)
    arguments = shlex.split(module_of("trust").EXAMPLE)[1:]
    text, shown = cli(*arguments).out, json.loads(cli(*arguments, "--json").out)
    assert [line[2:] for line in text.splitlines()[1:]] == [e["text"] for e in shown["evidence"]]
