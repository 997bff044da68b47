"""What each verb of the command line does; a verb's module is imported when it is called."""

from __future__ import annotations

from argparse import Namespace
from importlib import import_module

VERBS = {
    "forecasts": ["forecast", "forecasts", "trust"],
    "measures": ["measure"],
    "models": ["export", "rank", "ranks", "truth", "unpack"],
    "runs": ["checkpoints", "download", "manifest", "merge", "pretrain", "train"],
    "scores": ["accuracy", "disjoint", "evaluate", "fetch", "suite", "tasks"],
    "spectra": ["dynamics", "factors", "gram"],
    "study": ["check", "init", "methods", "report", "status"],
    "tokens": ["tokens"],
}
"""By module, the functions in it that are verbs."""


def run_verb(args: Namespace) -> None:
    """Call the function of the verb that `args.verb` names."""
    (module,) = (module for module, verbs in VERBS.items() if args.verb in verbs)
    getattr(import_module(f"alpharl.verbs.{module}"), args.verb)(args)
