"""OTLP requests → drafts: GenAI spans and events become interactions and feedback, all else is counted."""

from __future__ import annotations

import hashlib
from collections import ChainMap
from collections.abc import Container, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from flywheel.capture import genai, genai_feedback, otlp_wire
from flywheel.capture.genai_content import DETAILS, MESSAGE_EVENTS
from flywheel.capture.genai_messages import as_text
from flywheel.capture.otlp_join import MESSAGES, SPAN, Part
from flywheel.capture.otlp_wire import LogRecord, Origin, Signal, Span, TooLong
from flywheel.errors import Undecodable, UnsupportedMedia

__all__ = ["CONTENT_TYPES", "Decoded", "Reading", "decode", "is_json"]

CONTENT_TYPES = ("application/x-protobuf", "application/json")
_PROTOBUF_TOO = ("application/protobuf", "application/vnd.google.protobuf")


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a request holds: drafts for the log, how many spans or log records there were, and how many were other.

    `other` are neither call of a model nor feedback and were not kept; `empty` are calls of a model without content.
    `parts` are messages without their span, and spans whose messages come apart (see `otlp_join`).
    """

    drafts: list[dict[str, Any]]
    records: int
    other: int
    empty: int
    parts: list[Part]


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
    talking: Container[str] = (),
    spanning: Container[str] = (),
) -> Decoded:
    """Decode a request's body (inflated) into drafts. An empty one is a request without records.

    A span whose ids are invalid, and a record over a limit, becomes an `unreadable` draft with the reason. `talking`
    are instrumentation scopes known to send messages apart from their spans, `spanning` those that send spans.

    Raises `Undecodable` for bytes that are not such a request, `TooLarge` for more than 50,000 records or 250,000
    attributes, and `UnsupportedMedia` for another content type.
    """
    reading = Reading(
        body,
        content_type,
        signal,
        max_record_bytes=max_record_bytes,
        keep_other=keep_other,
        talking=talking,
        spanning=spanning,
    )
    drafts = list(reading)
    return Decoded(drafts, reading.records, reading.other, reading.empty, reading.parts)


@dataclass(slots=True)
class Reading:
    """A request under way: iterate once over it for its drafts, one at a time; the counts are right afterwards."""

    body: bytes
    content_type: str
    signal: Signal
    max_record_bytes: int = 1_048_576
    keep_other: bool = False
    talking: Container[str] = ()
    """Instrumentation scopes known to send messages apart from their spans."""
    spanning: Container[str] = ()
    """Instrumentation scopes known to send spans."""
    known: MutableMapping[str, str] = field(default_factory=dict)
    """Response id → interaction id, of earlier requests."""
    counts: dict[str, int] = field(default_factory=dict)
    """Counters for the books; how many records were not to be kept is added at the end."""

    records: int = 0
    other: int = 0
    empty: int = 0
    owners: list[int] = field(default_factory=list)
    """For each draft the number of the span or log record it came from."""
    parts: list[Part] = field(default_factory=list)
    talked: set[str] = field(default_factory=set)
    """Scopes that sent messages apart from their spans in this request."""
    spanned: set[str] = field(default_factory=set)
    """Scopes that sent spans in this request."""
    responses: dict[str, str] = field(default_factory=dict)
    """Response id → interaction id, of this request."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the drafts. Raises as `decode` does."""
        json = is_json(self.content_type)
        if not self.body.strip():
            return
        talks: dict[tuple[str, str], _Talk] = {}
        late: list[tuple[int, LogRecord]] = []
        try:
            found = otlp_wire.records(self.body, self.signal, json=json, max_record_bytes=self.max_record_bytes)
            for origin, record in found:
                number = self.records
                self.records += 1
                if isinstance(record, TooLong):
                    yield self._own(number, _unreadable(self.signal, number, record.problem, record.body))
                elif isinstance(record, Span):
                    yield from self._span(number, record, origin)
                elif genai_feedback.is_feedback_event(record.name):
                    late.append((number, record))
                elif record.name in MESSAGE_EVENTS or record.name == DETAILS:
                    lone = not record.trace_id or not record.span_id
                    key = ("", str(number)) if lone else (record.trace_id, record.span_id)
                    talks.setdefault(key, _Talk(key, origin)).add(number, record)
                elif self.keep_other:
                    yield self._own(number, _other_record(record, origin))
                else:
                    self.other += 1
        except RecursionError:
            raise Undecodable(
                "the request is nested too deep. Flatten it, or send the deep part as JSON text"
            ) from None
        for talk in talks.values():
            yield from self._talk(talk)
        for number, record in late:
            yield from self._feedback(number, record)
        if self.other:
            self.counts["other_spans" if self.signal == "traces" else "other_log_records"] = self.other

    def _own(self, number: int, draft: dict[str, Any]) -> dict[str, Any]:
        self.owners.append(number)
        return draft

    def _span(self, number: int, span: Span, origin: Origin) -> Iterator[dict[str, Any]]:
        if not span.trace_id or not span.span_id:
            problem = "its trace id or span id is missing or invalid (16 and 8 bytes, not all zero)"
            yield self._own(number, _unreadable("traces", number, problem, span.name))
            return
        told = False
        draft = _interaction(span, origin, any_span=False)
        if draft is not None:
            told = True
            response = draft["extra"].get("response_id")
            if response:
                self.responses[response] = draft["id"]
            bare = draft["input"] is None and draft["output"] is None
            self.empty += bare
            self.spanned.add(origin.scope)
            if bare and origin.scope in self.talking:
                self.parts.append(Part(SPAN, draft, number))
            else:
                yield self._own(number, draft)
        elif self.keep_other:
            told = True
            other = _interaction(span, origin, any_span=True)
            assert other is not None
            other["input"] = span.name if other["input"] is None else other["input"]
            other["context"].setdefault("operation", "other")
            yield self._own(number, other)
        trace_id, span_id = span.trace_id, span.span_id
        for event in span.events:
            if genai_feedback.is_feedback_event(event["name"]):
                said = genai_feedback.feedback_from_event(
                    event["name"], event["attributes"], trace_id=trace_id, span_id=span_id, time=event["time"]
                )
                if said is not None:
                    told = True
                    yield self._own(number, said)
        for said in genai_feedback.feedback_from_attributes(
            span.attributes, trace_id=trace_id, span_id=span_id, time=span.end
        ):
            told = True
            yield self._own(number, said)
        self.other += not told

    def _talk(self, talk: _Talk) -> Iterator[dict[str, Any]]:
        draft = talk.draft()
        if draft is None:
            self.other += len(talk.numbers)
            return
        response = draft["extra"].get("response_id")
        if response:
            self.responses[response] = draft["id"]
        if talk.alone or (talk.whole and talk.origin.scope not in self.spanning):
            yield self._own(talk.numbers[0], draft)
        else:
            self.talked.add(talk.origin.scope)
            self.parts.append(Part(MESSAGES, draft, talk.numbers[0]))

    def _feedback(self, number: int, record: LogRecord) -> Iterator[dict[str, Any]]:
        said = genai_feedback.feedback_from_event(
            record.name,
            record.attributes,
            trace_id=record.trace_id,
            span_id=record.span_id,
            time=record.time,
            body=record.body,
            responses=ChainMap(self.responses, self.known),
        )
        if said is None:
            self.other += 1
        else:
            yield self._own(number, said)


def _interaction(span: Span, origin: Origin, *, any_span: bool) -> dict[str, Any] | None:
    return genai.interaction_from_attributes(
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
        any_span=any_span,
    )


class _Talk:
    """The GenAI events of one span among log records."""

    def __init__(self, key: tuple[str, str], origin: Origin) -> None:
        self._trace, self._span = key
        self.origin = origin
        self.numbers: list[int] = []
        self._records: list[LogRecord] = []

    def add(self, number: int, record: LogRecord) -> None:
        self.numbers.append(number)
        self._records.append(record)

    @property
    def alone(self) -> bool:
        """Is there no span that these events belong to?"""
        return not self._trace

    @property
    def whole(self) -> bool:
        """Does it tell nearly all there is of the interaction? Today's event does."""
        return any(record.name == DETAILS for record in self._records)

    def draft(self) -> dict[str, Any] | None:
        """What the events tell; None where they carry no content."""
        self._records.sort(key=lambda record: record.time)
        attributes: dict[str, Any] = {}
        for record in self._records:
            attributes |= {
                name: value
                for name, value in record.attributes.items()
                if record.name == DETAILS or name.partition(".")[0] in ("enduser", "user", "session")
                or name in ("gen_ai.system", "gen_ai.provider.name", "gen_ai.conversation.id")
            }  # fmt: skip
        attributes.pop("event.name", None)
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
            resource=self.origin.resource,
            any_span=True,
        )
        if draft is None or (draft["input"] is None and draft["output"] is None and not self.alone):
            return None
        if "id" not in draft:
            draft["id"] = draft["extra"].get("response_id") or f"log-{_digest(events)}"
        return draft


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
