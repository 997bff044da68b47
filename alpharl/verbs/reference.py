"""The verbs as a page, and the JSON that they print as a schema: `make schema` writes both.

python -m alpharl.verbs.reference docs
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from alpharl.verbs import GROUPS, VERBS, module_of, summary_of
from alpharl.verbs.parser import parser_of
from alpharl.verbs.result import Result

HEAD = """# Commands

This page is generated from the verbs. `alpharl VERB --help` explains every argument. A verb that
reports something takes `--json`; its schema is in [output.schema.json](output.schema.json).
Results go to standard output, progress to standard error. The exit status is 0; 1 if something is
wrong with the input or the machine, with one line on standard error; 2 if the command line is
wrong; 130 after Ctrl-C; 143 after SIGTERM. With `--debug`, before or after the verb, a command that
fails shows where in the code its error comes from.

At a terminal, tables are framed and progress is shown as bars. In pipes and logs, and with
`NO_COLOR` set, both are plain lines.

The examples assume a base in `models/base`, checkpoints in `runs/foo/checkpoint-50`, `-100` and
`-150`, and validation accuracies in `scores.csv`.
"""


def commands_page() -> str:
    """All verbs in their groups, with their examples."""
    parts = [HEAD]
    for group, verbs in GROUPS.items():
        parts.append(f"## {group}\n")
        for verb in verbs:
            example = module_of(verb).EXAMPLE
            block = f"\n\n```sh\n{example}\n```" if example else ""
            parts.append(f"`alpharl {verb}`: {summary_of(verb)}{block}\n")
    return "\n".join(parts)


def result_of(verb: str) -> type[Result] | None:
    """What a verb prints; None where it prints nothing."""
    result: type[Result] | None = parser_of(verb, module_of(verb)).get_default("result")
    return result


def schemas() -> dict[str, Any]:
    """The JSON schema of what each verb prints with `--json`."""
    results = {verb: result for verb in VERBS if (result := result_of(verb))}
    return {v: r.model_json_schema(mode="serialization") for v, r in results.items()}


def write(folder: Path) -> None:
    """Write `commands.md` and `output.schema.json`."""
    (folder / "commands.md").write_text(commands_page())
    (folder / "output.schema.json").write_text(json.dumps(schemas(), indent=1) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
