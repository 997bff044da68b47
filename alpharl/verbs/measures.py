"""Measures of a run's updates: measure."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from alpharl.checkpoints.stage import staged
from alpharl.errors import MethodError
from alpharl.spectra.depth import Depth
from alpharl.verbs.inputs import (
    LINES,
    factors_of,
    gram_of,
    option_pair,
    run_folders,
    write_table,
)

if TYPE_CHECKING:
    from alpharl.measures.measure import Measure


def measure(args: Namespace) -> None:
    """Measure the updates of a run in one pass; write Parquet and its CSV twin for each measure."""
    from alpharl.measures.measure import last_step
    from alpharl.measures.registry import MEASURES
    from alpharl.measures.run import measure_run, opened

    measures = with_options(args.measure or list(MEASURES), args.option)
    folders = run_folders(args)
    taken = {name: measure.steps(list(folders)) for name, measure in measures.items()}
    factored = [steps for name, steps in taken.items() if "factors" in measures[name].reads]
    with_factors = sorted({step for steps in factored for step in steps})
    factors = factors_of(args, {step: folders[step] for step in with_factors}, Depth(1))
    reads_gram = any("gram" in measure.reads for measure in measures.values())
    gram = gram_of(args, folders) if reads_gram else None
    # A run may have many more checkpoints than are measured: only these are worth a copy.
    read = {step: folders[step] for step in opened(measures, taken)}
    with staged({0: args.base, **read}, args.stage) as copies:
        base = copies.pop(0)
        tables = measure_run(base, {**folders, **copies}, measures, factors, gram, LINES)
    for name, table in tables.items():
        write_table(table, args.out / f"{name}.parquet")
        print(f"{measures[name].title}, last step")
        shown = last_step(measures[name].summary(table))
        print(shown.to_string(index=False, float_format="{:.6g}".format))


def with_options(names: Sequence[str], pairs: Sequence[str]) -> dict[str, Measure]:
    """The named measures with options that are given as `NAME.KEY=VALUE`.

    Raises:
        MethodError: an option is of no named measure, or not valid.
    """
    from alpharl.measures.registry import MEASURES

    options: dict[str, dict[str, Any]] = {name: {} for name in names}
    for pair in pairs:
        key, value = option_pair(pair, "NAME.KEY=VALUE")
        name, _, option = key.partition(".")
        if name not in options:
            raise MethodError(
                f"option '{pair}': found '{name}', expected one of the measures that are made: "
                f"{', '.join(options)}; write it as NAME.KEY=VALUE"
            )
        options[name][option] = value
    return {name: _measure(MEASURES[name], name, given) for name, given in options.items()}


def _measure(cls: type[Measure], name: str, options: dict[str, Any]) -> Measure:
    from alpharl.frozen import describe_error

    try:
        return cls.model_validate(options)
    except ValidationError as error:
        lines = "; ".join(describe_error(e) for e in error.errors())
        raise MethodError(f"{name}: option {lines}") from None
