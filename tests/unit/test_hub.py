"""Models of a hub: the real client against a small server that speaks its API."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from alpharl.checkpoints.files import read_record
from alpharl.checkpoints.index import read_index
from tests.unit.hub_server import serving


@pytest.fixture
def hub(trajectory):
    """A hub with the run as revisions `step_10`, ..., its base as `main`, and files not to take."""
    models = {("org/run", f"step_{s}"): path for s, path in trajectory.folders.items()}
    with serving({("org/base", "main"): trajectory.base, **models}) as server:
        yield server


def alpharl(hub, tmp_path, *arguments, **environment):
    """One call of a verb, in a process of its own as the workflow makes it."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    own |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-m", "alpharl.cli", *map(str, arguments)],
        env=own | environment, capture_output=True, text=True,
    )  # fmt: skip


def download(hub, tmp_path, repo, revision, out="model", **environment):
    """Fetch a model."""
    return alpharl(
        hub, tmp_path, "download", "--repo", repo, "--revision", revision,
        "--out", tmp_path / out, "--record", tmp_path / f"{out}.json", **environment,
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
    """A sharded model next to files that nobody should fetch."""
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
    # The client fetches files side by side, and leaves some when one fails.
    there = {path.name for path in (tmp_path / ".model.partial").iterdir() if path.is_file()}
    assert download(hub, tmp_path, "org/large", "main").returncode == 0
    fetched = {name.rpartition("/")[2] for name in hub.got[before:]}
    assert last in fetched and not fetched & there
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


@pytest.mark.parametrize("damaged", ["model-00002-of-00003.safetensors", "config.json"])
def test_a_file_of_another_digest_is_refused_and_fetched_anew(hub, tmp_path, large, damaged):
    hub.damaged = {damaged}
    done = download(hub, tmp_path, "org/large", "main")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"org/large at main: {damaged} came with the digest" in done.stderr
    assert not (tmp_path / "model").exists() and not (tmp_path / "model.json").exists()
    assert not list(tmp_path.glob(f".model.partial/{damaged}"))
    hub.damaged, before = set(), len(hub.got)
    assert download(hub, tmp_path, "org/large", "main").returncode == 0
    assert [name.rpartition("/")[2] for name in hub.got[before:]] == [damaged]
    assert (tmp_path / "model" / damaged).read_bytes() == (large / damaged).read_bytes()


@pytest.mark.parametrize(
    "name", ["../x.safetensors", "/tmp/x.safetensors", "a/../../x.json", "a//b.json", "x\n.json"]
)
def test_a_name_that_leads_out_of_its_folder_is_refused(hub, tmp_path, large, name):
    hub.listed["org/large"] = [name]
    done = download(hub, tmp_path, "org/large", "main")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert f"org/large at main: found a file named {name!r}, expected names inside" in done.stderr
    assert not [path for path in tmp_path.iterdir() if "model" in path.name]


def test_other_files_than_the_list_had_are_not_fetched(hub, tmp_path, large):
    """The client asks for its own list, which may be another by then."""
    (large / "evil.json").write_text("{}")
    hub.hidden = {"evil.json"}
    assert download(hub, tmp_path, "org/large", "main").returncode == 0
    assert "evil.json" not in {path.name for path in (tmp_path / "model").iterdir()}
    assert not [name for name in hub.got if name.endswith("evil.json")]


def test_a_hub_that_repeats_a_password_is_not_quoted(hub, tmp_path):
    hub.shutdown()
    hub.server_close()
    address = hub.url.replace("http://", "http://me:hunter22@")
    done = download(
        hub, tmp_path, "org/base", "main", HF_ENDPOINT=address, HF_TOKEN="hf_hunter22xyz"
    )
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "hunter22" not in done.stderr


def published(hub, tmp_path, models, *options):
    """Compare models before they are fetched; lines of standard error."""
    places = [f"{step}={repo}@{revision}" for step, (repo, revision) in models.items()]
    out = tmp_path / "published.json"
    done = alpharl(hub, tmp_path, "published", "--models", *places, "--out", out, *options)
    assert done.returncode == (0 if out.is_file() else 1), done.stderr
    assert not [name for name in hub.got if name.endswith(".safetensors")], "not a byte of weights"
    return done.stderr.splitlines()


@pytest.fixture
def models(hub, trajectory):
    """Where the base, as step 0, and the run's checkpoints are on the hub."""
    revisions = {step: ("org/run", f"step_{step}") for step in trajectory.folders}
    return {0: ("org/base", "main"), **revisions}


def test_published_models_that_differ_are_recorded(hub, tmp_path, models):
    assert published(hub, tmp_path, models) == []
    record = read_record(tmp_path / "published.json", dict, "alpharl published")
    assert [int(step) for step in record] == [*models]
    assert record["90"]["revision"] == "step_90" and len(record["90"]["commit"]) == 40
    digests = {model["files"]["model.safetensors"] for model in record.values()}
    assert len(digests) == len(models) and {len(digest) for digest in digests} == {64}


@pytest.mark.parametrize(
    ("served", "kind", "says"),
    [
        ({10: 0}, "base", "step 10 equals the base; likely a copy of it"),
        ({35: 20}, "duplicate", "steps 20 and 35 are equal; likely one file"),
        ({50: 90, 60: 90}, "serves-last", "steps 50 and 60 equal the last step, 90; likely"),
    ],
)
def test_equal_models_are_named_before_the_fetch(hub, tmp_path, models, served, kind, says):
    for step, other in served.items():
        hub.models[models[step]] = hub.models[models[other]]
    *faults, last = published(hub, tmp_path, models)
    assert [line for line in faults if line.startswith(f"{kind}: {says}")] == faults
    assert len(faults) == 1
    assert last.startswith("alpharl published: error: found these faults, expected checkpoints")
    assert published(hub, tmp_path, models, "--accept", kind) == [f"accepted: {faults[0]}"]
    assert (before := hub.listings) and published(hub, tmp_path, models) == []
    assert hub.listings == before, "compared once"
    rest = {step: place for step, place in models.items() if step not in served}
    assert published(hub, tmp_path, rest) == []
    assert hub.listings > before, "other models"


def test_a_base_that_is_a_folder_and_an_adapter_that_was_not_merged(
    hub, tmp_path, models, trajectory
):
    """As verl's merger leaves both: the base as it was, and the adapter below it."""
    merged = tmp_path / "merged"
    shutil.copytree(trajectory.base, merged)
    (merged / "model.safetensors").rename(merged / "renamed.safetensors")
    (merged / "lora_adapter").mkdir()
    (merged / "lora_adapter" / "adapter_model.safetensors").write_bytes(b"x")
    hub.models["org/run", "step_90"] = merged
    del models[0]
    *faults, _ = published(hub, tmp_path, models, "--base", trajectory.base)
    assert len(faults) == 1
    assert faults[0].startswith(
        "base: step 90 equals the base; an adapter lies in lora_adapter of org/run at step_90 and "
        "was not merged"
    )
