"""What a method fitted, in a few lines: few numbers as they are, many as median and range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

FEW = 6
"""Numbers that are shown one by one."""


def fit_lines(fit: Mapping[str, Any]) -> Iterator[str]:
    """A line for each thing that was fitted; what differs by tensor is summarized over tensors."""
    for name, value in fit.items():
        if isinstance(value, Mapping) and all(isinstance(v, Mapping) for v in value.values()):
            for key in dict.fromkeys(key for row in value.values() for key in row):
                yield _line(key, [row[key] for row in value.values() if key in row])
        elif isinstance(value, Mapping):
            few = len(value) <= FEW and not any(isinstance(v, list) for v in value.values())
            yield _named(name, value) if few else _line(name, [*value.values()])
        else:
            yield _line(name, value)


def _line(name: str, value: Any) -> str:
    numbers = [*_numbers(value)]
    if len(numbers) <= FEW:
        shown = ", ".join(map(_text, numbers)) or str(value)
        return f"fitted {name}: {shown}"
    ends = f"from {min(numbers):.3g} to {max(numbers):.3g}"
    return f"fitted {name}, {len(numbers)} of them: median {median(numbers):.3g}, {ends}"


def _named(name: str, values: Mapping[Any, Any]) -> str:
    return f"fitted {name}: " + ", ".join(
        f"{_text(value)} at {key}" for key, value in values.items()
    )


def _numbers(value: Any) -> Iterator[Any]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        for part in value:
            yield from _numbers(part)
    elif value is not None:
        yield value


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
