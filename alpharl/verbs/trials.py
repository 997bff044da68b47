"""Scores of trial models: what a method that searches on the validation suite calls."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from alpharl.errors import EvaluationError
from alpharl.verbs.engine_options import settings_of
from alpharl.verbs.inputs import log
from alpharl.verbs.scores import go_offline

if TYPE_CHECKING:
    import numpy as np

    from alpharl.forecasting.contract import Prediction
    from alpharl.variants.store import Variant


def trial_scorer(
    args: Namespace, folders: Mapping[int, Path]
) -> Callable[[Prediction], np.ndarray]:
    """A function that builds a trial model, scores it on the validation suite and deletes it.

    With `args.trials`, a folder, answers stay there: a killed job asks only for those that it
    had not got.

    Args:
        args: `suite`, `base`, `trials`, `manifests` and the engine's settings.
        folders: model folders that a blend may name.

    Raises:
        EvaluationError: the suite is a test suite.
    """
    go_offline()
    import numpy as np

    from alpharl.checkpoints.manifest import KnownDigests
    from alpharl.evaluation.runner import Scorer
    from alpharl.evaluation.suites import read_suite
    from alpharl.variants.store import read_variant, write_variant

    suite = read_suite(args.suite)
    if suite.role != "validation":
        raise EvaluationError(
            f"{args.suite}: found a {suite.role} suite, expected a validation suite; nothing may "
            "be fitted on test questions"
        )
    scorer = Scorer(suite, args.base, settings_of(args), args.gpus or 0)
    base = args.base.absolute()
    paths = {step: path.absolute() for step, path in folders.items()}
    known = KnownDigests(args.manifests, base)

    trials: Path | None = args.trials

    def answers(trial: Variant) -> Path | None:
        return trials / f"{trial.digest(known)[:16]}.answers.jsonl" if trials else None

    def score(prediction: Prediction) -> np.ndarray:
        with tempfile.TemporaryDirectory(prefix="alpharl-") as folder:
            built = Path(folder) / "trial"
            write_variant(built, base, paths, {}, prediction.blend, prediction.adapter)
            trial = read_variant(built)
            outcomes = np.array(scorer.score(trial, answers=answers(trial))["correct"])
        log(f"trial model: validation accuracy {outcomes.mean():.3f}")
        return outcomes

    return score
