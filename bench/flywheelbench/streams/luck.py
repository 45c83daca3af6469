"""The luck of requests: drawn once, so that whoever answers a request meets the same users and the same labelers."""

from __future__ import annotations

import math

import numpy as np
from flywheelbench.world import Luck

__all__ = ["DELAY_SPREAD", "draw_luck"]

DELAY_SPREAD = math.log(7) / 1.6448536269514722
"""Standard deviation of the log of a delay in days, so that the median is 1 and 95 % lie below 7."""


def draw_luck(rng: np.random.Generator, n: int) -> list[Luck]:
    """Draw the luck of `n` requests: six uniform numbers in [0, 1) each, and a delay in days."""
    uniform = rng.random((n, 6)).tolist()
    days = np.exp(DELAY_SPREAD * rng.standard_normal(n)).tolist()
    return [Luck(*six, delay) for six, delay in zip(uniform, days, strict=True)]
