"""What one job needs."""

from __future__ import annotations

from dataclasses import dataclass

_SLOWEST = 3.0
"""Minutes that are asked for, over those expected."""
_SHORTEST = 10
"""Minutes that are asked for at least."""


@dataclass(frozen=True)
class Need:
    """Of one job, at its first attempt."""

    memory: float
    """Bytes of the machine's memory."""
    seconds: float
    """Expected, at the rates of `alpharl.cost.rates`."""
    disk: float = 0
    """Bytes written that stay."""
    scratch: float = 0
    """Bytes in the node's temporary folder at a time."""
    threads: int = 1
    gpus: int = 0

    @property
    def mem_mb(self) -> int:
        """Memory to ask for, in MB."""
        return int(self.memory / 1e6) + 1

    @property
    def minutes(self) -> int:
        """Time to ask for."""
        return max(_SHORTEST, int(_SLOWEST * self.seconds / 60) + 1)

    @property
    def disk_mb(self) -> int:
        """Room for what stays and for what is temporary, in MB."""
        return int((self.disk + self.scratch) / 1e6) + 1
