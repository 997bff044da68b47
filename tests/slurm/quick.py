"""`snakemake` that looks every second after the jobs that it submitted. For tests only.

The executor adds ten seconds to its interval whenever no job has completed, up to three minutes,
and no setting changes that. Only the outer process is another; jobs run the real one.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def _sleep(executor: RemoteExecutor) -> None:
    await asyncio.sleep(1)


RemoteExecutor.sleep = _sleep
# A shell's background jobs ignore interrupts, and so would what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
main(sys.argv[1:])
