"""OTLP requests → drafts: GenAI spans and events become interactions and feedback, all else is counted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from flywheel.capture import genai, genai_feedback, otlp_wire
from flywheel.capture.genai_content import DETAILS, MESSAGE_EVENTS
from flywheel.capture.genai_messages import as_text
from flywheel.capture.otlp_wire import LogRecord, Origin, Signal, Span, TooLong
from flywheel.errors import Undecodable, UnsupportedMedia

__all__ = ["CONTENT_TYPES", "Decoded", "decode", "is_json"]

CONTENT_TYPES = ("application/x-protobuf", "application/json")
_PROTOBUF_TOO = ("application/protobuf", "application/vnd.google.protobuf")


@dataclass(slots=True)
class Decoded:
    """What a request holds.

    `drafts` are for the log; `owners` says for each of them the number of the span or log record it came from.
    `records` counts all of these, and `other` those that are neither call of a model nor feedback and were not kept.
    `responses` knows which interaction a response id belongs to.
    """

    drafts: list[dict[str, Any]] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    records: int = 0
    other: int = 0
    empty: int = 0
    """Calls of a model whose telemetry carries no content."""
    responses: dict[str, str] = field(default_factory=dict)

    def add(self, draft: dict[str, Any], owner: int) -> None:
        """Take one more draft."""
        self.drafts.append(draft)
        self.owners.append(owner)


def is_json(content_type: str) -> bool:
    """Tell the encoding by the media type; `UnsupportedMedia` for one that OTLP/HTTP does not have."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == CONTENT_TYPES[1]:
        return True
    if kind == CONTENT_TYPES[0] or kind in _PROTOBUF_TOO:
        return False
    raise UnsupportedMedia(
        f"the content type is {content_type[:80]!r}; OTLP/HTTP has {' and '.join(CONTENT_TYPES)}. Set one of them, or "
        "send to the gRPC port of a Collector first"
    )


def decode(
    body: bytes,
    content_type: str,
    signal: Signal,
    *,
    max_record_bytes: int = 1_048_576,
    keep_other: bool = False,
    responses: Mapping[str, str] | None = None,
) -> Decoded:
    """Decode a request's body (inflated) into drafts. An empty one is a request without records.

    A span whose ids are invalid, and a record over a limit, becomes an `unreadable` draft with the reason.
    `responses` (response id → interaction id) are those known from earlier requests.

    Raises `Undecodable` for bytes that are not such a request, `TooLarge` for more than 50,000 records or 250,000
    attributes, and `UnsupportedMedia` for another content type.
    """
    json = is_json(content_type)
    found = Decoded()
    known = dict(responses or {})
    pending: dict[tuple[str, str], _Talk] = {}
    late: list[tuple[int, LogRecord]] = []
    try:
        for origin, record in otlp_wire.records(body, signal, json=json, max_record_bytes=max_record_bytes):
            number = found.records
            found.records += 1
            if isinstance(record, TooLong):
                found.add(_unreadable(signal, number, record.problem, record.body), number)
            elif isinstance(record, Span):
                _take_span(found, number, record, origin, keep_other)
            elif genai_feedback.is_feedback_event(record.name):
                late.append((number, record))
            else:
                _take_record(found, number, record, origin, keep_other, pending)
    except RecursionError:
        raise Undecodable("the request is nested too deep. Flatten it, or send the deep part as JSON text") from None
    for talk in pending.values():
        talk.settle(found)
    known |= found.responses
    for number, record in late:
        _take_feedback(found, number, record, known)
    return found


def _take_span(found: Decoded, number: int, span: Span, origin: Origin, keep_other: bool) -> None:
    if not span.trace_id or not span.span_id:
        problem = "its trace id or span id is missing or invalid (16 and 8 bytes, not all zero)"
        found.add(_unreadable("traces", number, problem, span.name), number)
        return
    before = len(found.drafts)
    draft = genai.interaction_from_attributes(
        span.attributes,
        name=span.name,
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        start=span.start,
        end=span.end,
        failed=span.failed,
        status_message=span.status_message,
        events=span.events,
        resource=origin.resource,
    )
    if draft is not None:
        found.add(draft, number)
        found.empty += draft["input"] is None and draft["output"] is None
        response = draft["extra"].get("response_id")
        if response:
            found.responses[response] = draft["id"]
    elif keep_other:
        found.add(_other_span(span, origin), number)
    for event in span.events:
        if genai_feedback.is_feedback_event(event["name"]):
            said = genai_feedback.feedback_from_event(
                event["name"], event["attributes"], trace_id=span.trace_id, span_id=span.span_id, time=event["time"]
            )
            if said is not None:
                found.add(said, number)
    for said in genai_feedback.feedback_from_attributes(
        span.attributes, trace_id=span.trace_id, span_id=span.span_id, time=span.end
    ):
        found.add(said, number)
    found.other += len(found.drafts) == before


def _other_span(span: Span, origin: Origin) -> dict[str, Any]:
    draft = genai.interaction_from_attributes(
        span.attributes,
        name=span.name,
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        start=span.start,
        end=span.end,
        failed=span.failed,
        status_message=span.status_message,
        events=span.events,
        resource=origin.resource,
        any_span=True,
    )
    assert draft is not None
    if draft["input"] is None:
        draft["input"] = span.name
    draft["context"]["operation"] = draft["context"].get("operation") or "other"
    return draft


def _take_feedback(found: Decoded, number: int, record: LogRecord, responses: Mapping[str, str]) -> None:
    said = genai_feedback.feedback_from_event(
        record.name,
        record.attributes,
        trace_id=record.trace_id,
        span_id=record.span_id,
        time=record.time,
        body=record.body,
        responses=responses,
    )
    if said is None:
        found.other += 1
    else:
        found.add(said, number)


def _take_record(
    found: Decoded,
    number: int,
    record: LogRecord,
    origin: Origin,
    keep_other: bool,
    pending: dict[tuple[str, str], _Talk],
) -> None:
    if record.name in MESSAGE_EVENTS or record.name == DETAILS:
        key = (record.trace_id, record.span_id) if record.trace_id and record.span_id else ("", str(number))
        pending.setdefault(key, _Talk(key, origin)).add(number, record)
    elif keep_other:
        found.add(_other_record(record, origin), number)
    else:
        found.other += 1


class _Talk:
    """The events of one span among log records."""

    def __init__(self, key: tuple[str, str], origin: Origin) -> None:
        self._trace, self._span = key
        self._origin = origin
        self._numbers: list[int] = []
        self._records: list[LogRecord] = []

    def add(self, number: int, record: LogRecord) -> None:
        self._numbers.append(number)
        self._records.append(record)

    def settle(self, found: Decoded) -> None:
        self._records.sort(key=lambda record: record.time)
        attributes: dict[str, Any] = {"gen_ai.operation.name": "chat"}
        for record in self._records:
            attributes |= {
                name: value
                for name, value in record.attributes.items()
                if record.name == DETAILS or name.startswith(("gen_ai.system", "gen_ai.provider", "enduser", "user.id"))
            }
        attributes.pop("gen_ai.event.content", None)
        events = [
            {"name": one.name, "time": one.time, "attributes": one.attributes, "body": one.body}
            for one in self._records
        ]
        draft = genai.interaction_from_attributes(
            attributes,
            trace_id=self._trace or None,
            span_id=self._span if self._trace else None,
            start=self._records[0].time,
            events=events,
            resource=self._origin.resource,
        )
        if draft is None:
            found.other += len(self._records)
            return
        if "id" not in draft:
            response = draft["extra"].get("response_id")
            draft["id"] = response if response else f"log-{_digest(events)}"
        response = draft["extra"].get("response_id")
        if response:
            found.responses[response] = draft["id"]
        found.add(draft, self._numbers[0])


def _other_record(record: LogRecord, origin: Origin) -> dict[str, Any]:
    context = {name: value for name, value in record.attributes.items() if not isinstance(value, dict | list)}
    extra: dict[str, Any] = {name: value for name, value in record.attributes.items() if isinstance(value, dict | list)}
    for name, value in (("severity", record.severity_text or record.severity), ("event", record.name)):
        if value:
            context[name] = value
    service = origin.resource.get("service.name")
    if service is not None:
        context["service"] = service
    draft: dict[str, Any] = {"kind": "interaction", "input": record.body, "context": context, "extra": extra}
    moment = genai.moment_of(record.time)
    if moment is not None:
        draft["at"] = moment
    if record.trace_id:
        extra["trace_id"] = record.trace_id
    if record.severity >= 17:
        draft["error"] = f"{record.severity_text or 'error'}: {as_text(record.body)}"
    draft["id"] = f"log-{_digest([record.trace_id, record.span_id, record.time, record.name, record.body, context])}"
    return draft


def _digest(value: Any) -> str:
    return hashlib.blake2b(msgspec.json.encode(value, order="sorted"), digest_size=16).hexdigest()


def _unreadable(signal: Signal, number: int, problem: str, body: str) -> dict[str, Any]:
    what = "span" if signal == "traces" else "log record"
    return {"kind": "unreadable", "place": f"{what} {number}", "problem": problem, "body": body}
