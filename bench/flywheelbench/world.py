"""What an arm may see of a stream, and what only the referee sees.

A `World` is drawn once for each (stream, seed), before any arm runs. Everything that chance decides is in it: the
traffic, the texts with their typos, who would report what and when, what a tired labeler would answer. Arms of one seed
therefore differ in their decisions alone (common random numbers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

__all__ = ["Luck", "Request", "Sealed", "World"]


@dataclass(frozen=True, slots=True)
class Luck:
    """Uniform draws in [0, 1) that belong to one request, whichever arm answers it."""

    report: float
    wrong_class: float
    which_class: float
    retry: float
    label: float
    which_label: float
    delay_days: float
    """Lognormal: the median is a day, 95 % come within a week."""


@dataclass(frozen=True, slots=True)
class Request:
    """One interaction to come: its input, who asks, and the truth that the arms do not see."""

    id: str
    input: Any
    truth: Any
    user: str
    group: str
    """The user group; `quiet` users report half as often as others."""
    context: Mapping[str, Any]
    at: datetime
    luck: Luck
    noise: bool = False
    """Damaged beyond use, or not worth a label by construction: typos, truncation, a bad scan."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """One case of the sealed test. `slices` are the names of the slices it belongs to, `group=quiet` among them."""

    input: Any
    truth: Any
    slices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class World:
    """One stream under one seed."""

    name: str
    seed: int
    kind: str
    """`text`, `vector` or `tabular`: which of the product's trainers every arm uses."""
    seed_inputs: Sequence[Any]
    seed_labels: Sequence[Any]
    spins: Sequence[Sequence[Request]]
    """The traffic of each spin in order of time."""
    sealed: Sequence[Sealed]
    weights: Sequence[np.ndarray[Any, Any]]
    """For each spin, the weight of every sealed case in the population of that spin; each sums to 1. A class that has
    not appeared yet weighs 0."""
    labels: Sequence[Any]
    """Every label there will be; arms learn of one when they see it."""
    confusable: Mapping[Any, Sequence[Any]] = field(default_factory=dict)
    """Labels that people mix up: label → others."""
    out_of_scope: Any = None
    protected: Sequence[str] = ()
    """Context keys that the product is told to protect."""
    late: bool = False
    """Labels cannot be had at once: the truth of a spin is known when the next one ends, and a label is a choice of
    which to use."""
    gains: bool = True
    """Is there something to gain? Streams without are controls, and no part of the mean."""
