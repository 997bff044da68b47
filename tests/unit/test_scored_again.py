"""Which models are scored again after a change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from alpharl.checkpoints.files import write_record
from alpharl.checkpoints.manifest import KnownDigests
from alpharl.errors import ArtefactError
from alpharl.evaluation import runner
from alpharl.evaluation.engines.hf import Hf
from alpharl.evaluation.engines.registry import read_settings
from alpharl.evaluation.runner import Scorer, score_variants
from alpharl.evaluation.statistics import Graded, summarize
from alpharl.evaluation.suites import read_suite
from alpharl.spectra.lowrank import LowRank
from alpharl.variants.store import write_variant
from tests.unit.suites import make_suite
from tests.unit.updates import UP
from transformers import AutoTokenizer

SCORE = {
    **summarize([[Graded(1.0, "7", False, 3)], [Graded(0.0, "8", False, 3)]]), "tasks": {},
    "versions": {}, "seconds": 0.0, "question_ids": ["a", "b"],
}  # fmt: skip
DECODING = {
    "temperature": 0.0, "top_p": 1.0, "top_k": 0, "samples": 1, "seed": 0, "stop": [],
    "chat_template": False, "max_new_tokens": {},
}  # fmt: skip
SETTINGS = {"suite_digest": "d", "engine": "counting", "decoding": DECODING, "seed_note": ""}


class Counting:
    """In place of the engine: notes what it was asked to score."""

    scored: list[str]

    def __init__(self, suite, base, evaluation, gpus, rank, progress):
        self.settings = {**SETTINGS, "dtype": evaluation.dtype}
        self.key = lambda source, model: f"{source} {model} {evaluation.dtype} {suite.digest}"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def score(self, source, model, answers):
        folder = source if isinstance(source, Path) else source.folder
        type(self).scored.append(folder.name)
        return SCORE


@pytest.fixture
def counting(monkeypatch):
    """The counting engine, fresh."""
    Counting.scored = []
    monkeypatch.setattr(runner, "Scorer", Counting)
    return Counting


def random_adapter(out: Path, run, scale: float) -> Path:
    """A variant with a rank-1 adapter."""
    m, n = run.weights[0][UP].shape
    low = LowRank(np.ones((m, 1)), np.array([scale]), np.ones((n, 1)))
    write_variant(out, run.base, run.folders, {"kind": "test"}, {}, {UP: low})
    return out


def test_only_what_changed_is_scored_again(make_trajectory, tmp_path, counting, write_model):
    run = make_trajectory()
    variants = {
        "step-0": run.base,
        "step-10": run.folders[10],
        "a": random_adapter(tmp_path / "a", run, 0.1),
        "b": random_adapter(tmp_path / "b", run, 0.2),
    }
    write_variant(tmp_path / "c", run.base, run.folders, {}, {UP: {20: 1.0}})
    variants["c"] = tmp_path / "c"
    suite = read_suite(make_suite(tmp_path / "test"))

    def again(suite=suite, **settings) -> list[str]:
        counting.scored = []
        given = read_settings({"batch_size": 8, **settings})
        score_variants(suite, run.base, variants, KnownDigests([]), tmp_path / "out", given,
                       {"run": "r"})  # fmt: skip
        return counting.scored

    assert again() == ["base", "step-10", "a", "b", "c"]
    assert again() == []
    assert again(batch_size=64) == [], "a batch is speed, not a result"
    random_adapter(tmp_path / "b", run, 0.2)
    assert again() == [], "made anew with the same content"
    random_adapter(tmp_path / "b", run, 0.3)
    assert again() == ["b"]
    write_model(run.folders[20], {n: t + 1 for n, t in run.weights[20].items()})
    with pytest.raises(ArtefactError, match=r"c: found that it was made from other weights"):
        again()
    write_variant(tmp_path / "c", run.base, run.folders, {}, {UP: {20: 1.0}})
    assert again() == ["c"], "a blend depends on its checkpoints"
    write_model(run.folders[10], {n: t + 1 for n, t in run.weights[10].items()})
    assert again() == ["step-10"]
    (tmp_path / "out" / "a.json").unlink()
    assert again() == ["a"]
    (tmp_path / "out" / "a.json").write_text('{"key": "')
    (tmp_path / "out" / "b.json").write_text("[]")
    assert again() == ["a", "b"], "damaged results are made again"
    write_model(run.base, {n: t + 1 for n, t in run.weights[0].items()})
    random_adapter(tmp_path / "a", run, 0.1)
    random_adapter(tmp_path / "b", run, 0.3)
    write_variant(tmp_path / "c", run.base, run.folders, {}, {UP: {20: 1.0}})
    assert again() == ["base", "a", "b", "c"], "an update is added to its base"
    assert len(again(dtype="bfloat16")) == 5
    longer = read_suite(make_suite(tmp_path / "test", max_new_tokens=12))
    assert len(again(dtype="bfloat16", suite=longer)) == 5


def test_result_is_written_as_soon_as_it_is_there(make_trajectory, tmp_path, counting, monkeypatch):
    """A kill in the middle loses one variant, not all."""
    run = make_trajectory()
    variants = {name: random_adapter(tmp_path / name, run, 0.1) for name in "ab"}
    suite = read_suite(make_suite(tmp_path / "test"))

    def killed(self, source, model, answers):
        if source.folder.name == "b":
            raise KeyboardInterrupt
        return SCORE

    plain = counting.score
    monkeypatch.setattr(counting, "score", killed)
    arguments = (suite, run.base, variants, KnownDigests([]), tmp_path / "out", Hf(), {})
    with pytest.raises(KeyboardInterrupt):
        score_variants(*arguments)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.json"]
    monkeypatch.setattr(counting, "score", plain)
    score_variants(*arguments)
    assert counting.scored == ["b"]


def test_accuracy_table_is_ordered_by_step(tmp_path, cli):
    paths = []
    for step, value in ((120, 0.9), (0, 0.25), (12, 1 / 3)):
        paths.append(tmp_path / f"step-{step}.json")
        result = {"variant": f"step-{step}", "accuracy": value, "stderr": 0.01, "n": 300}
        result |= {"suite": "s", "suite_digest": "d"}
        write_record(paths[-1], result)
    out = tmp_path / "S.csv"
    assert cli("accuracy", "--scores", *paths, "--out", out).status == 0
    by_pattern = tmp_path / "P.csv"
    pattern = tmp_path / "step-{step}.json"
    assert cli("accuracy", "--scores", pattern, "--out", by_pattern).status == 0
    assert by_pattern.read_bytes() == out.read_bytes()
    assert out.read_text().splitlines() == [
        "step,accuracy,stderr,n", "0,0.25,0.01,300", "12,0.333333,0.01,300", "120,0.9,0.01,300",
    ]  # fmt: skip


def test_key_follows_the_chat_template_and_not_the_memory(golden, tmp_path):
    """A mended template makes other prompts of the same questions; a setting of speed does not."""
    base = tmp_path / "base"
    base.mkdir()
    for file in (golden / "trajectory" / "base").iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    suite = read_suite(make_suite(tmp_path / "s", chat_template=True, max_new_tokens=9))

    def key(template: str, **evaluation) -> str:
        tokenizer = AutoTokenizer.from_pretrained(golden / "trajectory" / "base")
        tokenizer.chat_template = template
        tokenizer.save_pretrained(base)
        return Scorer(suite, base, read_settings(evaluation)).key(base, "model")

    plain = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    vllm = {"engine": "vllm", "environment": "e"}
    assert key(plain) == key(plain, batch_size=3)
    assert key(plain) != key("1" + plain)
    low, high = ({**vllm, "vllm": {"gpu_memory_utilization": share}} for share in (0.5, 0.9))
    assert key(plain, **low) == key(plain, **high)
    assert key(plain, **low) != key(plain, **vllm, vllm={"quantization": "fp8"})
