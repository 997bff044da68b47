"""Bad inputs of the kind prompts: tokenizers, chat templates and contexts that make none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alpharl.training.tokenizer import VOCABULARY_SIZE, character_tokenizer

from tests.bad_inputs.table import BadInput
from tests.bad_inputs.weights import READERS as OF_WEIGHTS
from tests.unit.suites import make_suite

BASE = Path("base")
ANSWERS = {"max_completion_length": 2}
RECIPES: dict[str, dict[str, Any]] = {
    "grpo": {"per_device_train_batch_size": 4, "num_generations": 4, **ANSWERS},
    "rloo": {"per_device_train_batch_size": 4, "num_generations": 4, **ANSWERS},
    "online-dpo": {"per_device_train_batch_size": 2, "max_new_tokens": 2},
    "es": {"population_size": 2, "num_questions": 2, **ANSWERS},
    "sft": {"per_device_train_batch_size": 2},
}


def train(algorithm: str, **more: Any) -> str:
    """The command that trains one step."""
    recipe = {"algorithm": algorithm, "steps": 1, "args": RECIPES[algorithm], **more}
    return f"train --spec '{json.dumps(recipe)}' --base base --out new"


SCORERS = {name: OF_WEIGHTS[name] for name in ("evaluate", "tokens")}
TRAINERS = {algorithm: train(algorithm) for algorithm in RECIPES}
READERS = SCORERS | TRAINERS
"""The verbs that make prompts."""
CHATS = SCORERS | {name: train(name, chat_template=True) for name in ("grpo", "online-dpo", "sft")}
"""Those that make a chat of each, where the suite says so too."""
TOLD = SCORERS | {
    name: train(name, chat_template=True, system="be brief") for name in ("rloo", "es")
}
"""The same with a system prompt."""
SLOW = {name: CHATS[name] for name in ("evaluate", "grpo")}


def chatty(template: str | None, **options: Any) -> Callable[[Path], None]:
    """Makes the suite a chat, with a template of the base."""

    def spoil(folder: Path) -> None:
        settings = {"max_new_tokens": 2, "max_truncated": 1, "chat_template": True, **options}
        make_suite(Path("made/suite"), "validation", **settings)
        study = json.loads(Path("study.yaml").read_text())
        study["suites"]["test"]["chat_template"] = True
        Path("study.yaml").write_text(json.dumps(study))
        if template is not None:
            (BASE / "chat_template.jinja").write_text(template)

    return spoil


def without_tokenizer(folder: Path) -> None:
    for file in BASE.glob("*token*"):
        file.unlink()


def written(name: str, text: str) -> Callable[[Path], None]:
    """Puts a text in place of a file of the base."""
    return lambda folder: (BASE / name).write_text(text) and None


def changed(name: str, **keys: Any) -> Callable[[Path], None]:
    """Changes keys of a JSON file of the base."""

    def spoil(folder: Path) -> None:
        content = json.loads((BASE / name).read_text())
        (BASE / name).write_text(json.dumps({**content, **keys}))

    return spoil


def wider(folder: Path) -> None:
    """A tokenizer of more tokens than the model has rows, as after training with new ones."""
    tokenizer = character_tokenizer()
    tokenizer.add_tokens([f"<{i}>" for i in range(VOCABULARY_SIZE)])
    tokenizer.save_pretrained(BASE)
    chatty("<63>{{ messages[0].content }}=")(folder)


def endless(folder: Path) -> None:
    """Of the end tokens that are named, the model has none."""
    changed("generation_config.json", eos_token_id=900)(folder)
    changed("tokenizer_config.json", eos_token=None)(folder)


TEXT = "{% for m in messages %}{{ m.content }}{% endfor %}"
LOOP = "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3
JINJA = "base/chat_template.jinja: the chat template"

TOKENIZERS = [
    BadInput("a base without a tokenizer", without_tokenizer,
             r"base: found no tokenizer, expected .*tokenizer\.json.*; copy", READERS),
    BadInput("a tokenizer that is cut short", written("tokenizer.json", '{"version": "1.0", "mo'),
             r"base: found no tokenizer that transformers reads \(\w+: .*; copy", READERS),
    BadInput("a tokenizer of another kind of file", written("tokenizer.json", "{}"),
             r"base: found no tokenizer that transformers reads \(\w+: .*; copy", READERS),
    BadInput("a tokenizer's config that is a list", written("tokenizer_config.json", "[]"),
             r"base: found no tokenizer that transformers reads \(\w+: .*; copy", READERS),
    BadInput("a tokenizer wider than the embedding", wider,
             r"base: the tokenizer writes token \d+ \('<63>'\), expected tokens below 64, the rows",
             CHATS),
    BadInput("a teacher without a tokenizer",
             lambda folder: None, "run/step-30: found no tokenizer",
             {"distill": train("sft").replace('"sft"', '"distill", "teacher": "t"')
              + " --teacher run/step-30"}),
]  # fmt: skip


TEMPLATES = [
    BadInput("no chat template", chatty(None), "found no chat template in (the base's tokenizer|"
             "base), expected one for 'chat_template: true'; add one",
             CHATS | {"check": "check study.yaml"}),
    BadInput("a chat template without end", chatty(LOOP),
             f"{JINJA} takes more than 5 seconds for one prompt, expected an end; correct it",
             SLOW),
    BadInput("a chat template that takes all memory", chatty("{{ 'a' * 10**13 }}"),
             rf"{JINJA} fails \(MemoryError", CHATS),
    BadInput("a chat template of endless text", chatty("{{ ('a' * 10**4) * 2000 }}"),
             f"{JINJA} writes 20000000 characters for one prompt, expected at most", CHATS),
    BadInput("a chat template that is no template", chatty("{% for m in messages %}{{ m"),
             rf"{JINJA} fails \(TemplateSyntaxError: ", CHATS),
    BadInput("a chat template that raises", chatty("{{ raise_exception('not\nso') }}"),
             rf"{JINJA} fails \(TemplateError: not so\), expected a prompt of messages of the "
             "roles user; correct it, or ask without 'chat_template'", CHATS),
    BadInput("a chat template that reads what is not there", chatty("{{ messages[3].role.x }}"),
             rf"{JINJA} fails \(UndefinedError: ", CHATS),
    BadInput("a chat template that breaks out", chatty("{{ messages.__class__.__mro__ }}"),
             rf"{JINJA} (fails \(SecurityError: |leaves out messages of the role 'user')", CHATS),
    BadInput("a chat template that leaves the question out", chatty("Question: <0>?"),
             f"{JINJA} leaves out messages of the role 'user'", CHATS),
    BadInput("a chat template that cuts the question", chatty("{{ messages[-1].content[:2] }}="),
             f"{JINJA} changes or cuts messages of the role 'user', expected them in the prompt",
             CHATS),
    BadInput("a chat template that asks something else",
             chatty("{{ messages[-1].content | replace('+', '-') }}="),
             f"{JINJA} changes or cuts messages of the role 'user', expected them in the prompt",
             CHATS),
    BadInput("a chat template that leaves the beginning of an answer out", chatty(f"{TEXT}<eos>\n"),
             f"{JINJA} ends a prompt in '<eos>', which ends an answer, expected the beginning of "
             "one; let it heed add_generation_prompt", CHATS),
    BadInput("several chat templates without a default",
             lambda folder: (chatty(None)(folder), changed("tokenizer_config.json", chat_template=[
                 {"name": "a", "template": TEXT}, {"name": "b", "template": TEXT}])(folder)),
             "base/tokenizer_config.json: the chat template fails .*no default specified", CHATS),
    BadInput("a chat template that knows no system prompt", chatty(
             "{% if messages[0].role != 'user' %}{{ raise_exception('System role not supported') }}"
             f"{{% endif %}}{TEXT}=", system="be brief"),
             rf"{JINJA} fails \(TemplateError: System role not supported\), .* of the roles "
             "system, user; correct it, or drop 'system'", TOLD),
    BadInput("a chat template that leaves the system prompt out",
             chatty("{{ messages[-1].content }}=", system="be brief"),
             f"{JINJA} leaves out messages of the role 'system', .*; correct it, or drop 'system'",
             TOLD),
]  # fmt: skip


ENDS = [
    BadInput("an end token that is a text", changed("generation_config.json", eos_token_id="two"),
             "(found eos_token_id 'two' in the base's configs, expected a token's number"
             "|found a generation_config.json or config.json that transformers does not read)",
             SCORERS),
    BadInput("a generation config that is cut short", written("generation_config.json", '{"eos'),
             r"base: found a generation_config.json or config.json that transformers does not read "
             r"\(", SCORERS),
    BadInput("end tokens that the model has not", endless,
             "base: found no end token that the model can write, expected one; name it", TRAINERS),
    BadInput("questions longer than the context", changed("config.json", max_position_embeddings=4),
             r": found a prompt of \d+ tokens( and a budget of 2)?, expected at most 4( together)?"
             ", the base's context; ", READERS),
    BadInput("a limit that would cut prompts", lambda folder: None,
             r"args: found max_length [35], expected at least \d+, the longest prompt with its",
             {"sft": train("sft", args={**RECIPES["sft"], "max_length": 3}),
              "online-dpo": train("online-dpo", args={**RECIPES["online-dpo"], "max_length": 5})}),
    BadInput("arguments of the chat template", lambda folder: None,
             "args: found 'chat_template_kwargs', but prompts are the same in training and in",
             {name: train(name, args={"chat_template_kwargs": {"enable_thinking": False}})
              for name in ("grpo", "rloo")}),
]  # fmt: skip

ROWS = [*TOKENIZERS, *TEMPLATES, *ENDS]
