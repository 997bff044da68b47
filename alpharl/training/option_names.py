"""Names of the trainers' options, read from the libraries' sources: importing them takes seconds.

Torch-free. The trainers themselves check names and values when a run starts.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from alpharl.errors import StudyError
from alpharl.frozen import MOST_SHOWN
from alpharl.training.registry import ALGORITHMS
from alpharl.training.spec import TrainSpec

_FILES = {
    "trl": ("trainer/*_config.py", "experimental/online_dpo/*_config.py"),
    "transformers": ("training_args.py",),
}
"""Where the classes stand that `Algorithm.args` names, and those that they inherit from."""


def require_option_names(spec: TrainSpec) -> None:
    """Refuse an entry of a run's `args` that its algorithm has no option of that name for.

    Raises:
        StudyError: the nearest is named.
    """
    options = option_names(spec.algorithm) if spec.args else None
    if options is None:
        return
    for name in spec.args:
        if name not in options:
            shown = name[:MOST_SHOWN]
            close = get_close_matches(shown, options, n=1, cutoff=0.5)
            hint = f"did you mean '{close[0]}'?" if close else f"expected one of {_where(spec)}"
            raise StudyError(f"args: unknown option '{shown}' of {spec.algorithm}, {hint}")


def _where(spec: TrainSpec) -> str:
    """Whose options these are; a trainer of TRL has some 200."""
    return ", ".join(ALGORITHMS[spec.algorithm].args)


def option_names(algorithm: str) -> frozenset[str] | None:
    """All options that an algorithm may have; None where the sources do not tell.

    Args:
        algorithm: its name.
    """
    names: set[str] = set()
    for entry in ALGORITHMS[algorithm].args:
        fields = _fields(entry.rpartition(".")[2]) if "." in entry else {entry}
        if fields is None:
            return None
        names |= fields
    return frozenset(names)


def _fields(name: str) -> set[str] | None:
    """Fields of a dataclass and of those that it inherits from."""
    if name not in _classes():
        return None
    bases, fields = _classes()[name]
    inherited = [_fields(base) for base in bases]
    if None in inherited:
        return None
    return fields.union(*(more for more in inherited if more))


@cache
def _classes() -> Mapping[str, tuple[list[str], set[str]]]:
    """By name, the classes that a class inherits from, and its own fields."""
    classes = {}
    for package, patterns in _FILES.items():
        spec = find_spec(package)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        for path in [p for f in folders for pattern in patterns for p in Path(f).glob(pattern)]:
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    classes[node.name] = ([ast.unparse(b) for b in node.bases], _declared(node))
    return classes


def _declared(node: ast.ClassDef) -> set[str]:
    fields = (part.target for part in node.body if isinstance(part, ast.AnnAssign))
    return {target.id for target in fields if isinstance(target, ast.Name)}
