r"""Which part of a text is its answer: no thought, no program, no question that follows it.

Models that think write `<think>...</think>` first, and what stands there is no answer yet. Base
models go on after their answer with a question of their own: `A: 18\nQ: There are 15 trees` answers
18. Each family of models marks both with tokens of its own, which a text may hold. All searches
take time linear in the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_TAG = r"(?:(?:seed:)?think(?:ing)?|(?:inner_)?thoughts?|reason(?:ing)?|reflection|analysis)"
_JSON = r"(?:<\|constrain\|>\w{0,20})?"
_THOUGHTS = [
    (rf"<\|?{_TAG}\s*\|?>|\[{_TAG}\]", rf"<(?:/|\|/|/\|){_TAG}\s*\|?>|\[/{_TAG}\]"),
    (r"◁think▷", r"◁/think▷"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    (r"<\|channel>thought", r"<channel\|>"),
    (r"<\|channel\|>\s*(?:analysis|commentary)", rf"<\|channel\|>\s*final\s*{_JSON}<\|message\|>"),
    # The same without its special tokens.
    (r"\A\s*analysis(?=[A-Z])", r"assistantfinal"),
]
"""What begins a thought and what ends it: of R1 and most others, Magistral, Kimi, Sky-T1, Command,
Gemma, gpt-oss."""
_STARTS, _ENDS = ("|".join(marks) for marks in zip(*_THOUGHTS, strict=True))
_THOUGHT_MARK = re.compile(f"(?P<start>{_STARTS})|{_ENDS}", re.IGNORECASE)

_TURN_ENDS = [
    r"<\|im_end\|>?|<\|(?:endoftext|eot_id|eom_id|eot|end_of_text|return|call|endofturn)\|>",
    r"<\|(?:END_OF_TURN_TOKEN|END_RESPONSE)\|>",
    r"<[|｜]end[▁_ ]of[▁_ ]sentence[|｜]>",
    r"\[\|endofturn\|\]|<end_of_turn>|<turn\|>|</s>|<(?:seed:)?eos>|<EO[ST]>|<eo[adhp]>|\[EOS\]",
    # What begins the next question.
    r"<\|(?:user|human|USER_TOKEN)\|>|<[|｜]User[|｜]>|\[\|user\|\]|\[INST\]",
    r"(?:<\|(?:im_start|start_header_id|header_start|start)\|>|<\|turn>|<start_of_turn>)\s*user",
]
"""What ends an answer: ChatML, Llama, Command, DeepSeek, EXAONE, Gemma, Mistral, Phi, GLM."""
_TURN_END = re.compile("|".join(_TURN_ENDS))
_TOKEN = (
    r"<[|｜]/?[A-Za-z][\w▁ :.-]{2,40}[|｜]?>|<[a-z_]{3,40}\|>|\[\|\w{3,20}\|\]|\[/?INST\]|</?s>"
    r"|<(?:start_of_turn|bos|pad|extra_id_\d{1,3}|unused\d{1,3}|/?user|/?human|/?assistant)>|<</?SYS>>"
)
_SPECIAL = re.compile(_TOKEN)
_OPENING = re.compile(rf"(?:(?!{_STARTS}|{_ENDS})(?:{_TOKEN})|\s)*", re.IGNORECASE)
_PROGRAM = re.compile(r"```(?:python|py|bash|cpp|c|java|javascript)\b.*?(?:```|\Z)", re.DOTALL)
_QUESTION = re.compile(
    r"\n[ \t#*>]*(?:(?:New |Next |Another )?(?:Q|[Qq]uestion|[Pp]roblem|[Ee]xercise)"
    r"|(?:GPT4 Correct )?(?:Human|User|Assistant)|HUMAN|USER|ASSISTANT|Instruction)"
    r"(?: *\d{1,4})?\**(?:[:.](?!\d)|(?=[ \t]*\n))"
    # Roles that are left of special tokens.
    r"|(?:\n[ \t]*|(?<=[\d.!?)}\]*$]))(?:user|human|assistant|model|system)(?=[ \t]*\n)"
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
    turn = first_turn(text)
    said = outside_thoughts(turn)
    parts = between_questions(said or turn)
    for place, part in enumerate(parts):
        answer = stated(part)
        if answer is None and place == 0 and said:
            answer = guessed(part if len(parts) == 1 else _last_line(part)) or None
        if answer is not None:
            return answer
    return ""


def first_turn(text: str) -> str:
    """A text up to the token that ends a turn; tokens at its start end nothing."""
    opening = _OPENING.match(text)
    start = opening.end() if opening else 0
    end = _TURN_END.search(text, start)
    turn = text[start : end.start()] if end else text[start:]
    # GLM's spelling of a box.
    return turn.replace("<|begin_of_box|>", r"\boxed{").replace("<|end_of_box|>", "}")


def outside_thoughts(text: str) -> str:
    """What a text says before, between and after its thoughts; an end alone ends a thought too."""
    said: list[str] = []
    start, thinking = 0, False
    for mark in _THOUGHT_MARK.finditer(text):
        if mark["start"] is None:
            if not thinking:
                said.clear()
            start, thinking = mark.end(), False
        elif not thinking:
            said.append(text[start : mark.start()])
            thinking = True
    if not thinking:
        said.append(text[start:])
    return "\n".join(part for part in said if part.strip())


def between_questions(text: str) -> list[str]:
    """The parts of a text before, between and after further questions; no programs, no blanks."""
    if "```" in text:
        text = _PROGRAM.sub("\n", text)
    if "<" in text or "[" in text:
        text = _SPECIAL.sub("\nQ: ", text)
    starts = [match.start() for match in _QUESTION.finditer(text)]
    if not starts:
        return [text]
    parts = [text[start:end] for start, end in zip([0, *starts], [*starts, None], strict=True)]
    return [part for part in parts if _QUESTION.sub("", part).strip()]


def _last_line(part: str) -> str:
    """The last line with a word or number, without the label of a step, which is no answer."""
    return _LABEL.sub("", part.rstrip("\n\t #*>=-_").rpartition("\n")[2], count=1)
