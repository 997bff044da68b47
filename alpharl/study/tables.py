"""The tables of config/README.md, made of the code that they describe.

`python -m alpharl.study.tables FILE` writes them anew, each between the lines

    <!-- table: NAME -->
    <!-- end -->

Keys, defaults and words come from the config models, all others from the registries.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from alpharl.errors import StudyError, nearest
from alpharl.evaluation.engines.registry import ENGINES
from alpharl.evaluation.protocols import PROTOCOLS
from alpharl.evaluation.settings import Suite, Task, TokenLevel
from alpharl.forecasting.registry import METHODS
from alpharl.measures.registry import MEASURES
from alpharl.study.config import Study
from alpharl.study.runs import Base, Gguf, Run
from alpharl.study.settings import Audit, Dynamics, Forecast, Spectra
from alpharl.study.sources import Hub, Merge
from alpharl.study.stages import STAGES
from alpharl.training.recipe import EntropyBand, Lora
from alpharl.training.registry import ALGORITHMS
from alpharl.training.spec import ModelShape, PretrainSpec, TrainSpec
from alpharl.variants.rank_settings import RankModels

_MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
Row = Sequence[str]


def with_tables(text: str) -> str:
    """A page with the tables between its markers as the code has them now.

    Raises:
        StudyError: the page names a table that does not exist.
    """

    def between(match: re.Match[str]) -> str:
        begin, name, end = match.groups()
        if name not in TABLES:
            raise StudyError(f"unknown table '{name}', {nearest(name, list(TABLES))}")
        return f"{begin}{TABLES[name]()}\n{end}"

    return _MARKED.sub(between, text)


def _table(head: Row, rows: Iterable[Row]) -> str:
    """A table in Markdown; an empty cell stays empty."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _keys(model: type[BaseModel]) -> Callable[[], str]:
    """Makes the table of a model's keys."""

    def keys() -> str:
        rows = [(_code(k), _default(f), _what(model, k)) for k, f in model.model_fields.items()]
        return _table(["key", "default", "what"], rows)

    return keys


def _what(model: type[BaseModel], key: str) -> str:
    """What a key's docstring says, or where it only narrows a base class's key, what that says."""
    fields = [cls.model_fields.get(key) for cls in model.__mro__ if issubclass(cls, BaseModel)]
    return next((field.description for field in fields if field and field.description), "")


def _default(field: FieldInfo) -> str:
    """A key's default as a study file would have it; of a section, it is that of its own keys."""
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        return ""
    return _code(value if isinstance(value, str) else json.dumps(value))


def _first(cls: type) -> str:
    """The first paragraph of a class's docstring."""
    return (cls.__doc__ or "").partition("\n\n")[0]


def _stages() -> str:
    rows = [
        (_code(stage.name), stage.made_of, ", ".join(map(_code, stage.folders)))
        for stage in STAGES
    ]  # fmt: skip
    report = (_code("report"), "all of these", _code("report/"))
    return _table(["stage", "made of", "under `results/<study>/`"], [*rows, report])


def _algorithms() -> str:
    rows = [
        (_code(name), _first(type(its)), ", ".join(map(_code, its.args)), its.source)
        for name, its in ALGORITHMS.items()
    ]
    return _table(["algorithm", "how it learns", "options in `args`", "paper"], rows)


def _measures() -> str:
    rows = [(_code(name), _first(cls), cls.null) for name, cls in MEASURES.items()]
    return _table(["measure", "what", "null"], rows)


def _protocols() -> str:
    rows = [
        (_code(name), ", ".join(task["task"] for task in keys["tasks"]), _settings(keys))
        for name, keys in PROTOCOLS.items()
    ]
    return _table(["protocol", "tasks", "settings"], rows)


def _settings(keys: Mapping[str, Any]) -> str:
    return ", ".join(_code(f"{k}: {json.dumps(v)}") for k, v in keys.items() if k != "tasks")


def _methods() -> str:
    rows = [
        (_code(name), _first(cls), cls.source, ", ".join(sorted(cls.needs)))
        for name, cls in METHODS.items()
    ]
    return _table(["method", "what", "source", "reads"], rows)


def _options(kind: str, registry: Mapping[str, type[BaseModel]]) -> Callable[[], str]:
    """Makes the table of the options of every method or measure."""

    def options() -> str:
        rows = [
            (_code(name), _code(key), _default(field), _what(cls, key))
            for name, cls in registry.items()
            for key, field in cls.model_fields.items() if key != kind
        ]  # fmt: skip
        return _table([kind, "option", "default", "what"], rows)

    return options


def _engines() -> str:
    return _table(["engine", "what"], [(_code(n), _first(cls)) for n, cls in ENGINES.items()])


def _engine_keys() -> str:
    """Keys of all engines; a key of some alone names them."""
    users: dict[str, list[str]] = {}
    for engine, cls in ENGINES.items():
        for key in cls.model_fields:
            users.setdefault(key, []).append(engine)
    rows = []
    for key, engines in users.items():
        cls = ENGINES[engines[0]]
        whose = "all" if len(engines) == len(ENGINES) else ", ".join(map(_code, engines))
        rows.append((_code(key), _default(cls.model_fields[key]), whose, _what(cls, key)))
    return _table(["key", "default", "engines", "what"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "study": _keys(Study),
    "stages": _stages,
    "base": _keys(Base),
    "pretrain": _keys(PretrainSpec),
    "pretrain.model": _keys(ModelShape),
    "gguf": _keys(Gguf),
    "hub": _keys(Hub),
    "run": _keys(Run),
    "merge": _keys(Merge),
    "algorithms": _algorithms,
    "train": _keys(TrainSpec),
    "train.lora": _keys(Lora),
    "train.entropy": _keys(EntropyBand),
    "spectra": _keys(Spectra),
    "audit": _keys(Audit),
    "measures": _measures,
    "measures.options": _options("measure", MEASURES),
    "suite": _keys(Suite),
    "suite.tasks": _keys(Task),
    "protocols": _protocols,
    "engines": _engines,
    "evaluation": _engine_keys,
    "tokens": _keys(TokenLevel),
    "rank": _keys(RankModels),
    "dynamics": _keys(Dynamics),
    "forecast": _keys(Forecast),
    "methods": _methods,
    "methods.options": _options("method", METHODS),
}
"""By the name that a page's marker gives."""


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_tables(page.read_text()))
