"""The whole workflow under `kill -9` at fifty random moments; some twenty minutes."""

from __future__ import annotations

import pytest

from tests.faults.workflow import KILLS, history

Events = list[dict[str, object]]


@pytest.fixture(scope="module")
def events(finished, mini, tmp_path_factory) -> Events:
    """What happened at each start, and what each study is in the end."""
    return [*history(finished, mini(), tmp_path_factory.mktemp("killed"))]


def test_it_is_killed_often_and_in_each_rule(events: Events):
    assert sum("kill" in event for event in events) >= KILLS
    assert events[-1]["missed"] == []


def test_a_kill_of_the_group_leaves_no_process(events: Events):
    assert all(event["left"] == 0 for event in events if event.get("alone") is False)


def test_studies_end_with_the_same_results_and_nothing_to_do(events: Events):
    ends = [event for event in events if "differ" in event]
    assert ends
    for end in ends:
        assert (end["differ"], end["to do"]) == ([], {})


def test_a_start_that_fails_says_why_in_lines(events: Events):
    """For example while a job of a Snakemake that was killed without its jobs trains."""
    for event in events:
        if event.get("status"):
            assert event["lines"] and not event["traceback"]
