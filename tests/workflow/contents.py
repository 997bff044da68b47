"""What files of two studies have to have in common."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open


def content(path: Path) -> object:
    """A file's content, without the times of the weights that it was made from."""
    if path.suffix != ".safetensors" or path.parent.name == "adapter":
        return path.read_bytes()
    with safe_open(path, "np") as file:
        about = json.loads(file.metadata()["alpharl"])
        arrays = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118
    models = about.pop("from")
    about.pop("seal")
    return arrays, about, [models["base"]["digest"], *(
        model["digest"] for model in models["checkpoints"].values()
    )]  # fmt: skip
