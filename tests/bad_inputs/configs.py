"""Bad inputs of the kind configs: files that are no config, or the config of another model."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from tests.bad_inputs.good import LAST, STEPS
from tests.bad_inputs.names import LOADERS
from tests.bad_inputs.spoil import FILE, tensors
from tests.bad_inputs.table import BadInput
from tests.bad_inputs.weights import ANY, READERS, TRAIN

CONFIG, BASE = LAST / "config.json", Path("base/config.json")
BASE_READERS = {
    **{name: READERS[name] for name in ("evaluate", "tokens")},
    "train": TRAIN,
}
"""The verbs that have transformers load the base."""
ALL_READERS = {**ANY, "train": TRAIN, "export": "export made/blend --out new"}
"""Those that read the base's config."""


def text(content: str, path: Path = CONFIG) -> Callable[[Path], object]:
    """Another file in place of a config."""
    return lambda folder: path.write_text(content)


def keys(path: Path = CONFIG, /, **values: Any) -> Callable[[Path], object]:
    """Other values of a config's keys; None takes one out."""

    def spoil(folder: Path) -> None:
        config = json.loads(path.read_text()) | values
        path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))

    return spoil


def disagreeing(folder: Path) -> None:
    """The second checkpoint computes something else than the others."""
    keys(Path(f"run/step-{STEPS[1]}/config.json"), rms_norm_eps=1e-3)(folder)


def with_code(path: Path) -> Callable[[Path], object]:
    """A model of an unknown type that comes with Python code: it would write a file."""

    def spoil(folder: Path) -> None:
        path.with_name("evil.py").write_text(
            "from pathlib import Path\nPath('new').write_text('the code ran')\n"
            "from transformers import PretrainedConfig\n"
            "class C(PretrainedConfig):\n    model_type = 'evil'\n"
        )
        classes = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}
        keys(path, model_type="evil", auto_map=classes)(folder)

    return spoil


def fewer_rows(read: dict[str, torch.Tensor]) -> None:
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        read[name] = read[name][:20].clone()


NO_CONFIG = "config.json: found no JSON object that is a model's config"
CONTRADICTS = "in its config.json, expected a config of the tensors that it shares with its base"
NO_MODEL = "found a config.json of which transformers makes no model"
FORECASTS = {name: READERS[name] for name in ("forecast",)}

FILES = [
    BadInput("a config that is no JSON", text("{"), NO_CONFIG, ANY),
    BadInput("a config that is a list", text("[]"), rf"{NO_CONFIG} \(a list at its top\)", ANY),
    BadInput("an empty config", text(""), NO_CONFIG, ANY),
    BadInput("a config of bytes", lambda _: CONFIG.write_bytes(b"\xff\xfe{"), NO_CONFIG, ANY),
    BadInput("a deep config", text('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"),
             f"{NO_CONFIG}.*recursion", ANY),
    BadInput("a huge config", text(json.dumps({"a": "x" * (17 << 20)})),
             f"{NO_CONFIG}.*17 MiB, expected 16", ANY),
    BadInput("NaN in a config", keys(rms_norm_eps=float("nan")), rf"{NO_CONFIG} \(NaN in it\)",
             ANY),
    BadInput("a config that is a folder",
             lambda _: (CONFIG.unlink(), CONFIG.mkdir()), NO_CONFIG, ANY),
    BadInput("a base's config that is no JSON", text("{", BASE), f"base/{NO_CONFIG}", ALL_READERS),
    BadInput("a base without a config", lambda _: BASE.unlink(),
             "base: found no config.json, expected one that describes the model", BASE_READERS),
]  # fmt: skip

MODELS = [
    BadInput("a config of another architecture", keys(model_type="llama"),
             'step-30: found model_type "llama" in its config.json, expected "qwen2"', ANY),
    BadInput("a config without an architecture", keys(model_type=None),
             "step-30: found model_type null", ANY),
    BadInput("a config of fewer layers", keys(num_hidden_layers=0, layer_types=None),
             f"num_hidden_layers 0 .base: 1.*{CONTRADICTS}|{NO_MODEL}", ANY),
    BadInput("a config of more layers", keys(num_hidden_layers=2, layer_types=None),
             f"num_hidden_layers 2 .base: 1.*{CONTRADICTS}", ANY),
    BadInput("a config of another width", keys(hidden_size=32),
             f"hidden_size 32 .base: 16.*{CONTRADICTS}", ANY),
    BadInput("heads that do not divide the width", keys(num_attention_heads=3),
             f"num_attention_heads 3 .base: 2.*{CONTRADICTS}", ANY),
    BadInput("a size that is no number", keys(intermediate_size="wide"), NO_MODEL, ANY),
    BadInput("an unknown activation", keys(hidden_act="none-such"), NO_MODEL, ANY),
    BadInput("more tokens than rows", keys(vocab_size=1000),
             "vocab_size 1000 in its config.json, expected 64, the rows of", ANY),
    BadInput("tokens that are no number", keys(vocab_size="all"),
             "vocab_size 'all' in its config.json, expected 64", ANY),
    BadInput("quantisation of plain weights",
             keys(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
             "quantization_config in its config.json, expected the base's: loaders would", ANY),
    BadInput("code that comes with a checkpoint", with_code(CONFIG),
             'found model_type "evil"', ANY),
    BadInput("code that comes with the base",
             lambda folder: [with_code(BASE)(folder),
                             *(path.unlink() for path in Path("run").glob("*/config.json"))],
             "base: .*it comes with Python code of its own, which is not run", BASE_READERS),
    BadInput("a base's config of more layers", keys(BASE, num_hidden_layers=2, layer_types=None),
             "base: lacks model.layers.1",
             {"train": TRAIN}),
    BadInput("a base's config of no layers",
             lambda folder: [keys(path, num_hidden_layers=0, layer_types=None)(folder)
                             for path in (BASE, *Path("run").glob("*/config.json"))],
             "base: holds model.layers.0.*, which Qwen2ForCausalLM has not", BASE_READERS),
    BadInput("checkpoints whose configs disagree", disagreeing,
             "configs that differ between steps 10 and 20: rms_norm_eps 0.001", FORECASTS),
    BadInput("fewer rows than the tokenizer has tokens",
             lambda folder: (tensors(fewer_rows, FILE)(folder), keys(vocab_size=20)(folder)),
             "step-30: found 20 rows of tokens, expected the .* of the base's tokenizer",
             LOADERS),
]  # fmt: skip

ROWS = list(chain(FILES, MODELS))
