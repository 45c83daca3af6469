"""What training costs an arm, and the cap on it: the same for all.

All arms train with the learner of one class, so its `fit` and `crossfit` are where the clock stands: seconds of the
processor (of every thread), of the outermost call, whoever asks: a habit, the product, or the gate around either.
A call is not cut off in the middle. Once a spin has used up its cap, the next call is refused, and the arm goes on
with the champion it has; its labels are kept, and the next spin has a cap of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

__all__ = ["CAP", "CapSpent", "Meter", "metered"]

CAP = 60.0
"""Seconds of the processor that an arm may train in a spin. A fit on 15,000 texts, more than any run has, takes 17;
fit, cross-fit and placebo on 3,000 take 5 (`make bench-text-learner`)."""


class CapSpent(Exception):
    """The spin's training has used up its cap."""


class Meter:
    """Seconds of training by spin. Nothing counts, and nothing is refused, before the first spin begins: the seed model
    is every arm's."""

    def __init__(self, cap: float = CAP) -> None:
        self.cap = cap
        self.spins: list[float] = []
        self.capped: set[int] = set()
        """The spins, counted from 0, in which a training was refused."""
        self._inside = False

    def begins(self) -> None:
        """A new spin begins, with a cap of its own."""
        self.spins.append(0.0)

    @contextmanager
    def training(self) -> Iterator[None]:
        """Count what is done inside. Raises `CapSpent` where the spin has used up its cap."""
        if not self.spins or self._inside:
            yield
            return
        if self.spins[-1] >= self.cap:
            self.capped.add(len(self.spins) - 1)
            raise CapSpent(f"{self.spins[-1]:.1f} of {self.cap:g} s")
        started, self._inside = time.process_time(), True
        try:
            yield
        finally:
            self._inside = False
            self.spins[-1] += time.process_time() - started

    def row(self) -> dict[str, float]:
        """The figures of a run: mean and most seconds a spin, and the number of spins that were capped."""
        return {
            "train_cpu": round(sum(self.spins) / max(len(self.spins), 1), 3),
            "train_cpu_most": round(max(self.spins, default=0.0), 3),
            "capped": len(self.capped),
        }


@contextmanager
def metered(trainer: type, meter: Meter) -> Iterator[None]:
    """While this lasts, everything that trainers of this class learn is counted by the meter."""
    known = {name: vars(trainer)[name] for name in ("fit", "crossfit") if name in vars(trainer)}

    def counted(work: Any) -> Any:
        @wraps(work)
        def call(*args: Any, **kwargs: Any) -> Any:
            with meter.training():
                return work(*args, **kwargs)

        return call

    for name, work in known.items():
        setattr(trainer, name, counted(work))
    try:
        yield
    finally:
        for name, work in known.items():
            setattr(trainer, name, work)
