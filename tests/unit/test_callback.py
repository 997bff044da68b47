"""The watch on a real trainer: its files are the verbs' own, and it never disturbs training."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from alpharl.callback import Watch
from alpharl.checkpoints.sources import find_steps
from alpharl.errors import CheckpointError, MethodError
from alpharl.spectra.depth import Depth
from alpharl.spectra.factors import Settings, factor_checkpoint
from alpharl.spectra.gram import gram_run, read_gram
from alpharl.spectra.lowrank import read_factors
from alpharl.sums import digest_file
from transformers import Qwen2Config, Qwen2ForCausalLM, Trainer, TrainingArguments

RANK = 3


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "base"
    config = Qwen2Config(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


def make_trainer(base: Path, out: Path, watch: Watch | None, steps: int, lora=False, **options):
    """A trainer of random sequences, saving every second step and evaluating too."""
    tokens = torch.randint(0, 40, (64, 12), generator=torch.Generator().manual_seed(1))
    rows = [{"input_ids": row, "labels": row} for row in tokens]
    args = TrainingArguments(
        output_dir=str(out), max_steps=steps, save_steps=2, logging_steps=1, learning_rate=1e-3,
        per_device_train_batch_size=8, eval_strategy="steps", eval_steps=2, report_to=[],
        lr_scheduler_type="constant", disable_tqdm=True, use_cpu=True,
        **options,
    )  # fmt: skip
    model = Qwen2ForCausalLM.from_pretrained(base)
    if lora:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(target_modules=["q_proj"]))
    trainer = Trainer(
        model, args, train_dataset=rows, eval_dataset=rows[:16],
        compute_metrics=lambda p: {"accuracy": (p.predictions.argmax(-1) == p.label_ids).mean()},
        callbacks=[watch] if watch else None,
    )  # fmt: skip
    return trainer


@pytest.fixture(scope="module")
def watched(base: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run of ten steps, with its watch, what was logged, and the same run without a watch."""
    folder = tmp_path_factory.mktemp("watched")
    watch = Watch(base, folder / "watch", rank=RANK, target_step=25, metric="eval_accuracy")
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = logging.getLogger("alpharl.callback")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    trainer = make_trainer(base, folder / "run", watch, 10)
    trainer.train()
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    make_trainer(base, folder / "alone", None, 10).train()
    return SimpleNamespace(
        folder=folder,
        pattern=f"{folder}/run/checkpoint-{{step}}",
        gram=folder / "watch" / "gram.safetensors",
        factors=f"{folder}/watch/factors/step-{{step}}.safetensors",
        records=records,
        history=trainer.state.log_history,
    )


def assert_same_gram(file: Path, base: Path, pattern: str, steps: list[int]) -> None:
    folders = {s: path for s, path in find_steps(pattern).items() if s in steps}
    found, expected = read_gram([file]), gram_run(base, folders)
    assert found.steps == expected.steps == steps
    assert set(found.tensors) == set(expected.tensors)
    for name, g in expected.tensors.items():
        # Products of a block are float32, whose rounding is another in another shape.
        np.testing.assert_allclose(found.tensors[name], g, rtol=1e-6, atol=3e-7 * g.max())


def own_record(caplog) -> logging.LogRecord:
    """The one warning of the watch."""
    (record,) = [r for r in caplog.records if r.name == "alpharl.callback"]
    return record


def test_gram_is_that_of_the_whole_run(watched, base):
    assert_same_gram(watched.gram, base, watched.pattern, [2, 4, 6, 8, 10])


def test_factors_are_those_of_each_checkpoint(watched, base):
    for step, folder in find_steps(watched.pattern).items():
        found = read_factors([Path(watched.factors.replace("{step}", str(step)))])
        expected = factor_checkpoint(base, folder, Settings(Depth(RANK)))
        assert set(found) == set(expected)
        for name, factors in expected.items():
            assert len(found[name].low.s) == RANK
            np.testing.assert_array_equal(found[name].low.dense(), factors.low.dense())
            assert found[name].norm == pytest.approx(factors.norm, rel=1e-6)


def test_each_save_logs_verdict_and_cost(watched):
    lines = [record.getMessage() for record in watched.records]
    assert len(lines) == 5
    for step, line in zip((2, 4, 6, 8, 10), lines, strict=True):
        assert line.startswith(f"alpharl at step {step} of 10: ")
        assert "\n" not in line
        assert re.search(r"factors \d+\.\d\d s, gram \d+\.\d\d s, verdict \d+\.\d\d s, ", line)
        assert re.search(r"\d+\.\d % of the time spent training so far$", line)
    assert "not supported, keep the last checkpoint (against: window)" in lines[0]
    assert "against: window" not in lines[2], "three checkpoints can be rehearsed"


def test_log_history_holds_the_numbers(watched):
    entries = [entry for entry in watched.history if "alpharl/share" in entry]
    assert [entry["step"] for entry in entries] == [2, 4, 6, 8, 10]
    for entry in entries:
        parts = [entry[f"alpharl/{part}_seconds"] for part in ("factors", "gram", "verdict")]
        assert min(parts) > 0
        assert 0 < entry["alpharl/share"] < 1
        assert entry["alpharl/supported"] in (0.0, 1.0)
        assert entry["alpharl/forecast_step"] >= entry["step"]


@pytest.fixture
def without_weights(watched):
    """The folders of the checkpoints hold no weights meanwhile."""
    weights = [folder / "model.safetensors" for folder in find_steps(watched.pattern).values()]
    for path in weights:
        path.rename(path.with_suffix(".away"))
    yield
    for path in weights:
        path.with_suffix(".away").rename(path)


@pytest.mark.usefixtures("without_weights")
def test_log_is_the_verdict_that_trust_gives_on_the_same_files(watched, base, cli, tmp_path):
    """With no weights read again."""
    scores = {e["step"]: e["eval_accuracy"] for e in watched.history if "eval_accuracy" in e}
    rows = "".join(f"{step},{accuracy}\n" for step, accuracy in scores.items())
    (tmp_path / "scores.csv").write_text("step,accuracy\n" + rows)
    window = ["--base", base, "--checkpoints", watched.pattern,
              "--target-step", 25, "--gram", watched.gram, "--scores",
              tmp_path / "scores.csv"]  # fmt: skip
    found = cli("trust", *window)
    assert found.status == 0
    verdict, *reasons = found.out.splitlines()
    line = watched.records[-1].getMessage()
    assert f": {verdict}" in line
    assert "no validation accuracy is given" not in found.out, "the metric has been taken up"
    names = re.search(r"\(against: (.*?)\)", line)
    assert len(names[1].split(", ") if names else []) == sum(r.startswith("-") for r in reasons)
    forecast = cli("forecast", *window, "--method", "alpharl-step", "--factors", watched.factors,
                   "--out", tmp_path / "forecast")  # fmt: skip
    assert forecast.status == 0
    assert (tmp_path / "forecast" / "adapter" / "adapter_model.safetensors").is_file()


def test_training_is_the_same_as_without_a_watch(watched):
    for step, folder in find_steps(watched.pattern).items():
        alone = watched.folder / "alone" / f"checkpoint-{step}" / "model.safetensors"
        assert digest_file(folder / "model.safetensors") == digest_file(alone)


def test_resumed_run_goes_on_with_its_gram(base, tmp_path, monkeypatch):
    """Rows of earlier checkpoints are taken from the file; those beyond the restart are not."""
    computed: list[tuple[list[int], list[int]]] = []

    def counted(gram, base, checkpoints):
        computed.append((gram.steps, sorted(checkpoints)))
        return extend(gram, base, checkpoints)

    from alpharl import callback

    extend = callback.extend_gram
    monkeypatch.setattr(callback, "extend_gram", counted)
    run, watch = tmp_path / "run", tmp_path / "watch"
    make_trainer(base, run, Watch(base, watch), 6).train()
    first = (watch / "factors" / "step-2.safetensors").stat().st_mtime_ns
    computed.clear()
    trainer = make_trainer(base, run, Watch(base, watch), 8)
    trainer.train(resume_from_checkpoint=str(run / "checkpoint-4"))
    assert computed == [([2, 4], [2, 4, 6]), ([2, 4, 6], [2, 4, 6, 8])]
    assert (watch / "factors" / "step-2.safetensors").stat().st_mtime_ns == first
    assert_same_gram(watch / "gram.safetensors", base, f"{run}/checkpoint-{{step}}", [2, 4, 6, 8])


def test_watch_that_joins_late_takes_up_earlier_checkpoints(base, watched, tmp_path):
    run, watch = tmp_path / "run", tmp_path / "watch"
    shutil.copytree(watched.folder / "run", run)
    trainer = make_trainer(base, run, Watch(base, watch), 12)
    trainer.train(resume_from_checkpoint=str(run / "checkpoint-10"))
    steps = [2, 4, 6, 8, 10, 12]
    assert_same_gram(watch / "gram.safetensors", base, f"{run}/checkpoint-{{step}}", steps)
    assert {path.name for path in (watch / "factors").iterdir()} == {
        f"step-{step}.safetensors" for step in steps
    }


def test_new_run_replaces_what_an_earlier_one_left(base, watched, tmp_path):
    """Its rows, and its checkpoints beyond, are no part of the new run."""
    shutil.copytree(watched.folder / "run", tmp_path / "run")
    shutil.copytree(watched.folder / "watch", tmp_path / "watch")
    watch = Watch(base, tmp_path / "watch", rank=RANK)
    make_trainer(base, tmp_path / "run", watch, 4, seed=7).train()
    assert (tmp_path / "run" / "checkpoint-10").is_dir()
    pattern = f"{tmp_path}/run/checkpoint-{{step}}"
    assert_same_gram(tmp_path / "watch" / "gram.safetensors", base, pattern, [2, 4])


def test_nothing_is_said_of_a_target_that_is_reached(base, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "alpharl.callback"):
        make_trainer(base, tmp_path / "run", Watch(base, tmp_path / "watch"), 4).train()
    first, second = [r.getMessage() for r in caplog.records if r.name == "alpharl.callback"]
    assert "not supported" in first
    assert "no verdict, the target step is reached" in second


def test_a_metric_that_is_no_accuracy_ends_the_watch(base, tmp_path, caplog):
    """A loss above 1 would have passed for an accuracy, and turned the verdict."""
    watch = Watch(base, tmp_path / "watch", target_step=25, metric="loss")
    trainer = make_trainer(base, tmp_path / "run", watch, 4)
    with caplog.at_level(logging.WARNING, "alpharl.callback"):
        trainer.train()
    assert trainer.state.global_step == 4
    line = own_record(caplog).getMessage()
    assert "stops watching at step 2, training goes on: scores: step 1: found accuracy " in line
    assert "expected a share from 0 to 1" in line


def test_deleted_checkpoints_end_the_watch_and_not_the_training(base, tmp_path, caplog):
    watch = Watch(base, tmp_path / "watch")
    trainer = make_trainer(base, tmp_path / "run", watch, 8, save_total_limit=2)
    with caplog.at_level(logging.WARNING, "alpharl.callback"):
        trainer.train()
    assert trainer.state.global_step == 8
    record = own_record(caplog)
    line = record.getMessage()
    assert "stops watching at step 6, training goes on" in line
    assert "checkpoint-2: no such folder" in line
    assert "save_total_limit=None" in line
    assert "\n" not in line
    assert record.exc_info in (None, False)
    assert read_gram([tmp_path / "watch" / "gram.safetensors"]).steps == [2, 4]


def test_checkpoints_deleted_before_a_restart_are_missed(base, tmp_path, caplog):
    """The gram still knows them, and is left as it is."""
    run, watch = tmp_path / "run", tmp_path / "watch"
    make_trainer(base, run, Watch(base, watch), 6).train()
    before = digest_file(watch / "gram.safetensors")
    shutil.rmtree(run / "checkpoint-2")
    trainer = make_trainer(base, run, Watch(base, watch), 8)
    trainer.train(resume_from_checkpoint=str(run / "checkpoint-6"))
    assert trainer.state.global_step == 8
    assert "checkpoint-2: no such folder" in own_record(caplog).getMessage()
    assert digest_file(watch / "gram.safetensors") == before


def test_adapter_checkpoints_are_watched_over_their_base(base, tmp_path):
    trainer = make_trainer(base, tmp_path / "run", Watch(base, tmp_path / "watch"), 4, lora=True)
    trainer.train()
    gram = read_gram([tmp_path / "watch" / "gram.safetensors"])
    assert gram.steps == [2, 4]
    moved = {name for name, products in gram.tensors.items() if products[-1, -1] > 0}
    assert moved == {f"model.layers.{i}.self_attn.q_proj.weight" for i in range(2)}


def test_what_the_system_refuses_does_not_end_training(base, tmp_path, caplog):
    """A file stands where the folder should be: the system's error is a line that names it."""
    (tmp_path / "watch").write_text("")
    trainer = make_trainer(base, tmp_path / "run", Watch(base, tmp_path / "watch"), 4)
    trainer.train()
    assert trainer.state.global_step == 4
    record = own_record(caplog)
    assert re.search(r"/watch\S*: found a file where its path needs a folder", record.getMessage())
    assert record.exc_info in (None, False)


def test_what_nobody_foresaw_does_not_end_training(base, tmp_path, caplog):
    """It comes with its traceback, which is to be reported."""

    class Broken(Watch):
        def _look(self, pattern, state):
            raise ZeroDivisionError("by nobody's foresight")

    trainer = make_trainer(base, tmp_path / "run", Broken(base, tmp_path / "watch"), 4)
    trainer.train()
    assert trainer.state.global_step == 4
    record = own_record(caplog)
    assert "ZeroDivisionError: by nobody's foresight" in record.getMessage()
    assert record.exc_info


def test_only_the_main_process_works(base, tmp_path):
    class OtherProcess(Watch):
        def on_save(self, args, state, control, **kwargs):
            super().on_save(args, replace(state, is_world_process_zero=False), control, **kwargs)

    make_trainer(base, tmp_path / "run", OtherProcess(base, tmp_path / "watch"), 2).train()
    assert (tmp_path / "run" / "checkpoint-2").is_dir()
    assert not (tmp_path / "watch").exists()


def test_mistakes_show_before_training(base, tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint folder"):
        Watch(tmp_path / "nowhere", tmp_path / "watch")
    with pytest.raises(MethodError, match="found rank 0, expected at least 1"):
        Watch(base, tmp_path / "watch", rank=0)
