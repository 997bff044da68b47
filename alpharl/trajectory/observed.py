"""What is computed of one run's weights and scores, each number once and only when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from alpharl.checkpoints.differences import differences
from alpharl.checkpoints.identity import read_made_from
from alpharl.checkpoints.manifest import KnownDigests
from alpharl.checkpoints.seal import require_sealed
from alpharl.checkpoints.sources import (
    Given,
    at_steps,
    known_steps,
    run_folders,
    steps_on_disk,
)
from alpharl.checkpoints.stage import staged
from alpharl.checkpoints.unmoved import why_unmoved
from alpharl.dynamics.accuracy import Scores, accuracy_of
from alpharl.errors import CheckpointError
from alpharl.forecasting.contract import Prediction
from alpharl.progress import Progress, display
from alpharl.spectra import GRAM_VERSION
from alpharl.spectra.audit import audit
from alpharl.spectra.depth import Depth, some_depth
from alpharl.spectra.findings import Audit, Finding
from alpharl.spectra.gram import MAKER as GRAM_MAKER
from alpharl.spectra.gram import Gram
from alpharl.spectra.lowrank import Factors, read_metadata
from alpharl.spectra.run import FactorsOfSteps, RunFactors, RunFolders, RunGram, shard_paths
from alpharl.spectra.scope import require_paper_scope

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from alpharl.measures.measure import Measure


@dataclass(frozen=True, eq=False)
class Observed:
    """A base, the checkpoints of one run, and the scores that are known of them."""

    base: Path
    """Model folder of step 0, an absolute path."""
    checkpoints: Mapping[int, Path]
    """Model folders by step, increasing, without step 0; absolute paths."""
    accuracy: Mapping[int, float]
    """Validation accuracy per step, maybe of step 0, maybe of none."""
    _run: RunFolders = field(repr=False)
    _gram: RunGram = field(repr=False)
    _factors: RunFactors = field(repr=False)
    _trials: Callable[[Prediction], np.ndarray] | None = field(repr=False)
    _relative: frozenset[Path] = field(repr=False)
    """Folders that were given as relative paths: models that are saved name them so."""
    _tables: dict[tuple[str, Measure], pd.DataFrame] = field(default_factory=dict, repr=False)
    """Tables of measures that were made."""

    @classmethod
    def open(
        cls,
        base: str | Path,
        checkpoints: Given,
        scores: Scores | None = None,
        *,
        steps: Sequence[int] | None = None,
        gram: str | Path | Gram | None = None,
        factors: str | Path | FactorsOfSteps | None = None,
        shards: int = 1,
        trials: Callable[[Prediction], np.ndarray] | None = None,
        progress: bool | Progress = True,
    ) -> Self:
        """Find the checkpoints; no weight is read yet.

        Args:
            base: model folder of step 0.
            checkpoints: a pattern such as `runs/foo/checkpoint-{step}`, `STEP=FOLDER` for each
                checkpoint, or folders by step. A step 0 among them is left out.
            scores: validation accuracy per step: a mapping, or a CSV with columns step,accuracy,
                see `alpharl.dynamics.accuracy.read_accuracy`. A step that is neither 0 nor that of
                a checkpoint is refused; checkpoints that `steps` leaves out may have a score.
            steps: only these; default: all.
            gram: made before, or its file; with `{shard}` in its name where there are several.
            factors: made before, by step; or a pattern of their files with `{step}` in it.
            shards: number of files of the gram, and of each step's factors.
            trials: scores trial models, such as `alpharl.evaluation.trials.Trials`; methods that
                search, and the verdict, call it.
            progress: whether to show how far a computation is, in bars at a terminal, in lines
                elsewhere; or the object that is told.

        Raises:
            CheckpointError: no base, no checkpoint, a step without a folder, or a file of the gram
                that is missing or lacks a tensor.
            TableError: the scores are no such table or mapping; the line names the row.
        """
        if isinstance(gram, str | Path):
            checkpoints = _with_gone(checkpoints, shard_paths(gram, shards)[0])
        given = run_folders(checkpoints, steps)
        accuracy = accuracy_of(scores, known_steps(checkpoints, steps))
        relative = (path for path in (Path(base), *given.values()) if not path.is_absolute())
        folders = MappingProxyType({step: path.absolute() for step, path in given.items()})
        run = RunFolders(Path(base).absolute(), folders, partial(display, progress))
        return cls(
            run.base, folders, MappingProxyType(accuracy), run,
            RunGram(run, gram, shards), RunFactors(run, factors, shards), trials,
            frozenset(path.absolute() for path in relative),
        )  # fmt: skip

    def __repr__(self) -> str:
        """What it is, in a line."""
        scored = f", {len(self.accuracy)} accuracies" if self.accuracy else ""
        name = type(self).__name__
        return f"{name}({self.base}, {len(self.steps)} checkpoints, steps {self.steps}{scored})"

    @property
    def steps(self) -> list[int]:
        """Steps of the checkpoints, increasing, without step 0."""
        return list(self.checkpoints)

    @property
    def tensors(self) -> list[str]:
        """Names of all tensors of the model, in file order."""
        return list(self._run.index.tensors)

    @property
    def gram(self) -> Gram:
        """Per tensor, the inner products (T, T) between the updates of all T checkpoints.

        Raises:
            MethodError: the gram that was handed in lacks a step.
        """
        return self._gram.upto(self.steps)

    def audit(
        self,
        through: int | None = None,
        *,
        accept: Sequence[str] = (),
        manifests: Sequence[str | Path] = (),
    ) -> Audit:
        """Whether the checkpoints are what their names say: faults, and notes.

        Nothing but the gram and the configs is read. See `alpharl.spectra.audit`.

        Args:
            through: last step that is looked at; default: the last checkpoint's.
            accept: kinds of faults that do not count, such as `duplicate`.
            manifests: of the model folders, or tables of them: equal digests are equal models.

        Raises:
            CheckpointError, MethodError: as the gram.
        """
        steps = [step for step in self.steps if through is None or step <= through]
        known = KnownDigests(map(Path, manifests))
        folders = {0: self.base, **{step: self.checkpoints[step] for step in steps}}
        digests = {step: known.told(path) for step, path in folders.items()}
        told = {step: digest for step, digest in digests.items() if digest}
        found = audit(
            self._gram.upto(steps), self.tensors, told, accept,
            lambda step: why_unmoved(self.checkpoints[step]),
        )  # fmt: skip
        others = differences(self.base, {step: self.checkpoints[step] for step in steps})
        notes = [Finding(kind="differs", steps=one.names, text=one.text) for one in others]
        return found.model_copy(update={"notes": [*found.notes, *notes]})

    def factors(
        self, depth: int | Depth = 8, steps: Sequence[int] | None = None
    ) -> dict[int, dict[str, Factors]]:
        """Factors of checkpoints' updates: by step, by matrix of scope `paper`.

        Each step's are made once. Those of an earlier, deeper request, and those that were handed
        in, are returned as they are.

        Args:
            depth: singular triplets of each matrix at least.
            steps: of which checkpoints; default: all.

        Raises:
            CheckpointError: a step has no folder.
            MethodError: the depth is not positive.
        """
        chosen, wanted = some_depth(depth), self.steps if steps is None else steps
        for step in wanted:
            self._folder(step)
        return {step: self._factors.at(step, chosen) for step in wanted}

    def dynamics(
        self, permutations: int = 200, holdout: float = 0.6, seed: int = 0
    ) -> pd.DataFrame:
        """Fits of every matrix's trajectory, one row per (tensor, measure, null model).

        Its columns: `alpharl.dynamics.table.dynamics_table`.

        Args:
            permutations: draws of each null model.
            holdout: share of the checkpoints that is fitted, the later ones being judged.
            seed: of the null models.

        Raises:
            MethodError: fewer than three checkpoints, one without an accuracy, or no such setting.
        """
        from alpharl.dynamics.blocks import sample_blocks
        from alpharl.dynamics.fits import Settings
        from alpharl.dynamics.table import dynamics_table, require_scored

        settings = Settings(permutations, holdout, seed)
        require_scored(self.steps, self.accuracy)
        factors, gram = self.factors(1), self.gram
        blocks = sample_blocks(self.base, factors[self.steps[0]], seed)
        with self._run.show() as progress:
            return dynamics_table(factors, gram, self.accuracy, blocks, settings, progress)

    def measure(
        self,
        *names: str,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        stage: str | None = None,
    ) -> dict[str, pd.DataFrame]:
        """The tables of measures, by name; all are made in one pass over the weights.

        Args:
            names: of measures; default: all.
            options: of each measure by its name, such as `{"sparsity": {"seed": 1}}`.
            stage: folder on a faster disk that the weights are copied to first.

        Raises:
            MethodError: no such measure or option.
        """
        from alpharl.measures.registry import read_measures

        wanted = read_measures(names, options or {})
        # A measure with its options is made once.
        measures = {n: m for n, m in wanted.items() if (n, m) not in self._tables}
        self._tables.update(self._measured(measures, stage))
        return {name: self._tables[name, measure].copy() for name, measure in wanted.items()}

    def _measured(
        self, measures: Mapping[str, Measure], stage: str | None
    ) -> dict[tuple[str, Measure], pd.DataFrame]:
        from alpharl.measures.run import measure_run, opened

        if not measures:
            return {}
        taken = {name: measure.steps(self.steps) for name, measure in measures.items()}
        factored = opened(measures, taken, "factors")
        if factored:
            require_paper_scope(self._run.index)
        factors = {step: self._factors.at(step, Depth(1)) for step in factored}
        gram = self.gram if any("gram" in m.reads for m in measures.values()) else None
        # A run may have many more checkpoints than are measured: only these are worth a copy.
        read = {step: self.checkpoints[step] for step in opened(measures, taken)}
        with staged({0: self.base, **read}, stage) as copies, self._run.show() as progress:
            base, folders = copies.pop(0), {**self.checkpoints, **copies}
            tables = measure_run(base, folders, measures, factors, gram, progress)
        return {(name, measures[name]): table for name, table in tables.items()}

    def save(self, folder: str | Path) -> None:
        """Write the gram and the factors that were made, so that `open` and the verbs take them.

        The files are laid out like those of `alpharl.callback.Watch`: `gram.safetensors`, of all
        steps, made now if it was not; and `factors/step-<step>.safetensors`. What was handed in is
        not written again.
        """
        self._gram.save(Path(folder) / "gram.safetensors")
        self._factors.save(Path(folder) / "factors")

    def plot(self) -> Figure:
        """The run at a glance: how far it moved, its path next to random walks', its accuracy.

        Save the figure with `savefig`. See `alpharl.report.glance`.

        Raises:
            MethodError: fewer than two checkpoints, or none that differs from the base.
        """
        from alpharl.report.glance import draw

        return draw(self.gram, self._run.scope, self.accuracy)

    def _require_configs(self, steps: Iterable[int]) -> None:
        """Refuse to take the base's config for checkpoints that are gone and had another.

        Raises:
            CheckpointError: names the first of them.
        """
        models = self._gram.made_from
        for step in steps:
            told = models["checkpoints"].get(step) if models else None
            if told and told.get("config") and not self.checkpoints[step].is_dir():
                raise CheckpointError(
                    f"{self.checkpoints[step]}: found no folder, expected its config.json, which "
                    f"changes {', '.join(told['config'])} of the base's; put that file back"
                )

    def _folder(self, step: int) -> Path:
        if step not in self.checkpoints:
            raise CheckpointError(
                f"found no folder of step {step}, expected one of {self.steps}; choose among these"
            )
        return self.checkpoints[step]


def _with_gone(given: Given, gram: Path) -> Given:
    """Checkpoints as they were given, and those that are gone but stand in a gram of the run."""
    pattern = str(given if isinstance(given, str | Path) else next(iter(given)))
    if isinstance(given, Mapping) or pattern.count("{step}") != 1 or not gram.is_file():
        return given
    require_sealed(gram, GRAM_MAKER)
    about = read_metadata(gram, GRAM_MAKER)
    models = read_made_from(about, GRAM_VERSION, gram, GRAM_MAKER)["checkpoints"]
    gone = {
        step: path for step, path in at_steps(pattern, [*models]).items()
        if not path.is_dir() and path.absolute() == Path(models[step]["path"]).absolute()
    }  # fmt: skip
    return gone | steps_on_disk(pattern) if gone else given
