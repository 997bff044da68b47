"""The tables of config/README.md say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from alpharl.errors import StudyError
from alpharl.evaluation.engines.registry import ENGINES
from alpharl.forecasting.registry import METHODS
from alpharl.measures.registry import MEASURES
from alpharl.study.tables import TABLES, with_tables
from alpharl.training.registry import ALGORITHMS

PAGE = Path(__file__).resolve().parents[2] / "config/README.md"


def rows(name: str) -> dict[str, list[str]]:
    """A table's rows by their first cell."""
    lines = [line.strip("| ").split(" | ") for line in TABLES[name]().splitlines()[2:]]
    return {cells[0].strip("`"): cells for cells in lines}


def test_the_page_is_in_sync():
    assert PAGE.read_text() == with_tables(PAGE.read_text()), "run `make schema`"


def test_the_page_has_every_table_once():
    assert sorted(re.findall("<!-- table: (.*) -->", PAGE.read_text())) == sorted(TABLES)


def test_keys_stand_with_defaults_and_words():
    suite = rows("suite")
    words = "`validation` scores may be fitted on, `test` scores never."
    assert suite["role"][1:] == ["required", words]
    assert suite["system"][1] == "none" and suite["max_truncated"][1] == "`0.2`"
    assert rows("study")["results"][1] == "`results`"
    assert rows("forecast")["windows"][1] == "`[0.2, 0.4]`"


def test_each_registry_has_its_table():
    assert list(rows("algorithms")) == list(ALGORITHMS)
    assert list(rows("methods")) == list(METHODS)
    assert list(rows("measures")) == list(MEASURES)
    assert list(rows("engines")) == list(ENGINES)
    assert rows("algorithms")["sft"][2] == "`trl.SFTConfig`"
    assert rows("measures.options")["floor"][1] == "`seed`"


def test_an_engine_key_names_its_engines():
    keys = rows("evaluation")
    assert keys["engine"][1:3] == ["`hf`", "all"]
    assert keys["url"][2] == "`api`"


def test_a_table_is_written_anew_and_nothing_else():
    page = "before\n<!-- table: gguf -->\nold\n<!-- end -->\nafter\n"
    assert with_tables(page) == page.replace("old", TABLES["gguf"]())


def test_an_unknown_table_is_refused():
    with pytest.raises(StudyError, match="unknown table 'sute', did you mean 'suite'"):
        with_tables("<!-- table: sute -->\n<!-- end -->\n")
