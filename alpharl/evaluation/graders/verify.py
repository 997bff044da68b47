"""The script that `checker.py` runs: reads a comparison per line, answers true or false per line.

Imports nothing of the package, so that it starts fast and runs as a plain file. It ends when its
input does. A comparison that takes too long ends it too: the timers have no handlers, so the kernel
acts, even inside C code, and even if the parent is gone. What counts is the processor's time, so
that a grade does not depend on what else the machine does; a longer limit holds on the clock.
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

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Float

MEMORY = 4 << 30
"""Bytes of address space; a tower of powers would take all there is."""
PATIENCE = 6
"""Seconds on the clock for each second of the limit."""
# 4.5e33 is a number here, not 4.5 times e times 33.
_SCIENTIFIC = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?|\.\d+)[eE]([-+]?\d+)(?![\w.])")


def equal(answer: str, target: str) -> bool:
    """Whether math-verify finds two expressions equal."""
    wanted, given = _parsed(target), _parsed(answer)
    if not wanted or not given or not verify(wanted, given, timeout_seconds=None):
        return False
    return _same_size(wanted[0], given[0])


def _parsed(expression: str) -> list[Any]:
    plain = expression.replace(r"\$", "").replace("$", "")
    latex = _SCIENTIFIC.sub(r"\1 \\times 10^{\2}", plain)
    parsed: list[Any] = parse(f"${latex}$", [LatexExtractionConfig()], parsing_timeout=None)
    return parsed


def _same_size(wanted: Any, given: Any) -> bool:
    """Math-verify rounds decimals to six places, where all small ones are equal to zero."""
    if isinstance(wanted, Float) and isinstance(given, Float):
        return bool(abs(wanted - given) <= 1e-3 * abs(wanted))
    return True


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
