"""All problems that make their own questions: a line each. Torch-free."""

from __future__ import annotations

from alpharl.registry import registered

from .problem import Problem, TaughtProblem

_ENTRIES = [
    "addition:Addition",
]
PROBLEMS: dict[str, Problem] = {
    entry.partition(":")[0]: cls()
    for entry, cls in zip(
        _ENTRIES,
        registered("alpharl.problems", _ENTRIES, Problem),  # type: ignore[type-abstract]
        strict=True,
    )
}
"""By name, which is that of its file."""
TAUGHT: dict[str, TaughtProblem] = {
    name: problem for name, problem in PROBLEMS.items() if isinstance(problem, TaughtProblem)
}
"""Those that a base can be trained on from nothing."""
