"""Bad inputs of the kind adapters: LoRA of which PEFT would load another part than is stored."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from tests.bad_inputs.good import LAST
from tests.bad_inputs.spoil import Q, tensors
from tests.bad_inputs.table import BadInput
from tests.bad_inputs.weights import ADAPTER, ADAPTER_READERS, ANY, LOW_READERS, A

CONFIG = ADAPTER.with_name("adapter_config.json")
READERS = ADAPTER_READERS | {
    "check-adapters": "check adapters.yaml",
    "blend": "forecast --base base --checkpoints 20=run/step-20 30=adapters/step-30 "
    "--method raw-linear --target-step 60 --dense --out new",
}
"""The verbs that read a checkpoint that is an adapter, or its headers alone."""
B, K = A.replace("lora_A", "lora_B"), A.replace("q_proj", "k_proj")
Q_MODULE = Q.removesuffix(".weight")
Change = Callable[[dict[str, torch.Tensor]], object]


def options(file: Path = CONFIG, **values: Any) -> Callable[[Path], None]:
    """Spoils options of an adapter's config."""

    def spoil(folder: Path) -> None:
        config = json.loads(file.read_text())
        file.write_text(json.dumps(config | values))

    return spoil


def stored(change: Change) -> Callable[[Path], None]:
    """Spoils an adapter's tensors."""
    spoil: Callable[[Path], None] = tensors(change, ADAPTER)
    return spoil


def renamed(old: str, new: str) -> Callable[[Path], None]:
    """Spoils the names of all of an adapter's tensors."""
    return stored(
        lambda t: [t.update({name.replace(old, new, 1): t.pop(name)}) for name in list(t)]
    )


def text(old: str, new: str) -> Callable[[Path], None]:
    """Spoils the config's text."""
    return lambda folder: CONFIG.write_text(CONFIG.read_text().replace(old, new))


IGNORED = rf"holds {A}, which PEFT ignores, as"
NAMES = rf"expected the name {A}, as PEFT ignores any other; rename"
MODULES = [
    BadInput("other target_modules", options(target_modules=["k_proj"]),
             rf"{IGNORED} target_modules \['k_proj'\] leaves out {Q_MODULE}", READERS),
    BadInput("a regular expression for other modules", options(target_modules=r".*\.1\..*q_proj"),
             rf"{IGNORED} target_modules '.*' leaves out", READERS),
    BadInput("exclude_modules", options(exclude_modules=["q_proj"]),
             rf"{IGNORED} exclude_modules \['q_proj'\] leaves out", READERS),
    BadInput("layers_to_transform", options(layers_to_transform=[1]),
             rf"{IGNORED} layers_to_transform \[1\] leaves out", READERS),
    BadInput("a module that is to be saved whole", options(modules_to_save=["q_proj"]),
             rf"{IGNORED} modules_to_save \['q_proj'\] leaves out", READERS),
    BadInput("more target_modules", options(target_modules=["q_proj", "up_proj"]),
             r"lacks A and B of \S*up_proj, which target_modules .* names", READERS),
    BadInput("all-linear", options(target_modules="all-linear"),
             "lacks A and B of .*, which target_modules 'all-linear' names", READERS),
    BadInput("a module that is not saved whole", options(modules_to_save=["lm_head"]),
             r"lacks lm_head.weight, which modules_to_save \['lm_head'\] names", READERS),
    BadInput("modules that PEFT makes", options(modules_to_save=["default"]),
             r"has modules_to_save \['default'\] and names parts of the adapter", READERS),
]  # fmt: skip


NAMED = [
    BadInput("names without PEFT's prefix", renamed("base_model.model.", ""), NAMES, READERS),
    BadInput("names of a compiled model", renamed(".model.", ".model._orig_mod."), NAMES, READERS),
    BadInput("names of a distributed model", renamed("base_", "module.base_"), NAMES, READERS),
    BadInput("names without the model's", renamed("model.model.model.", "model.model."), NAMES,
             READERS),
    BadInput("names without .weight", renamed("A.weight", "A"), NAMES, READERS),
    BadInput("another adapter's name", renamed("_A.weight", "_A.policy.weight"), NAMES, READERS),
    BadInput("names of another model", renamed(".q_proj", ".query"),
             r"has no \S*query.weight; name the right base, or merge", READERS),
    BadInput("names of a multimodal model", renamed("model.layers", "model.language_model.layers"),
             rf"which has no \S* but {Q_MODULE}; rename its tensors if that is the same", READERS),
    BadInput("a pair under two names",
             stored(lambda t: t.update({A.replace(".weight", ".default.weight"): t[A].clone()})),
             "under two names, expected it once", READERS),
    BadInput("a projection named as an embedding",
             stored(lambda t: t.update({A.replace("A.weight", "embedding_A"): t.pop(A)})),
             f"{Q_MODULE} is no embedding; expected lora_A and lora_B", READERS),
    BadInput("an embedding named as a projection",
             lambda folder: (options(target_modules=["embed_tokens"])(folder),
                             renamed("layers.0.self_attn.q_proj", "embed_tokens")(folder)),
             "is an embedding; expected lora_embedding_A and lora_embedding_B", READERS),
    BadInput("a base layer that has no adapter",
             stored(lambda t: t.update({K.replace("lora_A", "base_layer"): torch.ones(8, 16)})),
             r"expected it without '.base_layer', as the config puts no adapter on", READERS),
    BadInput("a bias that is not the base layer's",
             stored(lambda t: t.update({A.replace("lora_A.weight", "bias"): torch.ones(16)})),
             r"expected it with '.base_layer', as the config puts an adapter on", READERS),
]  # fmt: skip


VALUES = [
    BadInput("A alone", stored(lambda t: t.pop(B)), f"lacks A or B of {Q}, expected both", READERS),
    BadInput("no pair", stored(lambda t: (t.clear(), t.update({
        "base_model.model.model.norm.weight": torch.ones(16)}))), "holds no lora_A", READERS),
    BadInput("another rank", options(r=4), "has 2 rows, expected 4 as adapter_config.json says",
             READERS),
    BadInput("another rank of a module", options(rank_pattern={".*q_proj": 3}),
             "has 2 rows, expected 3 as adapter_config.json says", READERS),
    BadInput("lora_alpha 0", options(lora_alpha=0), "found lora_alpha 0, .* verl's merger",
             READERS),
    BadInput("lora_alpha NaN", options(lora_alpha=math.nan), "a number of at most 1e", READERS),
    BadInput("lora_alpha too large", options(lora_alpha=-1e300), "a number of at most 1e", READERS),
    BadInput("an open bracket", options(target_modules="("), "expected valid regular", READERS),
    BadInput("no rank_pattern", options(rank_pattern=None), "expected an object of", READERS),
    BadInput("layers with a regular expression",
             options(target_modules=".*q_proj", layers_to_transform=[0]),
             "expected none where target_modules is one text", READERS),
    BadInput("DoRA", options(use_dora=True), "with use_dora true, expected plain LoRA", READERS),
    BadInput("trained tokens", options(trainable_token_indices=[]),
             r"with trainable_token_indices \[\], expected plain LoRA", READERS),
    BadInput("a classifier's adapter", options(task_type="SEQ_CLS"),
             'with task_type "SEQ_CLS", expected plain LoRA', READERS),
    BadInput("an option twice in a config", text('"r": 2', '"r": 2, "r": 2'), "r stands twice",
             READERS),
]  # fmt: skip


MIXED = [
    BadInput("LoRA that is not merged", tensors(lambda t: t.update({A: torch.ones(2, 16)})),
             "LoRA that is not merged and whose scale no file tells", ANY),
    BadInput("an adapter's config next to a model",
             lambda folder: (LAST / CONFIG.name).write_bytes(CONFIG.read_bytes()),
             f"found {CONFIG.name} next to a whole model, expected one of them", ANY),
    BadInput("an adapter that verl's merger did not merge",
             lambda folder: ADAPTER.parent.rename(LAST / "lora_adapter"),
             "found an adapter in lora_adapter/ below a whole model, .* name lora_adapter", ANY),
    BadInput("other modules of an adapter made here",
             options(Path("made/low/adapter") / CONFIG.name, target_modules=["q_proj"]),
             "or another one than the variant was made with", LOW_READERS),
]  # fmt: skip

ROWS = list(chain(MODULES, NAMED, VALUES, MIXED))
