"""Trainers' options as the sources declare them are those of the classes themselves."""

from __future__ import annotations

import dataclasses
import json
from importlib import import_module

import pytest
from alpharl.errors import StudyError
from alpharl.training.declared import declared, require_options
from alpharl.training.registry import ALGORITHMS
from alpharl.training.spec import TrainSpec

SPEC = TrainSpec(problem="addition", algorithm="grpo", steps=2, save_every=1)


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
    options = declared(algorithm)
    assert options is not None and set(options) == expected


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_default_is_of_its_declared_type(algorithm):
    """Else a study could not name the value that the trainer has anyway."""
    for entry in ALGORITHMS[algorithm].args:
        module, _, name = entry.rpartition(".")
        if not module:
            continue
        for field in dataclasses.fields(getattr(import_module(module), name)):
            if field.default is not dataclasses.MISSING:
                value = json.loads(json.dumps(field.default, default=str))
                options = {"algorithm": algorithm, "args": {field.name: value}}
                require_options(SPEC.model_copy(update=options))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("high", "found 'high' for 'temperature', expected float; correct it"),
        (True, "found True for 'temperature', expected float; correct it"),
        ([1.0], "found [1.0] for 'temperature', expected float; correct it"),
        (None, "found None for 'temperature', expected float; correct it"),
    ],
)
def test_values_of_other_types_are_refused(value, said):
    with pytest.raises(StudyError) as error:
        require_options(SPEC.model_copy(update={"args": {"temperature": value}}))
    assert str(error.value) == f"args: {said}"
