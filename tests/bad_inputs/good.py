"""A run whose files are all good, and what is made of it: the tests of bad inputs spoil copies.

base/  run/step-10/ -20/ -30/  scores.csv       a tiny Qwen2 and its checkpoints
adapters/step-30/                               a LoRA adapter on the base
made/blend/  made/low/  made/full/              variants: forecasts, and a whole update
made/gram.safetensors  made/factors/  made/manifests/  made/suite/suite.json  made/scores/
study.yaml  adapters.yaml                       studies
rows.jsonl  model.gguf                          questions of a data set, a quantized model
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from alpharl.cli import main
from alpharl.training.tokenizer import VOCABULARY_SIZE, character_tokenizer
from safetensors.torch import load_file, save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from tests.unit.suites import make_suite
from tests.workflow.tiny_gguf import write_gguf

STEPS = (10, 20, 30)
LAST = Path("run/step-30")
"""The checkpoint that most rows spoil."""
RUN = "--base base --checkpoints run/step-{step}"


def make_good(folder: Path, seed: int = 0) -> Path:
    """Write the files into a folder, with paths relative to it; other models for another seed."""
    there = Path.cwd()
    os.chdir(folder)
    try:
        _models(seed)
        _made()
    finally:
        os.chdir(there)
    return folder


def _models(seed: int) -> None:
    config = Qwen2Config(
        vocab_size=VOCABULARY_SIZE, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=False, bos_token_id=1,
        eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(seed)
    Qwen2ForCausalLM(config).save_pretrained("base")
    character_tokenizer().save_pretrained("base")
    weights = load_file("base/model.safetensors")
    drift = {name: 1e-3 * torch.randn_like(w) for name, w in weights.items()}
    for step in STEPS:
        noise = {name: 1e-3 * step**0.5 * torch.randn_like(w) for name, w in weights.items()}
        moved = {n: w + step * drift[n] + noise[n] for n, w in weights.items()}
        save_model(Path(f"run/step-{step}"), moved)
    lines = [f"{step},{0.2 + step / 100}" for step in (0, *STEPS)]
    Path("scores.csv").write_text("\n".join(["step,accuracy", *lines]) + "\n")
    adapter = Path("adapters/step-30")
    adapter.mkdir(parents=True)
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    pair = {"lora_A": torch.randn(2, 16), "lora_B": torch.randn(16, 2)}
    pair = {f"{name}.{half}.weight": tensor for half, tensor in pair.items()}
    save_file(pair, adapter / "adapter_model.safetensors", metadata={"format": "pt"})
    options = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["q_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps(options))


def save_model(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Write a model in one file, with the base's config."""
    folder.mkdir(parents=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_bytes(Path("base/config.json").read_bytes())


def _made() -> None:
    rows = [{"Body": f"{n} and 1", "Question": "sum?", "Answer": str(n + 1)} for n in range(9)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_gguf(Path("model.gguf"))
    make_suite(Path("made/suite"), "validation", max_new_tokens=2, max_truncated=1)
    for call in (
        "fetch --task svamp --data rows.jsonl --out made/data/svamp-test.jsonl",
        f"gram {RUN} --out made/gram.safetensors",
        *(
            f"factors --base base --checkpoint run/step-{step} --rank 2 "
            f"--out made/factors/step-{step}.safetensors"
            for step in STEPS
        ),
        *(
            f"manifest --base base --checkpoint run/step-{step} --step {step} "
            f"--out made/manifests/step-{step}.json"
            for step in STEPS
        ),
        f"forecast {RUN} --gram made/gram.safetensors --method raw-linear --target-step 60 "
        "--out made/blend",
        f"forecast {RUN} --scores scores.csv --through 20 --method alpharl-step --target-step 30 "
        "--out made/low",
        "rank --base base --checkpoint run/step-30 --kind full-update --out made/full",
        "evaluate --suite made/suite/suite.json --base base --variant base=base --out made/scores",
    ):
        assert main(call.split()) == 0, call
    tasks = {role: [{"task": "addition", "split": role}] for role in ("validation", "test")}
    run = {"base": "b", "checkpoints": "run/step-{step}", "steps": list(STEPS)}
    suites = {role: {"role": role, "tasks": asked} for role, asked in tasks.items()}
    study = {"study": "s", "bases": {"b": {"path": "base"}}, "runs": {"r": run}, "suites": suites}
    Path("study.yaml").write_text(json.dumps(study))
    folders = {step: f"{'adapters' if step == 30 else 'run'}/step-{step}" for step in STEPS}
    study["runs"] = {"r": {"base": "b", "checkpoints": folders}}
    Path("adapters.yaml").write_text(json.dumps(study))
