"""The study file as frozen models: every key has a type, a default and a line of explanation.

Nothing here imports torch, reads a checkpoint or writes a file: the Snakefile imports it, and it
runs again in every cluster job.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from alpharl.bounds import MOST_DEVICES
from alpharl.errors import StudyError
from alpharl.evaluation.engines.registry import DEFAULT, ENGINES, Evaluation
from alpharl.evaluation.settings import Suite, TokenLevel
from alpharl.frozen import MOST_SHOWN, Frozen, describe_error, nearest
from alpharl.measures.registry import MeasureOptions, all_measures
from alpharl.names import FilePath, require_apart, require_no_wildcard
from alpharl.study.runs import Base, Name, Run
from alpharl.study.settings import Audit, Dynamics, Forecast, Spectra
from alpharl.study.size import require_size
from alpharl.study.sources import with_table
from alpharl.study.teachers import require_teachers
from alpharl.variants.rank_settings import RankModels
from alpharl.yaml_text import read_text, read_yaml

MOST_TOLD = 5
"""Errors that one line tells."""
RESERVED = {"study": "data", "suite": "disjoint.json"}
"""Names of files and folders that lie next to those of studies and of suites."""


class Study(Frozen):
    """One study: everything under `<results>/<study>/`."""

    renamed = {"ablation": "rank"}

    study: Name
    """Name of the study, and of its folder below `results`."""
    results: Annotated[FilePath, AfterValidator(require_no_wildcard)] = "results"
    """Folder that holds the results of all studies."""
    bases: Annotated[dict[Name, Base], Field(min_length=1)]
    """The models before RL, by name: `path` of a Hugging Face folder, `hub` to fetch one, a `gguf`
    file, or `pretrain` to make a small one here."""
    runs: Annotated[dict[Name, Run], Field(min_length=1)]
    """The trajectories from a base, by name: checkpoints that exist already, or `train` to make
    them here."""
    suites: Annotated[dict[Name, Suite], Field(min_length=1)]
    """The questions, by name of the suite: exactly one suite with role `validation`, one or more
    with role `test`."""
    spectra: Spectra = Spectra()
    """Which matrices are factored, how deep, and how the work is cut into jobs."""
    audit: Audit = Audit()
    """Faults of checkpoints that do not stop the study. Every run is audited."""
    rank: RankModels = RankModels()
    """Rank-k models, their variations, and a control next to each."""
    measures: MeasureOptions = all_measures()
    """Numbers that describe the updates, next to their nulls; default: all. For example,
    `measures: {sparsity: {seed: 1}}` makes that one alone."""
    dynamics: Dynamics = Dynamics()
    """Draws of the null models, and the share of a run that the forward hold-out fits."""
    forecast: Forecast = Forecast()
    """Windows, target, amplitudes, and methods with their options."""
    evaluation: Evaluation = ENGINES[DEFAULT].model_validate({})
    """How variants are scored: engine, precision, batch size."""
    tokens: TokenLevel = TokenLevel()
    """What is read and continued token by token."""
    gpus: Annotated[int, Field(ge=0, le=MOST_DEVICES)] = 0
    """GPUs of a scoring job with vLLM, which splits the model over them. Above 0, jobs that train
    take one for each process, and those that factor or score with transformers take one."""

    @model_validator(mode="before")
    @classmethod
    def _tables_are_read(cls, data: Any) -> Any:
        """Take what checkpoint tables say into the study, which then stands for itself."""
        if not isinstance(data, dict) or not isinstance(data.get("runs"), dict):
            return data
        return {**data, "runs": {name: with_table(name, run) for name, run in data["runs"].items()}}

    @field_validator("runs", mode="after")
    @classmethod
    def _expand_runs(cls, runs: dict[str, Run]) -> dict[str, Run]:
        """Nothing beyond this sees `seeds`, or a run without a group."""
        expanded: dict[str, Run] = {}
        for origin, run in runs.items():
            for name, one in run.expand(origin):
                if name in expanded or (name != origin and name in runs):
                    raise ValueError(
                        f"run '{name}' stands there twice, once from 'seeds' of run '{origin}'; "
                        "rename one"
                    )
                expanded[name] = one
        return expanded

    @model_validator(mode="after")
    def _names_differ(self) -> Study:
        """Some file systems take names for one that differ in case alone."""
        require_apart(self.bases, "base")
        require_apart(self.runs, "run")
        require_apart(self.suites, "suite")
        reserved = {"study": [self.study], "suite": list(self.suites)}
        for what, names in reserved.items():
            if (own := RESERVED[what]) in [name.casefold() for name in names]:
                raise ValueError(
                    f"found {what} '{own}', which is a name of the workflow's own; rename it"
                )
        return self

    @model_validator(mode="after")
    def _fits_into_a_plan(self) -> Study:
        require_size(
            [run.count_steps() for run in self.runs.values()],
            self.spectra.shards,
            len(self.suites),
            self.rank,
            self.forecast.count,
        )
        return self

    @model_validator(mode="after")
    def _names_resolve(self) -> Study:
        for name, run in self.runs.items():
            if run.base not in self.bases:
                hint = nearest(run.base, list(self.bases))
                raise ValueError(f"run '{name}' has unknown base '{run.base}', {hint}")
        roles = [suite.role for suite in self.suites.values()]
        if roles.count("validation") != 1 or "test" not in roles:
            raise ValueError(
                f"found suites with roles {roles}; expected one 'validation' and one or more 'test'"
            )
        return self

    @model_validator(mode="after")
    def _teachers_resolve(self) -> Study:
        require_teachers(self.runs)
        return self

    @model_validator(mode="after")
    def _suites_disjoint(self) -> Study:
        """Refuse suites of both roles that name the same questions; contents are checked later."""
        seen: dict[tuple[str, str], str] = {}
        for name, suite in self.suites.items():
            for task in suite.tasks:
                other = seen.setdefault(task.source, name)
                if self.suites[other].role != suite.role:
                    raise ValueError(
                        f"suites '{other}' and '{name}' overlap: both hold task '{task.task}' "
                        f"{task.where}; validation and test must differ, change one"
                    )
        return self

    @model_validator(mode="after")
    def _engine_can_score_the_methods(self) -> Study:
        if self.evaluation.mixes_logits:
            return self
        able = " or ".join(f"'{name}'" for name, cls in ENGINES.items() if cls.mixes_logits)
        for label, options in self.forecast.methods.items():
            if options.method == "logits-extrapolation":
                raise ValueError(
                    f"forecast method '{label}' mixes two models' logits, which engine "
                    f"'{self.evaluation.engine}' cannot; take engine {able}, or leave it out"
                )
        return self

    @model_validator(mode="after")
    def _token_level_has_its_models(self) -> Study:
        tokens = self.tokens
        if tokens.suite is None:
            return self
        if tokens.suite not in self.test_suites:
            hint = nearest(tokens.suite, self.test_suites)
            raise ValueError(f"'tokens.suite' is '{tokens.suite}', expected a test suite: {hint}")
        ranks, at = self.rank.ranks, self.rank.at
        if not set(tokens.ranks) <= set(ranks) or 1.0 not in at:
            raise ValueError(
                "'tokens.ranks' reads rank-k models of the run's end: found rank.ranks "
                f"{ranks} at {at}, expected {tokens.ranks} at 1.0 among them; add these"
            )
        return self

    @property
    def validation_suite(self) -> str:
        """Name of the only suite that a fit may read."""
        return next(name for name, suite in self.suites.items() if suite.role == "validation")

    @property
    def test_suites(self) -> list[str]:
        """Names of the suites that only the report reads."""
        return [name for name, suite in self.suites.items() if suite.role == "test"]


def parse_study(data: Any, where: str = "study") -> Study:
    """Validate a config mapping.

    Raises:
        StudyError: one line that names the key and what is wrong with it.
    """
    if not isinstance(data, dict):
        raise StudyError(
            f"{where}: found {'nothing' if data is None else repr(data)[:MOST_SHOWN]}, expected "
            "the keys study, bases, runs and suites; `alpharl init` writes them"
        )
    try:
        _require_characters(data)
        return Study.model_validate(data)
    except ValidationError as error:
        lines = [describe_error(e) for e in error.errors()]
        more = [f"and {len(lines) - MOST_TOLD} more"] if len(lines) > MOST_TOLD else []
        raise StudyError(f"{where}: " + "; ".join([*lines[:MOST_TOLD], *more])) from None


def _require_characters(value: Any) -> None:
    """Refuse halves of characters, which JSON can write and no file can hold.

    Raises:
        StudyError: shows the text.
    """
    if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
        raise StudyError(f"found half a character in {value[:MOST_SHOWN]!a}; correct the text")
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    for part in parts if isinstance(parts, list) else ():
        _require_characters(part)


def load_study(path: str | Path) -> Study:
    """Read and validate a study file.

    Raises:
        StudyError: the file is missing, not YAML, or not a valid study.
    """
    return parse_study(read_yaml(read_text(path), str(path)), str(path))
