"""Writes the report: tables, figures, the resolved study and the page."""

from __future__ import annotations

from pathlib import Path

from alpharl.checkpoints.files import write_text
from alpharl.report.collect import collect
from alpharl.report.page import make_page
from alpharl.report.sections.provenance import resolved
from alpharl.study.config import Study, load_study
from alpharl.study.paths import Paths
from alpharl.sums import write_summed, write_sums


def write_report(study: Study | str | Path) -> Path:
    """Read a study's results and write its report.

    Writes `report/index.html` (one self-contained file), `report/tables/<name>.csv`,
    `report/figures/<name>.svg` and `study.yaml`, each under a temporary name first. The same
    results give the same bytes.

    Args:
        study: the validated study, or its file; its results lie under `<results>/<study>/`.

    Returns:
        The path of `index.html`, which is written last.

    Raises:
        StudyError: the file is no valid study.
        EvaluationError: a file that the report needs is missing or unreadable, or two variants of
            a run answered different questions. Nothing has been written then.
    """
    study = study if isinstance(study, Study) else load_study(study)
    page = make_page(collect(study))
    paths = Paths(study)
    index = Path(paths.report)
    for name, frame in page.frames.items():
        text = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        write_text(index.parent / "tables" / f"{name}.csv", text)
    for name, svg in page.figures.items():
        write_text(index.parent / "figures" / f"{name}.svg", svg)
    write_summed({Path(paths.resolved): lambda partial: partial.write_text(resolved(study))})
    write_text(index, page.html)
    files = [p for p in sorted(index.parent.rglob("*")) if p.suffix in {".html", ".csv", ".svg"}]
    write_sums(index.with_suffix(".sha256"), files)
    return index
