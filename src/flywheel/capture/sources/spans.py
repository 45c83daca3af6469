"""Spans of exported traces → drafts of interactions: which of them are, and which one answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flywheel.capture.exchanges import draft_of_exchange
from flywheel.capture.genai import interaction_from_attributes, is_model_call
from flywheel.capture.genai_messages import parsed
from flywheel.errors import InvalidConfig

__all__ = ["KEPT", "Answered", "Span", "drafts_of_trace", "kept_spans", "span_draft"]

KEPT = ("calls", "roots", "all")
"""Which spans become interactions: calls of models (and agents at the root), the roots, or every one."""

_CONTENT = ("input.value", "output.value", "input.mime_type", "output.mime_type")
_MESSAGES = ("llm.input_messages.", "gen_ai.prompt.", "gen_ai.input.messages")


@dataclass(slots=True)
class Span:
    """A span as a tool exported it: attributes with dotted names, input and output as JSON values."""

    trace_id: str
    span_id: str
    parent_id: str | None = None
    name: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    input: Any = None
    output: Any = None
    start: datetime | int | None = None
    end: datetime | int | None = None
    failed: bool = False
    message: str = ""
    events: Sequence[Mapping[str, Any]] = ()
    resource: Mapping[str, Any] = field(default_factory=dict)


def kept_spans(settings: Mapping[str, str]) -> str:
    """The setting `spans`."""
    kept = settings.get("spans", KEPT[0])
    if kept not in KEPT:
        raise InvalidConfig(f"spans={kept!r} is none of {', '.join(KEPT)}. Write spans=roots, or leave it out")
    return kept


def span_draft(span: Span, kept: str = KEPT[0]) -> dict[str, Any] | None:
    """Read a span as a draft; None when it is none of those that are kept.

    An agent of which no content was captured tells nothing that the calls beneath it do not.
    """
    if kept == "roots" and span.parent_id:
        return None
    attributes = span.attributes
    if span.input is not None or span.output is not None:
        attributes = {name: value for name, value in attributes.items() if name not in _CONTENT}
    draft = interaction_from_attributes(
        attributes,
        name=span.name,
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_id,
        start=span.start,
        end=span.end,
        failed=span.failed,
        status_message=span.message,
        events=span.events,
        resource=span.resource,
        any_span=kept != KEPT[0],
    )
    if draft is None:
        return None
    _content(draft, span)
    empty = draft["input"] is None and draft["output"] is None
    return None if empty and kept == KEPT[0] and not is_model_call(attributes) else draft


def _content(draft: dict[str, Any], span: Span) -> None:
    """What the tool keeps as input and output, where the attributes have none."""
    said = draft_of_exchange(_argument(span.input), span.output)
    captured = any(name.startswith(_MESSAGES) for name in span.attributes)
    for name in ("input", "output"):
        if said[name] is not None and not (captured and draft.get(name) is not None):
            draft[name] = said[name]
    if isinstance(span.output, Mapping) and span.output.get("model"):
        draft["model"] = said["model"]  # the one that answered, rather than the one that was asked
    for name in ("model", "session", "user", "error"):
        if said.get(name) is not None:
            draft.setdefault(name, said[name])
    draft["context"] = {**said.get("context", {}), **draft.get("context", {})}
    draft["extra"] = {**said.get("extra", {}), **draft.get("extra", {})}


def _argument(value: Any) -> Any:
    """The one argument of a function whose call was traced."""
    value = parsed(value)
    if (
        isinstance(value, Mapping)
        and "args" in value
        and value.keys() <= {"args", "kwargs"}
        and not value.get("kwargs")
    ):
        args = value["args"]
        return args[0] if isinstance(args, list) and len(args) == 1 else args
    return value


def drafts_of_trace(spans: Sequence[Span], kept: str = KEPT[0]) -> tuple[list[dict[str, Any]], Answered]:
    """The drafts of a whole trace, and which interaction answered.

    A trace in which no model was called is one interaction: its root.
    """
    answered = Answered()
    drafts = []
    for span in spans:
        draft = span_draft(span, kept)
        answered.take(span, draft)
        if draft is not None:
            drafts.append(draft)
    if not drafts and kept == KEPT[0]:
        for span in spans:
            if not span.parent_id and (draft := span_draft(span, "roots")) is not None:
                answered.take(span, draft)
                drafts.append(draft)
    return drafts, answered


class Answered:
    """Which interaction answered in which trace: the root if it is one, else the one that ended last.

    What is said about a whole trace, or about a step of it, is said about that answer.
    """

    def __init__(self) -> None:
        self._traces: dict[str, tuple[float, str]] = {}
        self._spans: dict[str, str] = {}
        self._own: dict[str, str] = {}

    def take(self, span: Span, draft: dict[str, Any] | None) -> None:
        """Take note of a span, and of the draft that it became, if it did."""
        self._spans[span.span_id] = span.trace_id
        if draft is None or "id" not in draft:
            return
        self._own[span.span_id] = draft["id"]
        ended = float("inf") if not span.parent_id else _seconds(span.end) or _seconds(span.start)
        if span.trace_id not in self._traces or ended >= self._traces[span.trace_id][0]:
            self._traces[span.trace_id] = (ended, draft["id"])

    def of(self, trace_id: Any = None, span_id: Any = None) -> str | None:
        """The interaction that something said about a span or a trace is about; None when neither is known."""
        if span_id and str(span_id) in self._own:
            return self._own[str(span_id)]
        trace = str(trace_id) if trace_id else self._spans.get(str(span_id), "")
        return self._traces[trace][1] if trace in self._traces else None


def _seconds(moment: datetime | int | None) -> float:
    if isinstance(moment, datetime):
        return moment.timestamp()
    return moment / 1e9 if isinstance(moment, int) else 0.0
