"""The run that a verb is about, with what scores its trial models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alpharl.trajectory import Trajectory


@contextmanager
def opened(
    base: Path,
    checkpoints: Sequence[str],
    steps: Sequence[int] | None,
    *,
    scores: Path | None = None,
    factors: str | None = None,
    gram: str | None = None,
    shards: int = 1,
    suite: Path | None = None,
    trials: Path | None = None,
    manifests: Sequence[Path] = (),
    engine: Mapping[str, str | None] | None = None,
    gpus: int = 0,
    told: bool = True,
) -> Iterator[Trajectory]:
    """A trajectory from what the command line says; with a suite, the engine runs meanwhile.

    Args:
        base: model folder of step 0.
        checkpoints: as `--checkpoints` has them.
        steps: as `--steps` has them.
        scores: CSV of validation accuracies.
        factors: pattern of factor files made before.
        gram: pattern of gram files made before.
        shards: files that such a pattern stands for.
        suite: of trial models.
        trials: folder of their answers.
        manifests: with digests that are known.
        engine: options of the engine that answers.
        gpus: cards that it may use.
        told: say what the checkpoints have other than the base.
    """
    # Heavy libraries come with these.
    from alpharl.checkpoints.differences import tell
    from alpharl.progress import shown
    from alpharl.trajectory import Trajectory
    from alpharl.verbs.engine_options import engine_settings

    settings = engine_settings(engine or {})
    with ExitStack() as stack:
        progress = stack.enter_context(shown())
        scorer = None
        if suite is not None:
            from alpharl.checkpoints.sources import run_folders
            from alpharl.evaluation.trials import Trials

            scorer = Trials(
                suite, base, run_folders(checkpoints, steps), settings,
                gpus=gpus, manifests=manifests, answers=trials, progress=progress,
            )  # fmt: skip
            stack.enter_context(scorer)
        trajectory = Trajectory.open(
            base, checkpoints, scores, steps=steps,
            factors=factors, gram=gram, shards=shards, trials=scorer, progress=progress,
        )  # fmt: skip
        if told:
            tell(progress, base, trajectory.checkpoints)
        yield trajectory
