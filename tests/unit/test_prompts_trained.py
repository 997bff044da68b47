"""Prompts in training: in the tokens that scoring uses, and whatever the tokenizer pads with."""

from __future__ import annotations

import pytest
from alpharl.errors import PromptError, StudyError
from alpharl.evaluation.engines.engine import Decoding
from alpharl.evaluation.engines.engine import Prompt as Asked
from alpharl.evaluation.engines.hf import HfEngine
from alpharl.training.spec import TrainSpec
from alpharl.training.tokenizer import character_tokenizer
from alpharl.training.train import train
from tests.unit.prompt_makers import MAKERS, PLAIN, model, wide, with_tokenizer
from tests.unit.setups import setup_of, trainer_of
from tests.unit.trainees import GRPO, changed, easily_right, lenient, one_thread, weights

__all__ = ["easily_right", "lenient", "one_thread"]


@pytest.mark.parametrize("algorithm", ["grpo", "rloo", "ppo", "reinforce++", "on-policy-distill"])
@pytest.mark.parametrize("is_chat", [False, True])
def test_trainers_of_trl_read_these_tokens(algorithm, is_chat, tmp_path):
    base = model(tmp_path / "base")
    tokenizer = MAKERS["adds bos and eos"]()
    tokenizer.chat_template = PLAIN
    with_tokenizer(base, tokenizer)
    teacher = base if algorithm == "on-policy-distill" else None
    args = {} if teacher else GRPO.args
    spec = TrainSpec(
        algorithm=algorithm, steps=1, chat_template=is_chat, args=args, teacher=teacher and "t"
    )
    setup = setup_of(spec, base, tmp_path / "out", teacher)
    trainer = trainer_of(setup)
    rows = list(trainer.train_dataset)[:3]
    ids, images, more = trainer._tokenize_prompts([row["prompt"] for row in rows])
    assert ids == [setup.asking.prompts.ids(row["prompt"]) for row in rows]
    assert all(row[-1] != tokenizer.eos_token_id for row in ids) and images is None and not more


SAMPLED = {"max_completion_length": 4, "generation_batch_size": 16}
RECIPES = {
    "grpo": GRPO.args,
    "ppo": {**GRPO.args, "num_iterations": 1},
    "sft": {"per_device_train_batch_size": 4},
    "dpo": {"per_device_train_batch_size": 2, "num_generations": 8, **SAMPLED},
    "online-dpo": {"per_device_train_batch_size": 8, "max_new_tokens": 4},
    "es": {"population_size": 2, "num_questions": 4, "max_completion_length": 4},
    "distill": {"per_device_train_batch_size": 4, **SAMPLED},
    "on-policy-distill": {"per_device_train_batch_size": 4, "max_completion_length": 4},
}


@pytest.mark.parametrize("algorithm", list(RECIPES))
def test_a_padding_token_beyond_the_embedding_changes_no_run(algorithm, tmp_path):
    base = model(tmp_path / "base", rows=len(character_tokenizer()))
    learns = algorithm.endswith("distill")
    spec = TrainSpec(
        algorithm=algorithm, steps=1, args=RECIPES[algorithm], learning_rate=1e-3,
        teacher="t" if learns else None,
    )  # fmt: skip
    digests = []
    for folder in (base, wide(base)):
        train(spec, folder, folder / "out", teacher=folder if learns else None)
        digests.append(weights(folder / "out" / "step-1"))
    assert digests[0] == digests[1]


def test_a_base_without_an_end_token_is_not_trained(tmp_path):
    base = model(tmp_path / "base", eos_token_id=None)
    tokenizer = character_tokenizer()
    tokenizer.eos_token = None
    with_tokenizer(base, tokenizer)
    with pytest.raises(PromptError, match="found no end token that the model can write"):
        train(GRPO, base, tmp_path / "out")
    engine = HfEngine(base, "float32", 2)
    with engine.model(base) as generate:
        ((_, answer),) = generate([Asked((4, 5), 3, 0)], Decoding())
    assert (answer.tokens, answer.finished) == (3, False), "it can be scored"


def test_an_end_token_that_generation_config_alone_names_ends_completions(tmp_path):
    """TRL would put the tokenizer's missing one among them."""
    base = model(tmp_path / "base", eos_token_id=[5, 6])
    tokenizer = character_tokenizer()
    tokenizer.eos_token = None
    with_tokenizer(base, tokenizer)
    train(changed(GRPO, steps=1), base, tmp_path / "out")
    assert weights(tmp_path / "out" / "step-1") != weights(base)


# --- what a context holds ---


def test_questions_longer_than_the_context_are_refused(tmp_path):
    base = model(tmp_path / "base", max_position_embeddings=10)
    line = r"grpo: found a prompt of \d+ tokens and a budget of 6, expected at most 10 together"
    with pytest.raises(PromptError, match=line):
        train(GRPO, base, tmp_path / "out")
    with pytest.raises(
        PromptError, match=r"sft, with its completion: found .* expected at most 10"
    ):
        train(TrainSpec(algorithm="sft", steps=1), base, tmp_path / "out")
    assert not list(tmp_path.glob("out/step-*"))


@pytest.mark.parametrize(
    ("algorithm", "args", "line"),
    [
        ("sft", {"max_length": 5}, "found max_length 5, expected at least .* nothing is cut"),
        ("dpo", {**RECIPES["dpo"], "max_length": 5}, "found max_length 5, expected at least"),
        ("online-dpo", {**RECIPES["online-dpo"], "max_length": 7}, "found max_length 7, expected"),
        ("online-dpo", {"vllm_mode": "server"}, "found vllm_mode 'server', expected 'colocate'"),
        ("grpo", {"chat_template_kwargs": {"enable_thinking": False}}, "prompts are the same in"),
        ("rloo", {"chat_template_kwargs": {}}, "found 'chat_template_kwargs', but prompts are"),
        ("sft", {"chat_template_path": "x"}, "found 'chat_template_path', but prompts are the"),
    ],
)
def test_options_of_trl_that_would_change_prompts_are_refused(algorithm, args, line, tmp_path):
    base = model(tmp_path / "base")
    with pytest.raises(StudyError, match=line):
        train(TrainSpec(algorithm=algorithm, steps=1, args=args), base, tmp_path / "out")
