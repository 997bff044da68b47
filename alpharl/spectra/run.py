"""The gram and the factors of one run: read from files made before, or made once, when needed.

Only what is asked for is made: the gram of a window reads no later checkpoint. A wider window adds
rows to that gram, so its last digits may differ from those of a gram made at once
(`alpharl.spectra.gram.extend_gram`). Torch-free until something is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from alpharl.checkpoints.identity import MadeFrom, made_from, require_same, require_unchanged
from alpharl.checkpoints.index import ModelIndex, read_index
from alpharl.errors import CheckpointError
from alpharl.names import checkpoint_name
from alpharl.progress import Progress
from alpharl.spectra.depth import Depth
from alpharl.spectra.gram import MAKER as GRAM_MAKER
from alpharl.spectra.gram import Gram, extend_gram, read_gram, write_gram
from alpharl.spectra.lowrank import MAKER as FACTORS_MAKER
from alpharl.spectra.lowrank import (
    Factors,
    about_factors,
    as_stored,
    factors_made_from,
    read_factors,
    save_factors,
)
from alpharl.spectra.scope import matrices, paper_names, shapes

FactorsOfSteps = Mapping[int, Mapping[str, Factors]]
"""Per step, by matrix."""


@dataclass(frozen=True)
class RunFolders:
    """Where a run's weights are, and where it shows how far a computation is."""

    base: Path
    checkpoints: Mapping[int, Path]
    """Model folders by step, increasing."""
    show: Callable[[], AbstractContextManager[Progress]]
    """Opened for each computation."""

    @cached_property
    def index(self) -> ModelIndex:
        """The base's tensors."""
        return read_index(self.base)

    @cached_property
    def scope(self) -> list[str]:
        """Names of the matrices of scope `paper`."""
        return list(matrices(self.index, "paper"))

    def require(self, models: MadeFrom, steps: Iterable[int], file: Path, maker: str) -> None:
        """Refuse a file that was made from other models than these.

        Args:
            models: that it was made from.
            steps: of the checkpoints that have to be the same.
            file: the file.
            maker: the command that makes it.

        Raises:
            ArtefactError: names the first model that is another one, or has changed since.
        """
        require_same(models["base"], self.base, file, maker)
        for step in steps:
            told = models["checkpoints"][step]
            require_same(told, self.checkpoints[step], file, maker, self.base)


class RunGram:
    """The run's gram, of as many of its first checkpoints as were needed so far."""

    def __init__(self, run: RunFolders, given: Gram | str | Path | None, shards: int) -> None:
        """Take a gram that was made before.

        Args:
            run: the run.
            given: the gram, or its file, in whose name `{shard}` stands for each shard's number.
            shards: number of these files.

        Raises:
            CheckpointError: a file is missing, or lacks a tensor of the base.
        """
        self._run, self._is_given = run, given is not None
        given = Gram([], {}) if given is None else given
        self._gram = given if isinstance(given, Gram) else _read_gram(run, given, shards)
        lacking = [name for name in run.index.tensors if name not in self._gram.tensors]
        if self._is_given and lacking:
            raise CheckpointError(
                f"{self._gram.name}: found no {lacking[0]} among {len(self._gram.tensors)} "
                "tensors; give all shards of the run's gram"
            )

    @property
    def made_from(self) -> MadeFrom | None:
        """The models that it was made from, as far as it is known."""
        return self._gram.made_from

    def upto(self, steps: Sequence[int]) -> Gram:
        """The gram of the run's first checkpoints.

        Raises:
            CheckpointError: a folder is missing, of another model, or not finite.
            MethodError: a gram that was made before lacks a step.
        """
        if not self._is_given and not set(steps) <= set(self._gram.steps):
            folders = {step: self._run.checkpoints[step] for step in steps}
            with self._run.show() as progress:
                progress.line(f"gram of {len(folders)} checkpoints")
                models = made_from(self._run.base, folders)
                gram = extend_gram(self._gram, self._run.base, folders, progress=progress)
                require_unchanged(models)
                self._gram = replace(gram, made_from=models)
        whole = list(steps) == self._gram.steps
        return self._gram if whole else self._gram.upto(list(steps))

    def save(self, out: Path) -> None:
        """Write the gram of all steps, making what is lacking; nothing if it was handed in."""
        if not self._is_given:
            gram = self.upto(list(self._run.checkpoints))
            assert gram.made_from
            write_gram(gram, out, gram.made_from)


@dataclass
class RunFactors:
    """The factors of the run's checkpoints, scope `paper`."""

    run: RunFolders
    given: str | Path | FactorsOfSteps | None
    """Made before: by step, or a file pattern with `{step}` and maybe `{shard}`."""
    shards: int = 1
    """Number of files of each step."""
    _known: dict[int, dict[str, Factors]] = field(default_factory=dict, init=False)
    _depths: dict[int, Depth] = field(default_factory=dict, init=False)
    """How deep the factors are that were made here, by step."""
    _models: dict[int, MadeFrom] = field(default_factory=dict, init=False)
    """The models that they were made from, by step."""

    def at(self, step: int, depth: Depth) -> dict[str, Factors]:
        """Factors of one step: at least so deep where they are made here, else as they are stored.

        Raises:
            CheckpointError: a folder or file is missing, of another model, or not finite.
        """
        if self.given is not None:
            if step not in self._known:
                self._known[step] = self._read(step)
        elif step not in self._known or not self._holds(step, depth):
            self._known[step], self._depths[step] = self._make(step, depth), depth
        return self._known[step]

    def save(self, folder: Path) -> None:
        """Write `step-<step>.safetensors` of each step whose factors were made here."""
        for step, depth in self._depths.items():
            about = about_factors(self._models[step], step, depth, "paper")
            save_factors(self._known[step], folder / f"{checkpoint_name(step)}.safetensors", about)

    def _holds(self, step: int, depth: Depth) -> bool:
        lows = [factors.low for factors in self._known[step].values()]
        return all(len(low.s) >= depth.of(len(low.u), len(low.v)) for low in lows)

    def _make(self, step: int, depth: Depth) -> dict[str, Factors]:
        # Each step by itself: so they do not depend on which others are asked for.
        from alpharl.spectra.factors import Settings, iterate_factors

        folder = self.run.checkpoints[step]
        self._models[step] = made_from(self.run.base, {step: folder})
        with self.run.show() as progress:
            progress.line(f"factors of {folder}")
            made = iterate_factors(self.run.base, {step: folder}, Settings(depth), progress)
            # As a file holds them, so that forecasts do not depend on where factors come from.
            stored = {name: as_stored(factors) for _, name, factors in made}
        require_unchanged(self._models[step])
        return stored

    def _read(self, step: int) -> dict[str, Factors]:
        if isinstance(self.given, Mapping):
            factors, name = dict(self.given.get(step, {})), f"factors of step {step}"
        else:
            factors, name = self._read_files(step), str(self.given).replace("{step}", str(step))
        # Those of scope `all` are enough for whatever knows no scope.
        lacking = [name for name in paper_names(self.run.index) if name not in factors]
        if lacking:
            raise CheckpointError(
                f"{name}: found no {lacking[0]} among {len(factors)} matrices; "
                "give all shards of the step's factors"
            )
        expected = shapes(self.run.index)
        for matrix, one in factors.items():
            found = len(one.low.u), len(one.low.v)
            if expected.get(matrix) != found:
                raise CheckpointError(
                    f"{name}: found factors of {matrix} with shape {found}, expected "
                    f"{expected.get(matrix, 'none of it')} as the base has it; make them again"
                )
        return factors

    def _read_files(self, step: int) -> dict[str, Factors]:
        paths = shard_paths(str(self.given), self.shards, step)
        factors = read_factors(paths)
        models = factors_made_from(paths)
        if models:
            (told,) = models["checkpoints"].values()  # whatever step it had then
            one = MadeFrom(base=models["base"], checkpoints={step: told})
            self.run.require(one, [step], paths[0], FACTORS_MAKER)
        return factors


def _read_gram(run: RunFolders, pattern: str | Path, shards: int) -> Gram:
    """A gram from its files, if it is this run's."""
    paths = shard_paths(pattern, shards)
    gram = read_gram(paths)
    assert gram.made_from
    run.require(gram.made_from, set(gram.steps) & set(run.checkpoints), paths[0], GRAM_MAKER)
    return gram


def shard_paths(pattern: str | Path, count: int, step: int | str = "{step}") -> list[Path]:
    """Files of all shards of a step, of a pattern with `{step}` and `{shard}` in it."""
    named = str(pattern).replace("{step}", str(step))
    return [Path(named.replace("{shard}", str(shard))) for shard in range(count)]
