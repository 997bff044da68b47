"""Which tasks a folder of the user's own task files holds, without lm-eval, which is slow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from alpharl.errors import EvaluationError, StudyError, nearest
from alpharl.yaml_text import read_text

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NAMING = {"task", "group", "tag"}
"""Keys of a task file that hold names which lm-eval knows it by."""


def require_own_task(name: str, folder: Path) -> None:
    """Refuse a task that no file of a folder defines.

    Raises:
        EvaluationError: there is none.
    """
    names = {name for path in sorted(folder.rglob("*.yaml")) for name in _names_in(path)}
    if name not in names:
        hint = nearest(name, sorted(names)) if names else "which holds none"
        raise EvaluationError(
            f"found no task '{name}' in include_path {folder}, {hint}; see `alpharl tasks`"
        )


def _names_in(path: Path, included: bool = False) -> Iterator[str]:
    """The names that a file gives; what it includes may give it one too."""
    try:
        node = yaml.compose(read_text(path), Loader=_LOADER)
    except (yaml.YAMLError, RecursionError, StudyError):
        return  # of a file that defines the task, lm-eval will say
    for key, text in _texts(node):
        if key in _NAMING:
            yield text
        elif key == "include" and not included:
            yield from _names_in(path.parent / text, included=True)


def _texts(node: Node | None, key: str = "") -> Iterator[tuple[str, str]]:
    """All texts below a value, each with the key that it stands under."""
    if isinstance(node, ScalarNode):
        yield key, node.value
    elif isinstance(node, SequenceNode):
        for part in node.value:
            yield from _texts(part, key)
    elif isinstance(node, MappingNode):
        for name, value in node.value:
            yield from _texts(value, name.value if isinstance(name, ScalarNode) else "")
