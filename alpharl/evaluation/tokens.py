"""Token-level analyses of AlphaRL (appendix D): what one model wrote, read by another.

Answers are kept as text, so their tokens are the tokenizer's, which a model may have put together
from others; where the number of tokens tells, it is said. A greedy writer that reads its own text
shows how much that and rounding matter: its non-greedy share should be near 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from alpharl.evaluation.answering import Request
from alpharl.evaluation.answers import AnswerFile
from alpharl.evaluation.engines.engine import Generate
from alpharl.evaluation.questions import TaskQuestions

Values = NDArray[np.float64]
TOKENS = 1 << 17
"""Tokens of a batch at most: their keys and values are in memory."""
LOGITS = 1 << 28
"""Logits in memory at once, 1 GiB in float32."""


@dataclass(frozen=True)
class Written:
    """The answer that a model wrote to a question."""

    request: Request
    text: str
    tokens: tuple[int, ...]
    """The text's, without the end-of-sequence token."""
    finished: bool
    generated: int
    """Tokens that the model wrote, an end-of-sequence token included."""

    def retokenised(self, stops: bool) -> bool:
        """Whether the model wrote the text in other tokens, as far as their number tells.

        Args:
            stops: whether strings end answers; how many tokens those had is not known.
        """
        if self.finished and stops:
            return len(self.tokens) > self.generated
        return len(self.tokens) + self.finished != self.generated


def written(requests: Sequence[Request], answers: AnswerFile, tokenizer: Any) -> list[Written]:
    """The answers to requests, in their order, in tokens."""
    texts = answers.texts([request.answer_key for request in requests])
    result = []
    for request, text in zip(requests, texts, strict=True):
        tokens = tuple(tokenizer.encode(text, add_special_tokens=False))
        row = answers.rows[request.answer_key]
        result.append(Written(request, text, tokens, row["finished"], row["tokens"]))
    return result


@torch.inference_mode()
def read(model: PreTrainedModel, texts: Sequence[Written], size: int) -> tuple[Values, Values]:
    """Lets a model read what another wrote, given the same prompts.

    Args:
        model: the reader.
        texts: n answers, each of at least one token.
        size: answers that are read at once.

    Returns:
        Per answer (n,), the share of tokens that are not the reader's likeliest next token, and
        the perplexity: exp of the mean negative log-likelihood of a token.
    """
    nongreedy_n, perplexity_n = np.zeros(len(texts)), np.zeros(len(texts))
    order = sorted(range(len(texts)), key=lambda i: -_length(texts[i]))
    while order:
        size = min(size, max(1, TOKENS // _length(texts[order[0]])))
        batch, order = order[:size], order[size:]
        other_bl, loss_bl = _per_token(model, [texts[i] for i in batch])
        for row, index in enumerate(batch):
            begin = len(texts[index].request.prompt.tokens) - 1
            answer = slice(begin, begin + len(texts[index].tokens))
            nongreedy_n[index] = other_bl[row, answer].double().mean()
            perplexity_n[index] = loss_bl[row, answer].double().mean().exp()
    return nongreedy_n, perplexity_n


def _length(text: Written) -> int:
    return len(text.request.prompt.tokens) + len(text.tokens)


def _per_token(model: PreTrainedModel, texts: list[Written]) -> tuple[Tensor, Tensor]:
    """At each token but the last (batch, length - 1): whether the next one is not the likeliest,
    and its negative log-likelihood.

    Padding stands on the right, where causal attention never looks back from.
    """
    longest = max(map(_length, texts))
    rows = [[*t.request.prompt.tokens, *t.tokens] for t in texts]
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=model.device)
    step = max(1, LOGITS // (len(texts) * model.config.get_text_config().vocab_size))
    cache, others, losses = None, [], []
    for start in range(0, longest - 1, step):
        part = ids[:, start : min(start + step, longest - 1)]
        output = model(input_ids=part, past_key_values=cache, use_cache=True)
        cache, following = output.past_key_values, ids[:, start + 1 : start + 1 + part.shape[1]]
        log_p = output.logits.float().log_softmax(-1)
        others.append(log_p.argmax(-1) != following)
        losses.append(-log_p.gather(-1, following[..., None])[..., 0])
    return torch.cat(others, 1).cpu(), torch.cat(losses, 1).cpu()


@dataclass(frozen=True)
class Continued:
    """Outcomes (n,) of answers that one model began and another continued."""

    correct: list[float]
    whole: float
    """Share of answers that the first had finished within the prefix."""


def plain_grades(task: TaskQuestions, texts: Sequence[Written]) -> list[float]:
    """Outcomes (n,) of the answers as they are."""
    questions = [text.request.question for text in texts]
    return [correct for correct, _ in task.grade(questions, [text.text for text in texts])]


def continue_from(
    task: TaskQuestions,
    texts: Sequence[Written],
    prefix: int,
    generate: Generate,
    tokenizer: Any,
) -> Continued:
    """The prefix test: a model continues the first tokens of another's answers.

    An answer that is over within the prefix stays as it is.

    Args:
        task: the questions and their grader.
        texts: what the first model wrote.
        prefix: tokens that the second is given; fewer than the budget.
        generate: the second model.
        tokenizer: of both.
    """
    answers = [text.text for text in texts]
    open_ends = [i for i, t in enumerate(texts) if len(t.tokens) > prefix or not t.finished]
    given = [texts[i].tokens[:prefix] for i in open_ends]
    prompts = [
        replace(prompt, tokens=prompt.tokens + begun, budget=prompt.budget - prefix)
        for prompt, begun in zip((texts[i].request.prompt for i in open_ends), given, strict=True)
    ]
    for index, answer in generate(prompts, task.decoding):
        answers[open_ends[index]] = tokenizer.decode(given[index]) + answer.text
    grades = task.grade([text.request.question for text in texts], answers)
    whole = 1 - len(open_ends) / len(texts)
    return Continued([correct for correct, _ in grades], whole)
