"""The audit: faults are found and named, and right runs of many kinds are not stopped."""

from __future__ import annotations

import numpy as np
import pytest
from alpharl.spectra.audit import audit
from alpharl.spectra.findings import FAULTS
from alpharl.spectra.gram import Gram, gram_run
from alpharl.spectra.path import Path as RunPath
from tests.studies.audit import clean, found, judge
from tests.studies.paths import CLEAN, drawn, gram_of

STEPS = list(range(12, 121, 12))


@pytest.fixture(scope="module")
def real(golden):
    """The gram of the golden run, with the base as one more step at the end."""
    folder = golden / "trajectory"
    gram = gram_run(folder / "base", {step: folder / f"step-{step}" for step in STEPS})
    tensors = {name: np.pad(products, (0, 1)) for name, products in gram.tensors.items()}
    return Gram([*STEPS, 0], tensors)


BASE = len(STEPS)


def served(real: Gram, places: list[int]) -> Gram:
    """The run if each step held the weights of the step at this index."""
    at = np.ix_(places, places)
    steps = STEPS[: len(places)]
    return Gram(steps, {name: products[at] for name, products in real.tensors.items()})


def faults(gram: Gram, **options: object) -> list[tuple[str, list[int]]]:
    """Kinds and steps of what is wrong."""
    shown = audit(gram, list(gram.tensors), **options)
    return [(fault.kind, fault.steps) for fault in shown.faults]


def test_the_real_run_is_clean(real):
    for count in range(1, len(STEPS) + 1):
        for first in range(len(STEPS) - count + 1):
            places = list(range(first, first + count))
            assert faults(served(real, places)) == []
    shown = audit(served(real, list(range(10))), list(real.tensors))
    assert shown.steps == STEPS
    assert shown.notes == shown.accepted == []


@pytest.mark.parametrize("at", range(10))
def test_a_step_that_is_the_base(real, at):
    places = [*range(at), BASE, *range(at + 1, 10)]
    assert faults(served(real, places)) == [("base", [STEPS[at]])]


@pytest.mark.parametrize("at", range(9))
def test_a_step_that_is_the_one_before_or_swapped_with_it(real, at):
    twice = [*range(at + 1), at, *range(at + 2, 10)]
    assert faults(served(real, twice)) == [("duplicate", STEPS[at : at + 2])]
    swapped = [*range(at), at + 1, at, *range(at + 2, 10)]
    assert faults(served(real, swapped)) == [("swapped", STEPS[at : at + 2])]


@pytest.mark.parametrize("first", range(8))
def test_steps_that_serve_the_last_are_one_fault(real, first):
    places = [*range(first), *[9] * (10 - first)]
    (fault,) = audit(served(real, places), list(real.tensors)).faults
    assert (fault.kind, fault.steps) == ("serves-last", STEPS[first:])
    assert "equal the last step, 120" in fault.text


def test_orders_that_are_not_those_of_the_names(real):
    assert faults(served(real, list(range(9, -1, -1)))) == [("misordered", STEPS[::-1])]
    places = [0, 5, 2, 3, 4, 1, 6, 7, 8, 9]
    order = [STEPS[places.index(i)] for i in range(10)]
    assert faults(served(real, places)) == [("misordered", order)]
    twice = [1, 0, 2, 3, 5, 4, 6, 7, 8, 9]
    assert faults(served(real, twice)) == [("swapped", [12, 24]), ("swapped", [60, 72])]


def test_a_run_that_never_moved_or_always_serves_one_model(real):
    (fault,) = audit(served(real, [BASE] * 10), list(real.tensors)).faults
    assert (fault.kind, fault.steps) == ("base", STEPS)
    assert fault.text.startswith("10 steps from 12 to 120 equal the base; likely lora_alpha")
    assert faults(served(real, [9] * 10)) == [("serves-last", STEPS)]


def test_one_line_says_what_to_do(real):
    places = [BASE, 1, 1, 4, 3, 9, 6, 7, 8, 9]
    for fault in audit(served(real, places), list(real.tensors)).faults:
        assert fault.kind in FAULTS
        assert "\n" not in fault.text
        assert "; likely " in fault.text
        assert ": " in fault.text.partition("; likely ")[2]


def test_accepted_kinds_are_told_but_do_not_count(real):
    places = [BASE, 1, 1, *range(3, 10)]
    shown = audit(served(real, places), list(real.tensors), accept=["base"])
    assert [fault.kind for fault in shown.faults] == ["duplicate"]
    assert [fault.kind for fault in shown.accepted] == ["base"]


def test_equal_files_are_equal_whatever_the_gram_says(real):
    digests = {0: "b", 12: "x", 24: "y", 36: "x"}
    assert faults(served(real, list(range(10))), digests=digests) == [("duplicate", [12, 36])]


def test_equality_is_a_share_of_the_longest_update():
    updates = np.diag([1.0, 2.0, 3.0, 1e3, 1e3, 1e3])
    updates[1, 0] = 1.0
    products = updates @ updates.T
    assert faults(Gram([1, 2, 3, 4, 5, 6], {"w": products})) == []
    scaled = updates.copy()
    scaled[:2] *= 1e-3
    same = faults(Gram([1, 2, 3, 4, 5, 6], {"w": scaled @ scaled.T}))
    assert same == [("base", [1, 2])]


@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_the_same_step_of_another_run(shared):
    rng, names = np.random.default_rng(7), []
    for _ in range(20):
        kinds = [drawn("momentum, cosine 0.5", rng, 12, 2000)[1] for _ in range(3)]
        own, other = (shared**0.5 * kinds[2] + (1 - shared) ** 0.5 * k for k in kinds[:2])
        at = int(rng.integers(1, 12))
        own[at] = other[at]
        shown = judge(list(range(1, 13)), own).faults
        names.append([(fault.kind, fault.steps) for fault in shown] == [("foreign", [at + 1])])
    assert np.mean(names) >= 0.9


def with_a_step_of_a_sibling(at: int, seed: int) -> np.ndarray:
    """Points (5, 48 * 200) of which one is of another run; the two runs have a cosine of 0.95."""
    rng = np.random.default_rng(seed)
    common, *both = (drawn("momentum, cosine 0.5", rng, 5, 48 * 200)[1] for _ in range(3))
    one, sibling = (0.95**0.5 * common + 0.05**0.5 * points for points in both)
    one[at] = sibling[at]
    return one


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_tensors_tell_a_step_of_a_sibling_that_the_whole_model_hardly_shows(at):
    steps, runs = [10, 20, 30, 40, 50], [with_a_step_of_a_sibling(at, seed) for seed in range(10)]
    whole = [faults(gram_of(steps, points)) for points in runs]
    parts = [faults(gram_of(steps, points, 48)) for points in runs]
    right = [("foreign", [steps[at]])]
    assert parts.count(right) >= 9
    assert whole.count(right) <= parts.count(right)


def test_few_or_resting_tensors_do_not_vote():
    steps = [10, 20, 30, 40, 50]
    gram = gram_of(steps, with_a_step_of_a_sibling(2, 2), 48)
    rest = {f"rest-{i}": np.zeros((5, 5)) for i in range(100)}
    assert faults(Gram(steps, {**gram.tensors, **rest})) == [("foreign", [30])]
    few = dict([*gram.tensors.items()][:10])
    assert faults(Gram(steps, {**few, **rest})) == []


def test_tensors_that_rest_for_some_steps_vote_with_the_others():
    points = with_a_step_of_a_sibling(2, 2).reshape(5, 48, 200)
    points[4, :5] = points[3, :5]
    points[:2, 5:8] = 0
    assert faults(gram_of([10, 20, 30, 40, 50], points.reshape(5, -1), 48)) == [("foreign", [30])]


def test_tensors_do_not_vote_where_steps_are_uneven():
    points = with_a_step_of_a_sibling(2, 2)
    assert faults(gram_of([10, 20, 30, 40, 50], points, 48)) == [("foreign", [30])]
    assert faults(gram_of([10, 20, 30, 70, 80], points, 48)) == []


@pytest.mark.parametrize("count", [4, 7, 12, 40])
def test_right_runs_are_not_stopped(count):
    for dimensions, most in ((20, 1.0), (1000, 0.0)):
        stopped = clean(3000, 8, count, dimensions)
        assert len(stopped) > len(CLEAN)
        assert np.mean([*stopped.values()]) <= most, stopped


def test_right_runs_of_many_tensors_are_not_stopped():
    stopped = [rate for n in (5, 8, 12) for rate in clean(3000, 4, n, 200, 48).values()]
    assert np.mean(stopped) <= 1.0


@pytest.mark.parametrize("name", ["neighbours swapped", "equal to the base", "serves the last"])
def test_broken_runs_are_stopped(name):
    for count in (10, 30):
        stopped, named = found(3000, 10, count, 1000, name)
        assert min(stopped, named) >= 95.0


def test_three_checkpoints_have_no_order():
    steps, points = drawn("momentum, cosine 0.9", np.random.default_rng(0), 3, 100)
    shown = judge(steps, points[[1, 0, 2]])
    assert shown.faults == []
    assert [note.kind for note in shown.notes] == ["unordered"]


def note(gram: Gram, kind: str) -> str:
    """The text of the only note of a kind."""
    (only,) = [note for note in audit(gram, list(gram.tensors)).notes if note.kind == kind]
    return only.text


def test_notes():
    steps, points = drawn("drift, cosine 0.7", np.random.default_rng(0), 8, 500)
    products = gram_of(steps, points).tensors["weights-0"]
    frozen = Gram(steps, {"model.norm.weight": products, "lm_head.weight": 0 * products})
    assert "1 of 2 tensors equal the base at every step: lm_head.weight" in note(frozen, "partial")
    kept = [0, 1, 2, 4, 5, 6, 7]
    gap = Gram([steps[i] for i in kept], {"weights": products[np.ix_(kept, kept)]})
    assert "between steps 30 and 50, while the others are 10 apart" in note(gap, "gap")
    moved = np.diff(points, axis=0, prepend=0)
    moved[5] *= 12
    jump = gram_of(steps, np.cumsum(moved, axis=0))
    assert "as far to step 60 as is usual" in note(jump, "jump")
    assert not audit(jump, list(jump.tensors)).faults
    large = Gram(steps, {"weights": products}, base_square=products[5, 5])
    assert "as large as the base's weights at steps 60, 70 and 80, " in note(large, "large")
    assert not [n for n in audit(Gram(steps, {"w": products}), ["w"]).notes if n.kind == "large"]


def test_a_last_step_of_another_run():
    rng, names = np.random.default_rng(8), []
    for count in (8, 12, 20):
        for _ in range(10):
            kinds = [drawn("momentum, cosine 0.5", rng, count, 2000)[1] for _ in range(3)]
            own, other = (0.9**0.5 * kinds[2] + 0.1**0.5 * k for k in kinds[:2])
            own[-1] = other[-1]
            shown = judge(list(range(1, count + 1)), own).faults
            names.append([(f.kind, f.steps) for f in shown] == [("foreign", [count])])
    assert np.mean(names) >= 0.7


@pytest.mark.parametrize("count", [5, 6])
def test_neighbours_of_few_checkpoints_that_are_swapped(count):
    stopped, named = found(3000, 10, count, 1000, "neighbours swapped")
    assert stopped >= 95
    assert named >= 90


def test_offsets_and_leads_are_distances_from_lines():
    points = np.random.default_rng(3).standard_normal((7, 30))
    steps = [1, 2, 4, 5, 8, 9, 10]
    path = RunPath.of(steps, points @ points.T)
    a, at = np.vstack([np.zeros(30), points]), np.array([0, *steps], float)

    def aside(point, start, end):
        along = (end - start) / np.linalg.norm(end - start)
        return np.linalg.norm(point - start - (point - start) @ along * along)

    for i in range(1, 7):
        to, on = at[i] - at[i - 1], at[i + 1] - at[i]
        offset = aside(a[i], a[i - 1], a[i + 1]) / np.linalg.norm(a[i + 1] - a[i - 1])
        expected = (to * on) ** 0.5 / (to + on) ** 1.25
        assert path.offsets[i - 1] == pytest.approx(np.log(offset / expected))
        lead = aside(a[i + 1], a[i - 1], a[i]) / np.linalg.norm(a[i] - a[i - 1])
        assert path.leads[i - 1] == pytest.approx(np.log(lead / (on / to) ** 0.75))
