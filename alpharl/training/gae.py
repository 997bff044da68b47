"""The sums of PPO: what each token earns, what it was expected to earn, and the clipped loss.

Everything is float32 with shape (B, T): completions by tokens, `mask` one on the tokens that count,
which are the first ones of a row, and zero after them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Total = Callable[[Tensor], Tensor]
"""Sums a tensor over the processes that train together."""


def token_rewards(outcome_b: Tensor, kl_bt: Tensor, beta: float, mask: Tensor) -> Tensor:
    """Reward per token: the outcome at the last one, minus `beta` times the divergence at each.

    Source: arXiv 1909.08593, section 2 (the reward R of equation 2, spread over the tokens).

    Args:
        outcome_b: reward of each completion, (B,).
        kl_bt: log-probability under the policy that sampled minus that under the reference.
        beta: the coefficient.
        mask: as above; a row without any counts for nothing.
    """
    rewards = -beta * kl_bt
    last = (mask.sum(dim=1) - 1).clamp(min=0)
    rewards[torch.arange(len(last), device=last.device), last.long()] += outcome_b
    return rewards * mask


def advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates, and the returns that the values are fitted to.

    delta_t = r_t + gamma V_t+1 - V_t and A_t = delta_t + gamma lam A_t+1, with nothing after the
    last token; the returns are A + V. Source: arXiv 1506.02438, equation 16, as PPO uses it
    (1707.06347, equation 11).
    """
    values = values * mask
    after = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    deltas = (rewards + gamma * after - values) * mask
    estimates = torch.zeros_like(deltas)
    ahead = torch.zeros_like(deltas[:, 0])
    for t in reversed(range(deltas.shape[1])):
        ahead = deltas[:, t] + gamma * lam * ahead
        estimates[:, t] = ahead
    return estimates * mask, (estimates + values) * mask


def whiten(x: Tensor, mask: Tensor, total: Total, shift: bool = True) -> Tensor:
    """Over all tokens that count, divide by the standard deviation, and first subtract the mean.

    Without `shift` the mean stays what it was, as it is done for rewards.
    """
    sums = total(torch.stack([(x * mask).sum(), mask.sum().float()]))
    count = sums[1].clamp(min=1.0)
    mean = sums[0] / count
    variance = total(((x - mean).square() * mask).sum()) / count
    white = (x - mean) * torch.rsqrt(variance + 1e-8)
    return (white if shift else white + mean) * mask


def value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip: float
) -> Tensor:
    """Half the mean squared error of the values, pessimistic about steps longer than `clip`.

    Source: 1909.08593's code (`cliprange_value`), after OpenAI's baselines; not in 1707.06347.
    """
    near = old_values + (values - old_values).clamp(-clip, clip)
    errors = torch.max((values - returns).square(), (near - returns).square())
    return 0.5 * (errors * mask).sum() / mask.sum().clamp(min=1.0)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """Share of the returns' variance over tokens that the values foresee; 0 if there is none."""
    counted = mask.bool()
    foreseen, expected = values[counted].double(), returns[counted].double()
    spread = float(expected.var(correction=0)) if len(expected) else 0.0
    return 1 - float((expected - foreseen).var(correction=0)) / spread if spread else 0.0
