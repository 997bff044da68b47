"""The words of the report, and how to read numbers with errors, nulls and many comparisons."""

from __future__ import annotations

from typing import Any

from alpharl.report.collect import Results
from alpharl.report.frames import Frames
from alpharl.report.section import Section
from alpharl.report.sections.forecast import comparisons


class Reading(Section):
    """Definitions."""

    name = "reading"
    nav = "How to read this"
    title = "How to read this"
    text = """
    <dl>
    <dt>retention</dt>
    <dd>acc(variant) / acc(full run). The papers' number. It is high even for the base when the gain
    is small, so it never stands alone.</dd>
    <dt>gain recovery</dt>
    <dd>(acc(variant) − acc(base)) / (acc(full run) − acc(base)): 0 is the base, 1 the full run.
    Undefined where the gain is not larger than twice its standard error.</dd>
    <dt>window</dt>
    <dd>The early checkpoints that a forecaster may see, as a fraction of the run or as a last
    step.</dd>
    <dt>null</dt>
    <dd>What the same number is where there is no signal: permuted accuracies, a random walk, a
    random direction. A number is worth its distance to its null.</dd>
    <dt>control</dt>
    <dd>A variant that shows what no signal looks like.</dd>
    <dt>±, intervals</dt>
    <dd>Standard errors are over questions. Differences are paired: both models answered the same
    questions in the same order. Ratios use the delta method on the paired outcomes. None of this
    covers the spread between training seeds.</dd>
    <dt>many comparisons</dt>
    <dd>{{ compared }} forecasts are compared with <em>last</em>. At 95 %, about {{ chance }} look
    significant by chance even if none differs. Below each table stands how many comparisons it
    makes. Holm-Bonferroni (Holm 1979) holds the chance of even one false finding among them to 5 %,
    on the normal approximation of each difference: ▲ ▼ are findings of that kind, △ ▽ exclude 0
    only when looked at alone. It does not correct over several tables. Trust a method that wins
    across runs and windows, not the best row of a table.</dd>
    {% if sampled %}
    <dt>avg@k, pass@k, maj@k</dt>
    <dd>Of k samples per question: the mean; the chance that at least one is right (unbiased
    estimator, Chen et al. 2021, arXiv 2107.03374); and whether the most frequent extracted answer
    is right, ties broken in expectation, empty answers without a vote. Standard errors are
    clustered: a question is one unit, however many samples it has.</dd>
    {% endif %}
    </dl>
    """

    def context(self, results: Results, frames: Frames) -> dict[str, Any]:
        """How many comparisons there are, and whether questions have several samples."""
        return {**comparisons(frames["forecasts"]), "sampled": "samples" in frames}
