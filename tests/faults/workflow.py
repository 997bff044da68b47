"""`kill -9` of the whole workflow at random moments: one study is killed until it is complete.

`python -m tests.faults.workflow [KILLS]` goes on with further studies until there are so many kills
and one has hit each rule. It prints a line of JSON for each kill, with the rules that were running,
and for each study, with the results that differ from those of an undisturbed run.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.workflow.contents import contents
from tests.workflow.mini import MINI, Workflow, environment

RESULTS = "results/mini"
KILLS = 50
STUDIES = 8
"""At most, also where some rule was not hit."""
LONGEST_S = 30.0
"""A kill at any moment comes at most so long after the start."""
SHORT_S = 1.5
"""A kill of a certain rule comes at most so long after its job has started."""
ALONE = 0.2
"""Share of kills that take Snakemake without its jobs, which go on to their end."""
_STARTED = re.compile(r"^Job (\d+): (.+)\n", re.MULTILINE)
_FINISHED = re.compile(r"^Finished jobid: (\d+) \(Rule: (\w+)\)\n", re.MULTILINE)
_ERROR = re.compile(r"^(?:alpharl \w+: )?error: .+$", re.MULTILINE)


@dataclass
class Killer:
    """Kills studies, and knows which rules it has hit."""

    config: dict[str, Any]
    rules: dict[str, str]
    """Rule of each job, by what Snakemake says of the job."""
    expected: dict[str, object]
    """Results of an undisturbed run."""
    chance: random.Random
    enough: int
    """Kills, after which studies are left to end."""
    kills: int = 0
    hit: set[str] = field(default_factory=set)
    hit_here: set[str] = field(default_factory=set)
    """Rules that were hit in this study."""

    def missed(self) -> set[str]:
        """Rules that no kill has hit, in any study."""
        return {*self.rules.values()} - self.hit

    def study(self, workflow: Workflow) -> Iterator[dict[str, object]]:
        """Start a study and kill it until it is complete: what happened at each start."""
        self.hit_here = set()
        while True:
            event, complete = self._start(workflow)
            yield event
            if complete:
                break
        _wait_for_jobs(workflow)
        made = results(workflow.folder / RESULTS)
        names = sorted(made.keys() | self.expected.keys())
        differ = [name for name in names if made.get(name) != self.expected.get(name)]
        yield {"results": len(made), "differ": differ, "to do": workflow.planned(self.config)}

    def _start(self, workflow: Workflow) -> tuple[dict[str, object], bool]:
        """Start it once: what happened, and whether it is complete."""
        printed, before = workflow.folder / "printed", _processes(workflow.folder)
        with printed.open("w") as file:
            head = subprocess.Popen(
                workflow.command(self.config), cwd=workflow.folder, env=environment(),
                start_new_session=True, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        began = time.monotonic()
        self._wait(head, printed)
        alone = self.chance.random() < ALONE
        if head.poll() is None:
            (os.kill if alone else os.killpg)(head.pid, signal.SIGKILL)
        status, text = head.wait(), printed.read_text()
        if status != -signal.SIGKILL:
            lines = sorted({*_ERROR.findall(text)})
            return {"status": status, "lines": lines, "traceback": "Traceback" in text}, not status
        self.kills += 1
        running = [self.rules[said] for said in running_jobs(text)]
        self.hit.update(running)
        self.hit_here.update(running)
        left = set[int]() if alone else _wait_for_jobs(workflow, before, seconds=5)
        seconds = round(time.monotonic() - began, 1)
        event = {"kill": self.kills, "alone": alone, "seconds": seconds, "running": running}
        return event | {"left": len(left)}, False

    def _wait(self, head: subprocess.Popen[bytes], printed: Path) -> None:
        """Let it run to a random moment, or to one in which a rule runs that was not hit here."""
        if self.kills >= self.enough and not self.missed():
            head.wait()
            return
        missed = {*self.rules.values()} - self.hit_here
        if missed and self.chance.random() < 0.5:
            while head.poll() is None:
                if missed & {self.rules[said] for said in running_jobs(printed.read_text())}:
                    break
                time.sleep(0.02)
            seconds = self.chance.uniform(0, SHORT_S)
        else:
            seconds = self.chance.uniform(0, LONGEST_S)
        try:
            head.wait(seconds)
        except subprocess.TimeoutExpired:
            return


def running_jobs(printed: str) -> list[str]:
    """What Snakemake says of the jobs that have started and not ended."""
    ended = {number for number, _ in _FINISHED.findall(printed)}
    return [said for number, said in _STARTED.findall(printed) if number not in ended]


def rules_of(printed: str) -> dict[str, str]:
    """The rule of each job of a complete run, by what Snakemake says of the job."""
    rules = dict(_FINISHED.findall(printed))
    return {said: rules[number] for number, said in _STARTED.findall(printed)}


def results(root: Path) -> dict[str, object]:
    """All results of a complete study, without times and what is said of them."""
    assert (root / "report/index.html").is_file()
    timed = re.compile(r"(logs|benchmarks)/|report/(index\.html|tables/cost_\w+\.csv)$")
    return {name: data for name, data in contents(root).items() if not timed.match(name)}


def _wait_for_jobs(
    workflow: Workflow, without: Set[int] = frozenset(), seconds: float = 120
) -> Set[int]:
    """Wait for the end of all processes that work in the folder: those that do not end."""
    until = time.monotonic() + seconds
    while (left := _processes(workflow.folder) - without) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def _processes(folder: Path) -> Set[int]:
    numbers = set()
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):  # ended, or of another user
            if link.readlink() == folder:
                numbers.add(int(link.parent.name))
    return numbers


def history(
    workflow: Workflow, config: dict[str, Any], folder: Path, kills: int = KILLS
) -> Iterator[dict[str, object]]:
    """Kill studies in a folder.

    Args:
        workflow: the same study, complete and undisturbed.
        config: the study.
        folder: of the studies.
        kills: how many at least.
    """
    first = min((workflow.folder / ".snakemake/log").glob("*.log"))
    rules, expected = rules_of(first.read_text()), results(workflow.folder / RESULTS)
    killer = Killer(config, rules, expected, random.Random("workflow"), kills)
    for number in range(1, STUDIES + 1):
        killed = Workflow(folder / f"study-{number}")
        killed.folder.mkdir()
        for event in killer.study(killed):
            yield {"study": number, **event}
        if killer.kills >= kills and not killer.missed():
            break
    yield {
        "kills": killer.kills,
        "rules": len({*rules.values()}),
        "missed": sorted(killer.missed()),
    }


def main(kills: int = KILLS) -> None:
    """Print what happens, as it happens."""
    config = yaml.safe_load(MINI.read_text())
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        undisturbed = Workflow(Path(folder) / "undisturbed")
        undisturbed.folder.mkdir()
        done = undisturbed.run(config)
        assert done.returncode == 0, done.stdout
        for event in history(undisturbed, config, Path(folder), kills):
            print(json.dumps(event), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
