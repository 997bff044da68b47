"""The workflow fixtures, shared with tests/workflow."""

from tests.workflow.conftest import finished, mini

__all__ = ["finished", "mini"]
