"""The report: one self-contained HTML file from a study's results."""

from alpharl.report.write import write_report

__all__ = ["write_report"]
