"""The source `langfuse`: traces, observations and scores as Langfuse exports them.

Fields: https://langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields, and those of its API.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from flywheel.capture.genai import flatten
from flywheel.capture.genai_messages import as_text, parsed
from flywheel.capture.sources.files import unreadable
from flywheel.capture.sources.row_source import RowSource, listed, said, utc
from flywheel.capture.sources.said import feedback_about, is_rating, right_output
from flywheel.capture.sources.spans import Answered, Span, drafts_of_trace, kept_spans, span_draft

__all__ = ["Langfuse"]

_TRACE, _OBSERVATION, _SCORE, _NESTED = range(4)
_TYPES = frozenset(
    ["SPAN", "GENERATION", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING", "GUARDRAIL"]
)
_NAMES = {
    name: (name, "".join([name.split("_")[0], *(part.capitalize() for part in name.split("_")[1:])]))
    for name in (
        *("trace_id", "observation_id", "parent_observation_id", "session_id", "user_id", "start_time", "end_time"),
        *("status_message", "trace_name", "completion_start_time", "prompt_name", "prompt_version", "total_cost"),
        *("model_parameters", "usage_details", "provided_model_name", "data_type", "string_value", "created_at"),
        *("long_string_value", "author_user_id", "tool_definitions", "dataset_run_id"),
    )
}
"""The fields of the bulk export, and what the API calls them."""
_KINDS = {"EVAL": "LLM", "ANNOTATION": "HUMAN", "API": "CODE"}
_CONTEXT = ("environment", "release", "version", "trace_name", "prompt_name", "prompt_version")
_TOKENS = {
    "tokens_in": ("input", "prompt_tokens", "promptTokens", "input_tokens"),
    "tokens_out": ("output", "completion_tokens", "completionTokens", "output_tokens"),
    "tokens_cached": (
        "input_cached_tokens",
        "input_cache_read",
        "prompt_details.cache_read",
        "cache_read_input_tokens",
    ),
    "tokens_reasoning": (
        "output_reasoning_tokens",
        "output_reasoning",
        "completion_details.reasoning",
        "reasoning_tokens",
    ),
}
_OWN = ("attributes", "resourceAttributes", "scope")


class Langfuse(RowSource):
    """Exports of Langfuse: JSON, JSON lines, CSV or Parquet; one file, or a folder as its bulk export writes it.

    Rows may be whole traces with their observations and scores (the API), observations, traces or scores. Generations
    become interactions, agents where they are the root of a trace, and in a whole trace that calls no model its root;
    `spans=roots` takes the roots alone, `spans=all` every observation. A file of nothing but traces becomes an
    interaction a trace. Scores become feedback: annotations by a reviewer, evaluations by a judge, ratings by their
    name; corrections are labels. A score of a trace, or of a step in it, is about the answer: the root, or the last
    generation. So give scores and observations together, as a folder.
    """

    name = "langfuse"
    settings = ("spans",)
    joins = True
    maps: ClassVar[dict[str, str]] = {
        "input": "the observation's input",
        "output": "the observation's output",
        "id": "trace id-observation id",
        "at": "startTime (start_time)",
        "latency_ms": "endTime - startTime",
        "model": "model (provided_model_name)",
        "user": "userId of the trace",
        "session": "sessionId of the trace",
        "error": "statusMessage where level is ERROR; a refusal",
        "context": "usage, cost, environment, release, version, prompt, scalars of metadata",
        "rating": "scores of a user's opinion (thumbs, user_feedback …)",
        "outcome": "other scores, by their name",
        "label": "corrections",
    }

    @classmethod
    def recognises(cls, rows: Sequence[Mapping[str, Any]]) -> str | None:
        """Say why these rows are Langfuse's, if they are."""
        words = {_NESTED: "traces with their observations", _OBSERVATION: "observations", _SCORE: "scores"}
        words[_TRACE] = "traces"
        sorts = [_sort(row) for row in rows]
        for sort, called in words.items():
            if sorts.count(sort) * 2 > len(sorts):
                return f"its rows are {called} of Langfuse"
        return None

    def begin(self, settings: Mapping[str, str], ranks: Sequence[int]) -> None:
        """Get ready to read from the start."""
        self._kept = kept_spans(settings)
        self._only_traces = bool(ranks) and set(ranks) == {_TRACE}
        self._answered = Answered()
        self._traces: dict[str, Mapping[str, Any]] = {}

    def rank(self, rows: list[dict[str, Any]]) -> int | None:
        """Traces first, then observations, then scores."""
        return next((sort for sort in map(_sort, rows) if sort is not None), None)

    def drafts(self, row: dict[str, Any], place: str) -> Iterator[dict[str, Any]]:
        """Yield what a row says, whichever kind it is."""
        sort = _sort(row)
        if sort == _NESTED:
            yield from self._whole_trace(row, place)
        elif sort == _OBSERVATION:
            span = _span(row, self._traces.get(str(_told(row, "trace_id")), {}))
            draft = span_draft(span, self._kept)
            self._answered.take(span, draft)
            if draft is None:
                self.passed += 1
            else:
                yield _finished(draft, row, self._traces.get(span.trace_id, {}))
        elif sort == _SCORE:
            yield from self._score(row, place, self._answered)
        elif sort == _TRACE and self._only_traces:
            yield _of_trace(row)
        elif sort == _TRACE:
            self._traces[str(row["id"])] = _kept_of_trace(row)
            self.passed += 1
        else:
            yield unreadable(place, "it is neither a trace nor an observation nor a score of Langfuse", row)

    def _whole_trace(self, row: Mapping[str, Any], place: str) -> Iterator[dict[str, Any]]:
        given = row.get("trace")
        trace: Mapping[str, Any] = given if isinstance(given, Mapping) else row
        observations = listed(row, "observations") or listed(trace, "observations")
        known = {str(one.get("id")): one for one in observations}
        spans = [_span({"traceId": trace.get("id"), **one}, trace) for one in observations]
        drafts, answered = drafts_of_trace(spans, self._kept)
        self.passed += len(observations) - len(drafts)
        for draft in drafts:
            yield _finished(draft, known.get(draft["extra"].get("span_id", ""), {}), trace)
        about = answered
        if not drafts:
            yield _of_trace(trace)
            about = Answered()
            about.take(Span(str(trace.get("id")), str(trace.get("id"))), {"id": str(trace.get("id"))})
        for name in ("scores", "corrections"):
            for score in listed(trace, name) or listed(row, name):
                yield from self._score({"traceId": trace.get("id"), **score}, place, about)

    def _score(self, row: Mapping[str, Any], place: str, answered: Answered) -> Iterator[dict[str, Any]]:
        trace_id, observation_id = _told(row, "trace_id"), _told(row, "observation_id")
        if trace_id is None and observation_id is None:
            self.passed += 1  # about a session or an experiment
            return
        about = answered.of(trace_id, observation_id)
        if about is None and trace_id and observation_id:
            about = f"{trace_id}-{observation_id}".lower()
        if about is None:
            yield unreadable(
                place,
                f"the score is about trace {trace_id} as a whole, and no observation of that is known here. Give the "
                "folder that holds the observations too",
                dict(row),
            )
            return
        draft = _feedback(row, about)
        yield draft or unreadable(place, "the score has no value", dict(row))


def _told(row: Mapping[str, Any], name: str) -> Any:
    return said(row, *_NAMES.get(name, (name,)))


def _sort(row: Mapping[str, Any]) -> int | None:
    if isinstance(row.get("trace"), Mapping) or (isinstance(said(row, "observations"), list) and "timestamp" in row):
        observations = said(row, "observations")
        if observations is None or (
            isinstance(observations, list) and all(isinstance(o, Mapping) for o in observations)
        ):
            return _NESTED
    has_trace = "traceId" in row or "trace_id" in row
    if has_trace and str(row.get("type")).upper() in _TYPES and ("startTime" in row or "start_time" in row):
        return _OBSERVATION
    if "name" in row and ("value" in row or "stringValue" in row) and (has_trace or "dataType" in row):
        return _SCORE if any(name in row for name in ("dataType", "data_type", "source", "observationId")) else None
    if "id" in row and "timestamp" in row and ("bookmarked" in row or {"sessionId", "userId"} <= row.keys()):
        return _TRACE
    return None


def _span(row: Mapping[str, Any], trace: Mapping[str, Any]) -> Span:
    metadata = said(row, "metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    attributes = said(metadata, "attributes")
    resource = said(metadata, "resourceAttributes")
    level = str(row.get("level") or "")
    return Span(
        trace_id=str(_told(row, "trace_id") or trace.get("id") or ""),
        span_id=str(row.get("id") or ""),
        parent_id=str(_told(row, "parent_observation_id") or "") or None,
        name=str(row.get("name") or ""),
        attributes={
            "langfuse.observation.type": str(row.get("type") or "").lower(),
            "langfuse.observation.model.name": said(row, "model", "provided_model_name", "providedModelName"),
            "langfuse.observation.model.parameters": _told(row, "model_parameters"),
            **(flatten(attributes) if isinstance(attributes, Mapping) else {}),
        },
        input=said(row, "input"),
        output=said(row, "output"),
        start=_moment(_told(row, "start_time")),
        end=_moment(_told(row, "end_time")),
        failed=level == "ERROR",
        message=as_text(_told(row, "status_message") or "") if level == "ERROR" else "",
        resource=resource if isinstance(resource, Mapping) else {},
    )


def _moment(value: Any) -> datetime | None:
    moment = utc(value)
    return moment if isinstance(moment, datetime) else None


def _finished(draft: dict[str, Any], row: Mapping[str, Any], trace: Mapping[str, Any]) -> dict[str, Any]:
    """Add what Langfuse knows beside the span: usage, the trace's user and session, metadata."""
    context = draft["context"]
    for field in _CONTEXT:
        value = _told(row, field) or (_told(trace, field) if field in ("environment", "release", "version") else None)
        if value is None and field == "trace_name":
            value = said(trace, "name")
        if value is not None and not isinstance(value, dict | list):
            context.setdefault(field, value)
    _usage(row, context)
    cost = _number(_told(row, "total_cost")) or _number(said(row, "calculatedTotalCost"))
    if cost:
        context.setdefault("cost", cost)
    first, start = _moment(_told(row, "completion_start_time")), _moment(_told(row, "start_time"))
    if first is not None and start is not None and first >= start:
        context.setdefault("time_to_first_ms", (first - start).total_seconds() * 1000)
    level = said(row, "level")
    if level in ("WARNING", "ERROR"):
        context.setdefault("level", level)
        if level == "WARNING" and _told(row, "status_message"):
            draft["extra"].setdefault("status_message", _told(row, "status_message"))
    _metadata(draft, said(trace, "metadata"))
    _metadata(draft, said(row, "metadata"))
    tags = said(row, "tags") or said(trace, "tags")
    tools = _told(row, "tool_definitions")
    for name, value in (("tags", tags), ("tools", tools)):
        if value:
            draft["extra"].setdefault(name, value)
    for field, name in (("user", "user_id"), ("session", "session_id")):
        value = _told(row, name) or _told(trace, name)
        if value is not None:
            draft[field] = as_text(value)
    return draft


def _usage(row: Mapping[str, Any], context: dict[str, Any]) -> None:
    told: dict[str, Any] = {}
    for usage in (said(row, "usage"), _told(row, "usage_details")):
        if isinstance(usage, Mapping):
            told |= flatten(usage)
    for field, names in _TOKENS.items():
        value = next((number for name in names if (number := _number(told.get(name))) is not None), None)
        if value is not None:
            context[field] = int(value)


def _number(value: Any) -> float | None:
    try:
        number = None if value is None or isinstance(value, bool | dict | list) else float(value)
    except (ValueError, OverflowError):
        return None
    return number if number is not None and math.isfinite(number) else None


def _metadata(draft: dict[str, Any], metadata: Any) -> None:
    for name, value in metadata.items() if isinstance(metadata, Mapping) else ():
        if name in _OWN or value is None:
            continue
        told = parsed(value)
        part = "extra" if isinstance(told, dict | list) else "context"
        draft[part].setdefault(str(name), told)


def _of_trace(trace: Mapping[str, Any]) -> dict[str, Any]:
    """A trace without observations: its own input and output."""
    span = Span(str(trace.get("id")), str(trace.get("id")), input=_text(trace, "input"), output=_text(trace, "output"))
    span.start, span.name = _moment(said(trace, "timestamp")), str(trace.get("name") or "")
    draft = span_draft(span, "roots") or {}
    latency = _number(said(trace, "latency"))
    if latency is not None:
        draft["latency_ms"] = latency * 1000
    draft["extra"].pop("span_id", None)
    return _finished({**draft, "id": str(trace.get("id"))}, {}, trace)


def _text(trace: Mapping[str, Any], name: str) -> Any:
    """The API writes a trace's input as JSON, sometimes twice."""
    value = said(trace, name)
    if isinstance(value, str) and value[:1] == '"' and value[-1:] == '"' and len(value) > 1:
        return parsed(parsed("[" + value + "]")[0]) if isinstance(parsed("[" + value + "]"), list) else value
    return value


def _kept_of_trace(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("id", "name", "tags", "environment", "release", "version", "metadata", *_NAMES["user_id"])
    return {name: row[name] for name in (*names, *_NAMES["session_id"]) if said(row, name) is not None}


def _feedback(row: Mapping[str, Any], about: str) -> dict[str, Any] | None:
    name, known = str(row.get("name") or "score"), str(row.get("id") or "")
    sort, source = str(_told(row, "data_type") or "").upper(), str(row.get("source") or "").upper()
    at, by = utc(said(row, "timestamp", *_NAMES["created_at"])), _told(row, "author_user_id")
    words, text = said(row, "comment"), _told(row, "string_value")
    if sort == "CORRECTION":
        right = _told(row, "long_string_value") or text or said(row, "value")
        return None if right is None else right_output(about, id=known, output=right, at=at, by=by)
    kind = "USER" if source == "API" and is_rating(name) else _KINDS.get(source, "CODE")
    value: Any = said(row, "value")
    label: Any = None
    if sort == "BOOLEAN" or (sort == "" and isinstance(value, str) and value in ("true", "false")):
        value = (
            _number(value) not in (None, 0.0) if not isinstance(value, str) else value.lower() in ("true", "1", "1.0")
        )
    elif sort in ("CATEGORICAL", "TEXT"):
        value, label = None, text
        if sort == "TEXT" and kind in ("USER", "HUMAN") and text:
            draft = {"kind": "feedback", "interaction_id": about, "comment": as_text(text)}
            draft["source"] = "user" if kind == "USER" else "reviewer"
            return draft | {field: one for field, one in (("id", known), ("at", at), ("by", by)) if one}
    elif _number(value) is not None:
        value = _number(value)
    return feedback_about(about, id=known, name=name, kind=kind, value=value, label=label, words=words, at=at, by=by)
