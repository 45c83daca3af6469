"""Records to the log's bytes and back.

What is None or empty is left out of the bytes. Values of free form (`input`, `output` …) are written as they came, keys
in the sender's order. Reading them again for the tables parses only the outer fields; the free values stay `Raw`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from flywheel.errors import InvalidRecord
from flywheel.records import Feedback, Interaction

__all__ = [
    "FEEDBACK",
    "INTERACTION",
    "NULL",
    "FeedbackFields",
    "InteractionFields",
    "as_record",
    "encode",
    "from_micros",
    "read_feedback",
    "read_interaction",
    "same_content",
    "to_micros",
]

INTERACTION = 1
FEEDBACK = 2

NULL = msgspec.Raw(b"null")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class InteractionFields(msgspec.Struct, kw_only=False, gc=False):
    """An interaction as the tables read it."""

    id: str
    at: _Moment
    input: msgspec.Raw
    output: msgspec.Raw = NULL
    sent_at: _Moment | None = None
    scores: msgspec.Raw = NULL
    confidence: float | None = None
    latency_ms: float | None = None
    error: str | None = None
    model: str | None = None
    user: str | None = None
    session: str | None = None
    context: dict[str, Any] | None = None
    propensity: float | None = None
    consent: bool | None = None
    extra: msgspec.Raw = NULL


class FeedbackFields(msgspec.Struct, gc=False):
    """A feedback as the tables read it."""

    id: str
    interaction_id: str
    at: _Moment
    kind: str
    value: msgspec.Raw = NULL
    name: str | None = None
    source: str = "user"
    by: str | None = None
    propensity: float | None = None
    extra: msgspec.Raw = NULL


class _Interaction(msgspec.Struct, omit_defaults=True, gc=False):
    id: str
    at: datetime
    input: Any
    output: Any = None
    sent_at: datetime | None = None
    scores: dict[str, float] | None = None
    confidence: float | None = None
    latency_ms: float | None = None
    error: str | None = None
    model: str | None = None
    user: str | None = None
    session: str | None = None
    context: dict[str, Any] = {}
    propensity: float | None = None
    consent: bool | None = None
    extra: dict[str, Any] = {}


class _Feedback(msgspec.Struct, omit_defaults=True, gc=False):
    id: str
    interaction_id: str
    at: datetime
    kind: str
    value: Any
    name: str | None = None
    source: str = "user"
    by: str | None = None
    propensity: float | None = None
    extra: dict[str, Any] = {}


_write = msgspec.json.Encoder().encode
_canonical = msgspec.json.Encoder(order="deterministic").encode
read_interaction = msgspec.json.Decoder(InteractionFields).decode
read_feedback = msgspec.json.Decoder(FeedbackFields).decode
_as_interaction = msgspec.json.Decoder(Interaction).decode
_as_feedback = msgspec.json.Decoder(Feedback).decode


def encode(record: Interaction | Feedback) -> tuple[int, str, str | None, bytes]:
    """Give `(kind, id, interaction a feedback speaks of, bytes)`.

    Raises `InvalidRecord` for anything that could not be read back: a naive time, a field of another type, text that is
    not Unicode, nesting without end.
    """
    about: str | None = None
    try:
        if isinstance(record, Interaction):
            r = record
            kind = INTERACTION
            body = _write(
                _Interaction(
                    r.id, _utc(r.at), r.input, r.output, None if r.sent_at is None else _utc(r.sent_at), r.scores,
                    r.confidence, r.latency_ms, r.error, r.model, r.user, r.session, r.context, r.propensity, r.consent,
                    r.extra,
                )
            )  # fmt: skip
            read_interaction(body)
        else:
            f = record
            kind = FEEDBACK
            about = f.interaction_id
            body = _write(
                _Feedback(
                    f.id, about, _utc(f.at), f.kind, f.value, f.name, f.source, f.by, f.propensity, f.extra
                )
            )  # fmt: skip
            read_feedback(body)
    except msgspec.ValidationError as problem:
        text, _, path = str(problem).partition(" - at `$.")
        raise InvalidRecord(
            path.rstrip("`") or "record", text, "Give the field the type it is described with"
        ) from problem
    except (TypeError, OverflowError, ValueError, RecursionError, AttributeError) as problem:
        raise InvalidRecord(
            "record",
            f"it cannot be written as JSON ({problem})",
            "Use text, numbers, true/false, null, lists and dicts",
        ) from problem
    for name, value in (("id", record.id), ("interaction_id", about)):
        if value is not None and "\x00" in value:
            raise InvalidRecord(name, "it holds a NUL character", "Use printable ids")
    return kind, record.id, about, body


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC or moment.tzinfo is None else moment.astimezone(UTC)


def same_content(one: bytes, other: bytes) -> bool:
    """Do two bodies say the same, the order of keys and the sender's clocks aside?

    A record that is sent again carries another `sent_at`, and another `at` where the sender left that to us.
    """
    return one == other or _said(one) == _said(other)


def _said(body: bytes) -> bytes:
    content = msgspec.json.decode(body)
    content.pop("at", None)
    content.pop("sent_at", None)
    return _canonical(content)


def as_record(kind: int, body: bytes) -> Interaction | Feedback:
    """Bring a record back."""
    return _as_interaction(body) if kind == INTERACTION else _as_feedback(body)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """The moment so many microseconds after 1970, UTC."""
    return _EPOCH + timedelta(microseconds=micros)
