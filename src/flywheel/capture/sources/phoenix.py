"""The source `phoenix`: spans and annotations as Arize Phoenix exports them.

Spans as a dataframe (`client.spans.get_spans_dataframe()` written to Parquet, CSV or JSON) or as its REST API returns
them; attributes are OpenInference's.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from flywheel.capture.genai import flatten
from flywheel.capture.genai_messages import as_text
from flywheel.capture.sources.files import unreadable
from flywheel.capture.sources.row_source import RowSource, listed, said, utc
from flywheel.capture.sources.said import feedback_about, is_truth, right_output
from flywheel.capture.sources.spans import Answered, Span, kept_spans, span_draft

__all__ = ["Phoenix"]

_SPAN, _ANNOTATION = range(2)
_SPAN_IDS = ("context.span_id", "span_id", "spanId", "__index_level_0__")
_NAMES = ("annotation_name", "name")
_LONGEST_CELL = 1 << 20


class Phoenix(RowSource):
    """Exports of Phoenix: Parquet, CSV, JSON lines or an array; one file, or a folder of spans and annotations.

    Spans of kind `LLM` become interactions, and agents where they are the root; `spans=roots` takes the roots alone,
    `spans=all` every span. Annotations become feedback: by people, by a judge or by code, as the annotator's kind says.
    They name a span and no trace, so give them together with the spans, as a folder. What is annotated on a step or on
    the root is about the answer: the root, or the last call of a model.
    """

    name = "phoenix"
    settings = ("spans",)
    joins = True
    maps: ClassVar[dict[str, str]] = {
        "input": "attributes.llm.input_messages, else attributes.input.value",
        "output": "attributes.llm.output_messages, else attributes.output.value",
        "id": "context.trace_id-context.span_id",
        "at": "start_time",
        "latency_ms": "end_time - start_time",
        "model": "attributes.llm.model_name",
        "user": "attributes.user.id",
        "session": "attributes.session.id",
        "error": "status_message and exceptions where status_code is ERROR",
        "context": "tokens, temperature, attributes.metadata",
        "rating": "annotations of a user's opinion (thumbs, user_feedback …)",
        "outcome": "other annotations, by their name",
    }

    @classmethod
    def recognises(cls, rows: Sequence[Mapping[str, Any]]) -> str | None:
        """Say why these rows are Phoenix's, if they are."""
        sorts = [_sort(row) for row in rows]
        if sorts.count(_SPAN) * 2 > len(sorts):
            return "its rows are spans of Phoenix (context.span_id, span_kind, attributes)"
        if sorts.count(_ANNOTATION) * 2 > len(sorts):
            return "its rows are annotations of Phoenix (span_id, annotator_kind)"
        return None

    def begin(self, settings: Mapping[str, str], ranks: Sequence[int]) -> None:
        """Get ready to read from the start."""
        self._kept = kept_spans(settings)
        self._answered = Answered()

    def rank(self, rows: list[dict[str, Any]]) -> int | None:
        """Spans first, then annotations."""
        return next((sort for sort in map(_sort, rows) if sort is not None), None)

    def drafts(self, row: dict[str, Any], place: str) -> Iterator[dict[str, Any]]:
        """Yield what a span or an annotation says."""
        sort = _sort(row)
        if sort == _SPAN:
            span = _span(row)
            draft = span_draft(span, self._kept)
            self._answered.take(span, draft)
            if draft is None:
                self.passed += 1
            else:
                yield draft
            for note in listed(row, "annotations", "span_annotations"):
                yield self._annotation({"span_id": span.span_id, **note}, place)
        elif sort == _ANNOTATION:
            yield self._annotation(row, place)
        else:
            yield unreadable(place, "it is neither a span nor an annotation of Phoenix", row)

    def _annotation(self, row: Mapping[str, Any], place: str) -> dict[str, Any]:
        span_id = said(row, *_SPAN_IDS)
        about = self._answered.of(said(row, "trace_id", "context.trace_id"), span_id)
        if about is None:
            return unreadable(
                place,
                f"it is about span {span_id}, of which no interaction is known here. Give the folder that holds the "
                "spans too, or take more spans with spans=roots or spans=all",
                dict(row),
            )
        result = said(row, "result")
        told = {**(result if isinstance(result, Mapping) else {}), **row}
        name = str(said(told, *_NAMES) or "annotation")
        kind = str(said(told, "annotator_kind") or "LLM").upper()
        at, by = utc(said(told, "created_at", "updated_at")), said(told, "identifier", "user_id")
        label, words = said(told, "result.label", "label"), said(told, "result.explanation", "explanation")
        known = said(told, "id")
        stable = f"phoenix_{known}" if known else None
        if kind == "HUMAN" and is_truth(name) and (words or label) is not None:
            return right_output(about, id=stable, output=words if words is not None else label, at=at, by=by)
        if name == "note" and words is not None:
            note = {"kind": "feedback", "interaction_id": about, "comment": as_text(words), "source": "reviewer"}
            return note | {field: one for field, one in (("id", stable), ("at", at), ("by", by)) if one}
        score = said(told, "result.score", "score")
        if isinstance(score, str):
            score = _number(score)
        made = feedback_about(
            about, id=stable, name=name, kind=kind, value=score, label=label, words=words, at=at, by=by
        )
        return made or unreadable(place, f"annotation {name!r} has no score, label or explanation", dict(row))


def _number(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _sort(row: Mapping[str, Any]) -> int | None:
    if "annotator_kind" in row and any(name in row for name in _SPAN_IDS):
        return _ANNOTATION
    context = row.get("context")
    if isinstance(context, Mapping) and "span_id" in context and ("span_kind" in row or "attributes" in row):
        return _SPAN
    if "context.span_id" in row and "context.trace_id" in row and ("span_kind" in row or "start_time" in row):
        return _SPAN
    return None


def _span(row: Mapping[str, Any]) -> Span:
    given = row.get("context")
    context: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    attributes = _attributes(row)
    kind = said(row, "span_kind")
    if kind is not None and str(kind).upper() != "UNKNOWN":
        attributes.setdefault("openinference.span.kind", str(kind))
    events = said(row, "events")
    return Span(
        trace_id=str(said(row, "context.trace_id") or context.get("trace_id") or ""),
        span_id=str(said(row, "context.span_id") or context.get("span_id") or ""),
        parent_id=str(said(row, "parent_id") or "") or None,
        name=str(row.get("name") or ""),
        attributes=attributes,
        start=_moment(said(row, "start_time")),
        end=_moment(said(row, "end_time")),
        failed=str(row.get("status_code") or "").upper() == "ERROR",
        message=as_text(said(row, "status_message") or ""),
        events=[_event(event) for event in events if isinstance(event, Mapping)] if isinstance(events, list) else (),
    )


def _moment(value: Any) -> datetime | None:
    moment = utc(value)
    return moment if isinstance(moment, datetime) else None


def _attributes(row: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes with dotted names, from the dataframe's columns or the API's object."""
    whole = said(row, "attributes")
    nested = {str(name): value for name, value in whole.items()} if isinstance(whole, Mapping) else {}
    for name in row:
        if name.startswith("attributes.") and said(row, name) is not None:
            nested[name.removeprefix("attributes.")] = _value(row, name)
    metadata = nested.pop("metadata", None)
    flat = {name: value for name, value in flatten(nested).items() if value is not None}
    return flat if metadata is None else {**flat, "metadata": metadata}


def _value(row: Mapping[str, Any], name: str) -> Any:
    """A cell of the dataframe. Lists of objects are text in a CSV: as JSON, or as pandas writes them."""
    value = row[name]
    whole = name == "attributes.metadata"
    if not isinstance(value, str) or value[:1] not in ("[{" if whole else "[") or len(value) > _LONGEST_CELL:
        return value
    found = said(row, name)
    if found == value:
        try:
            found = ast.literal_eval(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return value
    listed = isinstance(found, list) and all(isinstance(one, Mapping) for one in found)
    return found if whole or listed else value


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    attributes = said(event, "attributes")
    return {"name": event.get("name"), "attributes": flatten(attributes) if isinstance(attributes, Mapping) else {}}
