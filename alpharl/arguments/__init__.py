"""What the command line takes, verb by verb. Parsing alone: no heavy library is imported here."""

from __future__ import annotations

import argparse

from alpharl import __version__
from alpharl.arguments import models, runs, scores, spectra


def parser(description: str) -> argparse.ArgumentParser:
    """The parser of all verbs."""
    command_line = argparse.ArgumentParser(prog="alpharl", description=description)
    command_line.add_argument("--version", action="version", version=f"alpharl {__version__}")
    add = command_line.add_subparsers(dest="verb", required=True, metavar="VERB")
    for define in (
        runs.study_verbs,
        runs.training_verbs,
        spectra.spectra_verbs,
        models.model_verbs,
        models.forecast_verbs,
        scores.score_verbs,
    ):
        define(add)
    return command_line
