"""What is looked at beside each other: a spin's progress, two versions, an hour and the hours like it. Verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flywheel import loop
from flywheel.looking import Looking

if TYPE_CHECKING:
    from flywheel.loop.comparing import Comparison
    from flywheel.loop.turning import Turning
    from flywheel.observe.usual import Usual

__all__ = ["Showing"]


class Showing(Looking):
    """The verbs behind the pages of spins, releases and health."""

    def turning(self) -> Turning | None:
        """How far the last spin is, whichever process began it: its step, since when, and why it stopped.

        None where no spin was ever begun.
        """
        from flywheel.loop.turning import turning

        return turning(self._store, loop.STEPS)

    def compare(self, left: str, right: str) -> Comparison:
        """Two versions on the same labelled interactions of the last three spins: accuracy, slices, fixed and broke.

        Neither is judged by an example that it was trained on. Raises `NotFound` for a version that was never released.
        """
        from flywheel.loop.comparing import compare

        return compare(self._workshop([], None), left, right)

    def usual(self, metric: str = "confidence", last: int = 168) -> list[Usual]:
        """The last hours of a metric, each with the band in which it usually lies at that hour.

        `metric` is one of `volume`, `errors`, `failures`, `negative`, `feedback`, `confidence`, `latency_p50`,
        `latency_p95` and `sentiment`. Raises `InvalidConfig` for another.

        >>> import tempfile, flywheel
        >>> with flywheel.open(tempfile.mkdtemp()) as fw:
        ...     i = fw.log(input="hello", output="hi", confidence=0.9)
        ...     [(hour.value, hour.low) for hour in fw.usual()]
        [(0.9, None)]
        """
        from flywheel.observe.usual import usual

        place, rows = self._hours(felt=metric == "sentiment")
        known: dict[Any, Any] = self.__dict__.get("_usual_at", {})  # as long as the log stands still
        if known.get("place") != place:
            known = self.__dict__["_usual_at"] = {"place": place}
        if (metric, last) not in known:
            known[metric, last] = tuple(usual(rows, metric, last=last))
        return list(known[metric, last])
