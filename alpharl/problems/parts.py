r"""Which part of a text is its answer: no thought, no program, no question that follows it.

Models that think write `<think>...</think>` first, and what stands there is no answer yet. Base
models go on after their answer with a question of their own: `A: 18\nQ: There are 15 trees` answers
18. All searches take time linear in the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_THOUGHT = r"(?:think|thinking|thought|reasoning)>"
_THOUGHT_START = re.compile(rf"<{_THOUGHT}|<\|begin_of_thought\|>", re.IGNORECASE)
_THOUGHT_END = re.compile(rf"</{_THOUGHT}|<\|end_of_thought\|>", re.IGNORECASE)
_PROGRAM = re.compile(r"```(?:python|py|bash|cpp|c|java|javascript)\b.*?(?:```|\Z)", re.DOTALL)
_TURN = re.compile(r"<\|(?:im_start|im_end|endoftext|eot_id|end_of_text|eom_id)\|>|</s>|\[/?INST\]")
_QUESTION = re.compile(
    r"\n[ \t#*>]*(?:(?:New |Next |Another )?(?:Q|[Qq]uestion|[Pp]roblem|[Ee]xercise)"
    r"|Human|User|Instruction)(?: *\d{1,4})?\**(?:[:.](?!\d)|(?=[ \t]*\n))"
)
_LABEL = re.compile(r"[\W_]*(?:(?:step|part|section|case)\b[\s\d.:)]*|\d+[.:)]\s)", re.IGNORECASE)


def answer_of(text: str, stated: Callable[[str], str | None], guessed: Callable[[str], str]) -> str:
    r"""What a text answers: what the first part that states an answer states, else a guess; or "".

    A guess is made from the text before the first further question alone, and there from the last
    line. A thought that does not end, or that nothing follows, counts as far as it states an
    answer: `<think>so \boxed{5}` answers 5, and `<think>so 2 + 3 = 5` nothing.

    Args:
        text: all that a model wrote.
        stated: the answer that a part states, "" for one that cannot be read, None for none.
        guessed: the answer that a part ends with, "" for none.
    """
    said = outside_thoughts(text)
    parts = between_questions(said or text)
    for place, part in enumerate(parts):
        answer = stated(part)
        if answer is None and place == 0 and said:
            answer = guessed(part if len(parts) == 1 else _last_line(part)) or None
        if answer is not None:
            return answer
    return ""


def outside_thoughts(text: str) -> str:
    """What a text says after its last thought; "" where that thought does not end."""
    if "<" not in text:
        return text
    ends = [match.end() for match in _THOUGHT_END.finditer(text)]
    said = text[ends[-1] :] if ends else text
    begun = _THOUGHT_START.search(said)
    said = said[: begun.start()] if begun else said
    return said if said.strip() else ""


def between_questions(text: str) -> list[str]:
    """The parts of a text before, between and after further questions; no programs, no blanks."""
    if "```" in text:
        text = _PROGRAM.sub("\n", text)
    if "<|" in text or "</s>" in text or "INST]" in text:
        text = _TURN.sub("\nQ:", text)
    starts = [match.start() for match in _QUESTION.finditer(text)]
    if not starts:
        return [text]
    parts = [text[start:end] for start, end in zip([0, *starts], [*starts, None], strict=True)]
    return [part for part in parts if _QUESTION.sub("", part).strip()]


def _last_line(part: str) -> str:
    """The last line with a word or number, without the label of a step, which is no answer."""
    return _LABEL.sub("", part.rstrip("\n\t #*>=-_").rpartition("\n")[2], count=1)
