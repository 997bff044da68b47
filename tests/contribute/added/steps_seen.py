"""How many checkpoints each run has."""

from __future__ import annotations

from typing import Any

import pandas as pd
from alpharl.report.collect import Results
from alpharl.report.frames import Frames
from alpharl.report.section import Section
from alpharl.report.tables import Column, table


class StepsSeen(Section):
    """Checkpoints per run."""

    name = "steps_seen"
    nav = "Steps"
    title = "Steps seen"
    null = "If nothing were saved, there would be no row."
    text = "{{ grid(steps) }}"

    def frames(self, results: Results, frames: Frames) -> Frames:
        """A row per run."""
        rows = [{"run": run, "steps": len(results.plan.steps(run))} for run in results.study.runs]
        return {"steps_seen": pd.DataFrame(rows)}

    def context(self, results: Results, frames: Frames) -> dict[str, Any]:
        """The table."""
        columns = [Column("run", lambda r: r.run), Column("steps", lambda r: str(r.steps))]
        return {"steps": table(frames["steps_seen"], columns)}
