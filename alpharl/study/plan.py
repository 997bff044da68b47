"""What a study makes: variants, forecasts and batches of scores. Torch-free, touches no file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from alpharl.errors import MethodError, StudyError
from alpharl.evaluation.datasets import data_file
from alpharl.measures.measure import Input, Measure
from alpharl.measures.registry import chosen
from alpharl.names import checkpoint_name, checkpoint_step, forecast_name, variant_name
from alpharl.spectra.depth import Depth, deepest
from alpharl.spectra.findings import FAULTS
from alpharl.study.config import Study
from alpharl.study.data_files import fetched, training_task
from alpharl.study.forecasts import ForecastVariant
from alpharl.study.paths import Paths
from alpharl.study.windows import checkpoint_at, windows_of
from alpharl.variants.recipes import RankVariant, Recipe, distinct, rank_depth, rank_variants

SHORTEST = 3
"""Checkpoints of the shortest path: two always lie on a line."""


@dataclass(frozen=True)
class Batch:
    """Variants of one run that one process scores on one suite."""

    run: str
    suite: str
    group: Literal["checkpoints", "variants"]
    part: int
    """Which one of the group's batches, from 1."""
    variants: tuple[str, ...]


def _amplitudes(wanted: list[float]) -> list[float]:
    """1, as predicted, before all others."""
    return [1.0, *(value for value in distinct(wanted) if value != 1)]


@dataclass(frozen=True)
class Plan:
    """All job targets of a study. Of each run they are found once: thousands of jobs ask for them.

    Raises:
        StudyError: a run cannot have what the study asks for; see `rank_variants` and `forecasts`.
    """

    study: Study

    def __post_init__(self) -> None:
        _ = self._rank_variants, self._forecasts

    @cached_property
    def paths(self) -> Paths:
        """File names of the study."""
        return Paths(self.study)

    @cached_property
    def _steps(self) -> dict[str, list[int]]:
        return {name: run.saved_steps() for name, run in self.study.runs.items()}

    @cached_property
    def _rank_variants(self) -> dict[str, dict[str, RankVariant]]:
        """By run and name. Most runs of a study have the same, which are then made once."""
        by_steps: dict[tuple[int, ...], dict[str, RankVariant]] = {}
        for run, saved in self._steps.items():
            if tuple(saved) not in by_steps:
                made = rank_variants(self.study.rank, self.depth, self._rank_steps(run))
                by_steps[tuple(saved)] = {variant.name: variant for variant in made}
        return {run: by_steps[tuple(saved)] for run, saved in self._steps.items()}

    @cached_property
    def _forecasts(self) -> dict[str, list[ForecastVariant]]:
        return {run: self._forecasts_of(run) for run in self.study.runs}

    @cached_property
    def bases(self) -> list[str]:
        """The bases that runs start from. Nothing is made of others."""
        used = {run.base for run in self.study.runs.values()}
        return [base for base in self.study.bases if base in used]

    def steps(self, run: str) -> list[int]:
        """Saved steps of a run, without the base."""
        return self._steps[run]

    def accepted(self, run: str) -> list[str]:
        """Kinds of faults of a run's checkpoints that do not stop the study."""
        kinds = {*self.study.audit.accept, *self.study.runs[run].accept}
        return [kind for kind in FAULTS if kind in kinds]

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """The measures that are made of every run, by name."""
        return chosen(self.study.measures)

    def measured_steps(self, run: str, reads: Input) -> list[int]:
        """The steps whose weights, or factors, some measure reads; increasing."""
        reading = [m for m in self.measures.values() if reads in m.reads]
        return sorted({step for measure in reading for step in measure.steps(self.steps(run))})

    @cached_property
    def trajectories(self) -> list[str]:
        """Runs with enough checkpoints to speak of a path. Of the others only the ends are studied:
        no dynamics, no forecasts."""
        return [run for run in self.study.runs if self._is_path(run)]

    def _is_path(self, run: str) -> bool:
        return len(self.steps(run)) >= SHORTEST

    def teacher(self, run: str) -> tuple[str, str] | None:
        """Manifest and folder of a run's teacher; a folder outside the study stands for both."""
        spec = self.study.runs[run].train
        if spec is None or spec.teacher is None:
            return None
        name, paths = spec.teacher, self.paths
        if name not in self.study.runs:
            return f"{name}/config.json", name
        last = self.steps(name)[-1]
        return paths.checkpoint_manifest(name, last), paths.checkpoint(name, last)

    def training_data(self, run: str) -> str | None:
        """The fetched questions that a run is trained on; None where its problem makes its own."""
        spec = self.study.runs[run].train
        task = training_task(spec) if spec else None
        return self.paths.data(data_file(task)) if task else None

    def scored_training_suites(self, run: str) -> list[str]:
        """Suites that ask questions of a run's training data, which are not trained on."""
        spec = self.study.runs[run].train
        task = training_task(spec) if spec else None
        suites = self.study.suites
        return [suite for suite in suites if task and data_file(task) in fetched([suites[suite]])]

    @cached_property
    def depth(self) -> Depth:
        """How deep factors are stored: what `spectra` asks for, or what is read if that is more."""
        study = self.study
        read = [options.depth for options in study.forecast.methods.values()]
        return deepest(Depth(study.spectra.rank), rank_depth(study.rank), *read)

    @property
    def shards(self) -> range:
        """Indices of the shards of a checkpoint."""
        return range(self.study.spectra.shards)

    def factor_jobs(self, run: str) -> list[list[int]]:
        """The steps that each job of the factor stage takes."""
        steps, size = self.steps(run), self.study.spectra.checkpoints_per_job
        return [steps[i : i + size] for i in range(0, len(steps), size)]

    def rank_variants(self, run: str) -> list[RankVariant]:
        """Rank-k models, their variations and controls, at each checkpoint that is asked for.

        Of a run that is no path, at its end only.

        Raises:
            StudyError: nothing is saved by one of them.
        """
        return list(self._rank_variants[run].values())

    def _rank_steps(self, run: str) -> list[int]:
        """The checkpoints that rank-k models are made of."""
        places = self.study.rank.at if self._is_path(run) else [1.0]
        try:
            return sorted({checkpoint_at(self.steps(run), where) for where in places})
        except StudyError as error:
            raise StudyError(f"rank.at: run '{run}': {error}") from None

    def forecasts(self, run: str) -> list[ForecastVariant]:
        """Every method from every window, at every amplitude; none for a run that is no path.

        Raises:
            StudyError: a window is too short, ends where another does in every run, reaches the
                step that it should forecast, or lacks a step that a method names.
        """
        return self._forecasts[run]

    @cached_property
    def _windows(self) -> dict[str, dict[str, int]]:
        """By run that is a path, the last step of each window that forecasts are made from."""
        windows = self.study.forecast.windows if self.study.forecast.methods else []
        try:
            return windows_of({run: self.steps(run) for run in self.trajectories}, windows)
        except StudyError as error:
            raise StudyError(f"forecast.windows: {error}") from None

    def _forecasts_of(self, run: str) -> list[ForecastVariant]:
        steps, settings = self.steps(run), self.study.forecast
        forecasts: list[ForecastVariant] = []
        for label, through in self._windows.get(run, {}).items():
            target, accuracy = self._target_step(steps, through), settings.target_accuracy
            if target is not None and through >= target:
                raise StudyError(
                    f"forecast.windows: run '{run}': window {label} reaches step {through}, the "
                    f"target is step {target}; a fit may not see its target"
                )
            self._require_options(run, label, [step for step in steps if step <= through])
            forecasts += [
                ForecastVariant(
                    forecast_name(name, label, amplitude),
                    name,
                    label,
                    through,
                    target,
                    options,
                    amplitude,
                    accuracy,
                )
                for name, options in settings.methods.items()
                for amplitude in _amplitudes(settings.amplitudes if options.update else [])
            ]
        self._require_other_names(run, forecasts)
        return forecasts

    def _require_options(self, run: str, window: str, steps: list[int]) -> None:
        for name, options in self.study.forecast.methods.items():
            try:
                options.require_steps(steps)
            except MethodError as error:
                raise StudyError(
                    f"forecast.methods.{name}: run '{run}', window {window}: {error}"
                ) from None

    def _require_other_names(self, run: str, forecasts: list[ForecastVariant]) -> None:
        """A rank-k model's scores lie where a forecast's would."""
        for forecast in forecasts:
            if forecast.name.casefold() in self._rank_variants[run]:
                raise StudyError(
                    f"forecast.methods: found label '{forecast.label}', whose forecast "
                    f"'{forecast.name}' has the name of a rank-k model; give another label"
                )

    def quick_forecasts(self, run: str) -> list[ForecastVariant]:
        """Those that a job of a few seconds makes, all of a run together."""
        return [forecast for forecast in self.forecasts(run) if forecast.quick]

    def slow_forecasts(self, run: str) -> list[ForecastVariant]:
        """Those that are a job each: they score trial models, or train networks."""
        return [forecast for forecast in self.forecasts(run) if not forecast.quick]

    def _target_step(self, steps: list[int], through: int) -> int | None:
        settings = self.study.forecast
        if settings.target_accuracy is not None:
            return None
        if settings.target_multiple is not None:
            return round(settings.target_multiple * through)
        return settings.target_step or steps[-1]

    def known(self, run: str) -> list[ForecastVariant]:
        """The forecasts of steps that are saved, so that their weights can be compared."""
        steps = self.steps(run)
        return [forecast for forecast in self.forecasts(run) if forecast.target_step in steps]

    def batches(self) -> list[Batch]:
        """All scoring jobs."""
        return [batch for run in self.study.runs for batch in self.batches_of(run)]

    def batches_of(self, run: str) -> list[Batch]:
        """A run's scoring jobs: its checkpoints on every suite, its variants on test suites."""
        checkpoints = [checkpoint_name(step) for step in [0, *self.steps(run)]]
        variants = [variant.name for variant in self.rank_variants(run)]
        variants += [forecast.name for forecast in self.forecasts(run)]
        batches: list[Batch] = []
        for suite in self.study.suites:
            batches += self._parts(run, suite, "checkpoints", checkpoints)
        for suite in self.study.test_suites:
            batches += self._parts(run, suite, "variants", variants)
        return batches

    def _parts(
        self, run: str, suite: str, group: Literal["checkpoints", "variants"], names: list[str]
    ) -> list[Batch]:
        size = self.study.evaluation.models_per_job
        starts = range(0, len(names), size)
        return [
            Batch(run, suite, group, part, tuple(names[start : start + size]))
            for part, start in enumerate(starts, start=1)
        ]

    def token_variants(self, run: str) -> list[str]:
        """Variants that write and read beside the base: the full run, and rank-k models of it."""
        last = self.steps(run)[-1]
        ranks = (Recipe("rank", Depth(k)).label for k in distinct(self.study.tokens.ranks))
        return [checkpoint_name(last), *(variant_name(label, last) for label in ranks)]

    def folder(self, run: str, variant: str) -> str:
        """Folder of a variant by its name: a model, or an adapter or blend."""
        step = checkpoint_step(variant)
        if step is not None:
            base = self.paths.base_model(self.study.runs[run].base)
            return self.paths.checkpoint(run, step) if step else base
        if variant in self._rank_variants[run]:
            return self.paths.rank(run, variant)
        return self.paths.forecast(run, variant)
