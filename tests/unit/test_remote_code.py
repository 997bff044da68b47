"""Python code that lies in a model's folder is never run, whatever standard input says."""

from __future__ import annotations

import ast
import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import alpharl
import pytest

PACKAGE = Path(alpharl.__file__).parent
LOADERS = {"from_pretrained", "from_config"}
PLAIN = {"GenerationConfig", "PeftModel"}
"""Classes that read a folder and have no way to run its code."""


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Calls of methods that load a model, a config or a tokenizer, and the class they are of."""
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr in LOADERS:
            yield node, ast.unparse(called.value)


def says_no(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def refuses(call: ast.Call, tree: ast.AST) -> bool:
    """Whether a call says `trust_remote_code=False`, itself or in the mapping that it unpacks."""
    named = {word.arg: word.value for word in call.keywords}
    if "trust_remote_code" in named:
        return says_no(named["trust_remote_code"])
    unpacked = ast.unparse(named[None]) if None in named else None
    return any(
        isinstance(node, ast.AnnAssign)
        and ast.unparse(node.target) == unpacked
        and isinstance(node.value, ast.Dict)
        and any(
            isinstance(key, ast.Constant) and key.value == "trust_remote_code" and says_no(value)
            for key, value in zip(node.value.keys, node.value.values, strict=True)
        )
        for node in ast.walk(tree)
    )


def test_every_call_that_loads_says_no():
    seen = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for call, owner in calls(tree):
            seen.append(owner)
            where = f"{path.relative_to(PACKAGE)}:{call.lineno}"
            assert owner in PLAIN or refuses(call, tree), f"{where}: {owner} may ask"
    assert {"AutoTokenizer", "AutoConfig", "AutoModelForCausalLM"} <= {*seen}


def test_nothing_says_yes():
    """As an argument, in a mapping, or as a default."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            words = {word.arg: word.value for word in getattr(node, "keywords", [])}
            if isinstance(node, ast.Dict):
                keys = [getattr(key, "value", None) for key in node.keys]
                words |= dict(zip(keys, node.values, strict=True))
            value = words.get("trust_remote_code")
            assert (
                value is None or says_no(value) or isinstance(value, ast.JoinedStr | ast.Constant)
            )
            assert not (isinstance(value, ast.Constant) and value.value is True), path


def test_a_study_cannot_say_yes_to_vllm(cli):
    done = cli("evaluate", "--suite", "s", "--base", "b", "--variant", "b=b", "--out", "o",
               "--engine", "vllm", "--environment", "e", "--vllm", '{"trust_remote_code": true}',
               )  # fmt: skip
    assert "vllm: found 'trust_remote_code', where no code" in done.error


CODE = """
from pathlib import Path
Path({marker!r}).touch()
from transformers import PretrainedConfig, PreTrainedTokenizerFast
class C(PretrainedConfig):
    model_type = "evil"
class T(PreTrainedTokenizerFast):
    pass
class M:
    pass
"""
TRAIN = (
    """train --spec {"algorithm":"sft","steps":1,"args":{"per_device_train_batch_size":2}} """
    "--base evil --out new"
)


@pytest.mark.parametrize("kind", ["config", "tokenizer"])
@pytest.mark.parametrize(
    "command",
    [
        "evaluate --suite made/suite/suite.json --base base --variant x=evil --out new",
        "evaluate --suite made/suite/suite.json --base evil --variant x=evil --out new",
        "tokens --suite made/suite/suite.json --base evil "
        "--writer w=made/scores/base.answers.jsonl --out new",
        "unpack evil/model.gguf --out new",
        TRAIN,
        "check study.yaml",
    ],
    ids=lambda command: " ".join(command.split()[:1]),
)
def test_code_does_not_run(files: Path, cli, monkeypatch, kind: str, command: str):
    shutil.copytree("base", "evil")
    shutil.copy("model.gguf", "evil/model.gguf")
    Path("evil/evil.py").write_text(CODE.format(marker=str(files / "ran")))
    config = json.loads(Path("evil/config.json").read_text())
    if kind == "config":
        mapped = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}
        config |= {"model_type": "evil", "auto_map": mapped}
    Path("evil/config.json").write_text(json.dumps(config))
    tokenizer = json.loads(Path("evil/tokenizer_config.json").read_text())
    tokenizer |= {"tokenizer_class": "T", "auto_map": {"AutoTokenizer": ["evil.T", "evil.T"]}}
    if kind == "tokenizer":
        Path("evil/tokenizer_config.json").write_text(json.dumps(tokenizer))
    study = json.loads(Path("study.yaml").read_text())
    study["bases"]["b"]["path"] = "evil"
    Path("study.yaml").write_text(json.dumps(study))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 999))
    asked = sys.stdin.tell()
    done = cli(*command.split())
    assert not Path("ran").exists(), "the code ran"
    assert sys.stdin.tell() == asked, "nobody asks"
    assert done.status in (0, 1) and "Traceback" not in done.err
