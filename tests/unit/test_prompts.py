"""Prompts in tokens: those of the model's own chat function, in training and scoring alike."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

import pytest
from alpharl.errors import EvaluationError, PromptError, StudyError
from alpharl.evaluation.questions import read_questions
from alpharl.evaluation.suites import read_suite
from alpharl.problems import chat
from alpharl.problems.prompts import Prompts
from alpharl.training.questions import ProblemQuestions, ask
from alpharl.training.spec import TrainSpec
from alpharl.training.tokenizer import character_tokenizer
from tests.unit.prompt_makers import (
    ASKED,
    MAKERS,
    PLAIN,
    SHOWN,
    TEMPLATES,
    TOLD,
    model,
    own_ids,
    with_tokenizer,
)  # fmt: skip
from tests.unit.suites import make_suite, own_task
from transformers import pipeline
from transformers.utils.chat_template_utils import Chat

# --- a chat is what the chat function makes of it ---


@pytest.mark.parametrize("messages", [ASKED, TOLD, SHOWN], ids=["asked", "told", "shown"])
@pytest.mark.parametrize("template", list(TEMPLATES))
@pytest.mark.parametrize("maker", list(MAKERS))
def test_a_chat_has_the_tokens_of_the_chat_function(maker, template, messages):
    tokenizer = MAKERS[maker]()
    tokenizer.chat_template = TEMPLATES[template]
    assert Prompts(tokenizer).ids(messages) == own_ids(tokenizer, messages)


def test_the_tokenizer_s_own_first_token_is_not_put_before_a_chat():
    """Scoring did: two with a template that writes it, and one that training did not see."""
    tokenizer = MAKERS["adds bos"]()
    for template, first in [("writes bos", 1), ("plain", 0)]:
        tokenizer.chat_template = TEMPLATES[template]
        assert Prompts(tokenizer).ids(ASKED).count(tokenizer.bos_token_id) == first


@pytest.mark.parametrize("template", ["plain", "writes bos", "turns"])
@pytest.mark.parametrize("maker", list(MAKERS))
@pytest.mark.parametrize("system", [None, "be brief"])
def test_training_and_scoring_ask_the_same(maker, template, system, tmp_path):
    tokenizer = MAKERS[maker]()
    tokenizer.chat_template = TEMPLATES[template]
    tokenizer = with_tokenizer(model(tmp_path / "base", rows=512), tokenizer)
    options = {"chat_template": True, "system": system}
    tasks = [{"task": "addition", "split": "validation", "limit": 3}]
    suite = make_suite(tmp_path / "validation", "validation", tasks, **options)
    (scored,) = read_questions(read_suite(suite), tmp_path / "base")
    asking = ask(TrainSpec(**options), ProblemQuestions("addition", {}), tokenizer)
    asking.questions.texts[:3] = [t["prompt"] for t in _questions(3)]
    assert [tuple(asking.ids(i)) for i in range(3)] == scored.tokens
    assert asking.ids(0) == own_ids(tokenizer, asking.prompt(0))


def _questions(count: int) -> Any:
    from alpharl.problems import PROBLEMS

    return PROBLEMS["addition"].questions("validation", count)


def test_scoring_asks_as_the_pipeline_of_transformers_does(tmp_path):
    base = model(tmp_path / "base")
    tokenizer = MAKERS["adds bos and eos"]()
    tokenizer.chat_template = TEMPLATES["turns"]
    tokenizer = with_tokenizer(base, tokenizer)
    generator = pipeline("text-generation", model=str(base), tokenizer=tokenizer)
    for messages in (ASKED, TOLD, SHOWN):
        given = generator.preprocess(Chat(messages))["input_ids"][0].tolist()
        assert Prompts(tokenizer).ids(messages) == given


def test_examples_and_a_prefix_of_the_answer_are_asked_as_the_chat_function_writes_them(tmp_path):
    """lm-eval's few-shot examples, description and `gen_prefix`."""
    rows = [("12+34=", "46"), ("1+1=", "2"), ("7+8=", "15")]
    more = (
        "description: be brief\nnum_fewshot: 1\nfewshot_split: test\ngen_prefix: it is\n"
        "fewshot_config:\n  sampler: first_n\n"
    )
    tokenizer = MAKERS["adds bos"]()
    tokenizer.chat_template = TEMPLATES["writes bos"] + " "
    tokenizer = with_tokenizer(model(tmp_path / "base"), tokenizer)
    own_task(tmp_path / "tasks", rows, more)
    options = {"chat_template": True, "include_path": str(tmp_path / "tasks")}
    suite = make_suite(tmp_path / "s", "test", [{"task": "mine"}], **options)
    (task,) = read_questions(read_suite(suite), tmp_path / "base")
    texts = [tokenizer.decode(tokens) for tokens in task.tokens]
    assert all(text.replace(" ", "").endswith("assistant:itis") for text in texts)
    assert all(tokens.count(tokenizer.bos_token_id) == 1 for tokens in task.tokens)
    for tokens, instance in zip(task.tokens, task._instances, strict=True):
        ids = tokenizer(instance.args[0], add_special_tokens=False)["input_ids"]
        assert tokens == tuple(ids)


# --- plain text ---


@pytest.mark.parametrize("text", ["12+34=", "what is 7?", "  two\n", "<bos>1"])
@pytest.mark.parametrize("maker", ["adds none", "adds bos", "sentencepiece", "bytes"])
def test_plain_text_has_the_tokens_of_the_tokenizer(maker, text):
    tokenizer = MAKERS[maker]()
    expected = tokenizer(text)["input_ids"]
    if text.startswith("<bos>") and maker != "adds none":
        expected = expected[1:]  # as lm-eval does: no second one
    assert Prompts(tokenizer).ids(text) == expected


@pytest.mark.parametrize("maker", ["adds bos and eos", "adds eos", "bert"])
def test_an_answer_does_not_follow_an_end_token_that_the_tokenizer_adds(maker):
    tokenizer = MAKERS[maker]()
    whole, ids = tokenizer("12+34=")["input_ids"], Prompts(tokenizer).ids("12+34=")
    assert ids == whole[:-1]
    assert tokenizer.convert_ids_to_tokens(whole[-1]) in ("<eos>", "[SEP]")


def test_an_end_token_in_the_question_stays():
    tokenizer = MAKERS["adds bos and eos"]()
    assert Prompts(tokenizer).ids("1<eos>") == [1, 4, 2]
    assert Prompts(tokenizer).ids("<bos>1<eos>") == [1, 4, 2]
    assert Prompts(MAKERS["adds bos"]()).ids("") == [1]


def test_no_second_set_of_first_tokens():
    for maker, first in [("bert", "[CLS]"), ("bytes", "<bos>"), ("adds bos and eos", "<bos>")]:
        prompts = Prompts(MAKERS[maker]())
        assert prompts.ids(f"{first}12") == prompts.ids("12")


def test_a_tokenizer_s_limits_cut_nothing(tmp_path):
    tokenizer = character_tokenizer()
    tokenizer.model_max_length, tokenizer.truncation_side = 4, "left"
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=50)
    tokenizer.chat_template = PLAIN
    tokenizer = with_tokenizer(model(tmp_path / "base"), tokenizer)
    assert len(Prompts(tokenizer).ids("1+2+3+4+5=")) == 10
    assert len(Prompts(tokenizer).ids(ASKED)) == len("user: 12+34=\nassistant:")


# --- what is refused, and what is said ---

LOOP = "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3
REFUSED = {
    LOOP: "takes more than 0 seconds for one prompt",
    "{{ raise_exception('no such\nrole') }}": r"fails \(TemplateError: no such role\), expected .* "
    "roles system, user; correct it, or drop 'system'",
    "{% if %}": r"fails \(TemplateSyntaxError: ",
    "{{ messages[9].content.x }}": r"fails \(UndefinedError: ",
    "{{ 'a' * 10**13 }}": r"fails \(MemoryError: ",
    "{{ ('a' * 10**4) * 2000 }}": "writes 20000000 characters",
    "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}>": "leaves out messages"
    " of the role 'system'",
    "{{ messages[0].content }}>": "leaves out messages of the role 'user'",
    "{{ messages[0].content }}{{ messages[1].content }}<eos>": "ends a prompt in '<eos>', which",
    "{{ messages[0].content }}{{ messages[1].content }}|\n \n": r"ends a prompt in '\|', which",
    "{% if 0 %}{% endif %}{{ messages[0].content and '' }}": "leaves out messages",
}


@pytest.mark.parametrize(("template", "line"), REFUSED.items(), ids=range(len(REFUSED)))
def test_a_template_that_makes_no_prompt_is_refused(template, line, monkeypatch, tmp_path):
    monkeypatch.setattr(chat, "SECONDS", 0.3)
    tokenizer = character_tokenizer()
    tokenizer.chat_template = template
    tokenizer = with_tokenizer(tmp_path, tokenizer)
    bar = tokenizer.convert_tokens_to_ids("|")
    with pytest.raises(PromptError, match=line) as error:
        Prompts(tokenizer, (2, bar)).ids(TOLD)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{tmp_path}/chat_template.jinja: the chat template ")


def test_whoever_trains_and_whoever_scores_meet_an_error_of_theirs():
    assert issubclass(PromptError, StudyError) and issubclass(PromptError, EvaluationError)


def test_the_time_limit_leaves_no_clock_running():
    import signal

    before = signal.getsignal(signal.SIGPROF)
    tokenizer = character_tokenizer()
    tokenizer.chat_template = PLAIN
    Prompts(tokenizer).ids(ASKED)
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGPROF) == before


def test_prompts_are_made_in_any_thread():
    tokenizer = character_tokenizer()
    tokenizer.chat_template = PLAIN
    made: list[list[int]] = []
    thread = threading.Thread(target=lambda: made.append(Prompts(tokenizer).ids(ASKED)))
    thread.start()
    thread.join()
    assert made == [own_ids(tokenizer, ASKED)]


def test_a_prompt_is_the_same_on_any_day(capsys):
    """Llama 3.2 writes today's date: training, scoring and analyses would see other prompts."""
    tokenizer = character_tokenizer()
    tokenizer.chat_template = "{{ strftime_now('%d %b %Y') | lower }} " + PLAIN
    prompts = Prompts(tokenizer)
    text, ids = prompts.chat(ASKED)
    assert text.startswith("26 jul 2024 ") and tokenizer.decode(ids) == text
    prompts.require_chat()
    assert "prompts have 26 July 2024 on any day" in capsys.readouterr().err
    today = tokenizer.apply_chat_template(ASKED, tokenize=False)
    assert today.startswith(datetime.now().strftime("%d %b %Y").lower()), "only prompts are held"


def test_the_default_of_several_templates_is_used():
    tokenizer = character_tokenizer()
    tokenizer.chat_template = {"default": PLAIN, "tool_use": "tools"}
    assert tokenizer.decode(Prompts(tokenizer).ids(ASKED)) == "user: 12+34=\nassistant:"
    tokenizer.chat_template = {"a": PLAIN, "b": PLAIN}
    with pytest.raises(PromptError, match="multiple chat templates with no default"):
        Prompts(tokenizer).ids(ASKED)


def test_a_token_beyond_the_embedding_is_named():
    tokenizer = character_tokenizer()
    tokenizer.add_tokens(["<extra>"])
    with pytest.raises(
        PromptError, match=r"writes token 53 \('<extra>'\), expected tokens below 53"
    ):
        Prompts(tokenizer, rows=53).ids("1<extra>")
    assert Prompts(tokenizer, rows=54).ids("1<extra>") == [4, 53]


def test_a_prompt_without_a_token_is_refused():
    with pytest.raises(PromptError, match="found a prompt without a token"):
        Prompts(character_tokenizer()).ids("")
