"""How many singular triplets of a matrix: a rank, or a percentage that depends on its shape."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from math import floor

from alpharl.errors import MethodError


@dataclass(frozen=True)
class Depth:
    """A number of leading singular triplets; where several are asked for, the largest counts.

    Percentages name two different experiments (AlphaRL, section 2.1, and a fork of its code): of a
    4096 x 4096 matrix, 1 % of the components are 40 triplets, 1 % of the parameters are 20.
    """

    rank: int = 0
    """So many triplets of every matrix."""
    percent_components: float = 0.0
    """Share of a matrix's singular components: floor(p/100 min(m, n)), at least 1."""
    percent_parameters: float = 0.0
    """Share of a matrix's parameters, of which a triplet has m + n + 1:
    floor(p/100 m n / (m + n + 1)), at least 1."""

    def of(self, m: int, n: int) -> int:
        """Triplets of an (m, n) matrix, cut to min(m, n)."""
        components = _share(self.percent_components, min(m, n))
        parameters = _share(self.percent_parameters, m * n / (m + n + 1))
        return min(m, n, max(self.rank, components, parameters))

    def __str__(self) -> str:
        """Words for people: `rank 4`, `1 % of the components`, or several of them."""
        parts = [f"rank {self.rank}"] if self.rank else []
        shares = {"components": self.percent_components, "parameters": self.percent_parameters}
        parts += [f"{percent:g} % of the {name}" for name, percent in shares.items() if percent]
        return " or ".join(parts)


def some_depth(depth: int | Depth) -> Depth:
    """A depth of at least one triplet; a number is a rank.

    Raises:
        MethodError: it is none.
    """
    depth = depth if isinstance(depth, Depth) else Depth(int(depth))
    rank, *percents = astuple(depth)
    if min(rank, *percents) < 0 or not any((rank, *percents)):
        raise MethodError(f"found rank {rank} and percentages {percents}, expected one above 0")
    return depth


def deepest(*depths: Depth) -> Depth:
    """The smallest depth that holds all of these for every shape."""
    return Depth(
        max((depth.rank for depth in depths), default=0),
        max((depth.percent_components for depth in depths), default=0.0),
        max((depth.percent_parameters for depth in depths), default=0.0),
    )


def _share(percent: float, count: float) -> int:
    # A whole number must not be lost to rounding: 0.29 * 100 is 28.999999999999996.
    return max(1, floor(percent * count / 100 + 1e-9)) if percent else 0
