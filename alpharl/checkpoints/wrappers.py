"""What wrappers around a model add to its tensors' names, and other names of the same modules.

`torch.compile` adds `_orig_mod.`, DDP `module.`, trainers and PEFT names of their own. Parts of a
multimodal model go by two names each, `model.language_model.layers...` in memory and
`model.layers...` on disk. None of it changes the model. Torch-free.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Components that libraries put anywhere into a name; no model has modules of these names."""
_AROUND = ("module.", "policy.", "actor.", "base_model.model.")
"""Beginnings of all names of a wrapped model."""
_SHELLS = {
    "base_model", "model", "transformer", "language_model", "text_model", "module", "policy",
    "actor",
}  # fmt: skip
"""Components at the beginning of a name that say in which shells of a model a module is."""


def unwrapped(names: Iterable[str]) -> dict[str, str]:
    """The names without wrappers, by stored name.

    Unchanged where two tensors would get the same name.
    """
    stored = list(names)
    bare = [".".join(p for p in name.split(".") if p not in _WRAPPERS) for name in stored]
    while around := _shared_start(bare):
        bare = [name.removeprefix(around) for name in bare]
    return dict(zip(stored, bare if len(set(bare)) == len(bare) else stored, strict=True))


def _shared_start(names: list[str]) -> str | None:
    return next((a for a in _AROUND if names and all(n.startswith(a) for n in names)), None)


def renamed(names: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """The names with those wanted in place of such as differ by wrappers and shells alone.

    Unchanged where two tensors would get the same name.

    Args:
        names: of a checkpoint's tensors.
        wanted: of its base's.
    """
    by_key, keys = _keys([*wanted]), _keys([*names])
    of_key = {key: name for name, key in by_key.items()}
    new = {name: of_key.get(key, name) for name, key in keys.items()}
    unique = len(of_key) == len(by_key) and len(set(new.values())) == len(new)
    return new if unique else {name: name for name in keys}


def _keys(names: list[str]) -> dict[str, str]:
    """Each name without the shells around it, such as `language_model.`."""
    start = len(_common(names))
    return {name: _key(name, start) for name in names}


def _common(names: list[str]) -> list[str]:
    """The components that all names begin with, up to the list of layers."""
    split = [name.split(".")[:-1] for name in names]
    pairs = zip(min(split), max(split), strict=False)
    common = [part for part, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    layer = next((i for i, part in enumerate(common) if part.isdecimal()), len(common) + 1)
    return common[: max(0, layer - 1)]


def _key(name: str, start: int) -> str:
    parts = name.split(".")[start:]
    while len(parts) > 2 and parts[0] in _SHELLS:
        parts = parts[1:]
    return ".".join(parts)
