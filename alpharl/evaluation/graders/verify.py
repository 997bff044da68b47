r"""The script that `checker.py` runs: reads a comparison per line, answers true or false per line.

Imports nothing of the package, so that it starts fast and runs as a plain file. It ends when its
input does. A comparison that takes too long ends it too: the timers have no handlers, so the kernel
acts, even inside C code, and even if the parent is gone. The limit is one of processor time, so
that a grade does not depend on what else the machine does; a longer limit holds on the clock.

Math-verify errs in some places, and three of its functions are replaced here for that:

* it takes numbers whose difference is below 1e-15 for equal, so that 1/2^99 is 1/2^98, 1/2004! is
  1/2006! and sqrt(10^40 + 1) is 10^20. Here they have to agree in 110 digits, or, where one of them
  is a decimal number, in three digits besides math-verify's six decimals: 1.5e-9 is not 1.6e-9;
* it takes equations without solutions for equal, such as x^2 + y^2 = -1 and x^2 + y^2 = -2;
* it compares a symbol with an expression as text, so that 2x/2 is not x.

It also knows no relation as a set where the answer is one (x <= 2 for the interval up to 2), unless
told so, and several relations never. `units.py` deals with units.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import resource
import signal
import sys
from typing import Any

from math_verify import LatexExtractionConfig, grader, parse, verify
from math_verify.parser import NormalizationConfig
from sympy import (
    And,
    Equality,
    FiniteSet,
    Float,
    I,
    MatrixBase,
    Rational,
    Symbol,
    Union,
    expand,
    solve,
)
from sympy.core.relational import Relational

MEMORY = 4 << 30
"""Bytes of address space; a tower of powers would take all there is."""
PATIENCE = 6
"""Seconds on the clock for each second of the limit."""
DIGITS = 120
"""Digits that numbers without decimals are worked out to."""
_NEAR = Rational(1, 10**110)
_NEAR_DECIMAL = Rational(1, 10**3)
_READING = LatexExtractionConfig(
    normalization_config=NormalizationConfig(units=False, malformed_operators=True, nits=True)
)
_LIBRARY_NUMERIC_EQ = grader.sympy_numeric_eq
_LIBRARY_SOLVE_AND_COMPARE = grader.sympy_solve_and_compare
_LIBRARY_COMPARE_SYMBOLS = grader.sympy_compare_symbols
# 4.5e33 is a number here, not 4.5 times e times 33.
_SCIENTIFIC = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?|\.\d+)[eE]([-+]?\d+)(?![\w.])")


def equal(answer: str, target: str) -> bool:
    """Whether math-verify finds two expressions equal."""
    wanted, given = _parsed(target), _parsed(answer)
    if not wanted or not given:
        return False
    wanted, given = [_united(wanted[0])], [_united(given[0])]
    return bool(verify(wanted, given, allow_set_relation_comp=True, timeout_seconds=None))


def _parsed(expression: str) -> list[Any]:
    plain = expression.replace(r"\$", "").replace("$", "")
    latex = _SCIENTIFIC.sub(r"\1 \\times 10^{\2}", plain)
    parsed: list[Any] = parse(f"${latex}$", [_READING], parsing_timeout=None)
    return parsed


def _united(parsed: Any) -> Any:
    """The set that several relations describe: x < -1 or x > 1, and 2 > x > 1. Else the same."""
    if isinstance(parsed, FiniteSet) and parsed.args and all(map(_is_inequality, parsed.args)):
        return Union(*[relation.as_set() for relation in parsed.args])
    if isinstance(parsed, And) and len(parsed.free_symbols) == 1:
        return parsed.as_set() if all(map(_is_inequality, parsed.args)) else parsed
    # Math-verify takes i for a variable, so that 1/i would not be -i.
    symbols = {symbol: I for symbol in parsed.free_symbols if symbol.name == "i"}
    return parsed.subs(symbols) if len(symbols) == len(parsed.free_symbols) else parsed


def _is_inequality(expression: Any) -> bool:
    return isinstance(expression, Relational) and not isinstance(expression, Equality)


def _numeric_eq(wanted: Any, given: Any, rounding: int, precision: int) -> bool:
    """In place of math-verify's: that two are equal to so many decimals, and of the same size."""
    return _LIBRARY_NUMERIC_EQ(wanted, given, rounding, precision) and _same_size(wanted, given)


def _same_size(wanted: Any, given: Any) -> bool:
    if isinstance(wanted, MatrixBase):
        return True  # Its elements were compared.
    return any(
        _same_value(a, b)
        for a in {wanted, grader.get_pct_val(wanted, wanted)}
        for b in {given, grader.get_pct_val(given, given)}
    )


def _same_value(wanted: Any, given: Any) -> bool:
    wanted, given = wanted.doit(), given.doit()
    if wanted == given:
        return True
    rounded = wanted.has(Float) or given.has(Float)
    if wanted.free_symbols or given.free_symbols:
        # If they are equal in another way, math-verify finds out next.
        return bool(rounded or expand(wanted - given) == 0)
    a, b = wanted.evalf(DIGITS), given.evalf(DIGITS)
    return bool(abs(a - b) <= (_NEAR_DECIMAL if rounded else _NEAR) * abs(a))


def _solve_and_compare(wanted: Any, given: Any, *precision: int) -> bool:
    """In place of math-verify's: that two equations have the same solutions, and have any."""
    if not solve(wanted, wanted.free_symbols):
        return False
    return bool(_LIBRARY_SOLVE_AND_COMPARE(wanted, given, *precision))


def _compare_symbols(wanted: Any, given: Any) -> bool:
    """In place of math-verify's, which compares a symbol with an expression as text: 2x/2 is x."""
    if _LIBRARY_COMPARE_SYMBOLS(wanted, given):
        return True
    both = isinstance(wanted, Symbol) and isinstance(given, Symbol)
    return not both and bool(grader.sympy_symbolic_eq(wanted, given))


def _limit(seconds: float) -> None:
    """Start both timers anew; 0 stops them."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE * seconds)


def main() -> None:
    """Answer until the input ends."""
    # The parent may have blocked or ignored these, and children inherit that.
    for ending in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(ending, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {ending})
    # An interrupt from the keyboard is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Some systems do not let a process limit itself; the time limit holds on all.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    logging.disable()
    # Also for the elements of sets, tuples, matrices and equations.
    grader.sympy_numeric_eq = _numeric_eq
    grader.sympy_solve_and_compare = _solve_and_compare
    grader.sympy_compare_symbols = _compare_symbols
    # The first comparison builds the parser, which is no answer's fault.
    equal(r"\frac{x}{2}", "0.5x")
    print("ready", flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        _limit(question["limit"])
        try:
            same = equal(question["answer"], question["target"])
        except Exception:
            # No answer that cannot be read or compared is right. That includes a full memory.
            same = False
        _limit(0)
        print(json.dumps(same), flush=True)


if __name__ == "__main__":
    main()
