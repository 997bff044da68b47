"""A sample of `make fuzz`: nothing is read that the format's library, or PEFT, does not read."""

from __future__ import annotations

from tests.fuzz.run import fuzz, fuzz_adapters


def test_nothing_is_accepted_that_the_library_refuses(tmp_path):
    counts = fuzz(range(4000), tmp_path)
    # Else the mutations would prove little: of both kinds there must be many.
    assert 400 < counts["files accepted"] < 3000
    assert 40 < counts["models accepted"] < 300
    assert counts["stricter"] < 200


def test_what_is_read_of_an_adapter_is_what_peft_loads(tmp_path):
    """All of it, with equal merged weights; `check` compares them."""
    outcomes, _ = fuzz_adapters(60, tmp_path)
    assert outcomes["accepted"] > 20, "else the comparisons would be few"
    assert outcomes["refused"] > 10
    assert outcomes["stricter"] < 15
