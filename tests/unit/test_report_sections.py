"""Sections of the report: one file and one line each, a null sentence, a context of their own."""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jinja2
import pandas as pd
import pytest
from alpharl.measures.registry import MeasureOptions
from alpharl.report import registry, sections, write_report
from alpharl.report.collect import Results, collect
from alpharl.report.page import make_page
from alpharl.verbs.outputs import write_table
from tests.unit.reports import CONFIG, LAST, Tree

WITHOUT_NULL = {"notices", "summary", "cost", "savings", "reading", "provenance"}
"""Sections that measure nothing, or that say what chance gives with numbers of their own."""
WEATHER = '''
import pandas as pd
from alpharl.report.canvas import sheet, svg
from alpharl.report.section import Section
from alpharl.report.tables import Column, table


class Weather(Section):
    name = "weather"
    nav = "Weather"
    title = "Weather of the runs"
    null = "If there were no weather, every run would be dry."
    text = """
    {% call figure("weather") %}Rain & sun.{% endcall %}
    {{ grid(days) }}
    <p>Costs: section {{ number_of.cost }}.</p>
    """

    def frames(self, results, frames):
        runs = frames["gains"]["run"].unique()
        return {"weather": pd.DataFrame({"run": runs, "rain": 0.5})}

    def figures(self, frames):
        with sheet(1, 2.0) as (figure, _):
            return {"weather": svg(figure, "weather")}

    def context(self, results, frames):
        columns = [Column("run", lambda r: r.run), Column("rain", lambda r: f"{r.rain} mm")]
        return {"days": table(frames["weather"], columns)}


class Stranger(Weather):
    text = "{{ gains }}"


class Nothing(Weather):
    absent = "It was not measured."

    def context(self, results, frames):
        return None


class Part(Nothing):
    nav = ""
'''
Register = Callable[[str, str], None]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """One run, with forecasts; no amplitudes, merged twins or tasks."""
    return Tree(
        tmp_path_factory.mktemp("results"),
        runs={"grpo": {"base": "base", "train": {"steps": LAST, "save_every": 12}}},
        forecast={"windows": [0.5], "methods": {"last": {}, "expo": {}}},
        rank={"ranks": [1]},
    )


@pytest.fixture
def results(tree: Tree) -> Results:
    return collect(tree.study)


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    """Puts a class of the file above into the registry, after another section."""
    (tmp_path / "weather.py").write_text(WEATHER)
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path)])

    def after(line: str, name: str) -> None:
        at = registry.SECTIONS.index(line) + 1
        lines = [*registry.SECTIONS[:at], f"weather:{name}", *registry.SECTIONS[at:]]
        monkeypatch.setattr(registry, "SECTIONS", lines)

    yield after
    sys.modules.pop("alpharl.report.sections.weather", None)


def contents(page: str) -> list[str]:
    """Lines of the contents."""
    nav = page[page.index("<nav>") : page.index("</nav>")]
    return re.findall(r'<a href="#([^"]+)">(\d+)', nav)


def test_a_section_is_one_file_and_one_line(tree: Tree, register: Register) -> None:
    register("pca:Pca", "Weather")
    page = write_report(tree.study).read_text()
    assert '<a href="#weather">7 Weather</a>' in page
    assert '<section id="weather">\n<h2>7 Weather of the runs</h2>' in page
    assert "If there were no weather, every run would be dry." in page
    assert re.search(r"<td[^>]*>0.5 mm</td>", page)
    assert 'id="caption-weather">Rain & sun.</figcaption>' in page
    assert tree.table("weather").to_dict("records") == [{"run": "grpo", "rain": 0.5}]
    assert (tree.root / "report" / "figures" / "weather.svg").is_file()


def test_numbers_of_headings_contents_and_references_follow_the_list(
    results: Results, register: Register
) -> None:
    before = make_page(results).html
    names = [name for name, _ in contents(before)]
    assert contents(before) == [(name, str(i)) for i, name in enumerate(names, start=1)]
    register("accuracy:Accuracy", "Weather")
    after = make_page(results).html
    assert [name for name, _ in contents(after)] == [names[0], "weather", *names[1:]]
    for name, number in contents(after):
        assert re.search(rf'<section id="{name}">\s*<h2>{number} ', after)
    assert "<p>Costs: section 9.</p>" in after
    assert "needs (section\n8)" in before and "needs (section\n9)" in after
    # The parts of the first chapter now follow the one that was put between.
    assert after.index('id="caption-training"') > after.index('id="weather"')


def test_a_section_sees_no_other_one_s_context(results: Results, register: Register) -> None:
    register("pca:Pca", "Stranger")
    with pytest.raises(jinja2.UndefinedError, match="gains"):
        make_page(results)


def test_without_a_context_a_chapter_says_so_and_a_part_is_left_out(
    results: Results, register: Register
) -> None:
    register("cost:Cost", "Nothing")
    page = make_page(results).html
    assert "<p>It was not measured.</p>" in page and "every run would be dry" not in page
    register("spectrum:Spectrum", "Part")
    page = make_page(results).html
    assert page.count("It was not measured.") == page.count("Weather of the runs") == 1


@pytest.mark.parametrize("line", registry.SECTIONS)
def test_a_section_is_named_as_its_file_and_says_what_nothing_looks_like(line: str) -> None:
    section = registry.sections()[registry.SECTIONS.index(line)]
    assert section.name == type(section).__module__.rpartition(".")[2] == line.partition(":")[0]
    assert bool(section.null) == (section.name not in WITHOUT_NULL)
    if section.null:
        assert section.null.startswith("If ") and section.null.endswith(".")
        assert ". " not in section.null, "one sentence"


def test_null_sentences_stand_under_what_is_shown(tree: Tree, results: Results) -> None:
    page = html.unescape(make_page(results).html)
    hidden = {"verdicts", "per_task", "adapter_vs_merged", "tokens", "amplitudes"}
    hidden |= {"algorithms", "rl_vs_sft"}
    for section in registry.sections():
        shown = section.null and section.name not in hidden
        assert page.count(f"<strong>Null.</strong> {section.null}</p>") == bool(shown)


def test_no_two_sections_write_the_same_file(tmp_path: Path) -> None:
    """On a study in which every section has something to show."""
    runs = {
        name: {"base": "base", "train": {"algorithm": name, "steps": LAST, "save_every": 12}}
        for name in ("grpo", "sft")
    }
    tree = Tree(
        tmp_path,
        runs=runs,
        suites={**CONFIG["suites"], "test": {"role": "test", "samples": 4, "temperature": 1.0,
                "tasks": [{"task": "addition", "split": "test"}, {"task": "gsm8k"}]}},
        forecast={"windows": [0.5], "methods": {"last": {}, "expo": {}}, "amplitudes": [0.5]},
        rank={"ranks": [1], "merged": [1]},
        tokens={"suite": "test", "prefix": [1]},
    )  # fmt: skip
    results = collect(tree.study)
    frames: dict[str, pd.DataFrame] = {}
    tables, figures = [], []
    for section in registry.sections():
        added = section.frames(results, frames)
        frames |= added
        tables += added
    for section in registry.sections():
        figures += section.figures(frames)
    optional = {"tasks", "samples", "merged", "tokens_prefix", "amplitudes", "algorithm_tests"}
    assert optional <= set(tables) and {"training", "forecasts", "amplitudes"} <= set(figures)
    assert len(tables) == len(set(tables)) and len(figures) == len(set(figures))


def test_a_study_may_measure_nothing(tree: Tree) -> None:
    page = write_report(tree.study.model_copy(update={"measures": MeasureOptions()})).read_text()
    assert "<p>This study measures nothing: &#39;measures&#39; is empty in its file.</p>" in page


def test_a_measure_that_describes_none_of_the_tensors_says_so(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    for run in tree.study.runs:
        path = tree.plan.paths.measure(run, "floor")
        write_table(pd.read_parquet(path).iloc[:0], Path(path))
    page = write_report(tree.study).read_text()
    assert page.count("None of the tensors of these models is one that it describes.") == 1
    assert tree.table("floor").empty
