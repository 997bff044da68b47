"""Scores of trial models: what a method that searches on the validation suite calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from alpharl.checkpoints.manifest import KnownDigests
from alpharl.checkpoints.sources import Given, run_folders
from alpharl.errors import EvaluationError
from alpharl.evaluation.engines.registry import read_settings
from alpharl.evaluation.engines.settings import EngineSettings
from alpharl.evaluation.offline import go_offline
from alpharl.forecasting.contract import Prediction
from alpharl.progress import SILENT, Progress
from alpharl.scratch import scratch
from alpharl.variants.model import Model, config_of
from alpharl.variants.store import Variant, read_variant

if TYPE_CHECKING:
    import numpy as np

    from alpharl.evaluation.runner import Scorer
    from alpharl.evaluation.suites import SuiteFiles


class Trials:
    """Builds a trial model, scores it on the validation suite and deletes it, at each call.

    The engine starts with the first call. A context manager, which stops it. For example:

        with Trials("suites/validation/suite.json", base, checkpoints) as trials:
            run = Trajectory.open(base, checkpoints, trials=trials)
            run.verdict(target_step=120)
    """

    def __init__(
        self,
        suite: str | Path | SuiteFiles,
        base: str | Path,
        checkpoints: Given,
        engine: EngineSettings | None = None,
        *,
        gpus: int = 0,
        manifests: Iterable[Path] = (),
        answers: str | Path | None = None,
        progress: Progress = SILENT,
    ) -> None:
        """Read the suite.

        Args:
            suite: its files, or the path of its `suite.json`.
            base: model folder of step 0.
            checkpoints: that a trial model may be made of, as `Trajectory.open` takes them.
            engine: what generates answers; default: the first engine as it is.
            gpus: GPUs that the engine may use.
            manifests: digests of models that are known; used where answers are kept.
            answers: folder where answers stay, so that a killed job asks only for those that it had
                not got.
            progress: told of each trial model.

        Raises:
            EvaluationError: no such suite, or a test suite.
        """
        go_offline()
        from alpharl.evaluation.suites import SuiteFiles, read_suite

        self._suite = suite if isinstance(suite, SuiteFiles) else read_suite(Path(suite))
        if self._suite.role != "validation":
            where = self._suite.name if suite is self._suite else suite
            raise EvaluationError(
                f"{where}: found a {self._suite.role} suite, expected a validation suite; nothing "
                "may be fitted on test questions"
            )
        self._base, self._checkpoints = Path(base), run_folders(checkpoints)
        self._engine, self._gpus = engine or read_settings({}), gpus
        self._answers = Path(answers) if answers else None
        self._known = KnownDigests(manifests, self._base.absolute())
        self._progress, self._stack = progress, ExitStack()

    @cached_property
    def scorer(self) -> Scorer:
        """The suite's questions and their engine."""
        from alpharl.evaluation.runner import Scorer

        scorer = Scorer(self._suite, self._base, self._engine, self._gpus)
        return self._stack.enter_context(scorer)

    def __call__(self, prediction: Prediction) -> np.ndarray:
        """Outcomes (n,) on the suite's questions, 1 where the model answers right.

        Raises:
            EvaluationError: the engine cannot answer.
        """
        import numpy as np

        with built(prediction, self._base, self._checkpoints) as trial:
            scored = self.scorer.score(trial, answers=self._file(trial))
        outcomes = np.array(scored["correct"])
        self._progress.line(f"trial model: validation accuracy {outcomes.mean():.3f}")
        return outcomes

    def _file(self, trial: Variant) -> Path | None:
        if self._answers is None:
            return None
        return self._answers / f"{trial.digest(self._known)[:16]}.answers.jsonl"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()


@contextmanager
def built(prediction: Prediction, base: Path, checkpoints: Mapping[int, Path]) -> Iterator[Variant]:
    """A prediction as a variant in a folder that lasts as long as the context.

    Args:
        prediction: of an update, or a line through logits.
        base: model folder of step 0.
        checkpoints: model folders by step that the prediction may name.
    """
    meta = {"logits": asdict(prediction.logits)} if prediction.logits else {}
    meta |= {"config": config_of(base, checkpoints)}
    model = Model(base, checkpoints, meta, prediction.blend, prediction.adapter)
    with scratch("trial") as folder:
        model.absolute().save(folder / "trial")
        yield read_variant(folder / "trial")
