"""Where a source reads: `scheme:path?setting=value&…`, and how to speak of it without the password in it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from urllib.parse import unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flywheel.errors import InvalidConfig

__all__ = ["Place", "place_of", "without_secrets"]

_SETTINGS = re.compile(r"\?(?=[A-Za-z_]+=)")
_USERINFO = re.compile(r"//[^\s?#]*@")


@dataclass(frozen=True, slots=True)
class Place:
    """A location taken apart: what comes before the question mark, and the settings after it."""

    path: str
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The path as errors and progress may show it: without user and password."""
        return without_secrets(self.path)

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number among the settings."""
        said = self.settings.get(name)
        if said is None:
            return default
        if not said.isascii() or not said.isdigit() or not low <= int(said) <= high:
            raise InvalidConfig(
                f"{name}={said!r} is not a whole number from {low} to {high:,}. Change it, or leave it out"
            )
        return int(said)

    def moment(self, name: str) -> datetime | None:
        """A time among the settings; one without a zone is in UTC."""
        said = self.settings.get(name)
        if said is None:
            return None
        try:
            found = datetime.fromisoformat(said)
        except ValueError as problem:
            raise InvalidConfig(
                f"{name}={said!r} is not an ISO 8601 time. Write it as 2026-01-31 or 2026-01-31T12:00:00Z"
            ) from problem
        return found if found.tzinfo else found.replace(tzinfo=UTC)

    def zone(self) -> tzinfo | None:
        """The time zone among the settings (`zone=Europe/Berlin`)."""
        said = self.settings.get("zone")
        if said is None:
            return None
        try:
            return ZoneInfo(said)
        except (ZoneInfoNotFoundError, ValueError) as problem:
            raise InvalidConfig(
                f"zone={said!r} is not a time zone. Write one such as UTC or Europe/Berlin"
            ) from problem


def place_of(location: str, schemes: Collection[str], known: Collection[str], *, keep_others: bool = False) -> Place:
    """Take a location apart. `schemes` are the prefixes it may carry, `known` the settings the source understands.

    Another setting is an `InvalidConfig`, or, with `keep_others`, stays in the path: it is the database driver's. A
    plus sign is a plus sign (`since=2026-01-01T00:00:00+01:00`), and `%20` a space.

    >>> place_of("access-log:/var/log/nginx/*.log?time=s", ["access-log"], ["time"])
    Place(path='/var/log/nginx/*.log', settings={'time': 's'})
    """
    rest = location
    for scheme in schemes:
        if rest.startswith(f"{scheme}:"):
            rest = rest[len(scheme) + 1 :]
            break
    parts = _SETTINGS.split(rest, maxsplit=1)
    settings: dict[str, str] = {}
    others: list[str] = []
    for pair in parts[1].split("&") if len(parts) == 2 else []:
        name, _, value = pair.partition("=")
        if name in known:
            settings[name] = unquote(value)
        elif keep_others:
            others.append(pair)
        else:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(sorted(known))}"
            raise InvalidConfig(f"{name!r} is not a setting that can follow the location. {hint}")
    return Place(parts[0] + ("?" + "&".join(others) if others else ""), settings)


def without_secrets(text: str) -> str:
    """Leave user and password out of every URL in a text.

    >>> without_secrets("no answer from https://ana:secret@host:9200/logs")
    'no answer from https://host:9200/logs'
    """
    return _USERINFO.sub("//", text)
