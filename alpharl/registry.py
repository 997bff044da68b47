"""Explicit registries: one line names a class and the file that it stands in.

A registry of methods, measures, engines, problems, algorithms or sections is a list of entries such
as "expo:Expo". A line is all that a new file needs, and the file is imported only when its registry
is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from importlib import import_module
from typing import TypeVar

T = TypeVar("T")


def registered(package: str, entries: Sequence[str], kind: type[T]) -> list[type[T]]:
    """The classes of a registry, in its order.

    Args:
        package: that the files lie in, such as `alpharl.forecasting`.
        entries: `module:Class` each, the module relative to the package.
        kind: what each class has to be.

    Raises:
        TypeError: an entry names something else.
    """
    classes = []
    for entry in entries:
        module, _, name = entry.partition(":")
        cls = getattr(import_module(f"{package}.{module}"), name)
        if not (isinstance(cls, type) and issubclass(cls, kind)):
            raise TypeError(f"{package}: found {cls!r} at '{entry}', expected a {kind.__name__}")
        classes.append(cls)
    return classes


class Names(Collection[str]):
    """The names of a registry for the command line, which loads it only to show or check them."""

    def __init__(self, place: str) -> None:
        """Note where the registry is.

        Args:
            place: `module:NAME` of a mapping by name.
        """
        self._place = place

    @cached_property
    def _names(self) -> list[str]:
        module, _, name = self._place.partition(":")
        return list(getattr(import_module(module), name))

    def __contains__(self, name: object) -> bool:
        # Of an argument that takes any number of names and is given none, argparse asks for [].
        return name == [] or name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
