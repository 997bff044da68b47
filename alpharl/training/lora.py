"""Low-rank adapters: what a recipe's `lora` is to the trainers, who all take PEFT's config."""

from __future__ import annotations

from peft import LoraConfig
from transformers import PreTrainedModel

from alpharl.errors import StudyError
from alpharl.frozen import nearest
from alpharl.training.setup import Setup


def adapter_config(setup: Setup) -> LoraConfig | None:
    """What a trainer takes as `peft_config`: the adapter of the recipe, or None without one.

    The adapter is float32 whatever the recipe's `dtype`, as PEFT has it: the trained weights are
    few, and small steps would be lost in bfloat16.

    Raises:
        StudyError: one of `targets` is the name of no linear layer of the base.
    """
    lora = setup.spec.lora
    if lora is None:
        return None
    if lora.targets != "all-linear":
        _check_targets(lora.targets, setup.model)
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        task_type="CAUSAL_LM",
    )


def _check_targets(targets: list[str], model: PreTrainedModel) -> None:
    """PEFT itself only minds when none of the names is there."""
    paths = [name for name, module in model.named_modules() if getattr(module, "in_features", 0)]
    layers = sorted({path.rpartition(".")[2] for path in paths})
    for name in targets:
        if name not in layers:
            raise StudyError(
                f"lora: found target '{name}', expected linear layers of the base, "
                f"{nearest(name, layers)}"
            )
