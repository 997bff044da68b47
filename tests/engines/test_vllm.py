"""The `vllm` engine for real: its answers are those of transformers, whatever it served before."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from alpharl.checkpoints.adapter import is_adapter
from alpharl.errors import EvaluationError
from alpharl.evaluation.engines.engine import Answer, Decoding, Prompt
from alpharl.evaluation.engines.vllm import VllmEngine
from alpharl.spectra.lowrank import LowRank
from alpharl.training.checkpoints import write_model
from alpharl.training.tokenizer import VOCABULARY_SIZE, character_tokenizer
from alpharl.variants.adapters import read_source
from alpharl.variants.build import build_dense
from alpharl.variants.store import read_variant, write_variant
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from tests.unit.test_worker_process import group

BUDGET, LONGEST = 24, 36
HIDDEN, MLP, LAYERS = 64, 128, 2
STEP = 10
GREEDY, SAMPLED = Decoding(), Decoding(temperature=0.8, top_p=0.95, top_k=20)


def make_model(out: Path, seed: int, ends: list[int]) -> Path:
    """A random model: large weights, so that its answers vary."""
    torch.manual_seed(seed)
    tokenizer = character_tokenizer()
    config = Qwen2Config(
        vocab_size=VOCABULARY_SIZE, hidden_size=HIDDEN, intermediate_size=MLP,
        num_hidden_layers=LAYERS, num_attention_heads=2, num_key_value_heads=1,
        max_position_embeddings=64, tie_word_embeddings=False, initializer_range=0.2,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    # Defaults that a chat model may come with: the suite's decoding goes before them.
    model.generation_config.update(do_sample=True, top_k=1, temperature=0.1, eos_token_id=ends)
    write_model(model, tokenizer, out)
    return out


def make_adapter(out: Path, base: Path, rank: int, modules: tuple[str, ...]) -> Path:
    """A variant of random low-rank updates that change answers."""
    rng = np.random.default_rng(rank)
    shapes = {
        name: tuple(weights.shape)
        for name, weights in AutoModelForCausalLM.from_pretrained(base).named_parameters()
        if name.endswith(tuple(f"{module}.weight" for module in modules))
    }
    size = np.full(rank, 0.02 / rank)
    updates = {
        name: LowRank(rng.normal(size=(m, rank)), size, rng.normal(size=(n, rank)))
        for name, (m, n) in shapes.items()
    }
    write_variant(out, base, {}, {}, {}, updates)
    return out


def make_trained(out: Path, base: Path) -> Path:
    """An adapter as PEFT saves it, of one layer, with a scale that is not 1."""
    options = {"r": 2, "lora_alpha": 5, "target_modules": ["v_proj"], "layers_to_transform": [1]}
    config = LoraConfig(**options, init_lora_weights=False, task_type="CAUSAL_LM")
    torch.manual_seed(0)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(out)
    return out


PROMPTS = [
    Prompt(tuple(row), BUDGET, seed=100 + i)
    for i, row in enumerate(np.random.default_rng(0).integers(3, 52, size=(12, 9)).tolist())
]
MANY = [replace(prompt, seed=seed) for seed in range(500) for prompt in PROMPTS]
ENDS = [2, 30, 41]
ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, Path]:
    """A base, a checkpoint of it, and variants of every kind."""
    root = tmp_path_factory.mktemp("models")
    base, other = make_model(root / "base", 0, ENDS), make_model(root / "other", 1, ENDS)
    tensors = dict(AutoModelForCausalLM.from_pretrained(base).named_parameters())
    blend = {name: {STEP: 0.3} for name in tensors}
    write_variant(root / "blend", base, {STEP: other}, {}, blend)
    adapters = {f"rank-{r}": make_adapter(root / f"rank-{r}", base, r, ALL) for r in (1, 4, 8)}
    return {
        "base": base,
        **adapters,
        "blend": root / "blend",
        "some": make_adapter(root / "some", base, 2, ("q_proj", "up_proj")),
        "head": make_adapter(root / "head", base, 3, ("q_proj", "lm_head")),
        "high": make_adapter(root / "high", base, 9, ALL),
        "trained": make_trained(root / "trained", base),
        "checkpoint": other,
    }


@pytest.fixture(scope="module")
def dense(sources, tmp_path_factory) -> dict[str, Path]:
    """The same models as folders for transformers."""
    root, found = tmp_path_factory.mktemp("dense"), {}
    for name, folder in sources.items():
        found[name] = folder
        if (folder / "variant.json").is_file():
            found[name] = root / name
            build_dense(read_variant(folder), root / name)
        elif is_adapter(folder):
            found[name] = root / name
            merged = PeftModel.from_pretrained(
                AutoModelForCausalLM.from_pretrained(sources["base"]), folder
            ).merge_and_unload()
            write_model(merged, AutoTokenizer.from_pretrained(sources["base"]), root / name)
    return found


@pytest.fixture(scope="module", autouse=True)
def logs(tmp_path_factory) -> Iterator[Path]:
    """Folder of temporary files: models that are built, logs of failures."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("temporary")
        patch.setattr(tempfile, "tempdir", str(folder))
        yield folder


@pytest.fixture(scope="module")
def engine(sources, vllm_environment, logs):
    """One engine for all tests: it starts once."""
    lora = {"enable_lora": True}
    with VllmEngine(sources["base"], "float32", vllm_environment, lora, LONGEST, 8, 0) as engine:
        yield engine


def ask(
    engine: VllmEngine, folder: Path, prompts: list[Prompt], decoding: Decoding
) -> list[Answer]:
    """Answers in the order of their prompts."""
    source = read_source(folder, engine._base)
    with engine.model(source) as generate:
        found = list(generate(prompts, decoding))
    assert sorted(index for index, _ in found) == list(range(len(prompts)))
    return [answer for _, answer in sorted(found)]


def by_transformers(folder: Path, prompts: list[Prompt]) -> list[Answer]:
    """Greedy answers of transformers, by the model's own end tokens."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer, found = AutoTokenizer.from_pretrained(folder), []
    ends = model.generation_config.eos_token_id
    ends = [ends] if isinstance(ends, int) else ends
    for prompt in prompts:
        given = torch.tensor([prompt.tokens])
        tokens = model.generate(
            given, attention_mask=torch.ones_like(given), do_sample=False, temperature=None,
            top_k=None, max_new_tokens=prompt.budget,
        )[0, given.shape[1] :].tolist()  # fmt: skip
        finished = tokens[-1] in ends
        text = tokenizer.decode(tokens[:-1] if finished else tokens, skip_special_tokens=True)
        found.append(Answer(text, len(tokens), finished))
    return found


ORDER = ["base", "rank-1", "rank-4", "blend", "rank-8", "base", "head", "some", "high",
         "trained", "checkpoint", "rank-1", "base"]  # fmt: skip
"""Each kind after others: what one leaves behind would show in the next."""


@pytest.mark.sample
def test_greedy_answers_are_those_of_transformers(engine, sources, dense, logs):
    expected = {name: by_transformers(folder, PROMPTS) for name, folder in dense.items()}
    assert len({str(answers) for answers in expected.values()}) == len(expected), "models differ"
    ends = [answer.finished for answers in expected.values() for answer in answers]
    assert any(ends) and not all(ends), "some answers end, some are cut off"
    for place, name in enumerate(ORDER):
        assert ask(engine, sources[name], PROMPTS, GREEDY) == expected[name], f"{place}: {name}"
        assert not list(logs.glob("alpharl-model-*")), "a built model is deleted at once"


@pytest.mark.sample
def test_adapters_are_merged_on_a_cpu(sources, dense, vllm_environment):
    """Unless LoRA is asked for; the ranks to come are known all the same."""
    with VllmEngine(sources["base"], "float32", vllm_environment, {}, LONGEST, 8, 0) as engine:
        assert engine._served(read_variant(sources["rank-4"])) is None
        for name in ("rank-4", "base", "trained", "rank-1"):
            expected = by_transformers(dense[name], PROMPTS)
            assert ask(engine, sources[name], PROMPTS, GREEDY) == expected, name


def test_what_is_served_as_an_adapter(engine, sources):
    served = [name for name in sources
              if (sources[name] / "variant.json").is_file()
              and engine._served(read_variant(sources[name]))]  # fmt: skip
    assert served == ["rank-1", "rank-4", "rank-8", "some"]


@pytest.mark.sample
def test_sampled_answers_depend_on_their_seeds_alone(engine, sources):
    for name in ("base", "rank-4"):
        whole = ask(engine, sources[name], PROMPTS, SAMPLED)
        assert whole != ask(engine, sources[name], PROMPTS, GREEDY)
        order = np.random.default_rng(1).permutation(len(PROMPTS))
        permuted = ask(engine, sources[name], [PROMPTS[i] for i in order], SAMPLED)
        assert permuted == [whole[i] for i in order]
        split = [ask(engine, sources[name], part, SAMPLED) for part in (PROMPTS[:5], PROMPTS[5:])]
        assert split[0] + split[1] == whole
        reseeded = [replace(prompt, seed=prompt.seed + 1000) for prompt in PROMPTS]
        assert ask(engine, sources[name], reseeded, SAMPLED) != whole
    same = [PROMPTS[0]] * 3
    assert len(set(ask(engine, sources["base"], same, SAMPLED))) == 1


def test_each_answer_has_its_own_budget(engine, sources):
    prompts = [replace(prompt, budget=1 + i) for i, prompt in enumerate(PROMPTS)]
    assert ask(engine, sources["base"], prompts, GREEDY) == by_transformers(
        sources["base"], prompts
    )
    long = replace(PROMPTS[0], budget=LONGEST)
    with pytest.raises(EvaluationError, match="9 tokens with a budget of 36, expected 36 together"):
        ask(engine, sources["base"], [long], GREEDY)


def test_answer_ends_before_a_stop_string(engine, sources):
    plain = ask(engine, sources["base"], PROMPTS, GREEDY)
    text = max((answer.text for answer in plain), key=len)
    stop = text[4:6]
    for was, now in zip(
        plain, ask(engine, sources["base"], PROMPTS, Decoding(stop=(stop, "~~"))), strict=True
    ):
        before, found, _ = was.text.partition(stop)
        assert now.text == before
        assert now.finished == (bool(found) or was.finished)
        assert (now.tokens < was.tokens) == (bool(found) and len(before) + len(stop) < was.tokens)


def test_line_through_logits_is_refused(engine, sources, tmp_path):
    line = {"logits": {"a": 0, "b": STEP, "beta": 2.0}}
    write_variant(tmp_path / "line", sources["base"], {STEP: sources["checkpoint"]}, line)
    with pytest.raises(EvaluationError, match="score it with engine 'hf'"):
        ask(engine, tmp_path / "line", PROMPTS, GREEDY)


def test_other_architecture_is_refused(engine, sources, tmp_path):
    strange = make_model(tmp_path / "strange", 1, ENDS)
    config = json.loads((strange / "config.json").read_text())
    (strange / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    with pytest.raises(EvaluationError, match=r"rms_norm_eps 0.001 \(base: 1e-06\) in its .*'hf'"):
        ask(engine, strange, PROMPTS, GREEDY)


def test_weights_alone_are_those_of_the_base_config(engine, sources, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(sources["checkpoint"] / "model.safetensors", alone)
    right = ask(engine, sources["checkpoint"], PROMPTS, GREEDY)
    ask(engine, sources["base"], PROMPTS[:1], GREEDY)
    assert ask(engine, alone, PROMPTS, GREEDY) == right


def test_other_rows_of_tokens_are_refused(engine, sources, tmp_path):
    weights = load_file(sources["checkpoint"] / "model.safetensors")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weights[name] = torch.cat([weights[name], weights[name][:6]])
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    message = f"found {VOCABULARY_SIZE + 6} rows of tokens .*engine 'hf'"
    with pytest.raises(EvaluationError, match=message), engine.model(tmp_path):
        pass


def test_answers_that_are_not_taken_end_the_engine(engine, sources):
    with engine.model(sources["base"]) as generate:
        pid, answers = engine._worker.pid, generate(MANY, SAMPLED)
        next(answers)
        answers.close()
        assert group(pid) == []
        with pytest.raises(EvaluationError, match="not all answers were taken"):
            list(generate(PROMPTS, GREEDY))


@pytest.mark.sample
def test_killed_worker_is_an_error_and_leaves_nothing(engine, sources):
    """Starts vLLM again."""
    with engine.model(read_variant(sources["rank-1"])) as generate:
        pid, answers = engine._worker.pid, generate(MANY, SAMPLED)
        next(answers)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(EvaluationError, match=r"^vllm_worker.py was killed by signal 9"):
            list(answers)
    assert group(pid) == []


@pytest.mark.sample
def test_worker_ends_when_its_caller_is_killed(sources, vllm_environment):
    """In the middle of its start, too."""
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom alpharl.evaluation.engines import vllm\n"
        "class Noted(vllm.WorkerProcess):\n"
        "    def receive(self):\n"
        "        print(self.pid, flush=True)\n"
        "        return super().receive()\n"
        "vllm.WorkerProcess = Noted\n"
        "base, environment = map(Path, sys.argv[1:])\n"
        "with vllm.VllmEngine(base, 'float32', environment, {}, 36, 0, 0).model(base): pass\n"
    )
    command = [sys.executable, "-c", code, sources["base"], vllm_environment]
    caller = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    pid = int(caller.stdout.readline())
    time.sleep(2)
    assert group(pid) == [pid]
    caller.kill()
    caller.wait()
    until = time.monotonic() + 20
    while group(pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert group(pid) == []


def test_answers_of_a_real_model(smollm2, vllm_environment, tmp_path):
    """Its words have spaces, its answers end by themselves, its head is tied to its embedding."""
    tokenizer, prompts = AutoTokenizer.from_pretrained(smollm2), []
    for question in ("What is 17 + 25?", "Name three colours.", "Say hello in French, only that."):
        chat = [{"role": "user", "content": question}]
        tokens = tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
        prompts.append(Prompt(tuple(tokens), 40, 0))
    variant = make_adapter(tmp_path / "tied", smollm2, 1, ("embed_tokens", "q_proj"))
    build_dense(read_variant(variant), tmp_path / "dense")
    expected = {
        smollm2: by_transformers(smollm2, prompts),
        variant: by_transformers(tmp_path / "dense", prompts),
    }
    assert expected[smollm2] != expected[variant]
    assert any(answer.finished for answer in expected[smollm2])
    longest = max(len(prompt.tokens) for prompt in prompts) + 40
    with VllmEngine(smollm2, "float32", vllm_environment, {}, longest, 0, 0) as engine:
        for source in (smollm2, variant, smollm2):
            assert ask(engine, source, prompts, GREEDY) == expected[source]


@pytest.mark.parametrize("make", [lambda p: None, Path.mkdir], ids=["no folder", "empty folder"])
def test_environment_without_vllm_is_one_line(sources, tmp_path, make):
    make(tmp_path / "env")
    with pytest.raises(EvaluationError, match=r"env: found no vLLM .*`make engines`") as error:
        VllmEngine(sources["base"], "float32", tmp_path / "env", {}, LONGEST, 0, 0)
    assert "\n" not in str(error.value)
