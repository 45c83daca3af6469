"""One slice, looked into: which failures lie in it, and to which modes they belong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from flywheel.errors import InvalidConfig
from flywheel.records import Failure, Mode, Slice

__all__ = ["Within", "failures_within", "slice_of"]

_BINS = re.compile(
    r"below (?P<upto>\S+)|(?P<least>\S+) and more|(?P<low>\S+) to (?P<high>\S+)",
)


@dataclass(frozen=True, slots=True)
class Within:
    """What fails in a slice: expected failures there and in all, the modes they belong to, and the likeliest of them.

    Each of `modes` is a mode with its expected failures in the slice, the most first; failures that belong to no mode
    count in `failures` only. `of` counts the failures of the whole window.
    """

    where: Slice
    failures: float
    of: float
    modes: tuple[tuple[Mode, float], ...]
    examples: tuple[Failure, ...]


def slice_of(conditions: Iterable[str]) -> Slice:
    """The slice that conditions such as `device=ios` name. Raises `InvalidConfig` for one that is none.

    >>> str(slice_of(["device=ios", "hour=9 to 12"]))
    'device=ios & hour=9 to 12'
    """
    found = []
    for one in conditions:
        name, equals, value = one.partition("=")
        if not equals or not name.strip():
            raise InvalidConfig(f"{one[:80]!r} is no condition of a slice. Write name=value, such as device=ios")
        found.append((name.strip(), value.strip()))
    if not found:
        raise InvalidConfig("a slice needs at least one condition. Write name=value, such as device=ios")
    return Slice(tuple(found))


def failures_within(where: Slice, found: Sequence[Failure], modes: Sequence[Mode], limit: int = 20) -> Within:
    """Look into a slice; `found` are the failures of a window, `limit` how many examples to show.

    >>> from datetime import UTC, datetime
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> seen = [Failure(interaction_id=device, at=at, probability=0.5, mode="m", context={"device": device})
    ...         for device in ("ios", "web")]
    >>> told = failures_within(slice_of(["device=ios"]), seen, [Mode(id="m", name="late")])
    >>> told.failures, told.of, [(mode.name, count) for mode, count in told.modes]
    (0.5, 1.0, [('late', 0.5)])
    """
    inside = [failure for failure in found if all(_holds(failure, name, value) for name, value in where.conditions)]
    counted: dict[str, float] = {}
    for failure in inside:
        if failure.mode is not None:
            counted[failure.mode] = counted.get(failure.mode, 0.0) + failure.probability
    known = sorted(
        ((mode, round(counted[mode.id], 2)) for mode in modes if mode.id in counted),
        key=lambda pair: (-pair[1], pair[0].id),
    )
    sums = [round(sum(failure.probability for failure in some), 2) for some in (inside, found)]
    likeliest = sorted(inside, key=lambda failure: (failure.mode is None, -failure.probability, failure.interaction_id))
    return Within(where, sums[0], sums[1], tuple(known), tuple(likeliest[:limit]))


def _holds(failure: Failure, name: str, value: str) -> bool:
    there, seen = _value(failure, name)
    if value == "missing":
        return not there or seen is None
    if not there:
        return False
    if isinstance(seen, int | float) and not isinstance(seen, bool):
        bins = _BINS.fullmatch(value)
        edge = {key: _number(text) for key, text in bins.groupdict().items() if text} if bins else {}
        if edge and None not in edge.values():
            low, high = edge.get("low", edge.get("least")), edge.get("high", edge.get("upto"))
            return (low is None or seen >= low) and (high is None or seen < high)
        return _number(value) == float(seen)
    return value == (str(seen).lower() if isinstance(seen, bool) else str(seen))


def _value(failure: Failure, name: str) -> tuple[bool, Any]:
    """Whether an interaction says something by this name, and what: context first, then input, then what it is."""
    facts = {"output": failure.output, "model": failure.model, "hour of day": failure.at.hour}
    given = failure.input if isinstance(failure.input, dict) else {}
    for place, fields in (("context.", failure.context), ("input.", given), ("", facts)):
        bare = name.removeprefix(place)
        if bare in fields:
            return True, fields[bare]
    return False, None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
