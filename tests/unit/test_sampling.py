"""Seeded sampling: the right distribution, and answers that depend on nothing but their seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from alpharl.evaluation.engines.engine import Answer, Decoding, Prompt, answer_seed
from alpharl.evaluation.engines.hf import HfEngine
from alpharl.evaluation.engines.seeded_sampling import SeededSampling
from alpharl.training.tokenizer import VOCABULARY_SIZE, character_tokenizer
from transformers import Qwen2Config, Qwen2ForCausalLM

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -torch.inf])
ENDS = [2, 20, 21, 22, 23, 24, 25, 26]
"""Several tokens end an answer, as they do of chat models."""


def drawn(decoding: Decoding, count: int = 20_000) -> np.ndarray:
    """Shares of the tokens among many rows with the same logits and seeds of their own."""
    sampling = SeededSampling(decoding, range(count), steps=1)
    chosen = sampling(torch.zeros(count, 1, dtype=torch.long), LOGITS.repeat(count, 1))
    assert ((chosen == 0).sum(1) == 1).all()
    assert (chosen.isinf().sum(1) == len(LOGITS) - 1).all()
    return np.bincount(chosen.argmax(1).numpy(), minlength=len(LOGITS)) / count


def softmax(logits: torch.Tensor, kept: list[int]) -> np.ndarray:
    """Probabilities over the kept tokens alone, in float64."""
    weights = np.zeros(len(logits))
    weights[kept] = np.exp(logits.double().numpy()[kept])
    return weights / weights.sum()


@pytest.mark.parametrize(
    ("decoding", "kept"),
    [
        (Decoding(1.0), [0, 1, 2, 3, 4]),
        (Decoding(0.6), [0, 1, 2, 3, 4]),
        (Decoding(2.5), [0, 1, 2, 3, 4]),
        (Decoding(1.0, top_k=2), [0, 1]),
        # Cumulated from the top at temperature 1: 0.56, 0.77, 0.90, 0.97, 1.
        (Decoding(1.0, top_p=0.8), [0, 1, 2]),
        (Decoding(1.0, top_p=0.5), [0]),
        (Decoding(0.7, top_p=0.8, top_k=3), [0, 1]),
    ],
)
def test_tokens_are_drawn_with_their_probabilities(decoding, kept):
    expected = softmax(LOGITS / decoding.temperature, kept)
    found = drawn(decoding)
    error = np.sqrt(expected * (1 - expected) / 20_000)
    assert (np.abs(found - expected) <= 4.5 * error + 1e-12).all(), (found, expected)
    assert found[[i for i in range(6) if i not in kept]].sum() == 0


def test_each_step_draws_anew():
    sampling = SeededSampling(Decoding(1.0), range(2000), steps=2)
    ids, logits = torch.zeros(2000, 1, dtype=torch.long), torch.zeros(2000, 2)
    first, second = (sampling(ids, logits).argmax(1).float() for _ in range(2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


def test_seed_depends_on_each_part():
    parts = (0, "model", "question", 0)
    seeds = {answer_seed(*parts), answer_seed(1, *parts[1:]), answer_seed(0, "m", *parts[2:]),
             answer_seed(0, "model", "q", 0), answer_seed(*parts[:3], 1)}  # fmt: skip
    assert len(seeds) == 5
    assert answer_seed(*parts) == answer_seed(*parts) < 2**63


# --- in an engine ---

TEXTS = ["12+34=", "7+8=", "1+1=2,99+100=", "5", "40-2=", "(3*4)%5=", "1", "22+1="]
DRAWN = Decoding(temperature=0.9, top_p=0.95)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen2 with the character tokenizer."""
    folder = tmp_path_factory.mktemp("sampled") / "base"
    config = Qwen2Config(
        vocab_size=VOCABULARY_SIZE, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2,
        bos_token_id=1, eos_token_id=ENDS, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    character_tokenizer().save_pretrained(folder)
    return folder


def prompts(budget: int = 20) -> list[Prompt]:
    encode = character_tokenizer().encode
    return [
        Prompt(tuple(encode(text, add_special_tokens=False)), budget, answer_seed(text, sample))
        for text in TEXTS
        for sample in range(2)
    ]


def answers(base: Path, asked: list[Prompt], size: int, decoding=DRAWN) -> list[Answer]:
    with HfEngine(base, "float32", size).model(base) as generate:
        found = dict(generate(asked, decoding))
    assert sorted(found) == list(range(len(asked)))
    return [found[i] for i in range(len(asked))]


def test_answer_depends_on_its_seed_alone(base):
    """Not on the batch's size, the order, or on what is asked beside it."""
    asked = prompts()
    together = answers(base, asked, 16)
    assert len({answer.text for answer in together}) > 10, "samples differ"
    assert answers(base, asked, 1) == together
    assert answers(base, asked, 5) == together
    assert answers(base, asked[::-1], 16) == together[::-1]
    assert answers(base, asked[3:4], 16) == together[3:4]


def test_a_smaller_budget_cuts_the_same_answers_off(base):
    """And another budget in the same call changes nothing."""
    whole, cut = answers(base, prompts(20), 16), answers(base, prompts(6), 16)
    for long, short in zip(whole, cut, strict=True):
        assert long.text.startswith(short.text)
        assert short.tokens == min(6, long.tokens)
        assert short.finished == (long.tokens < 6 or (long.tokens == 6 and long.finished))
    mixed = [p for pair in zip(prompts(20), prompts(6), strict=True) for p in pair]
    assert answers(base, mixed, 16) == [a for pair in zip(whole, cut, strict=True) for a in pair]
    assert {answer.finished for answer in cut} == {True, False}


def test_greedy_is_the_limit_of_low_temperature(base):
    greedy = answers(base, prompts(), 16, Decoding())
    assert greedy[::2] == greedy[1::2], "both samples of a question"
    assert answers(base, prompts(), 16, Decoding(temperature=1e-4)) == greedy
    assert answers(base, prompts(), 16, Decoding(temperature=1.0, top_k=1)) == greedy


def test_stop_strings_end_answers(base):
    plain = answers(base, prompts(), 16)
    stopped = answers(base, prompts(), 16, Decoding(DRAWN.temperature, DRAWN.top_p, 0, ("1", "9=")))
    for whole, cut in zip(plain, stopped, strict=True):
        places = [whole.text.find(stop) for stop in ("1", "9=") if stop in whole.text]
        assert cut.text == (whole.text[: min(places)] if places else whole.text)
        assert cut.finished == (bool(places) or whole.finished)
        assert cut.tokens <= whole.tokens
    assert [cut.text for cut in stopped] != [whole.text for whole in plain]


def test_a_stop_string_is_one_of_the_answer(base):
    """Not one that begins in the prompt, and that only the two together make."""
    whole = answers(base, prompts(), 16)
    for prompt, answer in zip(prompts(), whole, strict=True):
        stop = character_tokenizer().decode(prompt.tokens)[-1] + answer.text[:1]
        (found,) = answers(base, [prompt], 1, Decoding(DRAWN.temperature, DRAWN.top_p, 0, (stop,)))
        assert found.text == answer.text.partition(stop)[0]
