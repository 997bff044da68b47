"""The library's front door: `Trajectory`, one run as people hold it."""

from alpharl.trajectory.trajectory import Trajectory

__all__ = ["Trajectory"]
