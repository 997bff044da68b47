"""List the forecasting methods, with their source, what they read and what they cost."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from alpharl.frozen import Frozen
from alpharl.verbs.parser import prints
from alpharl.verbs.result import Result

EXAMPLE = "alpharl methods"


class Description(Frozen):
    """A forecasting method."""

    name: str
    """What `alpharl forecast --method` and a study file call it."""
    summary: str
    """What it does, in a line."""
    source: str
    """Where it was published."""
    reads: list[str]
    """What a fit reads next to the list of steps: gram, factors, scores, or a suite."""
    cost: str
    """What one forecast costs beyond those."""
    options: list[str]
    """Names of its options."""


class Methods(Result):
    """All forecasting methods."""

    methods: list[Description]
    """One entry each, in the order of the registry."""

    def blocks(self) -> Iterator[str]:
        """A paragraph each."""
        for method in self.methods:
            reads = ", ".join(method.reads) or "checkpoints only"
            yield f"{method.name}\n  {method.summary}"
            yield f"  source: {method.source}\n  needs: {reads}; cost: {method.cost}"
            if method.options:
                yield f"  options: {', '.join(method.options)}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None but `--json`."""
    prints(parser, Methods)


def run() -> Methods:
    """Describe what the registry holds."""
    from alpharl.forecasting.registry import METHODS

    return Methods(
        methods=[
            Description(
                name=name,
                summary=(method.__doc__ or "").splitlines()[0],
                source=method.source,
                reads=sorted(method.model_validate({}).reads),
                cost=method.cost,
                options=[key for key in method.model_fields if key != "method"],
            )
            for name, method in METHODS.items()
        ]
    )
