"""Interactions page by page, in the order in which they were logged, with or without filters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from flywheel.errors import InvalidConfig
from flywheel.records import Interaction
from flywheel.store import codec

if TYPE_CHECKING:
    from flywheel.store.log import Log
    from flywheel.store.tables import Tables

__all__ = ["FILTERS", "interactions_page"]

FILTERS = ("model", "user", "session", "error", "since", "until", "below_confidence")
"""Beside these, `context.<key>`."""

_UNASKABLE = re.compile("[\x00\ud800-\udfff]")
_READ = 2000  # facts in one reading; some of them are feedback
_WIDTH = 250_000  # facts in the first stretch that is looked through


def interactions_page(
    log: Log, tables: Tables, *, after: int, limit: int, filters: Mapping[str, Any]
) -> tuple[list[Interaction], int | None]:
    """The first `limit` interactions behind sequence number `after`, and where the next page begins (None: the end).

    Without filters it reads the log, fresh to the last commit; with them the tables, filled up before. Raises
    `InvalidConfig` for a filter that is none. O(limit) without filters, O(n / row groups) with them.
    """
    if filters:
        return _filtered(log, tables, after, limit, filters)
    found: list[Interaction] = []
    while len(found) < limit:
        rows = log.read(after, _READ)
        if not rows:
            return found, None
        for row in rows:
            after = row.seq
            if row.kind == "interaction":
                found.append(cast(Interaction, codec.as_record(codec.INTERACTION, row.body)))
                if len(found) == limit:
                    break
    return found, after if log.last() > after else None


def _filtered(
    log: Log, tables: Tables, after: int, limit: int, filters: Mapping[str, Any]
) -> tuple[list[Interaction], int | None]:
    tables.sync(log)
    snapshot = tables.snapshot()
    for name, value in filters.items():
        _condition(snapshot.interactions, name, value)  # a filter that is none is refused, whatever there is
    wanted: list[dict[str, Any]] = []
    width = _WIDTH
    while len(wanted) <= limit and after < snapshot.seq:
        # What most filters look for is near: a stretch of the log first, and ever longer ones where it is not.
        upto = min(snapshot.seq, after + width)
        table = snapshot.window(after, upto).interactions
        for name, value in filters.items():
            table = table.filter(_condition(table, name, value))
        left = limit + 1 - len(wanted)
        wanted += table.order_by("seq").limit(left).select("seq", "id").to_pyarrow().to_pylist()
        after, width = upto, width * 8
    more = wanted[:limit]
    return snapshot.fetch([row["id"] for row in more]), more[-1]["seq"] if len(wanted) > limit else None


def _condition(table: Any, name: str, value: Any) -> Any:
    if isinstance(value, str) and _UNASKABLE.search(value):
        raise InvalidConfig(
            f"{name} is {value[:60]!r}: no engine can look for a NUL or half a surrogate pair. Leave it out"
        )
    if name in ("model", "user", "session"):
        return table[name] == str(value)
    if name == "error":
        return table.error.notnull() if value else table.error.isnull()
    if name in ("since", "until"):
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise InvalidConfig(f"{name} is {value!r}; it takes a time with an offset, such as 2026-01-31T12:00:00Z")
        try:
            moment = value.astimezone(UTC)  # engines read fewer offsets than clients write
        except OverflowError:
            raise InvalidConfig(
                f"{name} is {value.isoformat()}, which is before the year 1 or after 9999 in UTC"
            ) from None
        return table.at >= moment if name == "since" else table.at < moment
    if name == "below_confidence":
        return table.confidence < float(value)
    if name.startswith("context."):
        return _context(table, name, value)
    raise InvalidConfig(f"{name!r} is no filter. There are: {', '.join(FILTERS)}, context.<key>")


def _context(table: Any, name: str, value: Any) -> Any:
    """Text that looks like a number or a truth value is compared as what the column holds."""
    if name not in table.columns:
        return table.seq < 0  # nobody ever said so
    column = table[name]
    if column.type().is_numeric():
        try:
            return column == float(value)
        except (TypeError, ValueError):
            return table.seq < 0
    if column.type().is_boolean():
        return column == (str(value).lower() == "true")
    return column == str(value)
