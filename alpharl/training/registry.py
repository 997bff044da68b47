"""All training algorithms: a line each. Torch-free."""

from __future__ import annotations

from alpharl.registry import registered
from alpharl.training.algorithm import Algorithm

_ENTRIES = [
    "policy_gradient:Grpo",
    "policy_gradient:DrGrpo",
    "policy_gradient:Dapo",
    "policy_gradient:Gspo",
    "policy_gradient:Rloo",
    "policy_gradient:Ppo",
    "policy_gradient:ReinforcePlusPlus",
    "preferences:Dpo",
    "preferences:OnlineDpo",
    "imitation:Sft",
    "imitation:Distill",
    "imitation:OnPolicyDistill",
    "without_gradient:EvolutionStrategies",
    "without_gradient:RandomWalk",
]
ALGORITHMS: dict[str, Algorithm] = {
    cls.name: cls()
    for cls in registered("alpharl.training.algorithms", _ENTRIES, Algorithm)  # type: ignore[type-abstract]
}
"""By name."""
