"""Score models and variants of one base on a suite.

Writes a result for each, with the answers next to it. A variant that has a result for exactly this
model, suite and engine is not scored again, and answers that a killed job had got are not asked
for again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from alpharl.errors import EvaluationError
from alpharl.frozen import Frozen
from alpharl.verbs import shared
from alpharl.verbs.engine_options import add_engine_options, engine_settings
from alpharl.verbs.inputs import file_name, named_paths
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputFolder, Values
from alpharl.verbs.result import Result, Table

EXAMPLE = (
    "alpharl evaluate --suite validation/suite.json --base models/base --variant base=models/base "
    "--variant 'step-{step}=runs/foo/checkpoint-{step}' --out scores"
)


class Score(Frozen):
    """What a variant reached on the suite; null where a forecast is undefined on its window."""

    variant: str
    """Name of the variant."""
    accuracy: float | None
    """Mean over all questions."""
    stderr: float | None
    """Its standard error."""
    n: int
    """Number of questions."""
    truncated: float | None
    """Share of answers that ran out of tokens."""


class Scores(Result):
    """The results of all variants that were asked for."""

    suite: str
    """Name of the suite."""
    out: str
    """Folder of the results, a file for each variant."""
    scores: list[Score]
    """One entry each, in the order in which they were asked for."""

    def blocks(self) -> Iterator[str | Table]:
        """A table, and where the results are."""
        rows = [list(dict(score).values()) for score in self.scores]
        yield Table(f"Scores on suite {self.suite}", list(Score.model_fields), rows)
        yield f"results in {self.out}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    shared.suite(parser)
    shared.base(parser)
    parser.add_argument(
        "--variant", action="append", required=True, metavar="NAME=FOLDER",
        help="model or variant folder to score, or several with {step} in both, as in "
        "'step-{step}=runs/foo/checkpoint-{step}'; may be repeated",
    )  # fmt: skip
    shared.manifests(parser)
    parser.add_argument(
        "--run", type=lambda text: text and file_name(text), default="", metavar="NAME",
        help="name of the run, which results repeat",
    )  # fmt: skip
    parser.add_argument(
        "--allow-truncation", action="store_true",
        help="do not fail where more answers ran out of tokens than the suite's max_truncated",
    )  # fmt: skip
    parser.add_argument(
        "--out",
        type=Path,
        action=OutputFolder,
        writes=_results,
        required=True,
        metavar="FOLDER",
        help="folder of the results",
    )
    add_engine_options(parser)
    shared.gpus(parser)
    prints(parser, Scores)


def run(
    suite: Path,
    base: Path,
    variant: list[str],
    manifests: list[Path],
    run: str,
    allow_truncation: bool,
    out: Path,
    gpus: int,
    **engine: str | None,
) -> Scores:
    """Score the variants that have no result yet."""
    from alpharl.checkpoints.manifest import KnownDigests
    from alpharl.evaluation.offline import go_offline
    from alpharl.evaluation.suites import read_suite
    from alpharl.gpu import cards
    from alpharl.progress import shown

    evaluation, variants, files = engine_settings(engine), named_paths(variant), read_suite(suite)
    go_offline()
    with cards(gpus), shown() as progress:
        from alpharl.evaluation.runner import score_variants

        cut_off = score_variants(
            files, base, variants, KnownDigests(manifests, base), out, evaluation, {"run": run},
            progress, gpus,
        )  # fmt: skip
    if cut_off and not allow_truncation:
        raise EvaluationError(
            f"suite '{files.name}': more than {files.settings['max_truncated']:.0%} of the answers "
            f"ran out of tokens, of {', '.join(cut_off)}; such an accuracy measures the budget: "
            "raise max_new_tokens in the suite, or allow it (--allow-truncation here, "
            "max_truncated in the suite)"
        )
    scores = [_score(out, name) for name in variants]
    return Scores(suite=files.name, out=str(out), scores=scores)


def _results(values: Values) -> list[Path]:
    """A result for each variant, and its answers."""
    kinds = (".json", ".answers.jsonl")
    return [values["out"] / f"{n}{kind}" for n in named_paths(values["variant"]) for kind in kinds]


def _score(out: Path, variant: str) -> Score:
    """The numbers of a result."""
    result = json.loads((out / f"{variant}.json").read_text())
    return Score(**{name: result[name] for name in Score.model_fields})
