"""Keys and passwords: refused where a study would carry them, taken out of what libraries say."""

from __future__ import annotations

import http.server
import json
import threading
from pathlib import Path

import pytest
from alpharl.errors import StudyError
from alpharl.redact import redacted, words
from alpharl.study.config import parse_study

KEY = "sk-proj-Ab12Cd34Ef56Gh78"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("cannot reach http://me:pass@host:80/v1", "cannot reach http://***@host:80/v1"),
        ("GET https://cdn/x?X-Sig=ab12&e=3 failed", "GET https://cdn/x?*** failed"),
        ("(https://cdn/x?token=ab12)", "(https://cdn/x?***)"),
        ("proxy socks5://u:p@10.0.0.1:1080", "proxy socks5://***@10.0.0.1:1080"),
        ("Incorrect API key provided: sk-abcdefgh12345678.", "Incorrect API key provided: ***."),
        ("Incorrect API key provided: sk-abcd*****5678", "Incorrect API key provided: ***"),
        ("token hf_abcdefghijklmnop is invalid", "token *** is invalid"),
        ("headers: {'Authorization': 'Bearer abc.def-ghi'}", "headers: {'Authorization': ***}"),
        ("authorization: Basic dXNlcjpwYXNz\nHost: h", "authorization: ***\nHost: h"),
        ("sent Bearer abcdefgh12", "sent Bearer ***"),
        ("--api-key=topsecret --port 80", "--api-key=*** --port 80"),
        ("{'password': 'pw', 'user': 'me'}", "{'password': '***', 'user': 'me'}"),
    ],
)
def test_what_is_secret_goes(text, clean):
    assert redacted(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "models/a@b: found 3 tokens, expected http://localhost:8000/v1; see task-7",
        "eos_token: 5 of sk-2, hf_home, step-10, basic model, a?b",
        "user@host: no such folder",
    ],
)
def test_other_words_stay(text):
    assert redacted(text) == text


def test_values_of_variables_that_hold_keys_go(monkeypatch):
    monkeypatch.setenv("MY_SERVER_TOKEN", "correct-horse")
    monkeypatch.setenv("SHORT_KEY", "none")
    assert redacted("found correct-horse, none") == "found ***, none"
    assert redacted("found battery-staple", "battery-staple") == "found ***"


def test_a_key_is_not_cut_in_half():
    assert words(f"{'x' * 20} {KEY}", 30) == f"{'x' * 20} ***"


def study(**evaluation):
    """A study whose answers come from a server."""
    suites = {
        role: {"role": role, "tasks": [{"task": "addition", "split": role}]}
        for role in ("validation", "test")
    }
    run = {"base": "b", "checkpoints": "r/step-{step}", "steps": [1, 2, 3]}
    return {
        "study": "s", "bases": {"b": {"path": "b"}}, "runs": {"r": run}, "suites": suites,
        "evaluation": evaluation,
    }  # fmt: skip


URL = "http://localhost:8000/v1"


@pytest.mark.parametrize(
    "evaluation",
    [
        {"engine": "api", "url": "http://me:hunter22@host/v1"},
        {"engine": "api", "url": "http://hunter22@host/v1"},
        {"engine": "api", "url": "https://host/v1?token=hunter22"},
        {"engine": "api", "url": "https://host/v1#hunter22"},
        {"engine": "api", "url": "hunter22"},
        {"engine": "api", "url": "http://[hunter22"},
        {"engine": "api", "url": "http:// hunter22"},
        {"engine": "api", "url": URL, "key_variable": "sk-hunter22"},
        {"engine": "api", "url": URL, "key_variable": "hf_hunter22"},
        {"engine": "api", "url": URL, "key_variable": "AKIAHUNTER22EXAMPLE"},
        {"engine": "api", "url": URL, "key_variable": "A" * 99 + "_HUNTER22"},
        {"engine": "api", "url": URL, "key_variable": "hunter22 "},
        {"engine": "vllm", "environment": "e", "vllm": {"hf_token": "hunter22"}},
    ],
)
def test_a_secret_in_a_study_is_refused_and_not_repeated(evaluation, cli):
    with pytest.raises(StudyError, match="found") as error:
        parse_study(study(**evaluation))
    options = [f"--{key.replace('_', '-')}={value if isinstance(value, str) else json.dumps(value)}"
               for key, value in evaluation.items()]  # fmt: skip
    done = cli("evaluate", "--suite", "s", "--base", "b", "--variant", "b=b", "--out", "o",
               *options)  # fmt: skip
    assert done.status == 1 and len(done.err.splitlines()) == 1
    assert "hunter22" not in f"{error.value}{done.err}".lower()


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "MY_KEY", "KEY", "_K2", "HF_TOKEN"])
def test_names_of_variables_are_taken(name):
    parse_study(study(engine="api", url=f"{URL}/", key_variable=name))


class Refusing(http.server.BaseHTTPRequestHandler):
    """A server that refuses the key, and repeats it."""

    def do_GET(self) -> None:
        body = {"error": {"message": f"bad key {self.headers['Authorization']}"}}
        data = json.dumps(body).encode()
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("key", [KEY, "correct-horse-battery"])
def test_a_key_that_a_server_repeats_is_not_printed(good: Path, tmp_path, cli, monkeypatch, key):
    monkeypatch.setenv("LOGIN", key)
    monkeypatch.chdir(good)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        done = cli("evaluate", "--suite", "made/suite/suite.json", "--base", "base", "--variant",
                   "b=base", "--engine", "api", "--url", url, "--key-variable", "LOGIN", "--out",
                   tmp_path / "out")  # fmt: skip
        server.shutdown()
    assert done.status == 1 and "bad key" in done.error and "***" in done.error
    assert key not in done.out + done.err
