"""The verbs of the command line: a module each, with its arguments, its example and its function.

A module's docstring is the verb's help: the first line stands in lists. `add_arguments(parser)`
says what the verb takes, and `run(...)` gets exactly that by name. `EXAMPLE` is a command that a
test runs. `run` returns what it prints, a `Result`, if the parser was given one with `prints`.
Options that name what is written take an action of `alpharl.verbs.places`, which looks at them
before the verb runs.
Heavy libraries are imported inside functions, so that help and errors come at once.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

GROUPS = {
    "Start here": ["init", "check", "status", "report", "verify"],
    "Look at a run": ["factors", "gram", "audit", "measure", "dynamics", "rank", "unpack"],
    "Forecast and judge": ["methods", "trust", "forecast", "export", "truth"],
    "Score": ["tasks", "fetch", "suite", "evaluate", "accuracy", "tokens"],
    "Train": ["pretrain", "train"],
    "Used by the workflow": [
        "checkpoints", "disjoint", "download", "forecasts", "manifest", "merge", "published",
        "ranks",
    ],
}  # fmt: skip
"""Verbs in the order of help. The last group makes files that only rules read."""
VERBS = [verb for verbs in GROUPS.values() for verb in verbs]
RENAMED = {"geometry": "measure sparsity", "floor": "measure floor"}
"""Verbs of version 0.1, with what they are called now."""


def module_of(verb: str) -> ModuleType:
    """The module of a verb."""
    return import_module(f"alpharl.verbs.{verb}")


def summary_of(verb: str) -> str:
    """What a verb does, in a line; its module is not imported, since help names all verbs."""
    source = Path(__file__).with_name(f"{verb}.py").read_text()
    return source.partition("\n")[0].replace('"""', "")
