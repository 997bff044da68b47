"""Writes docs/faults.md from what `tests.faults.verbs` and `tests.faults.workflow` print.

python -m tests.faults.page VERBS.jsonl WORKFLOW.jsonl --out docs/faults.md
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from tests.faults.case import WRITERS
from tests.faults.workflow import ALONE, LONGEST_S, SHORT_S
from tests.markdown import machine, markdown

Rows = list[dict[str, Any]]

TEXT = """# Faults

`make fault-table` writes this page. It disturbs every command that writes files, and the whole
workflow, and looks at what they leave. Each attempt ends in one of two ways, or the program has a
fault ("BAD"):

* **same**: the results are those of an undisturbed run, in all but times.
* **one line**: the command ends with status 1 and one line that says what was found, what was
  expected and what to do. Each file under its own name is whole, and no half-written one is left.

After a signal the same command runs again, and what it leaves counts; `init` and `export` refuse
what is there already, in one line. An outcome often depends on
the moment, for example on whether a command has ended before its weights change, or on how much it
writes: few results exceed 128 KiB. Measured on {machine}.

## Commands

| fault | what happens |
| --- | --- |
| kill -9, SIGTERM | a signal to all processes of the command at a random moment, {times} times |
| two writers | two commands of different models write to one folder at once, {times} times |
| disk full | the results are on a file system of 8 or 128 KiB |
| read-only disk | the results are on a file system that is mounted read-only |
| ulimit -f 4 | no file may exceed 4 KiB |
| ulimit -n 24 | at most 24 files may be open |
| results removed | the folder of results is removed while the command runs |
| weights replaced | a checkpoint's weights change while the command reads them |
| clock back | all files are of tomorrow |

{count} attempts: {ends}. After {whole} of {races} races of two writers, each file
was whole, and one of the two's.

{table}

## The workflow

The study is `tests/workflow/mini.yaml`: two runs that are trained here, {rules} rules. `kill -9`
ends it again and again until it is complete; the next study follows until the kills are enough. One
half of them come at any moment of the first {longest:.0f} seconds, the other half within {short:g}
seconds of the start of a rule that was not hit in that study. One kill in {share:.0f} ends
Snakemake alone. Its jobs then go on, and the next Snakemake meets them. The seeds are fixed. Nobody
cleans up before the next start: no lock outlives its process.

{kills} kills, {alone} of them of Snakemake alone, hit {hit} of {rules} rules{missed}. Complete in
the end, with nothing left to do: {studies} of {started} studies. Of their {results} results,
{differ} differ from those of an undisturbed run. Processes that outlived a kill of all: {left}.
Starts that ended with an error: {failed}{line}.

{rule_table}

`make test-faults` also starts two Snakemakes at once: on one study, where the second is refused in
one line, and on two studies in one folder, whose numbers are those of one study alone.
"""


def page(verbs: Rows, workflow: Rows) -> str:
    """The page."""
    return TEXT.format(machine=machine(), **_of_verbs(verbs), **_of_workflow(workflow))


def _of_verbs(rows: Rows) -> dict[str, Any]:
    faults = dict.fromkeys(row["fault"] for row in rows)
    by_verb: dict[str, dict[str, str]] = {}
    for row in sorted(rows, key=lambda row: [*WRITERS].index(row["verb"])):
        line = by_verb.setdefault(row["verb"], {"command": row["verb"]} | dict.fromkeys(faults, ""))
        line[row["fault"]] = " or ".join(sorted(row["ends"], reverse=True))
    ends = sum((Counter(row["ends"]) for row in rows), Counter[str]())
    races = sum((Counter(r["ends"]) for r in rows if r["fault"] == "two writers"), Counter[str]())
    times = {sum(row["ends"].values()) for row in rows if row["fault"] == "two writers"}
    return {
        "table": markdown(pd.DataFrame(by_verb.values())),
        "count": ends.total(),
        "ends": ", ".join(f"{count} {end}" for end, count in ends.most_common()),
        "races": races.total(),
        "whole": races.total() - races["BAD"],
        "times": max(times),
    }


def _of_workflow(rows: Rows) -> dict[str, Any]:
    *events, total = rows
    kills = [event for event in events if "kill" in event]
    ends = [event for event in events if "differ" in event]
    failed = [event for event in events if event.get("status")]
    hits = Counter(rule for event in kills for rule in {*event["running"]})
    table = [{"rule": rule, "kills while it ran": n} for rule, n in sorted(hits.items())]
    lines = [line for event in failed for line in event["lines"]]
    return {
        "rules": total["rules"],
        "kills": total["kills"],
        "alone": sum(event["alone"] for event in kills),
        "hit": total["rules"] - len(total["missed"]),
        "studies": len(ends),
        "started": len({event["study"] for event in events}),
        "results": sum(end["results"] for end in ends),
        "differ": sum(len(end["differ"]) for end in ends),
        "failed": len(failed),
        "line": f", for example `{lines[0]}`" if lines else "",
        "rule_table": markdown(pd.DataFrame(table)),
        "missed": f", not {', '.join(total['missed'])}" if total["missed"] else "",
        "left": sum(event["left"] for event in kills),
        "longest": LONGEST_S,
        "short": SHORT_S,
        "share": 1 / ALONE,
    }


def _read(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verbs", type=Path)
    parser.add_argument("workflow", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.write_text(page(_read(options.verbs), _read(options.workflow)))


if __name__ == "__main__":
    main()
