"""Steps of a run whose models are equal: to the base, to the last step's, or to each other's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from alpharl.spectra.findings import Finding

Why = Callable[[int], str | None]
"""Why a step's weights are the base's, and what to do, where more is known than that they are."""


def same_digest(steps: Sequence[int], digests: Mapping[int, str]) -> np.ndarray:
    """Whether two models have the same digest, for the base and each of T steps: (1+T, 1+T).

    Args:
        steps: of the checkpoints, without step 0.
        digests: by step, 0 being the base, as far as they are known.
    """
    names = np.array([digests.get(step) or f"step {step}" for step in (0, *steps)])
    same: np.ndarray = names[:, None] == names
    return same


def first_equal(steps: Sequence[int], equal: np.ndarray) -> dict[int, int]:
    """For each step the first step that it equals, the base being 0; itself if there is none."""
    points = [0, *steps]
    return {step: points[int(np.argmax(equal[i]))] for i, step in enumerate(points) if step}


def equal_steps(
    steps: list[int], first: Mapping[int, int], why: Why = lambda step: None
) -> Iterator[Finding]:
    """A fault for each group of equal models.

    Args:
        steps: of the checkpoints.
        first: what `first_equal` says of them.
        why: asked of steps that equal the base.
    """
    for source in dict.fromkeys(first.values()):
        group = [step for step in steps if first[step] == source]
        if source == 0:
            yield _equal_to_base(group, group == steps, why)
        elif len(group) > 2 and group[-1] == steps[-1]:
            yield Finding(
                kind="serves-last",
                steps=group,
                text=f"{named(group[:-1])} equal the last step, {group[-1]}; likely the final "
                "model under the names of earlier ones: get the right files",
            )
        elif len(group) > 1:
            yield Finding(
                kind="duplicate",
                steps=group,
                text=f"{named(group)} are equal; likely one file under several names, or changes "
                "too small for the stored format: get the right files, or leave all but one out",
            )


def _equal_to_base(group: list[int], every: bool, why: Why) -> Finding:
    told = next(filter(None, map(why, group)), None)
    if told:
        what = told
    elif every:
        what = (
            "likely lora_alpha or the learning rate is 0, or the adapter was saved next to its "
            "base and not merged: save the trained weights"
        )
    else:
        what = (
            "likely a copy of it, or the learning rate was 0 until then: get the right file, or "
            "leave the step out"
        )
    text = f"{named(group)} {'equals' if len(group) == 1 else 'equal'} the base; {what}"
    return Finding(kind="base", steps=group, text=text)


def named(steps: list[int]) -> str:
    """`step 10`, or `steps 10, 20 and 30`; of many only the first and the last."""
    if len(steps) == 1:
        return f"step {steps[0]}"
    if len(steps) > 8:
        return f"{len(steps)} steps from {steps[0]} to {steps[-1]}"
    return f"steps {', '.join(map(str, steps[:-1]))} and {steps[-1]}"
