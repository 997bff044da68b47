"""Snakemake refuses a study in the words of `alpharl check`, and makes no file of it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.bad_inputs.studies import ROWS
from tests.workflow.mini import REPO, environment

pytestmark = [pytest.mark.slow, pytest.mark.sample]

SAMPLE = {
    "a word for a method", "three teachers in a circle", "a billion files", "a long run",
    "a label of a rank-k model", "two digests of one file", "a generator that there is not",
}  # fmt: skip
"""Refused for its keys, for its plan, and for what its jobs would meet."""
WHERE = re.compile(r"(.*error: )?(\S*study\.yaml: |config: )?")
"""What stands before the words."""


@pytest.mark.parametrize("row", [row for row in ROWS if row.name in SAMPLE], ids=lambda r: r.name)
def test_snakemake_refuses_in_the_same_words(files, cli, row):
    row.spoil(files)
    words = WHERE.sub("", cli("check", "study.yaml").error, count=1)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", str(REPO / "workflow/Snakefile"),
         "--configfile", "study.yaml", "--cores", "1", "-n"],
        env=environment(), text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    (line,) = done.stderr.splitlines()
    assert WHERE.sub("", line, count=1) == words
    assert not (files / "results").exists()


def test_the_sample_is_of_the_table():
    assert {row.name for row in ROWS} >= SAMPLE
