"""Bad inputs of the kind outs: commands whose results would take the place of something else.

It is an input, another result, a folder, a device; or nothing can be made there at all.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.bad_inputs.good import RUN
from tests.bad_inputs.made import READERS as OF_MADE
from tests.bad_inputs.made import TOKENS
from tests.bad_inputs.table import BadInput
from tests.bad_inputs.weights import READERS, TRAIN

ONE = "--base base --checkpoint run/step-30"
TABLES = f"dynamics {RUN} --scores scores.csv"
SUITE = """suite --name s --spec '{"role": "test", "tasks": [{"task": "%s", "split": "test"}]}'"""
PRETRAIN = """pretrain --spec '{"problem": "addition", "steps": 1}'"""
FILES = {
    "factors": READERS["factors"],
    "gram": READERS["gram"],
    "audit": f"audit {RUN} --out new.json",
    "trust": f"trust {RUN} --out new.json",
    "manifest": READERS["manifest"],
    "dynamics": READERS["dynamics"],
    "truth": READERS["truth"],
    "accuracy": "accuracy --scores made/scores/base.json --out new.csv",
    "disjoint": "disjoint --suites made/suite/suite.json --out new.json",
    "checkpoints": "checkpoints --run r --base b --manifests made/manifests/step-30.json "
    "--out new.json",
    "published": "published --models 1=a/b@c --base base --out new.json",
    "fetch": "fetch --task svamp --data rows.jsonl --out new.jsonl",
    "suite": f"{SUITE % 'addition'} --out new.json",
}
"""The verbs that write files."""
FOLDERS = {
    "measure": READERS["measure"],
    "rank": READERS["rank"],
    "forecast": READERS["forecast"],
    "export": READERS["export"],
    "evaluate": READERS["evaluate"],
    "tokens": TOKENS,
    "ranks": OF_MADE["made/factors/step-30.safetensors"]["ranks"],
    "forecasts": OF_MADE["made/gram.safetensors"]["forecasts"],
    "unpack": "unpack model.gguf --out new",
    "pretrain": f"{PRETRAIN} --out new",
    "train": TRAIN,
    "download": "download --repo a/b --out new --record record.json",
    "merge": "merge --environment . --checkpoint run/step-30 --out new --record record.json",
}
"""The verbs that write folders."""


def into(place: str, commands: dict[str, str]) -> dict[str, str]:
    """The same commands, with their results elsewhere."""
    heads = {name: command.rpartition("--out new") for name, command in commands.items()}
    return {name: f"{head}--out {place}{end.partition(' ')[1]}{end.partition(' ')[2]}"
            for name, (head, _, end) in heads.items()}  # fmt: skip


def of_weights(place: str) -> dict[str, str]:
    """The verbs that read checkpoints and write a file, which is one of these."""
    return into(place, {name: FILES[name] for name in ("factors", "gram", "audit", "manifest")})


def nothing(folder: Path) -> None:
    """The files stay as they are: it is the command that is wrong."""


def link(folder: Path) -> None:
    """A checkpoint's weights have a second name, by a symbolic link."""
    (folder / "link").symlink_to("run/step-30/model.safetensors")


def hard_link(folder: Path) -> None:
    """They have one by a hard link."""
    os.link(folder / "run/step-30/model.safetensors", folder / "link")


def linked_folder(folder: Path) -> None:
    """The folder of the run has a second name."""
    (folder / "link").symlink_to("run")


def answers(folder: Path) -> None:
    """Answers have the name of a table that is made of them."""
    (folder / "made/scores/base.answers.jsonl").rename(folder / "made/prefix.csv")


def pipe(folder: Path) -> None:
    """A pipe has the name."""
    os.mkfifo(folder / "pipe")


WEIGHTS = "found a file of .*run/step-30, which --checkpoints? reads, expected another place"
READ = "found what --{0} reads, expected another place for what --{1} writes"
TWICE = "would be written twice, by {}; expected a file for each result"
NO_PLACE = r"found no folder at \S*scores.csv, expected a folder to write to"
ROWS = [
    BadInput("a checkpoint's weights", nothing, WEIGHTS,
             of_weights("run/step-30/model.safetensors")),
    BadInput("a new file among them", nothing, WEIGHTS, of_weights("run/step-30/new.safetensors")),
    BadInput("another way to write it", nothing, WEIGHTS,
             of_weights("run/../run/./step-30/model.safetensors")),
    BadInput("a symbolic link to them", link, WEIGHTS, of_weights("link")),
    BadInput("a hard link to them", hard_link, WEIGHTS, of_weights("link")),
    BadInput("a link to their folder", linked_folder, WEIGHTS,
             of_weights("link/step-30/model.safetensors")),
    BadInput("a pattern that is theirs", nothing, WEIGHTS.replace("step-30", r"step-\d0"),
             {"factors": "factors --base base --checkpoint 'run/step-{step}' "
              "--out 'run/step-{step}/model.safetensors'"}),
    BadInput("a file of the base", nothing, "found a file of base, which --base reads",
             {"factors": f"factors {ONE} --out base/config.json",
              "published": "published --models 1=a/b@c --base base --out base/config.json",
              "train": f"{TRAIN} --manifests 'base/{{step}}.json'"}),
    BadInput("the base", nothing, READ.format("base", "out"),
             into("base", {n: FOLDERS[n] for n in ("measure", "rank", "evaluate", "tokens")})),
    BadInput("the folder of the run", nothing, "found what --checkpoints? reads in it, run/step-30",
             {"rank": f"rank {ONE} --out run"}),
    BadInput("the variant", nothing, "found what the command reads, expected another place",
             {"export": "export made/low --out made/low"}),
    BadInput("the gram", nothing, READ.format("gram", "out"),
             {"audit": f"audit {RUN} --gram made/gram.safetensors --out made/gram.safetensors",
              "truth": FILES["truth"].replace("new.parquet", "made/gram.safetensors")}),
    BadInput("the scores", nothing, READ.format("scores", "(out|pca)"),
             {"trust": f"trust {RUN} --scores scores.csv --out scores.csv",
              "accuracy": "accuracy --scores made/scores/base.json --out made/scores/base.json",
              "twin": f"{TABLES} --out scores.parquet",
              "pca": f"{TABLES} --out new.parquet --pca scores.csv"}),
    BadInput("the suite", nothing, READ.format("suites?", "out"),
             {"evaluate": "evaluate --suite made/suite/suite.json --base base "
              "--variant suite=run/step-30 --out made/suite",
              "disjoint": "disjoint --suites made/suite/suite.json --out made/suite/suite.json"}),
    BadInput("the questions", nothing, "(which|found what) --data reads",
             {"fetch": "fetch --task svamp --data rows.jsonl --out rows.jsonl",
              "suite": f"{SUITE % 'svamp'} --data made/data --out made/data/svamp-test.jsonl"}),
    BadInput("the answers", answers, READ.format("writer", "out"),
             {"tokens": TOKENS.replace("scores/base.answers.jsonl", "prefix.csv")
              .replace("--out new", "--out made")}),
    BadInput("a manifest", nothing, READ.format("manifests", "out"),
             {"checkpoints": FILES["checkpoints"].replace("new", "made/manifests/step-30"),
              "manifest": f"manifest {ONE} --step 30 --manifests made/manifests/step-30.json "
              "--out made/manifests/step-30.json"}),
    BadInput("the file that is unpacked", nothing, "found what the command reads",
             {"manifest": "unpack model.gguf --out new --manifest model.gguf",
              "folder": "unpack model.gguf --out . --replace"}),
    BadInput("a checkpoint that training starts from", nothing, READ.format("base", "out"),
             {"train": TRAIN.replace("--base base --out new",
                                     "--base run/step-10 --out run --replace")}),
    BadInput("models that are made at once", nothing, READ.format("base", "out"),
             {"ranks": FOLDERS["ranks"].replace("rank-1@30", "base").replace("new", ".")}),
    BadInput("a folder of something else", nothing, "found a folder without config.json, expected "
             "a model folder to replace",
             {"pretrain": f"{PRETRAIN} --out made --replace",
              "download": FOLDERS["download"].replace("new", "made"),
              "merge": FOLDERS["merge"].replace("new", "made")}),
    BadInput("the table's own twin", nothing, "found a CSV file's name, expected one for Parquet",
             into("new.csv", {"dynamics": TABLES + " --out new", "truth": FILES["truth"]})),
    BadInput("another result's name", nothing, TWICE.format("--out and by --pca"),
             {"twin": f"{TABLES} --out new.parquet --pca new.csv",
              "path": f"{TABLES} --out new.parquet --pca made/../new.csv"}),
    BadInput("two pictures of one name", nothing, TWICE.format("--pca and by --tsne"),
             {"dynamics": f"{TABLES} --out new.parquet --pca a.csv --tsne ./a.csv"}),
    BadInput("the questions that are made with it", nothing, TWICE.format("--out"),
             {"suite": f"{SUITE % 'addition'} --out addition-test.jsonl"}),
    BadInput("the record is the model", nothing, TWICE.format("--out and by --(record|manifest)"),
             {"download": FOLDERS["download"].replace("record.json", "new"),
              "pretrain": f"{PRETRAIN} --out new --manifest new"}),
    BadInput("a folder as a file", nothing, "found a (folder, expected a file|CSV file's name)",
             into("made", FILES)),
    BadInput("a file as a folder", nothing, "exists already as a file, expected a folder",
             into("rows.jsonl", FOLDERS)),
    BadInput("a file in its path", nothing, NO_PLACE,
             into("scores.csv/new", FILES) | into("scores.csv/new", FOLDERS)),
    BadInput("a name that is too long", nothing, "found a name of 2[0-9]* bytes, expected at most",
             into("a" * 240, FILES) | into("a" * 240, FOLDERS)),
    BadInput("a link to standard output",
             lambda folder: (folder / "link").symlink_to("/proc/self/fd/1"),
             "link: found a device or a pipe", into("link", FILES)),
    BadInput("a file deep in a model", nothing, "found a file of base, which --base reads, expect",
             into("base/deep/new", {name: FILES[name] for name in ("factors", "gram", "audit")})),
    BadInput("a pipe", pipe, "pipe: found a device or a pipe",
             into("pipe", {name: FILES[name] for name in ("gram", "audit", "accuracy")})),
]  # fmt: skip
"""What stands there is not changed, whichever verb it is."""
