"""Bad inputs of the kind options: numbers out of the range of what they set."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bad_inputs.good import RUN
from tests.bad_inputs.table import BadInput

ONE = "--base base --checkpoint run/step-30"
VERBS = {
    "factors": f"factors {ONE} --out new.safetensors",
    "gram": f"gram {RUN} --out new.safetensors",
    "measure": f"measure {RUN} --out new",
    "dynamics": f"dynamics {RUN} --scores scores.csv --out new.parquet",
    "rank": f"rank {ONE} --out new",
    "ranks": f"ranks {RUN} --factors made/f --spec [] --out new",
    "forecast": f"forecast {RUN} --method relex --out new",
    "trust": f"trust {RUN}",
    "truth": "truth --variant made/low --target run/step-30 --gram made/gram.safetensors "
    "--out new.parquet",
    "manifest": f"manifest {ONE} --out new.json",
    "evaluate": "evaluate --suite made/suite/suite.json --base base --variant x=run/step-30 "
    "--out new",
    "tokens": "tokens --suite made/suite/suite.json --base base "
    "--writer w=made/scores/base.answers.jsonl --out new",
}
"""Commands that the bad option is added to."""

PARSED = {
    "factors": [
        "--shard -1", "--shards 0", "--shards 1000000", "--rank 0", "--rank 1.5", "--rank 1_0",
        "--rank ten", "--percent-components 200", "--percent-components nan",
        "--percent-parameters -1", "--gpus -1", "--gpus 0.5",
        "--rank 99999999", "--gpus 1025", "--shard 100001",
    ],
    "gram": ["--steps 0 10", "--steps -10", "--steps 1e3", "--steps 10.0", "--shards 0"],
    "measure": ["--steps 0", "--shards 0", "--gpus -1"],
    "dynamics": [
        "--holdout 0", "--holdout 1", "--holdout 2", "--holdout nan", "--permutations 0",
        "--permutations -1", "--permutations 1e3", "--permutations 1000000",
        "--seed -1", "--seed 4294967296", "--steps 0",
    ],
    "rank": [
        "--rank 0", "--rank -1", "--percent-components 0", "--percent-components 200",
        "--percent-parameters nan", "--scale nan", "--scale inf", "--scale 1e300", "--scale 0",
        "--scale -1", "--scale ten", "--step 0", "--seed -1",
    ],
    "ranks": ["--shards 0", "--seed -1", "--steps 0"],
    "forecast": [
        "--target-step 0", "--target-step -1", "--target-step 99999999999999999999",
        "--target-step 60 --through 0", "--target-step 60 --through -1", "--target-multiple 1",
        "--target-multiple nan", "--target-multiple 1e300", "--target-accuracy 0",
        "--target-accuracy 45", "--target-step 60 --amplitude 0",
        "--target-step 60 --amplitude 1e300", "--target-step 60 --amplitude inf",
        "--target-step 60 --shards 0", "--target-step 60 --steps 0",
    ],
    "trust": ["--steps -5", "--through 0", "--target-step 0", "--target-multiple inf", "--gpus -1"],
    "truth": ["--step 0", "--step -30"],
    "manifest": ["--step -1", "--step 1.5"],
    "evaluate": ["--gpus -2"],
    "tokens": ["--batch-size 0", "--batch-size 9999999999", "--prefix 9999999999",
        "--prefix 0", "--prefix -1", "--gpus -1"],
}  # fmt: skip
"""Refused by the parser, which names the last option."""

CHECKED = {
    "factors": {"--shard 5 --shards 2": "found shard 5 of 2, expected one from 0 to 1"},
    "gram": {"--shard 1": "found shard 1 of 1, expected one from 0 to 0"},
    "measure": {
        "--option floor.seed=-1": "floor: option seed: Input should be greater than or equal to 0",
        "--option floor.seed=010": "line 1: found 010, which YAML reads as 8",
    },
    "rank": {"--kind component --rank 99": "99"},
    "ranks": {
        "--spec '[{}]'": "--spec: 0.name: Field required",
        "--spec x": "--spec: Invalid JSON",
    },
    "truth": {
        "--target run/step-20 run/step-30 --step 30 30": "found --step 30 30, expected each step"
    },
    "forecast": {
        "--through 20 --target-step 20": "found target step 20, expected one after",
        "--through 20 --target-step 10": "found target step 10, expected one after",
        "--target-step 60 --option rank=0": "option rank: Input should be greater than 0",
        "--target-step 60 --option rank=true": "found true or false for key 'rank'",
        "--target-step 60 --option rank=1_0": "found 1_0, which YAML reads as 10",
        "--target-step 60 --batch-size 0": "batch_size: Input should be greater than 0",
        "--target-step 60 --method expo --option alpha=1e300": "alpha: Input should be less than",
        "--target-step 60 --method expo --option alpha=.nan": "alpha: Input should be a finite",
        "--target-step 60 --method first-update --option gamma=.inf": "gamma: Input should be a f",
    },
    "trust": {"--batch-size -3": "batch_size: Input should be greater than 0"},
    "evaluate": {"--batch-size 0": "batch_size: Input should be greater than 0"},
}
"""Refused by the verb, with these words."""


def _rows() -> Iterator[BadInput]:
    for verb, options in PARSED.items():
        for option in options:
            name = option.rpartition("--")[2].split()[0]
            line = (
                f"argument --{name}: found '.*', expected a (whole )?number .*see 'alpharl {verb}"
            )
            yield _row(verb, option, line, 2)
    for verb, lines in CHECKED.items():
        for option, line in lines.items():
            yield _row(verb, option, line, 1)


def _row(verb: str, option: str, line: str, status: int) -> BadInput:
    return BadInput(option, lambda folder: None, line, {verb: f"{VERBS[verb]} {option}"}, status)


ROWS = list(_rows())
