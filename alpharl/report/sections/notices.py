"""The page's first lines where something limits it: toy bases, mixed engines, no verdict."""

from __future__ import annotations

from typing import Any

from alpharl.report.collect import Results
from alpharl.report.frames import Frames
from alpharl.report.section import Section
from alpharl.report.sections.provenance import engines
from alpharl.report.sections.verdicts import verdicts
from alpharl.training.spec import ModelShape


class Notices(Section):
    """Notices in the page's head, one paragraph each."""

    name = "notices"
    text = """
    {% for notice in notices %}
    <p class="notice">{{ notice }}</p>
    {% endfor %}
    {% if no_verdict %}
    <p class="notice">No verdict: add the method <em>auto</em> to the forecasts, and this report
    will begin with whether a forecast is supported.</p>
    {% endif %}
    """

    def context(self, results: Results, frames: Frames) -> dict[str, Any]:
        """The notices, and whether the verdict is missing."""
        return {
            "notices": [*toy_notices(results), *engine_warnings(results)],
            "no_verdict": not verdicts(results, frames["forecasts"]),
        }


def toy_notices(results: Results) -> list[str]:
    """The plain notice for a study whose bases are all pretrained in the workflow."""
    specs = [base.pretrain for base in results.study.bases.values()]
    sizes = [_parameters(spec.model) for spec in specs if spec is not None]
    if len(sizes) < len(specs):
        return []
    size = f"{max(sizes) / 1e6:.2g}M"
    return [
        f"Every base here is a toy model of about {size} parameters, pretrained in this study. "
        "It shows how the instrument works, not what large models do."
    ]


def _parameters(shape: ModelShape) -> int:
    """Weights of the layers' matrices; embeddings of a toy vocabulary add little."""
    attention, mlp = 4 * shape.hidden_size**2, 3 * shape.hidden_size * shape.intermediate_size
    return shape.num_hidden_layers * (attention + mlp)


def engine_warnings(results: Results) -> list[str]:
    """What makes scores of this study hard to compare."""
    combinations = engines(results)
    if len(combinations) < 2:
        return []
    return [
        f"The scores were made with {len(combinations)} combinations of engine, dtype and "
        "versions, so a difference may be theirs instead of the models': "
        f"{'; '.join(combinations)}. Score the study again with one of them."
    ]
