"""Models of a hub: the real client against a small server that speaks its API."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from alpharl.checkpoints.index import read_index


class HubServer(ThreadingHTTPServer):
    """Serves folders as revisions of repositories; counts requests, and may go away early."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models: dict[tuple[str, str], Path] = {}
        self.got: list[str] = []
        self.refused: set[str] = set()

    @property
    def url(self) -> str:
        """The hub's address."""
        return f"http://127.0.0.1:{self.server_port}"

    def find(self, repo: str, revision: str) -> tuple[str, Path] | None:
        """The commit and folder of a revision, by its name or its commit."""
        for (own, name), folder in self.models.items():
            commit = hashlib.sha1(f"{own} {name}".encode()).hexdigest()
            if own == repo and revision in (name, commit):
                return commit, folder
        return None


class _Handler(BaseHTTPRequestHandler):
    server: HubServer

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def _answer(self, body: bool) -> None:
        path = unquote(self.path.partition("?")[0]).strip("/")
        parts = path.split("/")
        if parts[:2] == ["api", "models"]:
            self._api("/".join(parts[2:4]), parts[4:])
        else:
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]), body)

    def _api(self, repo: str, rest: list[str]) -> None:
        revision = rest[1] if len(rest) > 1 else "main"
        if not any(own == repo for own, _ in self.server.models):
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        found = self.server.find(repo, revision)
        if found is None:
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        commit, folder = found
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        names = [p.relative_to(folder).as_posix() for p in files]
        if rest and rest[0] == "tree":
            data: object = [
                {"type": "file", "path": n, "size": p.stat().st_size, "oid": _digest(p)}
                for n, p in zip(names, files, strict=True)
            ]
        else:
            data = {"id": repo, "sha": commit, "siblings": [{"rfilename": n} for n in names]}
        self._send(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _file(self, repo: str, revision: str, name: str, body: bool) -> None:
        found = self.server.find(repo, revision)
        if found is None or name in self.server.refused:
            # 520, of proxies: the client waits half a minute over its retries of a 503.
            return self._send(404 if found is None else 520, b"", {})
        path = found[1] / name
        if body:
            self.server.got.append(f"{repo}@{path.parent.name}/{name}")
        self._send(
            200, path.read_bytes(), {"ETag": f'"{_digest(path)}"', "X-Repo-Commit": found[0]}, body
        )

    def _send(self, status: int, data: bytes, headers: dict[str, str], body: bool = True) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)


def _digest(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


@pytest.fixture
def hub(trajectory):
    """A hub with the run as revisions `step_10`, ..., its base as `main`, and files not to take."""
    server = HubServer()
    server.models = {
        ("org/base", "main"): trajectory.base,
        **{("org/run", f"step_{s}"): path for s, path in trajectory.folders.items()},
    }
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def download(hub, tmp_path, repo, revision, out="model", **environment):
    """One call of the verb, in a process of its own as the workflow makes it."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    own |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-m", "alpharl.cli", "download", "--repo", repo, "--revision", revision,
         "--out", tmp_path / out, "--record", tmp_path / f"{out}.json"],
        env=own | environment, capture_output=True, text=True,
    )  # fmt: skip


def test_a_revision_becomes_a_model_folder(hub, tmp_path, trajectory):
    for step in (10, 90):
        done = download(hub, tmp_path, "org/run", f"step_{step}", f"step-{step}")
        assert done.returncode == 0, done.stderr
        folder = tmp_path / f"step-{step}"
        own = trajectory.folders[step]
        assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in own.iterdir())
        stored, given = ((f / "model.safetensors").read_bytes() for f in (folder, own))
        assert stored == given
        record = json.loads((tmp_path / f"step-{step}.json").read_text())
        assert record["files"] == ["config.json", "model.safetensors"]
        assert len(record["commit"]) == 40
    assert not list(tmp_path.glob(".*partial"))


@pytest.fixture
def large(hub, tmp_path, write_model, trajectory):
    """A sharded model with files beside it that nobody should fetch."""
    folder = write_model(tmp_path / "own" / "large", trajectory.weights[10], 3)
    (folder / "sub").mkdir()
    for name in ("pytorch_model.bin", "optimizer.pt", "modeling.py", "sub/model.safetensors"):
        (folder / name).write_bytes(b"no")
    hub.models["org/large", "main"] = folder
    return folder


def test_pickles_and_code_are_not_fetched(hub, tmp_path, large):
    assert download(hub, tmp_path, "org/large", "main").returncode == 0
    index = read_index(tmp_path / "model")
    assert len(index.files) == 3
    assert {p.suffix for p in (tmp_path / "model").rglob("*")} == {".safetensors", ".json"}
    assert not [name for name in hub.got if name.endswith((".bin", ".pt", ".py"))]


def test_a_broken_download_goes_on_where_it_stopped(hub, tmp_path, large):
    last = "model-00003-of-00003.safetensors"
    hub.refused = {last}
    done = download(hub, tmp_path, "org/large", "main")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()[-1:]) == 1
    assert "call it again" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / "model.json").exists()
    before, hub.refused = len(hub.got), set()
    assert download(hub, tmp_path, "org/large", "main").returncode == 0
    assert [name.rpartition("/")[2] for name in hub.got[before:]] == [last]
    assert len(read_index(tmp_path / "model").files) == 3


@pytest.mark.parametrize(
    ("repo", "revision", "expected"),
    [
        ("org/none", "main", "found no such repository, or a private one"),
        ("org/run", "step_11", "found no such revision"),
        ("org/pickles", "main", "found no safetensors among its 1 files"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(hub, tmp_path, repo, revision, expected):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "pytorch_model.bin").write_bytes(b"x")
    hub.models["org/pickles", "main"] = tmp_path / "p"
    done = download(hub, tmp_path, repo, revision)
    assert done.returncode == 1
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "model").exists()


def test_without_a_network(hub, tmp_path):
    done = download(hub, tmp_path, "org/base", "main", HF_HUB_OFFLINE="1")
    assert "found HF_HUB_OFFLINE set, expected a network" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.returncode == 1
    hub.shutdown()
    hub.server_close()
    done = download(hub, tmp_path, "org/base", "main")
    assert "where the hub is in reach" in done.stderr
    assert len(done.stderr.splitlines()) == 1
