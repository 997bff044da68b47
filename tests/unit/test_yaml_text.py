"""YAML that is read as it stands; what is refused: tests/bad_inputs/steps.py."""

from __future__ import annotations

import pytest
import yaml
from alpharl.errors import StudyError
from alpharl.yaml_text import read_yaml


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "a: 1\nb: [1, -2, +3, 0, 0.5, .5, 5., -0.0, 1.5e-3, 2.0e+5, .inf, -.INF]\n",
        "a: 1e-3\nb: 08\nc: '0010'\nd: \"1_000\"\ne: step-0010\n",
        "a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\ne: [*x, *x]\n",
        "a: {b: 1}\nc: {b: 1}\nd: [{b: 1}, {b: 2}]\n1: x\n'1': y\n",
        "a: yes\nb: ~\nc: 2026-11-30\nd: |\n  0010\n",
    ],
)
def test_what_is_plain_is_read_as_yaml_reads_it(text):
    assert read_yaml(text, "study.yaml") == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\n\na: 1\n", "study.yaml: line 3: found key 'a' again, which stands on line 1"),
        ("a:\n  b: {c: 1, c: 2}\n", "line 2: found key 'c' again"),
        ("0.2: a\n0.20: b\n", "line 2: found key '0.20' again"),
        ("a: [1,\n  010]\n", "line 2: found 010, which YAML reads as 8"),
        ("010: a\n", "line 1: found 010, which YAML reads as 8"),
        ("a: 1_0.5\n", "line 1: found 1_0.5, which YAML reads as 10.5"),
        ("a: 0b11\n", "found 0b11, which YAML reads as 3"),
        ("a: b: c\n", "not valid YAML"),
        ("a: !!python/object:os.system x\n", "not valid YAML"),
        ("? [1]\n: 2\n", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("\0", "not valid YAML"),
        ("".join(f"a{i}: &a{i} [{f'*a{i - 1}' if i else 1}]\n" for i in range(5000)), "aliases"),
    ],
)  # fmt: skip
def test_what_is_not_is_refused_in_one_line(text, line):
    with pytest.raises(StudyError) as error:
        read_yaml(text, "study.yaml")
    assert line in str(error.value)
    assert "\n" not in str(error.value)
