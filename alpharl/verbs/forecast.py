"""Forecast a later model from the early checkpoints of a run.

The forecast is an adapter (low-rank factors) or a blend (a number per tensor and checkpoint), which
`alpharl export` turns into a model folder. `variant.json` in the folder says all that was fitted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpharl.bounds import MOST_SCALE
from alpharl.errors import AlpharlError
from alpharl.verbs import shared
from alpharl.verbs.fit_lines import fit_lines
from alpharl.verbs.inputs import option_pair
from alpharl.verbs.judgement import Judgement, judged
from alpharl.verbs.numbers import number
from alpharl.verbs.opened import opened
from alpharl.verbs.parser import prints
from alpharl.verbs.result import Result

if TYPE_CHECKING:
    from alpharl.forecasting.trust import Verdict
    from alpharl.trajectory import Trajectory
    from alpharl.variants.model import Model

EXAMPLE = (
    "alpharl forecast --base models/base --checkpoints 'runs/foo/checkpoint-{step}' --through 100 "
    "--method relex --target-step 150 --out forecast"
)
LINES = 15
"""Lines that are printed at most."""


class Forecast(Result):
    """A forecast that was written, what was fitted, and the verdict on its window."""

    written: str
    """Folder of the forecast."""
    method: str
    """The method's name."""
    options: dict[str, Any]
    """The method's options, with their defaults."""
    window_steps: list[int]
    """Steps of the checkpoints that the forecast was made from."""
    target_step: int | None
    """The step that is forecast; none where the target is an accuracy that no step reaches."""
    target_accuracy: float | None
    """The validation accuracy that is forecast, if that was the target."""
    amplitude: float
    """What the predicted update was multiplied by."""
    norm_ratio: float | None
    """Length of the predicted update over that of the last observed one, if known."""
    undefined: str | None
    """Why the method gives no forecast on this window; none where it gives one."""
    logits: dict[str, Any] | None
    """Of a line through the logits of two checkpoints: which, and how far."""
    fit: dict[str, Any]
    """What was fitted: the method's own keys."""
    config: dict[str, Any]
    """Which config the model has: that of checkpoint `step`, 0 being the base; its `changes`."""
    verdict: Judgement | None
    """Whether the window supports a forecast, as far as that is known without trial models."""
    no_verdict: str | None
    """Why there is no verdict."""

    def blocks(self) -> Iterator[str]:
        """At most 15 lines; what was fitted gives way to the verdict."""
        verdict = [*self.verdict_lines()]
        yield from [*self.lines()][: max(LINES - len(verdict), 3)]
        yield from verdict

    def lines(self) -> Iterator[str]:
        """What was forecast from which window, and what was fitted."""
        yield from self._head()
        yield from fit_lines({k: value for k, value in self.fit.items() if k != "verdict"})

    def _head(self) -> Iterator[str]:
        target = f"accuracy {self.target_accuracy:g}" if self.target_accuracy else ""
        target = f"step {self.target_step}" if self.target_step else target
        steps = f"{len(self.window_steps)} checkpoints up to step {self.window_steps[-1]}"
        yield f"wrote {self.written}: {self.method} from {steps}, forecast of {target}"
        if self.undefined:
            yield f"no forecast: {self.undefined}"
        if self.config["step"]:
            changed = ", ".join(self.config["changes"])
            yield f"config: that of step {self.config['step']}, which changes {changed}"
        options = {k: v for k, v in self.options.items() if k != "method" and v is not None}
        if options:
            yield "options: " + ", ".join(f"{key} {value}" for key, value in options.items())
        if self.norm_ratio is not None:
            yield f"length: {self.norm_ratio:.3g} times that of the last observed update"

    def verdict_lines(self) -> Iterator[str]:
        """The verdict on the window, or why there is none."""
        if self.verdict is None:
            yield f"verdict: none: {self.no_verdict}"
            return
        for line in self.verdict.blocks():
            is_reason = line.startswith(("+ ", "- "))
            is_fault = line.startswith("audit: ")
            yield line if is_fault else f"  {line}" if is_reason else f"verdict: {line}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    shared.base(parser)
    shared.checkpoints(parser)
    shared.window(parser, required=True)
    parser.add_argument(
        "--method",
        required=True,
        metavar="NAME",
        help="forecasting method, one of those that `alpharl methods` lists",
    )
    shared.options(
        parser, "KEY=VALUE", "option of the method, for example rank=2; repeat it for several"
    )
    parser.add_argument(
        "--amplitude", type=number(above=0, most=MOST_SCALE), default=1.0, metavar="X",
        help="multiply the whole predicted update by X (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--record-undefined", action="store_true",
        help="where the method gives no forecast on this window, write a folder that says so "
        "instead of failing",
    )  # fmt: skip
    shared.scores(parser)
    shared.files(parser)
    shared.accept(parser)
    shared.trials(parser)
    shared.variant_out(parser)
    prints(parser, Forecast)


def run(
    base: Path,
    checkpoints: list[str],
    steps: list[int] | None,
    through: int | None,
    target_step: int | None,
    target_multiple: float | None,
    target_accuracy: float | None,
    method: str,
    option: list[str],
    amplitude: float,
    record_undefined: bool,
    scores: Path | None,
    factors: str | None,
    gram: str | None,
    shards: int,
    accept: list[str],
    suite: Path | None,
    trials: Path | None,
    manifests: list[Path],
    gpus: int,
    out: Path,
    dense: bool,
    **engine: str | None,
) -> Forecast:
    """Make one forecast and write it."""
    from alpharl.forecasting.registry import read_method
    from alpharl.gpu import cards
    from alpharl.variants.model import require_free

    require_free(out, dense)
    chosen = read_method(method, dict(map(option_pair, option)))
    with (
        cards(gpus),
        opened(
            base, checkpoints, steps, scores=scores, factors=factors, gram=gram, shards=shards,
            suite=suite, trials=trials, manifests=manifests, engine=engine, gpus=gpus,
        ) as trajectory,
    ):  # fmt: skip
        model = trajectory.forecast(
            chosen, target_step, through, target_multiple=target_multiple,
            target_accuracy=target_accuracy, amplitude=amplitude,
            record_undefined=record_undefined,
        )  # fmt: skip
        model.save(out, dense)
        return written(model, out, judge_of(trajectory, accept))


Judge = Callable[[int | None, float | None, int], "Verdict"]
"""The verdict on a target step or else accuracy, and a window's last step; without trial models."""


def judge_of(trajectory: Trajectory, accept: Sequence[str] = ()) -> Judge:
    """What judges windows of a run, each once; `accept` are kinds of faults that do not count."""

    @cache
    def judge(step: int | None, accuracy: float | None, through: int) -> Verdict:
        return trajectory.verdict(
            step, through, target_accuracy=accuracy, trials=False, accept=accept
        )

    return judge


def written(model: Model, out: Path, judge: Judge) -> Forecast:
    """What there is to say of a forecast that was written, with the verdict on its window."""
    meta = {key: value for key, value in model.meta.items() if key not in ("kind", "algorithm")}
    verdict, no_verdict = None, None
    try:
        verdict = _judgement(meta, judge)
    except AlpharlError as error:
        no_verdict = str(error)
    return Forecast(written=str(out), verdict=verdict, no_verdict=no_verdict, **meta)


def _judgement(meta: Mapping[str, Any], judge: Judge) -> Judgement:
    """The verdict on a forecast's window: its own, where the method has made one."""
    steps, target = meta["window_steps"], meta["target_step"]
    verdict = judge(target, meta["target_accuracy"] if target is None else None, steps[-1])
    own = meta["fit"].get("verdict")
    if own is None or verdict.is_of_faulty_checkpoints:
        return Judgement(**judged(verdict))
    return Judgement(**own, window_steps=steps, target_step=target)
