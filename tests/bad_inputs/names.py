"""Bad inputs of the kind names: folders whose tensors are not those of their base or architecture.

What differs by wrappers, buffers or a stored tied head alone is no bad input: see
`tests/unit/test_weight_names.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch

from tests.bad_inputs.good import LAST, STEPS
from tests.bad_inputs.spoil import Q, tensors
from tests.bad_inputs.table import BadInput
from tests.bad_inputs.weights import ANY, READERS, TRAIN

HEAD, EMBEDDING, NORM = "lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"
BIAS = "model.layers.0.self_attn.o_proj.bias"
DENSE = "model.layers.0.self_attn.dense.weight"
BASE = Path("base/model.safetensors")
EVERY = [BASE, *(Path(f"run/step-{step}/model.safetensors") for step in STEPS)]
Weights = dict[str, torch.Tensor]
Change = Callable[[Weights], object]
Spoil = Callable[[Path], object]


def both(*spoils: Spoil) -> Spoil:
    """One after another."""
    return lambda folder: [spoil(folder) for spoil in spoils]


def everywhere(change: Change) -> Spoil:
    """In the base and in all checkpoints."""
    return both(*(tensors(change, file) for file in EVERY))


def holding(**more: torch.Tensor) -> Change:
    """More tensors, in whose names `__` stands for a dot."""
    return lambda t: t.update({name.replace("__", "."): tensor for name, tensor in more.items()})


def without(*names: str) -> Change:
    return lambda t: [t.pop(name) for name in names]


def renamed(rename: Callable[[str], str]) -> Change:
    def change(t: Weights) -> None:
        new = {rename(name): t.pop(name) for name in list(t)}
        t.update(new)

    return change


def tied(folder: Path, value: bool = True) -> Spoil:
    """The config of a folder says that the head is the embedding."""

    def spoil(_: Path) -> None:
        path = folder / "config.json"
        config = json.loads(path.read_text()) | {"tie_word_embeddings": value}
        path.write_text(json.dumps(config))

    return spoil


def with_value_model(t: Weights) -> None:
    renamed(lambda name: f"policy.{name}")(t)
    t["value_model.score.weight"] = torch.ones(1, 16)


def another_width(t: Weights) -> None:
    for name in [name for name in t if ".mlp." in name]:
        t[name] = torch.ones([20 if size == 24 else size for size in t[name].shape])


def more_rows(t: Weights) -> None:
    for name in (HEAD, EMBEDDING):
        t[name] = torch.cat([t[name], torch.ones(4, 16)])


SCOPED = {name: READERS[name] for name in ("factors", "measure", "rank", "dense", "dynamics")}
SCOPED |= {"check": ANY["check"], "rest": READERS["rank"] + " --kind rest-only"}
LOADERS = {name: READERS[name] for name in ("evaluate", "tokens")}
ROWS = [
    BadInput("a value head", tensors(holding(v_head__summary__weight=torch.ones(1, 16))),
             r"step-30: has an extra tensor v_head.summary.weight; expected the \d+ tensors of \S*"
             "base: save the model without what is not its base's", ANY),
    BadInput("a policy and its value model", tensors(with_value_model),
             "step-30: has an extra tensor value_model.score.weight; expected", ANY),
    BadInput("a norm is lacking", tensors(without(NORM)),
             f"step-30: lacks tensor {NORM}; expected .*: save the whole model again", ANY),
    BadInput("several are lacking", tensors(without(NORM, Q)),
             r"step-30: lacks tensor \S+ and 1 more; expected", ANY),
    BadInput("the base lacks a norm", tensors(without(NORM), BASE),
             rf"step-\d0: has an extra tensor {NORM}; |base: lacks {NORM}, which Qwen2", ANY),
    BadInput("another width", tensors(another_width),
             r"step-30: model.layers.0.mlp.\S+ has shape .*, expected .* \(3 such tensors\)", ANY),
    BadInput("another vocabulary", tensors(more_rows),
             r"found vocab_size 64 in its config.json, expected \d+, the rows of", ANY),
    BadInput("twice, with a wrapper and without",
             tensors(lambda t: t.update({f"_orig_mod.{NORM}": t[NORM] + 1})),
             f"step-30: has an extra tensor _orig_mod.{NORM}", ANY),
    BadInput("matrices go by other names",
             tensors(renamed(lambda n: n.replace("q_proj", "query"))),
             r"step-30: lacks tensor \S+q_proj.bias and 1 more and has an extra tensor \S+query.*"
             ": the same shapes go by other names there", ANY),
    BadInput("another architecture",
             tensors(renamed(lambda n: n.replace("model.layers", "h").replace("proj", "p"))),
             r"step-30: lacks tensor .* and has an extra tensor h.0.* go by other names", ANY),
    BadInput("a router's correction bias",
             tensors(holding(model__layers__0__mlp__gate__e_score_correction_bias=torch.ones(4))),
             "step-30: has an extra tensor model.layers.0.mlp.gate.e_score_correction_bias", ANY),
    BadInput("statistics of a batch norm",
             tensors(holding(model__layers__0__bn__running_mean=torch.ones(4)), BASE),
             r"step-\d0: lacks tensor model.layers.0.bn.running_mean|base: holds \S+running_mean",
             ANY),
    BadInput("tied, and another head stored, everywhere",
             both(tied(Path("base")), *(tied(Path(f"run/step-{step}")) for step in STEPS)),
             rf"\S+: {HEAD} differs from {EMBEDDING}, expected equal ones.*tie_word_embeddings",
             READERS),
    BadInput("a checkpoint alone is tied", tied(LAST),
             f"step-30: (lacks tensor {HEAD}|{HEAD} differs).*tie_word_embeddings", ANY),
    BadInput("the base alone is tied", both(tied(Path("base")), tensors(without(HEAD), BASE)),
             rf"step-\d0: has an extra tensor {HEAD}; expected .*same tie_word_embeddings", ANY),
    BadInput("what the architecture has not",
             everywhere(lambda t: t.update({BIAS: torch.ones(16)})),
             rf"base: holds {BIAS}, which Qwen2ForCausalLM has not \(1 such tensors\)",
             LOADERS | {"train": TRAIN}),
    BadInput("matrices that the scope does not know",
             everywhere(renamed(lambda n: n.replace("o_proj", "dense"))),
             f"base: scope 'paper' would leave out {DENSE} .*--scope all", SCOPED),
]  # fmt: skip
"""Of checkpoints against their base, and of models against their own config."""
