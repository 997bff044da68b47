"""Trainers' options as the libraries' sources declare them: importing these takes seconds.

Torch-free. When a run starts, its trainer looks at names and values itself.
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

_TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,), "int": (int,), "float": (float, int), "str": (str,), "dict": (dict,),
    "list": (list,), "tuple": (list,), "None": (type(None),),
}  # fmt: skip
"""What a study file can hold for a declared type."""
_FILES = {
    "trl": ("trainer/*_config.py", "experimental/online_dpo/*_config.py"),
    "transformers": ("training_args.py",),
}
"""Where the classes stand that `Algorithm.args` names, and those that they inherit from."""


def require_options(spec: TrainSpec) -> None:
    """Refuse an entry of a run's `args` that its algorithm declares no option for, or another type.

    Raises:
        StudyError: names the option: the nearest one, or what it takes.
    """
    options = declared(spec.algorithm) if spec.args else None
    if options is None:
        return
    for name, value in spec.args.items():
        if name not in options:
            shown = name[:MOST_SHOWN]
            close = get_close_matches(shown, options, n=1, cutoff=0.5)
            hint = f"did you mean '{close[0]}'?" if close else f"expected one of {_where(spec)}"
            raise StudyError(f"args: unknown option '{shown}' of {spec.algorithm}, {hint}")
        if not _may_be(value, options[name]):
            raise StudyError(
                f"args: found {value!r:.{MOST_SHOWN}} for '{name}', expected {options[name]}; "
                "correct it"
            )


def _may_be(value: object, declaration: str) -> bool:
    """Whether a value is of a declared type, such as `float | None`, or the type says too little.

    Numbers that are no booleans go for numbers alone, which Python sees otherwise.
    """
    names = [part.partition("[")[0].strip() for part in declaration.split("|")]
    if not declaration or any(name not in _TYPES for name in names):
        return True
    types = {one for name in names for one in _TYPES[name]}
    return type(value) in types


def _where(spec: TrainSpec) -> str:
    """Whose options these are; a trainer of TRL has some 200."""
    return ", ".join(ALGORITHMS[spec.algorithm].args)


def declared(algorithm: str) -> dict[str, str] | None:
    """All options that an algorithm may have, and the type of each as its source has it.

    Where there is no source, the type is empty.

    Args:
        algorithm: its name.

    Returns:
        None where the sources do not tell.
    """
    options: dict[str, str] = {}
    for entry in ALGORITHMS[algorithm].args:
        fields = _fields(entry.rpartition(".")[2]) if "." in entry else {entry: ""}
        if fields is None:
            return None
        options |= fields
    return options


def _fields(name: str) -> dict[str, str] | None:
    """Fields of a dataclass and of those that it inherits from; what it says itself counts."""
    if name not in _classes():
        return None
    bases, own = _classes()[name]
    fields: dict[str, str] = {}
    for base in reversed(bases):
        inherited = _fields(base)
        if inherited is None:
            return None
        fields |= inherited
    return fields | own


@cache
def _classes() -> Mapping[str, tuple[list[str], dict[str, str]]]:
    """By name, the classes that a class inherits from, and its own fields."""
    classes = {}
    for package, patterns in _FILES.items():
        spec = find_spec(package)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        for path in [p for f in folders for pattern in patterns for p in Path(f).glob(pattern)]:
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    classes[node.name] = ([ast.unparse(b) for b in node.bases], _of_class(node))
    return classes


def _of_class(node: ast.ClassDef) -> dict[str, str]:
    parts = [part for part in node.body if isinstance(part, ast.AnnAssign)]
    return {
        part.target.id: ast.unparse(part.annotation)
        for part in parts
        if isinstance(part.target, ast.Name)
    }
