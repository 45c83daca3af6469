"""How a location is going to be read: its address with the source's own settings, and which column holds what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from flywheel.capture.mapping import columns_of, guess_mapping
from flywheel.errors import InvalidConfig

if TYPE_CHECKING:
    from flywheel.ports import Source

__all__ = ["Reading", "reading_of"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What to call `source.read` with, and what to show of it."""

    location: str
    """The location with the source's settings after it."""
    mapping: dict[str, str] | None
    """Field → column; None where the source knows what its fields mean."""
    shown: dict[str, str]
    """The mapping in words, for people."""


def reading_of(source: Source, location: str, given: Mapping[str, str] | None = None) -> Reading:
    """Plan the reading of a location: what is `given` stands, the rest of the mapping is guessed around it.

    `given` holds fields (field → column) and settings of the source. Raises `InvalidConfig` when a column is named to a
    source that knows its own.
    """
    own = getattr(source, "settings", ())
    told = dict(given or {})
    settings = {name: str(told.pop(name)) for name in own if name in told}
    words = "&".join(f"{name}={quote(value, safe='')}" for name, value in settings.items())
    where = f"{location}{'&' if '?' in location else '?'}{words}" if words else location
    known = getattr(source, "maps", None)
    if known is None:
        chosen = guess_mapping(columns_of(source, where), told)
        return Reading(where, chosen, chosen)
    if told:
        raise InvalidConfig(
            f"the source {source.name!r} knows what its fields mean: {next(iter(told))!r} cannot be mapped. "
            + (f"It can be told: {', '.join(own)}. " if own else "")
            + "To map columns yourself, name the format: source jsonl, csv or parquet"
        )
    return Reading(where, None, dict(known))
