"""Names of trainers' options as the sources have them are those of the classes themselves."""

from __future__ import annotations

import dataclasses
from importlib import import_module

import pytest
from alpharl.training.option_names import option_names
from alpharl.training.registry import ALGORITHMS


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_names_are_those_of_the_classes(algorithm):
    expected = set()
    for entry in ALGORITHMS[algorithm].args:
        module, _, name = entry.rpartition(".")
        if module:
            cls = getattr(import_module(module), name)
            expected |= {field.name for field in dataclasses.fields(cls)}
        else:
            expected.add(entry)
    assert option_names(algorithm) == expected
