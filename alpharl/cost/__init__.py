"""What a study's jobs need before they run: memory, minutes, disk. Torch-free."""

from alpharl.cost.need import Need
from alpharl.cost.needs import Needs

__all__ = ["Need", "Needs"]
