"""The page: one file with its style and figures inside, nothing that reaches for the network."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Any

import jinja2

from alpharl.report.collect import Results
from alpharl.report.frames import Frames
from alpharl.report.registry import sections
from alpharl.report.section import Section

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    """The page as HTML, with the tables and figures that were made for it, by name."""

    html: str
    frames: Frames
    figures: dict[str, str]


@dataclass(frozen=True)
class Rendered:
    """A section and its text as HTML; none where the study has nothing for it."""

    section: Section
    body: str | None


def make_page(results: Results) -> Page:
    """Compute, draw and render all sections of the registry."""
    frames, order = compute(results), sections()
    figures = {name: svg for section in order for name, svg in section.figures(frames).items()}
    environment = _environment(figures, order)
    head, *chapters = _chapters(
        [Rendered(s, _body(environment, s.text, s.context(results, frames))) for s in order]
    )
    html = environment.get_template("template.html").render(
        study=results.study.study,
        style=(_HERE / "style.css").read_text("utf-8"),
        head=head,
        chapters=chapters,
    )
    return Page(html, frames, figures)


def compute(results: Results) -> Frames:
    """All tables of the report, by file name."""
    frames: Frames = {}
    for section in sections():
        frames |= section.frames(results, frames)
    return frames


def _environment(figures: dict[str, str], order: list[Section]) -> jinja2.Environment:
    """What all texts share: the macros, the figures and the numbers of the chapters."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = [section.name for section in order if section.nav]
    numbers = {name: number for number, name in enumerate(names, start=1)}
    environment.globals.update(figures=figures, number_of=numbers)
    macros = vars(environment.get_template("macros.html").module)
    environment.globals.update(grid=macros["grid"], figure=macros["figure"])
    return environment


def _body(environment: jinja2.Environment, text: str, context: dict[str, Any] | None) -> str | None:
    if context is None:
        return None
    return environment.from_string(cleandoc(text)).render(context)


def _chapters(rendered: list[Rendered]) -> list[list[Rendered]]:
    """The parts of the page's head, then a list per chapter, which begins with its opening section.

    Parts that the study has nothing for are left out.
    """
    chapters: list[list[Rendered]] = [[]]
    for one in rendered:
        if one.section.nav:
            chapters.append([one])
        elif one.body is not None:
            chapters[-1].append(one)
    return chapters
