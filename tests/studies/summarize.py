"""A finished study as a page of Markdown, from the tables of its report.

python -m tests.studies.summarize results/contrast --title "..." --out docs/contrast.md
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from tests.markdown import machine, markdown

BEYOND = 1.96
"""Standard errors."""
RL_GROUPS = ("grpo", "dr-grpo", "dapo", "gspo", "rloo", "reinforce++", "ppo")
MOST = 8
"""Columns of a curve; of one with more, quarters are shown."""
RANKS = ("rank-1", "random-1", "rank-4", "full-update", "rank-1+rest", "rest-only")
UPDATES = ("norm", "rank1_share", "pls_r2", "line_r2")


def read(folder: Path, name: str) -> pd.DataFrame:
    """One of the report's tables; empty where the study has none."""
    path = folder / "report" / "tables" / f"{name}.csv"
    return (
        pd.read_csv(path, keep_default_na=False, na_values=[""])
        if path.is_file()
        else pd.DataFrame()
    )


def curves(folder: Path) -> Iterator[str]:
    """Test accuracy over the steps of each group: means over its runs."""
    frame = read(folder, "accuracy")
    frame = frame[frame["role"] == "test"]
    heads = groups(folder)
    frame = frame.assign(group=frame["run"].map(heads.get))
    last = frame.groupby("run")["step"].transform("max")
    frame["part"] = (12 * frame["step"] / last).round().astype(int) / 12
    many = frame["part"].nunique() > MOST
    kept = frame[frame["part"].isin([0, 0.25, 0.5, 0.75, 1])] if many else frame
    table = kept.pivot_table(index="group", columns="part", values="accuracy", sort=False)
    table.columns = [f"{part:.0%} of the run" for part in table.columns]
    yield "## Test accuracy on the way\n"
    yield f"Questions: {frame['n'].iloc[0]}; greedy; means over the runs of a group.\n"
    yield markdown(table.reset_index()) + "\n"


def groups(folder: Path) -> dict[str, str]:
    """The group of each run: its own name where the study has fewer than two groups."""
    runs = read(folder, "gains")["run"].unique()
    frame = read(folder, "algorithm_runs")
    found = {} if frame.empty else dict(zip(frame["run"], frame["group"], strict=True))
    return {run: found.get(run, run) for run in runs}


def gains(folder: Path) -> Iterator[str]:
    """Accuracy before and after each run, and whether it rose beyond its error."""
    frame = read(folder, "gains")
    frame = frame[frame["role"] == "test"]
    heads = groups(folder)
    rows = []
    for group, part in frame.groupby(frame["run"].map(heads.get), sort=False):
        rose = (part["gain"] > BEYOND * part["gain_se"]).sum()
        rows.append(
            {
                "group": group,
                "before": part["base"].mean(),
                "after, each run": ", ".join(f"{value:.3f}" for value in part["full"]),
                "gain, mean": part["gain"].mean(),
                "standard error of a gain": part["gain_se"].mean(),
                "runs that rose": f"{rose} of {len(part)}",
            }
        )
    yield "## Accuracy before and after\n"
    yield f"*Rose*: the gain exceeds {BEYOND} paired standard errors over questions.\n"
    yield markdown(pd.DataFrame(rows)) + "\n"


def updates(folder: Path) -> Iterator[str]:
    """What the updates look like, beside what no signal looks like."""
    frame = read(folder, "algorithms")
    if frame.empty:
        return
    names = [*UPDATES, *sorted(n for n in set(frame["measure"]) if n.startswith("sparsity"))]
    rows = []
    for group, part in frame[frame["measure"].isin(names)].groupby("group", sort=False):
        found = part.set_index("measure")
        shown = {name: found.loc[name] for name in names if name in found.index}
        rows.append(
            {
                "group": group,
                **{name.replace("_", " "): _beside(row) for name, row in shown.items()},
            }
        )
    yield "## The updates at the end of the runs\n"
    yield "Mean over runs (standard deviation); null: the same measure without any signal.\n"
    yield markdown(pd.DataFrame(rows).fillna("-")) + "\n"


def _beside(row: pd.Series) -> str:
    spread = "" if pd.isna(row["sd"]) else f" ({row['sd']:.3f})"
    null = "" if pd.isna(row["null"]) else f", null {row['null']:.3f}"
    return f"{row['mean']:.3f}{spread}{null}"


def recoveries(folder: Path) -> Iterator[str]:
    """Gain recovered by rank-1 models and by forecasts, of the runs that gain."""
    frame, heads = read(folder, "forecasts"), groups(folder)
    frame = frame[frame["gain_recovery"].notna()]
    frame = frame.assign(group=frame["run"].map(heads.get))
    table = frame.pivot_table(index="group", columns="label", values="gain_recovery", sort=False)
    ranks = read(folder, "rank")
    ranks = ranks[ranks["gain_recovery"].notna()]
    ranks = ranks.assign(
        group=ranks["run"].map(heads.get),
        kind=ranks["variant"].str.split("@").str[0],
    )
    chosen = ranks[ranks["kind"].isin(RANKS)]
    models = chosen.pivot_table(index="group", columns="kind", values="gain_recovery", sort=False)
    yield "## Gain recovered\n"
    windows = ", ".join(sorted({f"{float(w):.0%}" for w in frame["window"]}))
    yield (
        f"By models of low rank made of the end, and by forecasts from {windows} of the run. Runs "
        "that did not gain beyond error are left out.\n"
    )
    yield markdown(models.join(table, how="outer", sort=False).reset_index()) + "\n"


def differences(folder: Path) -> Iterator[str]:
    """Whether the algorithms are different ones: distances between their models at the end."""
    ends: dict[int, dict[str, np.ndarray]] = {}
    for run, group in groups(folder).items():
        seed = re.search(r"-seed(\d+)$", run)
        if seed and group in RL_GROUPS:
            ends.setdefault(int(seed[1]), {})[group] = end_of(folder / "runs" / run)
    if not ends:
        return
    rows = []
    for group in next(iter(ends.values())):
        cells = {
            other: float(np.mean([_apart(end[group], end[other]) for end in ends.values()]))
            for other in next(iter(ends.values()))
        }
        rows.append({"": group, **cells})
    yield "## Distance between the models that the algorithms end with\n"
    yield (
        "Same base, questions and seed, AdamW: |A - B| over the mean norm of the two updates; mean "
        "over seeds. 0 would be one and the same algorithm.\n"
    )
    yield markdown(pd.DataFrame(rows)) + "\n"


def end_of(run: Path) -> np.ndarray:
    """The last checkpoint's update as one vector."""
    last = max(run.glob("checkpoints/step-*"), key=lambda path: int(path.name.partition("-")[2]))
    base = next(run.parents[1].glob("bases/*/model/model.safetensors"))
    after, before = load_file(last / "model.safetensors"), load_file(base)
    return np.concatenate([(after[name] - before[name]).ravel() for name in before])


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    norms = np.linalg.norm(a) + np.linalg.norm(b)
    return float(2 * np.linalg.norm(a - b) / norms)


def tests(folder: Path) -> Iterator[str]:
    """RL against SFT, by permutation tests over runs."""
    frame = read(folder, "algorithm_tests")
    for optimizer, part in frame.groupby("optimizer", sort=False) if len(frame) else ():
        suite = part["suite"].fillna("").map(lambda name: name and f" on {name}")
        table = pd.DataFrame(
            {
                "measure": part["measure"] + suite,
                "RL": part["rl"], "null ": part["rl_null"], "SFT": part["sft"],
                "null": part["sft_null"], "Cliff's d": part["cliff"],
                "p": part["p"].map("{:.4f}".format), "Holm": part["holm"].map("{:.4f}".format),
                "reading": part["reading"],
            }
        )  # fmt: skip
        yield f"## RL against SFT: {optimizer}\n"
        yield f"{part['rl_runs'].max()} runs of RL and {part['sft_runs'].max()} of SFT.\n"
        yield markdown(table) + "\n"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--title", required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    parts = [f"# {args.title}\n", f"Study `{args.folder.name}`, {date.today()}, {machine()}.\n"]
    for make in (gains, curves, differences, updates, recoveries, tests):
        parts += make(args.folder)
    args.out.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
