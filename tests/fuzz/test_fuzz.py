"""A sample of `make fuzz`: nothing is read of weights that the format's own library refuses."""

from __future__ import annotations

from tests.fuzz.run import fuzz


def test_nothing_is_accepted_that_the_library_refuses(tmp_path):
    counts = fuzz(range(4000), tmp_path)
    # Else the mutations would prove little: of both kinds there must be many.
    assert 400 < counts["files accepted"] < 3000
    assert 40 < counts["models accepted"] < 300
    assert counts["stricter"] < 200
