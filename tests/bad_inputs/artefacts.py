"""Bad inputs of the kind artefacts: results that are whole, but of something else, or edited."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from alpharl.cli import main
from safetensors.torch import load_file, save_file

from tests.bad_inputs.good import RUN, STEPS
from tests.bad_inputs.made import FACTORS, GRAM, READERS, of_variant
from tests.bad_inputs.table import BadInput
from tests.bad_inputs.weights import READERS as OF_WEIGHTS

Spoil = Callable[[Path], object]
LAST, BASE = "run/step-30", "base"
OF_GRAM = READERS["made/gram.safetensors"]
WITHOUT_TRUTH = {name: call for name, call in OF_GRAM.items() if name != "truth"}
OF_FACTORS = READERS["made/factors/step-30.safetensors"]
KNOWN = "--manifests made/known/base.json made/known/step-30.json"
EVALUATE = f"{OF_WEIGHTS['evaluate']} {KNOWN}"
OTHER = r"found that it was made from other weights than .* holds now \(.*\); make it again with"
EDITED = "found other content than its own digest says"


def trained_on(folder: str) -> Spoil:
    """The model has other weights than before, of the same size."""

    def spoil(_: Path) -> None:
        file = Path(folder, "model.safetensors")
        moved = {name: w + 1e-3 * torch.ones_like(w) for name, w in load_file(file).items()}
        save_file(moved, file, metadata={"format": "pt"})

    return spoil


def run(*commands: str) -> None:
    for command in commands:
        assert main(command.split()) == 0, command


def of_another_run(_: Path) -> None:
    """A gram of a run elsewhere stands where this run's is expected."""
    shutil.copytree("run", "elsewhere")
    trained_on("elsewhere/step-20")(Path())
    run(f"gram {RUN.replace('run/', 'elsewhere/')} --out made/gram.safetensors")


def of_a_run_that_is_gone(_: Path) -> None:
    """A gram of another run; this one's weights are gone, so only the name tells."""
    of_another_run(Path())
    for step in STEPS:
        Path(f"run/step-{step}/model.safetensors").unlink()


def of_two_runs(_: Path) -> None:
    """Two shards of a gram, each of another run."""
    run(f"gram {RUN} --shard 0 --shards 2 --out made/gram-0.safetensors")
    trained_on(LAST)(Path())
    run(f"gram {RUN} --shard 1 --shards 2 --out made/gram-1.safetensors")


def exchanged(_: Path) -> None:
    """The factors of one step have the name of another's."""
    shutil.copy("made/factors/step-10.safetensors", "made/factors/step-30.safetensors")


def with_manifests(then: Spoil) -> Spoil:
    """Manifests of base and last checkpoint are there, and then something happens."""

    def spoil(folder: Path) -> None:
        run(
            "manifest --checkpoint base --step 0 --out made/known/base.json",
            f"manifest --checkpoint {LAST} --step 30 --base base --out made/known/step-30.json",
        )
        then(folder)

    return spoil


def on_another_base(_: Path) -> None:
    """A second base, on which the adapters were not made."""
    shutil.copytree("base", "other")
    trained_on("other")(Path())


def edited(file: str, key: str, value: object) -> Spoil:
    """A number in a result is another one, and all else as it was."""

    def spoil(_: Path) -> None:
        content = json.loads(Path(file).read_text())
        content[key] = value
        Path(file).write_text(json.dumps(content, indent=1) + "\n")

    return spoil


def edited_table(_: Path) -> None:
    """An accuracy in a table that a command wrote is another one."""
    run("accuracy --scores made/scores/base.json --out made/validation.csv")
    text = Path("made/validation.csv").read_text()
    Path("made/validation.csv").write_text(text.replace("\n0,", "\n0,0.9"))


def earlier(file: str) -> Spoil:
    """A file that says nothing of itself, as those of version 0.2 do."""
    return lambda _: save_file(load_file(file), file)


def unsealed(file: str) -> Spoil:
    """The same of a file of JSON."""

    def spoil(_: Path) -> None:
        content = json.loads(Path(file).read_text())
        del content["seal"]
        Path(file).write_text(json.dumps(content))

    return spoil


def touched_and_changed(_: Path) -> None:
    """The weights are others, and the time of the file is what it was."""
    file = Path(LAST, "model.safetensors")
    stat = file.stat()
    extra = {"more": torch.zeros(3)}
    save_file({**load_file(file), **extra}, file, metadata={"format": "pt"})
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


ON_OTHER = "evaluate --suite made/suite/suite.json --base other --variant x={} --out new"
TRUST = "trust --base base --checkpoints run/step-{step} --gram 'made/gram-{shard}.safetensors'"
ROWS = [
    BadInput("a gram of another run", of_another_run, OTHER, WITHOUT_TRUTH),
    BadInput("a gram of another run, this one's weights gone", of_a_run_that_is_gone,
             r"was made from elsewhere/step-\d+, expected .*run/step-\d+, which is gone",
             {"trust": OF_GRAM["trust"], "audit": OF_GRAM["audit"]}),
    BadInput("a checkpoint changed since the gram", trained_on(LAST), OTHER, WITHOUT_TRUTH),
    BadInput("a base changed since the gram", trained_on(BASE), OTHER, WITHOUT_TRUTH),
    BadInput("a file replaced at the same time as the gram's", touched_and_changed,
             f"{OTHER}|has other tensors|more", {"trust": OF_GRAM["trust"]}),
    BadInput("shards of two runs", of_two_runs, "made from other models than made/gram-0",
             {"trust": f"{TRUST} --shards 2"}),
    BadInput("a gram of an earlier version", earlier("made/gram.safetensors"),
             "found no digest of its own", OF_GRAM),
    BadInput("factors of another step", exchanged, OTHER, OF_FACTORS),
    BadInput("a checkpoint changed since the factors", trained_on(LAST), OTHER, OF_FACTORS),
    BadInput("factors of an earlier version", earlier("made/factors/step-30.safetensors"),
             "found no digest of its own", OF_FACTORS),
    BadInput("a checkpoint changed since a forecast", trained_on(LAST),
             "made/blend: found that it was made from other weights than run/step-30",
             of_variant("blend")),
    BadInput("a base changed since a forecast", trained_on(BASE),
             "made/low: found that it was made from other weights than base", of_variant("low")),
    BadInput("a forecast on another base", on_another_base,
             "made/low: found that it was made from other weights than other",
             {"evaluate": ON_OTHER.format("made/low")}),
    BadInput("a checkpoint changed since its manifest", with_manifests(trained_on(LAST)),
             "found other weights in .*step-30 than when this manifest was made; make it again",
             {"evaluate": EVALUATE}),
    BadInput("a base changed since its manifest", with_manifests(trained_on(BASE)),
             "found other weights in .*base than when this manifest was made",
             {"gram": f"gram {RUN} {KNOWN} --out new.safetensors",
             "factors": f"factors --base base --checkpoint {LAST} {KNOWN} --out new.safetensors"}),
    BadInput("an edited score", edited("made/scores/base.json", "accuracy", 0.99), EDITED,
             READERS["made/scores/base.json"]),
    BadInput("an edited manifest", edited("made/manifests/step-30.json", "step", 40), EDITED,
             READERS["made/manifests/step-30.json"]),
    BadInput("an edited forecast", edited("made/blend/variant.json", "amplitude", 3.0), EDITED,
             of_variant("blend")),
    BadInput("an edited suite", edited("made/suite/suite.json", "role", "test"), EDITED,
             {"evaluate": OF_WEIGHTS["evaluate"]}),
    BadInput("an edited table of accuracies", edited_table, "other content than validation.sha256",
             {"trust": f"trust {RUN} {GRAM} --scores made/validation.csv",
              "forecast": f"forecast {RUN} {FACTORS} --scores made/validation.csv "
              "--method alpharl-step --target-step 60 --out new"}),
    BadInput("a score of an earlier version", unsealed("made/scores/base.json"),
             "found no digest of its own", READERS["made/scores/base.json"]),
]  # fmt: skip
