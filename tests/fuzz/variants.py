"""Mutated variants: blends and adapters, and what `variant.json` says of them.

What is read is what `json` and the format's own library read of the same files; a model that is
built of a mutant is the one that numpy builds.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from alpharl.checkpoints.manifest import KnownDigests
from alpharl.variants.adapters import read_source
from alpharl.variants.store import Variant, read_adapter
from safetensors.numpy import load_file, save

from tests.bad_inputs.made import of_variant
from tests.fuzz.mutations import changed, dump, spoiled
from tests.fuzz.rounds import Kind
from tests.fuzz.seals import (
    changed_arrays,
    digest,
    mutate_record,
    require_sealed,
    require_unmoved,
    write_sealed,
)

BLEND, LOW = "made/blend", "made/low"
FILES = [
    f"{BLEND}/variant.json", f"{BLEND}/blend.json", f"{LOW}/variant.json",
    f"{LOW}/adapter/adapter_model.safetensors", f"{LOW}/adapter/adapter_config.json",
]  # fmt: skip
_VALUES = (
    10,
    30,
    "10",
    "30",
    "..",
    "../../base",
    "../../run/step-10",
    1.0,
    "blend.json",
    {"a": 10, "b": 30},
)


def _mutate(rng: random.Random) -> str:
    file = rng.choice(FILES)
    if file.endswith("variant.json"):
        return mutate_record(rng, file, *_VALUES)
    path = Path(file)
    data, way = path.read_bytes(), rng.random()
    if way < 0.2:
        path.write_bytes(spoiled(rng, data))
    elif path.suffix == ".json":
        path.write_bytes(dump(changed(rng, json.loads(data), *_VALUES)).encode())
    else:
        path.write_bytes(save(changed_arrays(rng, load_file(path))))
    if rng.random() < 0.8:
        _list_again(rng, file)
    return file


def _list_again(rng: random.Random, file: str) -> None:
    """Let `variant.json` have the digests of the files as they are now, or of one of them less."""
    folder = Path(*Path(file).parts[:2])
    told = require_sealed(folder / "variant.json")
    told["files"] = {name: digest(folder / name) for name in told["files"]}
    if rng.random() < 0.1:
        del told["files"][rng.choice([*told["files"]])]
    write_sealed(folder / "variant.json", told)


def _read(file: str) -> tuple[Variant, dict[str, Any]]:
    folder = Path(*Path(file).parts[:2])
    variant = read_source(folder, Path("base"))
    assert isinstance(variant, Variant)
    read = {
        "blend": variant.blend, "adapter": read_adapter(variant), "logits": variant.logits,
        "step": variant.config_step, "pure": variant.pure_adapter, "merged": variant.merged,
        "digest": variant.digest(KnownDigests([])),
    }  # fmt: skip
    return variant, read


def _check(file: str, read: tuple[Variant, dict[str, Any]]) -> None:
    variant, parts = read
    folder, told = variant.folder, require_sealed(variant.folder / "variant.json")
    for key in told.keys() - {"checkpoints", "models"}:
        assert variant.meta[key] == told[key], f"{key}: another value"
    assert variant.base.samefile(folder / told["base"])
    places = {int(step): folder / path for step, path in told["checkpoints"].items()}
    assert variant.checkpoints.keys() == places.keys()
    for name in ("blend.json", "adapter/adapter_model.safetensors", "adapter/adapter_config.json"):
        stored = digest(folder / name) if (folder / name).is_file() else None
        assert told["files"].get(name) == stored, f"{name}: not as it is listed"
    blend = json.loads((folder / "blend.json").read_text()) if variant.blend else {}
    assert {n: {str(s): w for s, w in row.items()} for n, row in variant.blend.items()} == blend
    for step, files in told["models"].items():
        model = places[int(step)] if int(step) else variant.base
        require_unmoved(files, model)
    used = {int(step) for row in blend.values() for step in row}
    assert used <= places.keys() and used | {0} <= {int(step) for step in told["models"]}
    _same_updates(folder, parts["adapter"])


def _same_updates(folder: Path, adapter: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    if not (folder / "adapter").is_dir():
        assert not adapter
        return
    for name, (b, a) in adapter.items():
        other = _update(folder, name)
        assert np.allclose(b @ a, other, rtol=1e-4, atol=1e-5 * np.abs(other).max() + 1e-30), name
    stored = load_file(folder / "adapter/adapter_model.safetensors")
    assert len(stored) == 2 * len(adapter), "other tensors"


def _update(folder: Path, name: str) -> np.ndarray:
    """B A of one matrix, times alpha / r, from what is stored."""
    stored = load_file(folder / "adapter/adapter_model.safetensors")
    config = json.loads((folder / "adapter/adapter_config.json").read_text())
    key = f"base_model.model.{name.removesuffix('.weight')}"
    a, b = (stored[f"{key}.lora_{half}.weight"].astype(np.float64) for half in "AB")
    alphas, ranks = (config.get(f"{kind}_pattern") or {} for kind in ("alpha", "rank"))
    if alphas or ranks:  # which the fuzzer of adapters looks at
        return b @ a * float(np.nan)
    rank = config["r"] ** (0.5 if config.get("use_rslora") else 1)
    return b @ a * config.get("lora_alpha", 8) / rank


def _compare(call: str) -> None:
    """The model that is built is the base with the updates that the files say."""
    verb, *arguments = call.split()
    if verb != "export":
        return
    folder = Path(arguments[0])
    base = {name: w.astype(np.float64) for name, w in load_file("base/model.safetensors").items()}
    expected = dict(base)
    if (folder / "blend.json").is_file():
        told = require_sealed(folder / "variant.json")["checkpoints"]
        files = {step: folder / path / "model.safetensors" for step, path in told.items()}
        models = {step: load_file(file) for step, file in files.items()}
        for name, row in json.loads((folder / "blend.json").read_text()).items():
            for step, weight in row.items():
                expected[name] = expected[name] + weight * (models[step][name] - base[name])
    if (folder / "adapter").is_dir():
        for name in expected:
            if name.endswith("_proj.weight"):
                expected[name] = expected[name] + _update(folder, name)
    built = load_file("new/model.safetensors")
    for name, weights in expected.items():
        close = np.allclose(built[name], weights, rtol=1e-4, atol=1e-5 * np.abs(weights).max())
        assert close or np.isnan(weights).any(), f"{name}: another model was built"


KIND = Kind(
    "variants", _mutate, _read, _check,
    {file: [*of_variant(Path(file).parts[1]).values()] for file in FILES}, compare=_compare,
    leads_to=("no such checkpoint folder", "no such base", "no such folder", "found no weights"),
)  # fmt: skip
