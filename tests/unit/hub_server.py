"""A small server that speaks the API of a model hub."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class HubServer(ThreadingHTTPServer):
    """Serves folders as revisions of repositories; counts requests, and may go away early."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models: dict[tuple[str, str], Path] = {}
        self.got: list[str] = []
        self.listings = 0
        self.refused: set[str] = set()
        self.damaged: set[str] = set()
        self.hidden: set[str] = set()
        """Files that the list with digests lacks."""
        self.listed: dict[str, list[str]] = {}
        """By repository, names that the list with digests has on top."""

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
        address = urlsplit(self.path)
        parts = unquote(address.path).strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._api("/".join(parts[2:4]), parts[4:], "recursive" in parse_qs(address.query))
        elif parts[0] == "api":  # the client's own affairs
            self._send(404, b"", {})
        else:
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]), body)

    def _api(self, repo: str, rest: list[str], deep: bool) -> None:
        revision = rest[1] if len(rest) > 1 else "main"
        if not any(own == repo for own, _ in self.server.models):
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        found = self.server.find(repo, revision)
        if found is None:
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        commit, folder = found
        paths = sorted(folder.rglob("*") if deep or rest[:1] != ["tree"] else folder.iterdir())
        if rest[:1] == ["tree"]:
            self.server.listings += 1
            entries = [_entry(path, path.relative_to(folder).as_posix()) for path in paths]
            entries += [
                {"type": "file", "path": name, "size": 1, "oid": "0" * 40}
                for name in self.server.listed.get(repo, [])
            ]
            data: object = [e for e in entries if e["path"] not in self.server.hidden]
        else:
            names = [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
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
        data = path.read_bytes()
        headers = {"ETag": f'"{_etag(path)}"', "X-Repo-Commit": found[0]}
        self._send(200, data[::-1] if name in self.server.damaged else data, headers, body)

    def _send(self, status: int, data: bytes, headers: dict[str, str], body: bool = True) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)


def _entry(path: Path, name: str) -> dict[str, Any]:
    """A line of a tree: weights are kept in LFS, as a hub does from 10 MB on."""
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": "0" * 40}
    data = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry = {"type": "file", "path": name, "size": len(data), "oid": blob}
    if path.suffix == ".safetensors":
        digest = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 134}
    return entry


def _etag(path: Path) -> str:
    entry = _entry(path, path.name)
    return str(entry.get("lfs", entry)["oid"])


@contextmanager
def serving(models: dict[tuple[str, str], Path]) -> Iterator[HubServer]:
    """A hub with folders by repository and revision."""
    server = HubServer()
    server.models = dict(models)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
