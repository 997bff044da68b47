"""All sections of the report, in the order of the page: a line each."""

from __future__ import annotations

from alpharl.registry import registered
from alpharl.report.section import Section

SECTIONS = [
    "notices:Notices",
    "audit:Audit",
    "verdicts:Verdicts",
    "summary:Summary",
    "accuracy:Accuracy",
    "training_curves:TrainingCurves",
    "per_task:PerTask",
    "rank:Rank",
    "adapter_vs_merged:AdapterVsMerged",
    "tokens:Tokens",
    "spectrum:Spectrum",
    "measures:Measures",
    "forecast:Forecast",
    "amplitudes:Amplitudes",
    "dynamics:Dynamics",
    "modules:Modules",
    "pca:Pca",
    "algorithms:Algorithms",
    "rl_vs_sft:RlVsSft",
    "cost:Cost",
    "savings:Savings",
    "reading:Reading",
    "provenance:Provenance",
]


def sections() -> list[Section]:
    """One of each section, in their order."""
    classes = registered("alpharl.report.sections", SECTIONS, Section)  # type: ignore[type-abstract]
    return [cls() for cls in classes]
