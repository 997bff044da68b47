"""The errors that a user can cause.

Every message is one line that says what was found, what was expected and what to do. The command
line prints the line and exits with status 1; anything else that is raised is a bug and keeps its
traceback.
"""

from __future__ import annotations

import difflib
from pathlib import Path


class AlpharlError(ValueError):
    """Base of all errors that a user can cause and mend."""


class StudyError(AlpharlError):
    """The study file is not valid, or its plan contradicts itself."""


class CheckpointError(AlpharlError):
    """Weights are missing, unreadable, not finite, or do not fit their base."""


class MethodError(AlpharlError):
    """A forecasting method cannot be applied to what it was given."""


class TableError(AlpharlError):
    """A table that was handed over, of scores or of checkpoints, is not what it should be."""


class ArtefactError(AlpharlError):
    """A file that an earlier command made is missing, damaged, or made from something else."""

    def __init__(self, message: str, path: Path | None = None) -> None:
        """Say what is wrong.

        Args:
            message: the line.
            path: the file, where it is of no use to anybody and has to be made again.
        """
        super().__init__(message)
        self.path = path


def not_as_written(path: Path, wrong: str, maker: str) -> ArtefactError:
    """The error of a file that no command has written like this.

    Args:
        path: the file.
        wrong: what was found in it.
        maker: the command that it is from.
    """
    return ArtefactError(
        f"{path}: {wrong}; expected a file that `{maker}` wrote: make it again", path
    )


class EvaluationError(AlpharlError):
    """A suite or an engine cannot do what was asked."""


class PromptError(StudyError, EvaluationError):
    """A base's tokenizer or chat template makes no prompt that its model can answer.

    Training and scoring make prompts in one place, so it is an error of either.
    """


class UndefinedForecast(MethodError):
    """The method gives no forecast on this window, though nothing is wrong with the input."""


class DeviceError(AlpharlError):
    """GPUs that a job asked for are not there."""


class ClusterError(AlpharlError):
    """A scheduler does not answer, or holds what it should not."""


def nearest(wrong: str, valid: list[str]) -> str:
    """Words for an error: the nearest valid name if one is close, else all of them."""
    close = difflib.get_close_matches(wrong, valid, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return "expected one of: " + ", ".join(valid)
