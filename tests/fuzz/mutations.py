"""Mutations of bytes, and of the values that JSON holds."""

from __future__ import annotations

import copy
import json
import random
import re
from typing import Any

DEEP = [2, 60, 200, 3000, 100_000]
_RAW, _AGAIN = "\ue000", "\ue001"
"""What `dump` writes without quotes, and what it leaves out, so that a key may stand twice."""
STRANGE: list[Any] = [
    None, True, False, -1, 0, 1, 2, 30, 2.5, -0.0, 1e-320, 1e300, -1e300, 2**31, -(2**63), 2**64,
    10**400, float("nan"), float("inf"), float("-inf"), "", "x", "7", "true", "../x", "\x00",
    "é\n", "\ud800", "x" * 100_000, [], [0], [[]], [0, "x"], {}, {"": None}, {"x": {"x": 1}},
    *(_RAW + text for text in ("1e999", "-1e999", "01", "1_0", "0x1", "9" * 400, "9" * 5000)),
    *(_RAW + "[" * deep + "]" * deep for deep in DEEP),
    *(_RAW + '{"a":' * deep + "1" + "}" * deep for deep in DEEP),
]  # fmt: skip
"""Values to put where something else belongs."""


def strange(rng: random.Random, *more: Any) -> Any:
    """One of them, or of some more, as an object of its own."""
    return copy.deepcopy(rng.choice([*STRANGE, *more]))


# --- bytes ---


def spoiled(rng: random.Random, data: bytes) -> bytes:
    """A file with bytes flipped, dropped, repeated, zeroed, inserted, exchanged or cut off."""
    at, size = rng.randint(0, max(0, len(data) - 1)), rng.choice([1, 1, 2, 8, 64, 1000])
    other = rng.randint(0, max(0, len(data) - 1))
    run, rest = data[at : at + size], data[at + size :]
    marks = [b'"', b"}", b"]", b",", b"\n", b"0", b"-", b"\xff"]
    return rng.choice([
        lambda: data[:at] + bytes([x ^ 1 << rng.randrange(8) for x in run[:1]]) + data[at + 1 :],
        lambda: data[:at] + rng.randbytes(1) + data[at + 1 :],
        lambda: data[:at] + rest,
        lambda: data[:at] + run * rng.choice([2, 3, 50]) + rest,
        lambda: data[:at] + bytes(len(run)) + rest,
        lambda: data[:at] + rng.randbytes(rng.randint(1, 9)) + data[at:],
        lambda: data[:at] + rng.choice(marks) + data[at:],
        lambda: data[:other] + run + data[other + len(run) :],
        lambda: data[:at],
        lambda: data + rng.choice([rng.randbytes(9), b"\n", b" ", b"\x00", data[at:]]),
        lambda: rng.choice([b"\xef\xbb\xbf", b"\xff\xfe", b" "]) + data,
        lambda: rng.choice([b"", b"\n", b"[]", b"null", bytes(len(data)), b"[" * 100_000]),
    ])()  # fmt: skip


# --- values ---


def changed(rng: random.Random, value: Any, *more: Any) -> Any:
    """A JSON value with one thing changed somewhere in it.

    Args:
        rng: chooses.
        value: an object or a list.
        more: values that may take a place, next to the strange ones.
    """
    value = copy.deepcopy(value)
    parent, key = _somewhere(rng, value)
    if parent is None:
        return strange(rng, [value])
    change = rng.choice(
        [_replace, _replace, _replace, _number, _drop, _double, _more, _swap, _wrap]
    )
    change(rng, parent, key, more)
    return value


def _somewhere(rng: random.Random, value: Any) -> tuple[Any, Any]:
    """A container within a value and a key of it; None where the value itself is meant."""
    parent, key = None, None
    while isinstance(value, dict | list) and value and (parent is None or rng.random() < 0.7):
        if parent is None and rng.random() < 0.01:
            break
        parent, key = value, rng.choice([*value] if isinstance(value, dict) else range(len(value)))
        value = parent[key]
    return parent, key


def _replace(rng: random.Random, parent: Any, key: Any, more: tuple[Any, ...]) -> None:
    parent[key] = strange(rng, *more, *more)


def _number(rng: random.Random, parent: Any, key: Any, more: tuple[Any, ...]) -> None:
    value = parent[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        parent[key] = str(value) if rng.random() < 0.5 else value
        return
    parent[key] = rng.choice(
        [-value, value + 1, value * 1.5, float(value), str(value), value / 100]
    )


def _drop(rng: random.Random, parent: Any, key: Any, more: tuple[Any, ...]) -> None:
    del parent[key]


def _double(rng: random.Random, parent: Any, key: Any, more: tuple[Any, ...]) -> None:
    """An element again, or a key: with its value or another."""
    value = copy.deepcopy(parent[key])
    if isinstance(parent, list):
        parent.insert(rng.randint(0, len(parent)), value)
    else:
        parent[f"{_AGAIN}{key}"] = rng.choice([value, strange(rng)])


def _more(rng: random.Random, parent: Any, key: Any, more: tuple[Any, ...]) -> None:
    """An element or a key that is none, or the key under another name."""
    if isinstance(parent, list):
        parent.append(strange(rng, *more))
    else:
        name = rng.choice(
            ["more", "", f"{key} ", str(key).upper(), "0", "-1", "x" * 500, "é", "a/b"]
        )
        parent[name] = parent.pop(key) if rng.random() < 0.5 else strange(rng)


def _swap(rng: random.Random, parent: Any, key: Any, more: tuple[Any, ...]) -> None:
    other = rng.choice([*parent] if isinstance(parent, dict) else range(len(parent)))
    parent[key], parent[other] = parent[other], parent[key]


def _wrap(rng: random.Random, parent: Any, key: Any, more: tuple[Any, ...]) -> None:
    value = parent[key]
    inner = value[0] if isinstance(value, list) and value else {"x": value}
    parent[key] = rng.choice([[value], inner])


def dump(value: Any, indent: int | None = 1) -> str:
    """JSON text of a value, with what is strange in it as no library would write it."""
    text = json.dumps(value, indent=indent)
    text = re.sub(r'"\\ue000([^"]*(?:\\"[^"]*)*)"', lambda m: m[1].replace('\\"', '"'), text)
    return text.replace("\\ue001", "")
