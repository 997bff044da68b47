"""A base's tokenizer: its files, the tokens that end an answer, and the one that pads."""

from __future__ import annotations

import re

import pytest
from alpharl.errors import PromptError
from alpharl.evaluation.engines.end_tokens import end_tokens as ends_of_folder
from alpharl.evaluation.engines.engine import Decoding
from alpharl.evaluation.engines.engine import Prompt as Asked
from alpharl.evaluation.engines.hf import HfEngine
from alpharl.problems.tokenizers import end_tokens, fitted, load_tokenizer, padding_token
from alpharl.training.tokenizer import character_tokenizer
from tests.unit.prompt_makers import model, wide
from transformers import AutoTokenizer, GenerationConfig

# --- tokens that end an answer, and the one that pads ---


def test_the_tokenizer_s_end_token_counts_next_to_the_model_s(tmp_path):
    """As in training: a run that was trained to end there would run on when it is scored."""
    base = model(tmp_path / "base", eos_token_id=5)
    assert ends_of_folder(base) == [5, 2]
    GenerationConfig(eos_token_id=[7, 5]).save_pretrained(base)
    assert ends_of_folder(base) == [7, 5, 2]
    GenerationConfig(eos_token_id=[7, 64, 2, -1]).save_pretrained(base)
    assert ends_of_folder(base) == [7, 2], "others can never be written"


@pytest.mark.parametrize("declared", ["2", [True], 1.5, [[2]]])
def test_end_tokens_that_are_no_numbers_are_refused(declared):
    with pytest.raises(PromptError, match=r"found eos_token_id .* expected a token's number"):
        end_tokens(declared, character_tokenizer())


def test_the_padding_token_is_one_that_the_model_has():
    tokenizer = character_tokenizer()
    assert padding_token(tokenizer, [2], 64) == 0
    tokenizer.pad_token = None
    assert padding_token(tokenizer, [5], 64) == 2
    tokenizer.eos_token = None
    assert padding_token(tokenizer, [70, 5], 64) == 5
    assert padding_token(tokenizer, [], 64) == tokenizer.bos_token_id
    tokenizer.bos_token = None
    assert padding_token(tokenizer, [], 64) == 0


def test_trainers_get_a_tokenizer_that_fits_and_prompts_the_base_s_own():
    tokenizer = character_tokenizer()
    assert fitted(tokenizer, [2], 64) is tokenizer
    tokenizer.add_special_tokens({"pad_token": "<more>"})
    tokenizer.eos_token = None
    own = fitted(tokenizer, [7], 53)
    assert (own.pad_token_id, own.eos_token_id) == (7, 7)
    assert (tokenizer.pad_token_id, tokenizer.eos_token) == (53, None)


def test_a_padding_token_beyond_the_embedding_changes_no_answer(tmp_path):
    base = model(tmp_path / "base", rows=len(character_tokenizer()))
    prompts = [Asked(tuple(range(4, 4 + n)), 6, 0) for n in (1, 3, 5)]
    answers = []
    for folder in (base, wide(base)):
        with HfEngine(folder, "float32", 3).model(folder) as generate:
            answers.append(dict(generate(prompts, Decoding())))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("pad", [64, 1000, -1])
def test_a_padding_token_beyond_the_embedding_in_the_config(pad, tmp_path):
    base = model(tmp_path / "base")
    config = (base / "config.json").read_text()
    (base / "config.json").write_text(
        re.sub(r'"pad_token_id": \w+', f'"pad_token_id": {pad}', config)
    )
    assert f'"pad_token_id": {pad}' in (base / "config.json").read_text()
    engine = HfEngine(base, "float32", 3)
    with engine.weights(base) as loaded:
        assert loaded.get_input_embeddings().padding_idx is None
    with engine.model(base) as generate:
        assert len(dict(generate([Asked((4,), 2, 0), Asked((4, 5), 2, 0)], Decoding()))) == 2


# --- a tokenizer's files ---


def test_a_folder_without_a_tokenizer_gives_none(tmp_path):
    """transformers makes one without a vocabulary, of config.json alone."""
    base = model(tmp_path / "base")
    for file in base.glob("*token*"):
        file.unlink()
    (base / "config.json").write_text('{"model_type": "qwen2", "vocab_size": 64}')
    assert len(AutoTokenizer.from_pretrained(base)) == 1
    with pytest.raises(PromptError, match=r"found no tokenizer, expected merges\.txt or token"):
        load_tokenizer(base)


def test_code_next_to_a_tokenizer_is_not_run(tmp_path):
    base = model(tmp_path / "base")
    config = (base / "tokenizer_config.json").read_text().strip().removesuffix("}")
    mapped = ', "auto_map": {"AutoTokenizer": ["evil.T", null]}, "tokenizer_class": "T"}'
    (base / "tokenizer_config.json").write_text(config.replace("tokenizer_class", "x") + mapped)
    (base / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nT = None\n")
    try:
        load_tokenizer(base)
    except PromptError as error:
        assert "\n" not in str(error)
    assert not (tmp_path / "ran").exists()
