"""The JSON schema of study files, generated from the config models.

`python -m alpharl.study.schema FILE` writes it; editors complete and check study files with it
through a first line such as

    # yaml-language-server: $schema=../workflow/schemas/config.schema.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from alpharl.study.config import Study


def schema_text() -> str:
    """The schema as the text of its file."""
    return json.dumps(Study.model_json_schema(), indent=1) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(schema_text())
