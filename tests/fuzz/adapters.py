"""Random LoRA adapters: what is read here is what PEFT loads and merges, all of it.

Each seed gives an adapter that PEFT itself makes of random options on a tiny random base, mostly
changed in its config or its tensors afterwards.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from alpharl.checkpoints.adapter import read_model
from alpharl.checkpoints.reader import ModelReader
from alpharl.errors import CheckpointError
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

Options = dict[str, Any]
Tensors = dict[str, Tensor]
PREFIX = "base_model.model."
_SMALL = {
    "vocab_size": 24, "hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 3,
    "num_attention_heads": 2, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
BASES: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**_SMALL, tie_word_embeddings=False)),
    "qwen2": lambda: Qwen2ForCausalLM(
        Qwen2Config(**_SMALL, num_key_value_heads=1, tie_word_embeddings=True)
    ),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=24, n_embd=16, n_layer=3, n_head=2, n_positions=8)
    ),
    "neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**_SMALL, tie_word_embeddings=False)),
    "moe": lambda: Qwen3MoeForCausalLM(
        Qwen3MoeConfig(
            **_SMALL,
            num_experts=2,
            num_experts_per_tok=1,
            moe_intermediate_size=12,
            num_key_value_heads=2,
            head_dim=8,
            mlp_only_layers=[1],
            tie_word_embeddings=False,
        )
    ),
}
HEADLESS = "headless gpt2"
"""A base whose files hold the model without its head, as GPT-2 was published."""
BASES[HEADLESS] = BASES["gpt2"]


@dataclass(frozen=True)
class Base:
    """A model, its folder, and the names of its modules by what they are."""

    folder: Path
    model: PreTrainedModel
    linear: list[str]
    """Of `nn.Linear` and `Conv1D` in layers."""
    ends: list[str]
    """Last parts of their names."""
    others: list[str]
    """Embeddings, heads, norms, and modules that hold others or no weights."""
    embeddings: list[str]


@cache
def base_of(kind: str, scratch: Path) -> Base:
    """A base, made once. Shared: copied, never changed."""
    torch.manual_seed(0)
    model = BASES[kind]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn_like(parameter))
    (model.transformer if kind == HEADLESS else model).save_pretrained(scratch / kind)
    every = [(name, m) for name, m in model.named_modules() if name]
    linear = [n for n, m in every if type(m).__name__ in ("Linear", "Conv1D") and ".0." in n]
    linear += [n.replace(".0.", f".{i}.") for i in (1, 2) for n in linear]
    ends = sorted({name.rpartition(".")[2] for name in linear})
    others = [name for name, _ in every if name not in linear]
    embeddings = [name for name, m in every if isinstance(m, nn.Embedding)]
    return Base(scratch / kind, model.eval(), linear, ends, others, embeddings)


# --- options ---


def _targets(rng: random.Random, base: Base) -> Any:
    some = rng.sample(base.ends, rng.randint(1, len(base.ends)))
    full = rng.sample(base.linear, rng.choice([1, 2, 4, min(20, len(base.linear))]))
    end, layer = rng.choice(base.ends), rng.randint(0, 2)
    last = rng.choice([*base.others, "none", ".".join(full[0].split(".")[-2:])]).split(".")[-1]
    return rng.choices(
        [some, full, [*some, *full[:1]], "all-linear", rf".*\.{end}", rf".*\.{layer}\..*\.{end}",
         rf".*({'|'.join(some)})", [*some, last], [*some, *base.embeddings[:1]],
         [".".join(full[0].split(".")[-2:])], end, r".*\.mlp\..*", "ALL-linear", []],
        [8, 3, 1, 3, 2, 2, 2, 1, 1, 1, 0.3, 0.3, 0.3, 0.1],
    )[0]  # fmt: skip


def _excluded(rng: random.Random, base: Base) -> Any:
    end, full = rng.choice(base.ends), rng.choice(base.linear)
    return rng.choice(
        [[end], [full], rf".*\.{rng.randint(0, 3)}\..*", rf".*{end}", ["mlp"], [], ""]
    )


def _layers(rng: random.Random, base: Base) -> Any:
    return rng.choice(
        [0, 1, 2, [0], [1, 2], [0, 2], [7], [], True, [0.0], "0"][: rng.choice([7, 11])]
    )


def _patterns(rng: random.Random, base: Base, values: list[Any]) -> dict[str, Any]:
    end, full = rng.choice(base.ends), rng.choice(base.linear)
    keys = [end, full, rf".*\.{rng.randint(0, 2)}\..*", rf"{full.split('.')[-2]}\.{end}", end[:3],
            rf"^{full}", ".".join(full.split(".")[1:]), "none"]  # fmt: skip
    return {key: rng.choice(values) for key in rng.sample(keys, rng.randint(1, 3))}


def _saved(rng: random.Random, base: Base) -> Any:
    other = rng.choice(base.others)
    return rng.choice([
        [other], [other.split(".")[-1]], [rng.choice(base.ends)], ["lm_head"], ["norm"], [],
        [rng.choice(base.linear)], ["proj"], ["default"], ["none"], ["mlp", rng.choice(base.ends)],
    ])  # fmt: skip


OPTIONS: dict[str, Callable[[random.Random, Base], Any]] = {
    "target_modules": _targets,
    "exclude_modules": _excluded,
    "layers_to_transform": _layers,
    "layers_pattern": lambda rng, base: rng.choice(
        ["layers", ["layers"], ["h"], "h", ["none"], ["none", "layers"], [], ""]
    ),
    "rank_pattern": lambda rng, base: _patterns(rng, base, [1, 2, 3, 4]),
    "alpha_pattern": lambda rng, base: _patterns(rng, base, [1, 3, 0.5, -2, 0]),
    "r": lambda rng, base: rng.choice([1, 2, 3, 4]),
    "lora_alpha": lambda rng, base: rng.choice([1, 2, 5, 0.25, -3, 16]),
    "use_rslora": lambda rng, base: rng.random() < 0.5,
    "fan_in_fan_out": lambda rng, base: rng.random() < 0.5,
    "modules_to_save": _saved,
    "lora_dropout": lambda rng, base: rng.choice([0.0, 0.1, 0, 1]),
    "bias": lambda rng, base: rng.choice(["none", "none", "all", "lora_only"]),
    "use_dora": lambda rng, base: rng.random() < 0.3,
    "lora_bias": lambda rng, base: rng.random() < 0.3,
    "init_lora_weights": lambda rng, base: rng.choice(
        [True, False, "gaussian", "orthogonal", "pissa", "olora", "eva"]
    ),
    "task_type": lambda rng, base: rng.choice(["CAUSAL_LM", None, "SEQ_CLS", "FEATURE_EXTRACTION"]),
    "trainable_token_indices": lambda rng, base: rng.choice([[1, 2], [], None]),
    "target_parameters": lambda rng, base: rng.choice(
        [None, [], [f"{rng.choice(base.ends)}.weight"]]
    ),
    "layer_replication": lambda rng, base: rng.choice([None, [[0, 2], [1, 3]]]),
    "ensure_weight_tying": lambda rng, base: rng.random() < 0.5,
}
_USUAL = ["exclude_modules", "layers_to_transform", "rank_pattern", "alpha_pattern", "use_rslora",
          "fan_in_fan_out", "lora_dropout", "modules_to_save"]  # fmt: skip


def _good(rng: random.Random, base: Base) -> tuple[Options, Tensors]:
    """An adapter as PEFT makes it, with random weights; its options may be none that PEFT takes."""
    options: Options = {
        key: OPTIONS[key](rng, base) for key in ("target_modules", "r", "lora_alpha")
    }
    options |= {key: OPTIONS[key](rng, base) for key in _USUAL if rng.random() < 0.15}
    options |= {key: OPTIONS[key](rng, base) for key in OPTIONS if rng.random() < 0.02}
    if rng.random() < 0.08 and "layers_to_transform" in options:
        options["layers_pattern"] = OPTIONS["layers_pattern"](rng, base)
    model = get_peft_model(copy.deepcopy(base.model), LoraConfig(**copy.deepcopy(options)))
    tensors = {n: torch.randn_like(t) for n, t in get_peft_model_state_dict(model).items()}
    described = {k: sorted(v) if isinstance(v, set) else v
                 for k, v in model.peft_config["default"].to_dict().items()}  # fmt: skip
    if rng.random() < 0.5:  # as others write it, with nothing but what they know
        described = {"peft_type": "LORA", **options}
    elif rng.random() < 0.5:  # as PEFT has it after the modules have been found
        described |= {"target_modules": options["target_modules"]}
    return described, tensors


# --- changes ---


def _option(rng: random.Random, base: Base, options: Options, tensors: Tensors) -> None:
    key = rng.choice([*OPTIONS])
    options[key] = OPTIONS[key](rng, base)


def _usual_option(rng: random.Random, base: Base, options: Options, tensors: Tensors) -> None:
    key = rng.choice(["target_modules", "r", "lora_alpha", *_USUAL])
    options[key] = OPTIONS[key](rng, base)


def _strange_option(rng: random.Random, base: Base, options: Options, tensors: Tensors) -> None:
    key = rng.choice([*OPTIONS, "peft_type", "more"])
    value = rng.choice([None, 0, 1, -1, 2.5, "", "x", "(", [], [1], {}, {"(": 1}, {"x": "y"}, True])
    options[key] = value


def _without(rng: random.Random, base: Base, options: Options, tensors: Tensors) -> None:
    options.pop(rng.choice([*options]))


def _drop(rng: random.Random, base: Base, options: Options, tensors: Tensors) -> None:
    key = rng.choice([*tensors])
    whole = key.rpartition(".lora_")[0] if rng.random() < 0.6 else key
    for name in [name for name in tensors if name.startswith(whole)]:
        del tensors[name]


def _more(rng: random.Random, base: Base, options: Options, tensors: Tensors) -> None:
    """A pair on one more module, or a tensor of the base as a whole."""
    state = base.model.state_dict()
    if rng.random() < 0.6:
        module = rng.choice([*base.linear, *base.embeddings, "lm_head", "none.q_proj"])
        shape = tuple(state.get(f"{module}.weight", torch.zeros(16, 16)).shape)
        if base.folder.name in ("gpt2", HEADLESS) and module in base.linear:
            shape = shape[::-1]
        rank = rng.choice([options.get("r", 8), 2])
        rank = rank if isinstance(rank, int) and 0 < rank < 9 else 2
        end = "" if module in base.embeddings else ".weight"
        kind = "embedding_" if module in base.embeddings else ""
        sides = shape if kind else shape[::-1]
        tensors[f"{PREFIX}{module}.lora_{kind}A{end}"] = torch.randn(rank, sides[0])
        tensors[f"{PREFIX}{module}.lora_{kind}B{end}"] = torch.randn(sides[1], rank)
        return
    name = rng.choice([*state])
    module, _, part = name.rpartition(".")
    key = rng.choice([name, f"{module}.base_layer.{part}", f"{module}.original_module.{part}"])
    tensors[PREFIX + key] = torch.randn_like(state[name])


def _rename(rng: random.Random, base: Base, options: Options, tensors: Tensors) -> None:
    """Other names, of one tensor or of all."""
    old, new = rng.choice([
        (PREFIX, ""), (PREFIX, "base_model."), (PREFIX, f"module.{PREFIX}"),
        (PREFIX, f"{PREFIX}_orig_mod."), (PREFIX, f"{PREFIX}module."), (f"{PREFIX}model.", PREFIX),
        (f"{PREFIX}model.", f"{PREFIX}model.language_model."), ("transformer.", ""),
        (".weight", ".default.weight"), (".weight", ".default.weight"), ("A.weight", "A"),
        (".weight", ".policy.weight"), ("lora_A", "lora_embedding_A"), ("_A", "_a"),
        ("lora_embedding_A", "lora_embedding_A.default"), ("lora_embedding_A", "lora_A.weight"),
        ("lora_embedding_B", "lora_embedding_B.default"), (".0.", ".7."), (".1.", ".0."),
        (".base_layer", ""), ("lora_A", "lora_B"),
    ])  # fmt: skip
    names = [name for name in tensors if old in name]
    for name in names if rng.random() < 0.6 else names[:1]:
        copied = tensors[name] if rng.random() < 0.05 else tensors.pop(name)
        tensors[name.replace(old, new, 1)] = copied.clone()


def _shape(rng: random.Random, base: Base, options: Options, tensors: Tensors) -> None:
    key = rng.choice([*tensors])
    t = tensors[key]
    both = [key, key.replace("lora_A", "lora_B")]
    change = rng.choice([lambda x: x.T, lambda x: x[:-1], lambda x: x[..., :-1], lambda x: x[None]])
    tensors[key] = change(t).contiguous() if t.ndim == 2 else t[:-1].contiguous()
    if rng.random() < 0.5 and both[1] in tensors and t.ndim == 2:  # another rank, in both
        tensors[key], tensors[both[1]] = t[:1].contiguous(), tensors[both[1]][:, :1].contiguous()


def _dtype(rng: random.Random, base: Base, options: Options, tensors: Tensors) -> None:
    key = rng.choice([*tensors])
    other = rng.choice([torch.bfloat16, torch.float16, torch.float64, torch.int32])
    tensors[key] = tensors[key].to(other)


CHANGES = [_option, _usual_option, _strange_option, _without, _drop, _more, _rename, _shape, _dtype]


def write_adapter(seed: int, folder: Path, scratch: Path) -> Base | None:
    """Write an adapter; None where PEFT makes none of its options.

    Returns:
        Its base.
    """
    rng = random.Random(seed)
    torch.manual_seed(seed)
    base = base_of(rng.choice([*BASES]), scratch)
    try:
        options, tensors = _good(rng, base)
    except (ValueError, TypeError, AttributeError, NotImplementedError, KeyError, RuntimeError):
        return None
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2])):
        if tensors and options:
            rng.choice(CHANGES)(rng, base, options, tensors)
    (folder / "adapter_config.json").write_text(json.dumps(options))
    distinct = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    save_file(distinct, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return base


# --- both readers ---


def merged_by_peft(folder: Path, base: Base) -> Tensors | str:
    """The weights that PEFT makes; or why they are not those of the whole adapter."""
    try:
        adapted = PeftModel.from_pretrained(copy.deepcopy(base.model), folder)
        result = adapted.load_adapter(folder, "default")
        if result.missing_keys or result.unexpected_keys:
            return f"missing {result.missing_keys[:1]}, unexpected {result.unexpected_keys[:1]}"
        merged: Tensors = adapted.merge_and_unload().state_dict()
        return merged
    except Exception as error:  # of any kind, in a library
        return f"{type(error).__name__}: {error}"


def _in_memory(base: Base, name: str) -> str | None:
    """A tensor's name in memory; None for experts, which are stacked there, and not adapted."""
    if name == "embed_out.weight":
        return "lm_head.weight"
    if ".experts." in name:
        return None
    return f"transformer.{name}" if base.folder.name == HEADLESS else name


def check(seed: int, scratch: Path) -> tuple[str, str] | None:
    """Compare what is read of an adapter with what PEFT loads of it.

    Args:
        seed: of the adapter.
        scratch: folder for it and the bases.

    Returns:
        `accepted`, `refused` here and by PEFT, or `stricter`, and the refusal's words; None where
        PEFT makes no adapter of the seed's options.

    Raises:
        AssertionError: it is accepted here, and PEFT does not load all of it or merges it into
            other weights; or the refusal is not one line.
    """
    folder = scratch / "adapter"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = write_adapter(seed, folder, scratch)
        if base is None:
            return None
        merged = merged_by_peft(folder, base)
    try:
        read_model(folder, base.folder)
    except CheckpointError as error:
        assert "\n" not in str(error), f"seed {seed}: {error}"
        return ("refused" if isinstance(merged, str) else "stricter"), str(error)
    assert not isinstance(merged, str), f"seed {seed}: accepted, but PEFT: {merged}"
    with ModelReader(folder, base=base.folder) as reader:
        names = {name: _in_memory(base, name) for name in reader.index.tensors}
        for name, other in names.items():
            if other is None:
                continue
            found, expected = reader.float32(name), merged[other].float()
            error = (found - expected).abs().max() / expected.abs().max()
            assert error <= 1e-5, f"seed {seed}: {name} is {error:.1e} off"
    return "accepted", ""
