"""What a look at a study's results finds."""

from __future__ import annotations

from alpharl.frozen import Frozen


class Wrong(Frozen):
    """A result that is not as it should be."""

    path: str
    """The file."""
    text: str
    """What is wrong, and what to do, in a line."""


class Derived(Frozen):
    """A result that was computed again."""

    path: str
    """The file that holds it."""
    what: str
    """What was computed."""
    stored: float
    """The number that the file holds."""
    again: float
    """The same, computed again."""

    @property
    def is_equal(self) -> bool:
        """Whether both are equal, but for what float32 rounds."""
        return abs(self.stored - self.again) <= 1e-4 * max(abs(self.stored), abs(self.again))
