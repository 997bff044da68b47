"""PPO, which TRL has no longer: its GRPO trainer, with advantages per token from a critic.

Proximal policy optimization (arXiv 1707.06347) as it is used on language models (1909.08593,
2009.01325). Generation, log-probabilities, the clipped policy loss, logging and resuming are TRL's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from trl import GRPOConfig, GRPOTrainer

from alpharl.training.gae import advantages, explained_variance, token_rewards, value_loss, whiten

_CRITIC = "critic.safetensors"
# Options of TRL's trainer, left as they are, that make advantages of groups. PPO has no groups.
_OF_GROUPS = {"scale_rewards": "group", "multi_objective_aggregation": "sum_then_normalize"}


@dataclass
class PPOConfig(GRPOConfig):
    """Options of GRPOConfig, of which `beta` weighs the KL penalty in the rewards, `epsilon` clips
    the policy's ratio and `num_iterations` counts the passes over a batch; and those of the critic,
    as TRL's own PPO called them.
    """

    num_generations: int = 1
    """Completions of each question; PPO needs no more."""
    vf_coef: float = 0.1
    """Weight of the value loss."""
    cliprange_value: float = 0.2
    """Clip of the change of a value since the completions were sampled."""
    gamma: float = 1.0
    """Discount per token."""
    lam: float = 0.95
    """Lambda of the advantage estimates."""
    whiten_rewards: bool = False
    """Divide the tokens' rewards by their deviation."""
    value_learning_rate: float = 1e-3
    """Peak learning rate of the critic."""

    def __post_init__(self) -> None:
        """Check and complete the options as GRPOConfig does, which knows no group of one."""
        wanted = self.num_generations
        self.num_generations = 2 if wanted == 1 else wanted
        super().__post_init__()
        self.num_generations = wanted
        for name, default in _OF_GROUPS.items():
            if getattr(self, name) != default:
                raise ValueError(f"found '{name}', of which PPO makes no use; leave it out")
        for name in ("gamma", "lam"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"found {name} {getattr(self, name)}, expected 0 to 1")


class PPOTrainer(GRPOTrainer):
    """GRPOTrainer whose advantages are PPO's.

    The critic is one linear layer on the policy's last hidden states. It reads them and does not
    change them: the policy moves by its own loss alone, as it does beside a critic of its own, and
    its checkpoints are models like their base. With the trainer's state, the critic is stored.
    """

    beta: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The reference model is there if beta is not zero. Here it serves the rewards; the penalty
        # that TRL would add to the loss stays off.
        self._kl_coef: float = self.beta
        self.beta = 0.0
        self._backbone = _causal_model(self).base_model
        width = self.model.config.get_text_config().hidden_size
        self.critic = nn.Linear(width, 1, device=self.accelerator.device, dtype=torch.float32)
        nn.init.zeros_(self.critic.weight)
        nn.init.zeros_(self.critic.bias)
        self._hidden: list[Tensor] = []
        self._outcomes: Tensor | None = None

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The policy's optimizer, which moves the critic too, at a learning rate of its own."""
        made: torch.optim.Optimizer | None = self.optimizer
        if made is not None:
            return made
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        critic = {"params": list(self.critic.parameters()), "weight_decay": 0.0}
        optimizer.add_param_group({**critic, "lr": self.args.value_learning_rate})
        # The trainer empties the gradients of the model alone.
        optimizer.register_step_post_hook(lambda *_: self.critic.zero_grad())
        return optimizer

    # --- completions and what their tokens earn ---

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        rewards: Tensor = super()._calculate_rewards(*args, **kwargs)
        self._outcomes = (rewards * self.reward_weights.to(rewards.device)).nansum(dim=1)
        return rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._hidden.clear()
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if "old_per_token_logps" not in output:  # TRL needs them off-policy alone
            output["old_per_token_logps"] = self._logps(self.model, output)
        mask, logps = output["completion_mask"], output["old_per_token_logps"].float()
        with torch.no_grad():
            values = self._values(self._hidden, mask)
        kl = self._kl(output, logps)
        rewards = token_rewards(self._own_outcomes(len(inputs)), kl, self._kl_coef, mask)
        if self.args.whiten_rewards:
            rewards = whiten(rewards, mask, self._total, shift=False)
        estimates, returns = advantages(rewards, values, mask, self.args.gamma, self.args.lam)
        output["advantages"] = whiten(estimates, mask, self._total)
        output["values"], output["returns"] = values, returns
        self._note("explained_variance", explained_variance(values, returns, mask))
        return output

    def _own_outcomes(self, count: int) -> Tensor:
        """Rewards of this process's completions; TRL has gathered everyone's."""
        assert self._outcomes is not None
        return self._outcomes[self.accelerator.process_index * count :][:count]

    def _kl(self, output: dict[str, Any], logps: Tensor) -> Tensor:
        """Per token, the log-ratio of policy to reference: an estimate of the KL divergence."""
        if self._kl_coef == 0.0:
            return torch.zeros_like(logps)
        if self.ref_model is not None:
            reference = self._logps(self.ref_model, output)
        else:
            with self.accelerator.unwrap_model(self.model).disable_adapter():
                reference = self._logps(self.model, output)
        mask = output["completion_mask"]
        kl: Tensor = (logps - reference.float()) * mask
        sums = self._total(torch.stack([kl.sum(), mask.sum().float()]))
        self._note("kl", float(sums[0] / sums[1].clamp(min=1.0)))
        return kl

    def _logps(self, model: Any, output: dict[str, Any]) -> Tensor:
        """Log-probabilities of the completions' tokens, without gradients, (B, T)."""
        ids, mask = (
            torch.cat([output[f"prompt_{kind}"], output[f"completion_{kind}"]], dim=1)
            for kind in ("ids", "mask")
        )
        with torch.no_grad():
            logps: Tensor = self._get_per_token_logps_and_entropies(
                model, ids, mask, output["completion_ids"].size(1),
                batch_size=self.args.per_device_train_batch_size,
            )[0]  # fmt: skip
        return logps

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        """As TRL's; the hidden states that the policy's pass comes by are kept for the critic."""
        with _last_hidden_states(self._backbone) as seen:
            output = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if seen:  # the reference model is another
            self._hidden = seen
        return output

    def _values(self, hidden: list[Tensor], mask: Tensor) -> Tensor:
        """Expected return before each token of the completions: what the token before it tells."""
        count = mask.size(1)
        before = torch.cat([states[:, -count - 1 : -1] for states in hidden])
        with torch.autocast(before.device.type, enabled=False):
            values: Tensor = self.critic(before.float()).squeeze(-1)
        return values * mask

    # --- the loss ---

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        loss: Tensor = super()._compute_loss(model, inputs)
        mask = inputs["completion_mask"]
        values = self._values(self._hidden, mask)
        error = value_loss(
            values, inputs["values"], inputs["returns"], mask, self.args.cliprange_value
        )
        self._note("value_loss", float(self._total(error.detach())) / self.args.world_size)
        share: float = self.args.vf_coef / self.current_gradient_accumulation_steps
        return loss + share * error

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """As TRL's; the critic lies outside the model, so its gradients are averaged here."""
        loss: Tensor = super().training_step(*args, **kwargs)
        if self.accelerator.sync_gradients and self.accelerator.num_processes > 1:
            for parameter in self.critic.parameters():
                parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
        return loss

    def _total(self, x: Tensor) -> Tensor:
        total: Tensor = self.accelerator.reduce(x, "sum")
        return total

    def _note(self, name: str, value: float) -> None:
        self._metrics["train" if self.model.training else "eval"][name].append(value)

    # --- the stored state ---

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # First, because what the trainer writes last marks a state as whole.
        if self.args.should_save:
            folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            folder.mkdir(parents=True, exist_ok=True)
            save_file(self.critic.state_dict(), folder / _CRITIC)
        super()._save_checkpoint(model, trial)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.critic.load_state_dict(load_file(Path(checkpoint) / _CRITIC))


def _causal_model(trainer: GRPOTrainer) -> Any:
    """The causal language model itself, without what training wraps around it."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextmanager
def _last_hidden_states(backbone: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the last hidden states of each pass through a decoder, without their gradients."""
    seen: list[Tensor] = []
    handle = backbone.register_forward_hook(
        lambda _module, _inputs, output: seen.append(output.last_hidden_state.detach())
    )
    try:
        yield seen
    finally:
        handle.remove()
