"""The report's first lines: whether the checkpoints are what their names say."""

from __future__ import annotations

from typing import Any

import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.frames import Frames, records
from alpharl.report.section import Section


class Audit(Section):
    """What the audit accepted or noted; a line where there is nothing."""

    name = "audit"
    null = (
        "If all runs were what their names say, the audit would stop fewer than 1 in 100, as it "
        "does with simulated ones."
    )
    text = """
    {% if not findings %}
    <p>The checkpoints are what their names say, as far as their inner products tell: none equals
    the base or another, and all lie on their runs' paths in order.</p>
    {% else %}
    {% if accepted %}
    <p class="notice">The audit found faults that this study accepts. Numbers of
    {{ accepted | join(", ") }} rest on them.</p>
    {% endif %}
    <ul>
    {% for finding in findings %}
    <li>{{ finding.run }}: {{ finding.text }}{{ " (accepted)" if finding.accepted }}.</li>
    {% endfor %}
    </ul>
    {% endif %}
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """`audit`: run, kind, accepted, steps, text of each fault and note."""
        rows = [
            (run, finding.kind, is_fault, " ".join(map(str, finding.steps)), finding.text)
            for run, audit in results.audits.items()
            for is_fault, findings in ((True, audit.accepted), (False, audit.notes))
            for finding in findings
        ]
        return {"audit": pd.DataFrame(rows, columns=["run", "kind", "accepted", "steps", "text"])}

    def context(self, results: Results, frames: Frames) -> dict[str, Any]:
        """Each finding, and the runs with faults that were accepted."""
        table = frames["audit"]
        accepted = table.loc[table["accepted"].astype(bool), "run"]
        return {"findings": list(records(table)), "accepted": list(dict.fromkeys(accepted))}
