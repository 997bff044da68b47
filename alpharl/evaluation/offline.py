"""Keeps the libraries that score off the network."""

from __future__ import annotations

import os


def go_offline() -> None:
    """Ask no model hub for anything, and show no bar per batch.

    The libraries read both when they are imported, so call this before.
    """
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
