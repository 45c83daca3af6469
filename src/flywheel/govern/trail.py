"""The audit trail: each line carries the hash of the one before it, so that none can be changed or taken out unseen."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flywheel.errors import CorruptStore, InvalidRecord

if TYPE_CHECKING:
    from flywheel.store import State

__all__ = ["Trail"]

_BEGINNING = "0" * 64
_FIELDS = ("number", "at", "action", "subject", "by", "detail", "previous")


class Trail:
    """An append-only list of what was done, chained by SHA-256 (Haber and Stornetta, 1991).

    A line's hash covers its number, time, action, subject, author, detail and the hash of the line before it. `verify`
    finds any later change. Whoever can write the database can also compute a whole new chain: keep `head()` somewhere
    else, and give it to `verify`, to be sure against that, and against lines missing at the end.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def record(
        self, action: str, subject: str, *, by: str, at: datetime, detail: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Add a line and return it. Safe between processes: nobody else's line can come in between."""
        for field, value in (("action", action), ("subject", subject), ("by", by)):
            if not isinstance(value, str) or not value:
                raise InvalidRecord(field, f"{value!r} is not a text", "Say who did what to what")
        if at.tzinfo is None:
            raise InvalidRecord("at", f"{at.isoformat()} has no time zone", "Pass a datetime with a zone, such as UTC")
        try:
            plain = json.loads(json.dumps(detail or {}, allow_nan=False))
        except (TypeError, ValueError) as problem:
            raise InvalidRecord(
                "detail", f"it is not JSON: {problem}", "Pass text, numbers, lists and dicts"
            ) from problem
        written: dict[str, Any] = {}

        def following(last: dict[str, Any] | None) -> dict[str, Any]:
            line = {
                "number": last["number"] + 1 if last else 1,
                "at": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
                "action": action,
                "subject": subject,
                "by": by,
                "detail": plain,
                "previous": last["hash"] if last else _BEGINNING,
            }
            written.update({**line, "hash": _hash(line)})
            return written

        self._state.append_trail(following)
        return dict(written)

    def lines(self) -> list[dict[str, Any]]:
        """Every line, the oldest first."""
        return self._state.trail()

    def head(self) -> str:
        """The hash of the last line: one short text that stands for the whole trail so far. O(n)."""
        lines = self._state.trail()
        return str(lines[-1]["hash"]) if lines else _BEGINNING

    def verify(self, head: str | None = None) -> None:
        """Check every line; with `head`, also that the line with this hash, noted earlier, is still there. O(n).

        Raises `CorruptStore` that names the first broken line.
        """
        previous = _BEGINNING
        heads = {_BEGINNING}
        for place, line in enumerate(self._state.trail(), start=1):
            problem = _broken(line, place, previous)
            if problem:
                raise CorruptStore(
                    f"line {place} of the audit trail {problem}. It was changed, moved or removed "
                    "after it was written: compare it with a backup of the database"
                )
            previous = line["hash"]
            heads.add(previous)
        if head is not None and head not in heads:
            raise CorruptStore(
                f"the audit trail has no line with the hash {head}: lines are missing at its end, or it was "
                "written anew. Compare it with a backup of the database"
            )


def _broken(line: dict[str, Any], place: int, previous: str) -> str:
    missing = [field for field in (*_FIELDS, "hash") if field not in line]
    if missing:
        return f"has no {missing[0]}"
    if line["number"] != place:
        return f"has the number {line['number']}"
    if line["previous"] != previous:
        return "does not follow the line before it"
    if not hmac.compare_digest(str(line["hash"]), _hash(line)):
        return "does not match its hash"
    return ""


def _hash(line: dict[str, Any]) -> str:
    covered = {field: line[field] for field in _FIELDS}
    return hashlib.sha256(json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
