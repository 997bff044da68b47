"""Online DPO (arXiv 2402.04792) with a verifiable reward in place of the paper's judge.

For every question the policy samples two completions; the right one is preferred to the wrong one.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
import torch.nn.functional as F
from datasets import Dataset
from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer
from trl.experimental.utils import truncate_right
from trl.models.utils import unwrap_model_for_generation

from alpharl.errors import StudyError
from alpharl.problems.prompts import Prompt, Prompts
from alpharl.training.lora import adapter_config
from alpharl.training.options import refuse, trainer_config
from alpharl.training.own_prompts import require_uncut
from alpharl.training.padding import left_padded
from alpharl.training.setup import Setup

_WITHOUT = {
    "loss_type": "but online-dpo has the loss of DPO alone; leave it out",
    "missing_eos_penalty": "but an answer is right or wrong, whether it ended or not; leave it out",
    "reward_model_path": "but the reward is whether an answer is right; leave it out",
    "reward_weights": "but there is a single reward; leave it out",
}
_TABLED = ("reward", "entropy", "kl", "completions/mean_length", "pairs")


class VerifiedPairsTrainer(OnlineDPOTrainer):
    """TRL's trainer with a training step of its own, which differs in four things.

    * Two completions of equal reward make no pair: they weigh nothing. TRL prefers the first of
      them, which is noise, and with a reward of 0 or 1 most of what it would learn from.
    * The loss of a batch is divided by `gradient_accumulation_steps`, so that these change memory
      and time alone. TRL divides what it reports, but not the gradient.
    * Entropy and KL divergence are means over the tokens of the completions, in nats. TRL's are
      sums that count the padding in.
    * Prompts have the tokens that scoring uses too. TRL makes others of plain text.
    """

    def __init__(self, prompts: Prompts, **options: Any) -> None:
        super().__init__(**options)
        self.prompts = prompts
        self.stats: dict[str, list[float]] = {name: [] for name in _TABLED}

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Sample, grade and learn from the questions of a batch.

        Returns:
            This batch's part of the loss that is reported.
        """
        model.train()
        sampled = self._sample(model, inputs["prompt"])
        mask = sampled[-1].bool()
        logps = self._forward(model, *sampled) * mask
        with torch.no_grad():
            reference = self._reference(sampled) * mask
        rewards = self._rewards(inputs, sampled[2])
        loss: torch.Tensor = preference_loss(logps.sum(1), reference.sum(1), rewards, self.beta)
        self._note(logps.detach(), reference, mask, rewards)
        loss = loss / self.current_gradient_accumulation_steps
        self.accelerator.backward(loss)
        return loss.detach()

    def _sample(self, model: torch.nn.Module, prompts: list[Any]) -> tuple[torch.Tensor, ...]:
        """Tokens and mask of the prompts, then of the completions: all first ones, all second."""
        if self.args.use_vllm:
            tokens = [{"prompt_token_ids": self.prompts.ids(prompt)} for prompt in prompts]
            return tuple(self._generate_vllm(tokens))
        return self._generate(model, prompts)

    def _generate(
        self, model: torch.nn.Module, prompts: list[Prompt], images: None = None
    ) -> tuple[torch.Tensor, ...]:
        """As TRL's without images, on the tokens of our own prompts."""
        tokenizer, args = self.processing_class, self.args
        once = left_padded([self.prompts.ids(p) for p in prompts], tokenizer.pad_token_id)
        ids, mask = (tensor.repeat(2, 1).to(self.accelerator.device) for tensor in once)
        with (
            unwrap_model_for_generation(
                model, self.accelerator, gather_deepspeed3_params=args.ds3_gather_for_generation,
                generation_kwargs=self.generation_kwargs,
            ) as unwrapped,
            torch.no_grad(),
        ):  # fmt: skip
            if args.cache_implementation is not None:
                unwrapped.generation_config.cache_implementation = args.cache_implementation
            output = unwrapped.generate(
                input_ids=ids, attention_mask=mask, generation_config=self.generation_config
            )
        answers = output[:, ids.size(1) :]
        return ids, mask, *truncate_right(answers, self.eos_token_ids, tokenizer.pad_token_id)

    def _reference(self, sampled: tuple[torch.Tensor, ...]) -> Any:
        """Log-probabilities before training: of a copy, or without the adapter."""
        if self.ref_model is not None:
            return self._forward(self.ref_model, *sampled)
        with self.accelerator.unwrap_model(self.model).disable_adapter():
            return self._forward(self.model, *sampled)

    def _rewards(self, inputs: dict[str, Any], completions: torch.Tensor) -> torch.Tensor:
        texts = self.processing_class.batch_decode(completions, skip_special_tokens=True)
        graded = self.reward_funcs[0](2 * inputs["index"], texts)
        return torch.tensor(graded, device=completions.device)

    def _note(
        self, logps: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor,
        rewards: torch.Tensor,
    ) -> None:  # fmt: skip
        """Keep what is reported of the step; the tokens were sampled, so their means estimate."""
        tokens = mask.sum()
        first, second = rewards.chunk(2)
        values = (
            rewards.mean(), -logps.sum() / tokens, (logps - reference).sum() / tokens,
            tokens / len(mask), (first != second).float().mean(),
        )  # fmt: skip
        for name, value in zip(_TABLED, values, strict=True):
            self.stats[name].append(self.accelerator.gather(value).mean().item())


def preference_loss(
    logps: torch.Tensor, reference: torch.Tensor, rewards: torch.Tensor, beta: float
) -> torch.Tensor:
    """The DPO loss (arXiv 2305.18290, equation 7), a mean over questions of which ties count 0.

    Args:
        logps: (2 B,) log-probabilities of the first completion of each question, then of the
            second ones.
        reference: (2 B,) likewise of the reference model.
        rewards: (2 B,) likewise.
        beta: scale of the implied reward.
    """
    first, second = (logps - reference).chunk(2)
    better = (rewards.chunk(2)[0] - rewards.chunk(2)[1]).sign()
    losses = -F.logsigmoid(beta * better * (first - second))
    return (losses * better.abs()).mean()


def online_dpo_trainer(setup: Setup) -> tuple[OnlineDPOTrainer, int]:
    """A trainer that prefers right answers of the policy to wrong ones.

    Raises:
        StudyError: `args` holds what OnlineDPOConfig does not take, or `lora` what is not there.
    """
    defaults = {
        "per_device_train_batch_size": 128,
        "train_sampling_strategy": "sequential",
        "max_new_tokens": setup.asking.questions.budget,
        "max_length": sys.maxsize,  # nothing is cut
        "temperature": 1.0,
        "beta": 0.1,
    }
    refuse(setup.spec, _WITHOUT)
    mode = setup.spec.args.get("vllm_mode", "colocate")
    if mode != "colocate":  # TRL sends text to a server, whose tokenizer may add tokens
        raise StudyError(f"args: found vllm_mode {mode!r}, expected 'colocate' with online-dpo")
    config = trainer_config(OnlineDPOConfig, setup, defaults)
    batch = config.train_batch_size * config.gradient_accumulation_steps * config.world_size
    indices = setup.asking.draw(setup.spec.seed, setup.spec.steps * batch)
    longest = max((setup.asking.ids(index) for index in set(indices)), key=len)
    if config.max_length == sys.maxsize:  # vLLM makes room for so many tokens
        config.max_length = len(longest) + config.max_new_tokens
    require_uncut([longest + [0] * config.max_new_tokens], config.max_length)
    trainer = VerifiedPairsTrainer(
        prompts=setup.asking.prompts,
        model=setup.model,
        reward_funcs=setup.asking.rewards,
        args=config,
        train_dataset=Dataset.from_list(
            [{"prompt": setup.asking.prompt(index), "index": index} for index in indices]
        ),
        processing_class=setup.tokenizer,
        peft_config=adapter_config(setup),
    )
    return trainer, 1
