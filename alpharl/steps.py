"""Steps as people and programs write them: whole numbers, and nothing that is read in two ways."""

from __future__ import annotations

import re
from decimal import Decimal
from numbers import Real
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from alpharl.bounds import MOST_STEP

_WHOLE = re.compile(r"[0-9]{1,15}([.,]0*)?|[0-9]{1,15}(\.[0-9]*)?[eE][-+]?[0-9]{1,2}")
_GROUPED = re.compile(r"[1-9][0-9]{0,2}([.,]000)+")
_DIGITS = re.compile(r"[1-9][0-9]{0,15}")


def read_step(value: object) -> int:
    """A step of a table, or of a mapping in Python; 0 is the base.

    `12.0`, `12,0` and `1.2e+01` are 12, as programs write whole numbers that stand among others.

    Raises:
        ValueError: found and expected, where it is no step, or may be two.
    """
    if isinstance(value, str) and _GROUPED.fullmatch(value):
        raise ValueError(
            f"found step {value}, which is {value[:-4]} in some countries and {value[:-4]}000 in "
            "others; write it without a separator"
        )
    step = _whole(value)
    if step is None or not 0 <= step <= MOST_STEP:
        shown = value if isinstance(value, str) else repr(value)
        raise ValueError(
            f"found {f'step {shown}' if shown else 'no step'}, expected a whole number, 0 or more"
            + (f", at most {MOST_STEP}" if step and step > 0 else "")
        )
    return step


def _whole(value: object) -> int | None:
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        number = Decimal(value.replace(",", "."))
    elif isinstance(value, Real) and not isinstance(value, bool):
        number = Decimal(value if isinstance(value, int) else float(value))
    else:
        return None
    return int(number) if number.is_finite() and number == int(number) else None


def _settings_step(value: Any) -> int:
    """A step of a study file; JSON has text for the keys of a mapping.

    Raises:
        ValueError: found and expected.
    """
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"found {value!r}, expected a step in plain digits, such as 120")


def _key(value: Any) -> Any:
    """A step as a key of JSON.

    Raises:
        ValueError: found and expected.
    """
    if isinstance(value, str) and not (value == "0" or _DIGITS.fullmatch(value)):
        raise ValueError(f"found {value[:80]!r}, expected a step in plain digits, such as 120")
    return int(value) if isinstance(value, str) else value


StepKey = Annotated[int, BeforeValidator(_key)]
"""A step as a key of JSON that is written here, or 0 for the base: of `10` and `10 `, which are one
number to a lax reader, the first alone."""

Step = Annotated[int, Field(gt=0, le=MOST_STEP), BeforeValidator(_settings_step)]
"""A step after the base in a study file: digits alone, without zeros before them."""


def _step_or_share(value: Any) -> str:
    return "[share]" if isinstance(value, float) else "[step]"


# Tags in brackets: `describe_error` leaves them out of the key.
StepOrEarly = Annotated[
    Annotated[Step, Tag("[step]")] | Annotated[float, Field(gt=0, lt=1), Tag("[share]")],
    Discriminator(_step_or_share),
]
"""A step, or a share of a run short of its end."""
StepOrShare = Annotated[
    Annotated[Step, Tag("[step]")] | Annotated[float, Field(gt=0, le=1), Tag("[share]")],
    Discriminator(_step_or_share),
]
"""A step, or a share of a run, of which 1.0 is the end."""
