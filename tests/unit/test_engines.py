"""Engines as the registry, the command line and the study file know them; one more in a test."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from alpharl.errors import StudyError
from alpharl.evaluation.engines.registry import ENGINES, read_settings
from alpharl.problems import PROBLEMS
from alpharl.study.config import Study
from alpharl.training.tokenizer import VOCABULARY_SIZE, character_tokenizer
from alpharl.verbs.engine_options import add_engine_options, arguments_of, engine_settings
from tests.unit.suites import make_suite
from transformers import Qwen2Config, Qwen2ForCausalLM

REPO = Path(__file__).parents[2]
EVALUATE = ["evaluate", "--suite", "s", "--base", "b", "--variant", "v=v", "--out", "o"]
VLLM = {"engine": "vllm", "environment": "e"}


def parsed(*options: str):
    parser = argparse.ArgumentParser()
    add_engine_options(parser)
    return engine_settings(vars(parser.parse_args(options)))


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [
        ({}, ["--engine=hf", "--dtype=float32", "--batch-size=64"]),
        (
            {**VLLM, "dtype": "bfloat16", "batch_size": 8},
            ["--engine=vllm", "--dtype=bfloat16", "--batch-size=8", "--environment=e"],
        ),
        (
            {**VLLM, "vllm": {"quantization": "fp8", "max_num_seqs": 3}},
            ["--engine=vllm", "--dtype=float32", "--batch-size=64", "--environment=e",
             '--vllm={"quantization": "fp8", "max_num_seqs": 3}'],
        ),
        (
            {"engine": "api", "url": "http://h/v1"},
            ["--engine=api", "--dtype=float32", "--batch-size=64", "--url=http://h/v1",
             "--key-variable=OPENAI_API_KEY"],
        ),
    ],
)  # fmt: skip
def test_the_workflow_hands_settings_to_the_command_line(settings, arguments):
    """Rules compare these arguments with those of the last run: another order runs them again."""
    study = read_settings(settings)
    assert arguments_of(study) == arguments
    assert parsed(*arguments) == study


def test_what_is_not_given_has_its_default():
    assert parsed() == read_settings({})
    assert parsed("--engine", "vllm", "--environment", "e") == read_settings(VLLM)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--environment", "e"], "found 'environment' with engine 'hf', expected it with engine"),
        (["--engine", "api", "--url", "u", "--vllm", "{}"], "found 'vllm' with engine 'api'"),
        (["--engine", "api"], "engine 'api' lacks 'url' (Address of the server, such as http"),
        (["--dtype", "int8"], "dtype: Input should be 'float32', 'bfloat16' or 'float16' (found"),
        (["--batch-size", "x"], "batch_size: Input should be a valid integer"),
        (["--engine", "vllm", "--environment", "e", "--vllm", "{"],
         "found '{' as --vllm, expected JSON (Expecting property name"),
    ],
)  # fmt: skip
def test_wrong_options_are_one_line(options, message, cli):
    result = cli(*EVALUATE, *options)
    assert result.error.startswith(f"alpharl evaluate: error: {message}")
    assert len(result.err.splitlines()) == 1


def test_each_engine_says_what_sets_it_apart():
    assert list(ENGINES) == ["hf", "vllm", "api"]
    for name, cls in ENGINES.items():
        assert cls.model_fields["engine"].default == name
        assert cls.seed_note and cls.__doc__
    assert [name for name, cls in ENGINES.items() if cls.mixes_logits] == ["hf"]


@pytest.mark.parametrize(
    ("settings", "valid"),
    [
        ({}, True), ({"batch_size": 8}, True), (VLLM, True), ({"environment": "e"}, False),
        ({"engine": "vllm"}, False), ({"engine": "api", "url": "http://h/v1"}, True),
        ({"url": "http://h/v1"}, False),
    ],
    ids=str,
)  # fmt: skip
def test_editors_see_what_parsing_refuses(settings, valid):
    schema = Study.model_json_schema()
    schema = {"$defs": schema["$defs"], **schema["properties"]["evaluation"]}
    assert jsonschema.Draft202012Validator(schema).is_valid(settings) == valid
    if valid:
        read_settings(settings)
    else:
        with pytest.raises(ValueError):
            read_settings(settings)


# --- one more engine: a file, and a line in the registry ---

TOY = '''
from contextlib import contextmanager
from typing import Literal

from alpharl.evaluation.engines.engine import Answer
from alpharl.evaluation.engines.settings import EngineSettings
from pydantic import Field


class Toy(EngineSettings):
    """Writes one word, whatever it is asked."""

    engine: Literal["toy"] = "toy"
    word: str
    """The word, 100% of the time."""
    habits: dict[str, int] = Field(default={})
    """How often it does what."""
    hurry: bool = False
    """Whether it is quick about it."""

    seed_note = "it never draws"
    incidental = EngineSettings.incidental | {"hurry"}

    def open(self, base, longest, gpus, rank):
        assert (base / "config.json").is_file() and longest > 9
        return ToyEngine(self.word)


class ToyEngine:
    def __init__(self, word):
        self.versions, self.word = {"toy": "1.0"}, word

    @contextmanager
    def model(self, source):
        yield lambda prompts, decoding: (
            (index, Answer(self.word, 1, True)) for index, _ in enumerate(prompts)
        )

    def close(self):
        pass
'''
WITH_TOY = """
import sys
import alpharl.evaluation.engines as engines
import alpharl.registry as registry

engines.__path__.append({folder!r})
plain = registry.registered
registry.registered = lambda package, places, kind: plain(
    package, [*places, "toy:Toy"] if package == engines.__name__ else places, kind
)
"""


@pytest.fixture(scope="module")
def with_toy(tmp_path_factory):
    """`with_toy(code, ...)` runs code, with arguments, where the registry has the engine `toy`."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.py").write_text(TOY)

    def run(code: str, *arguments: object) -> Any:
        code = WITH_TOY.format(folder=str(folder)) + code
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True)

    return run


MAIN = "from alpharl.cli import main\nsys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A tiny random model."""
    folder = tmp_path_factory.mktemp("base")
    config = Qwen2Config(
        vocab_size=VOCABULARY_SIZE, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1, num_key_value_heads=1, bos_token_id=1, eos_token_id=2,
        pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    character_tokenizer().save_pretrained(folder)
    return folder


def test_another_engine_is_in_the_schema_and_in_the_study(with_toy):
    code = (
        "import json, yaml\nfrom alpharl.study.config import Study, parse_study\n"
        "from alpharl.verbs.engine_options import arguments_of\n"
        "schema = Study.model_json_schema()\n"
        "study = yaml.safe_load(open(sys.argv[1])) | {'evaluation': json.loads(sys.argv[2])}\n"
        "settings = parse_study(study).evaluation\n"
        "print(json.dumps([schema['properties']['evaluation']['oneOf'], schema['$defs']['Toy'],\n"
        "    arguments_of(settings), settings.answer_settings]))"
    )
    mine = {"engine": "toy", "word": "w", "habits": {"a": 1}, "hurry": True, "dtype": "bfloat16"}
    done = with_toy(code, REPO / "tests/workflow/mini.yaml", json.dumps(mine))
    assert done.returncode == 0, done.stderr
    members, schema, arguments, answering = json.loads(done.stdout)
    assert {"$ref": "#/$defs/Toy", "required": ["engine"]} in members
    assert schema["properties"]["word"]["description"] == "The word, 100% of the time."
    assert schema["required"] == ["word"]
    assert arguments == ["--engine=toy", "--dtype=bfloat16", "--batch-size=64", "--word=w",
                         '--habits={"a": 1}', "--hurry=true"]  # fmt: skip
    assert answering == {"engine": "toy", "dtype": "bfloat16", "word": "w", "habits": {"a": 1}}
    done = with_toy(code, REPO / "tests/workflow/mini.yaml", json.dumps({"word": "w"}))
    assert "found 'word' with engine 'hf', expected it with engine 'toy' alone" in done.stderr


@pytest.mark.parametrize("verb", ["evaluate", "forecast", "trust"])
def test_another_engine_is_in_the_help(with_toy, verb):
    done = with_toy(MAIN, verb, "--help")
    words = " ".join(done.stdout.split())
    assert "--engine {hf,vllm,api,toy}" in words
    assert "toy: Writes one word, whatever it is asked" in words
    assert "--word VALUE toy: The word, 100% of the time" in words
    assert "--habits JSON toy: How often it does what, as JSON" in words
    assert "--hurry VALUE toy: Whether it is quick about it (default: False)" in words


def test_another_engine_scores(with_toy, base, tmp_path):
    suite = make_suite(tmp_path / "test", max_new_tokens=9)
    wanted = [question["answer"] for question in PROBLEMS["addition"].questions("test", 40)]
    out, word = tmp_path / "out", wanted[0]
    command = ["evaluate", "--suite", suite, "--base", base, "--variant", f"base={base}",
               "--engine", "toy", "--out", out]  # fmt: skip
    done = with_toy(MAIN, *command, "--word", f"={word}", "--habits", '{"b": 2}')
    assert done.returncode == 0, done.stderr
    score = json.loads((out / "base.json").read_text())
    assert score["correct"] == [float(answer == word) for answer in wanted]
    assert score["accuracy"] == pytest.approx(wanted.count(word) / 40) and score["tokens"] == 1
    assert (score["engine"], score["seed_note"]) == ("toy", "it never draws")
    assert (score["word"], score["habits"]) == (f"={word}", {"b": 2})
    assert score["versions"]["toy"] == "1.0" and "hurry" not in score
    again = with_toy(MAIN, *command, "--word", f"={word}", "--habits", '{"b": 2}', "--hurry", "yes")
    assert "1 of 1 variants are scored already" in again.stderr
    other = with_toy(MAIN, *command, "--word", "=0", "--habits", '{"b": 2}')
    assert "0 of 1 variants are scored already" in other.stderr
    lacking = with_toy(MAIN, *command)
    assert lacking.returncode == 1
    assert lacking.stderr.splitlines() == [
        "alpharl evaluate: error: engine 'toy' lacks 'word' (The word, 100% of the time); give it"
    ]


def test_an_engine_that_is_none_is_refused():
    with pytest.raises(StudyError, match="unknown engine 'toy', expected one of: hf, vllm, api"):
        read_settings({"engine": "toy", "word": "w"})
