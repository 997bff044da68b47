"""From a run's recipe to its trainer's config, with the options checked by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from alpharl.errors import StudyError
from alpharl.frozen import nearest
from alpharl.training.processes import launched
from alpharl.training.recipe import TrainRecipe
from alpharl.training.setup import Setup

# Settings of the runs that the package was tuned on; `args` overrides them.
_DEFAULTS: dict[str, Any] = {
    "lr_scheduler_type": "constant_with_warmup",
    "warmup_steps": 10,
    "adam_beta2": 0.99,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "bf16": False,
    "gradient_checkpointing": False,
    "use_cache": True,  # generating without it takes five times as long
    "dataloader_pin_memory": torch.cuda.is_available(),
    # Several processes without a GPU would else not find each other, and train for themselves.
    "use_cpu": launched() and not torch.cuda.is_available(),
}
_OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adamw": {"optim": "adamw_torch_fused"},
    "sgd": {"optim": "sgd", "optim_args": "momentum=0.9"},
}
# Where a recipe says what a trainer's option of another name would.
_SAID_BY = {
    "max_steps": "steps",
    "num_train_epochs": "steps",
    "save_steps": "save_every",
    "optim": "optimizer",
}


def trainer_config(config_class: Any, setup: Setup, defaults: dict[str, Any]) -> Any:
    """The config of a trainer that stores its state under the setup's folder.

    What the recipe itself says comes first, then its `args`, then `defaults`.

    Raises:
        StudyError: `args` has an unknown option, one that the recipe says itself, or a bad value.
    """
    spec = setup.spec
    owned = _owned(spec, setup.folder)
    _check_names(config_class, spec.args, owned)
    try:
        known = {name: value for name, value in owned.items() if name in _fields(config_class)}
        return config_class(**{**_DEFAULTS, **defaults, **spec.args, **known})
    except (TypeError, ValueError) as error:
        line = " ".join(str(error).split())
        raise StudyError(f"args: {config_class.__name__} refuses them: {line}") from error


def refuse(spec: TrainRecipe, why: dict[str, str]) -> None:
    """Refuse options that a trainer's config has, but that would do nothing in this run.

    Raises:
        StudyError: `args` holds one of the names in `why`, which say what to do instead.
    """
    for name in spec.args:
        if name in why:
            raise StudyError(f"args: found '{name}', {why[name]}")


def _owned(spec: TrainRecipe, folder: Path) -> dict[str, Any]:
    """Options that follow from the recipe, or that saving and resuming rest on."""
    return {
        "output_dir": str(folder),
        "max_steps": spec.steps,
        "num_train_epochs": 1,
        "learning_rate": spec.learning_rate,
        "seed": spec.seed,
        **_OPTIMIZERS[spec.optimizer],
        "shuffle_dataset": False,
        "save_strategy": "no",  # SaveCheckpoints decides when
        "save_steps": spec.save_every,
        "save_total_limit": 1,
        "save_only_model": False,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "push_to_hub": False,
        "trust_remote_code": False,
        # Checkpoints are written from one process, which must hold the whole model.
        "fsdp": None,
        "deepspeed": None,
    }


def _check_names(config_class: Any, args: dict[str, Any], owned: dict[str, Any]) -> None:
    valid = sorted(_fields(config_class) - set(owned))
    for name in args:
        if name in owned:
            said_by = _SAID_BY.get(name, name)
            use = (
                f"use '{said_by}' of the run" if said_by in TrainRecipe.model_fields else "leave it"
            )
            raise StudyError(f"args: found '{name}', which the run sets itself; {use}")
        if name not in valid:
            raise StudyError(
                f"args: unknown option '{name}' of {config_class.__name__}, {nearest(name, valid)}"
            )


def _fields(config_class: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(config_class)}
