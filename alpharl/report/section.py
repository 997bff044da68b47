"""The contract of the report's sections: all that one part of the page shows, in one file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from alpharl.report.collect import Results
from alpharl.report.frames import Frames


class Section(ABC):
    """One section of the page, or one part of a section.

    A section with a short title for the contents (`nav`) is numbered and opens a chapter. One
    without belongs to the chapter before it or, before the first chapter, to the page's head.
    """

    name: ClassVar[str]
    """Anchor of a chapter; also the name of the section's file."""
    nav: ClassVar[str] = ""
    """Short title in the contents; empty for parts."""
    title: ClassVar[str] = ""
    """Heading, without a number; a part may have none."""
    null: ClassVar[str] = ""
    """One sentence: what would be seen here if there were nothing to see; empty where nothing is
    measured."""
    absent: ClassVar[str] = "This study has nothing to show here."
    """What a chapter says in place of its text where `context` gives none."""
    text: ClassVar[str]
    """The body as Jinja source. It knows the section's context, `grid(table)`,
    `{% call figure(name) %}caption{% endcall %}`, and the chapters' numbers, as in
    `{{ number_of.cost }}`."""

    def frames(self, results: Results, frames: Frames) -> Frames:
        """The tables that the section adds, by name; each is written as CSV.

        Args:
            results: of the study.
            frames: those of the sections before it.
        """
        return {}

    def figures(self, frames: Frames) -> dict[str, str]:
        """The figures that the section adds, by name, as SVG text.

        Args:
            frames: of all sections.
        """
        return {}

    @abstractmethod
    def context(self, results: Results, frames: Frames) -> dict[str, Any] | None:
        """What the text is filled with; None where the study has nothing for it.

        Without a context a part is left out, and a chapter says what is `absent`.

        Args:
            results: of the study.
            frames: of all sections.
        """
