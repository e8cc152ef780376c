"""One scalar, over all ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class ReducedScalar:
    """What all ranks together have published of one scalar. It is the same, to the bit, on each of them.

    Attributes:
        sum: The sum of the values.
        count: The sum of their counts.
        min: The smallest value; NaN if one is.
        max: The largest value; NaN if one is.
        updates: How many values there are; at least one.

    Example:
        >>> ReducedScalar(sum=8.0, count=4, min=2.0, max=6.0, updates=2).mean
        2.0

    Source: DIST-01 to DIST-03.
    """

    sum: float
    count: float
    min: float
    max: float
    updates: int

    @property
    def mean(self) -> float:
        """The sum of the values over the sum of their counts, as `ScalarHistory.mean` has it.

        Source: DIST-01.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.float64(self.sum) / np.float64(self.count))
