"""Whose column is what: a guess, shown before it is used, and the turning of a row into a record by it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flywheel.capture.checks import FEEDBACK_KINDS
from flywheel.errors import InvalidConfig

if TYPE_CHECKING:
    from flywheel.ports import Source

__all__ = ["columns_of", "guess_mapping", "shape"]

_KNOWN_AS = {
    "input": "text prompt question query utterance message request instruction sentence features document image",
    "output": "prediction predicted predicted_label pred y_pred response answer completion reply result",
    "label": "true_label truth ground_truth target expected gold correct_answer actual y y_true intent class category",
    "id": "interaction_id request_id trace_id uuid event_id log_id",
    "interaction_id": "",
    "at": "timestamp time created_at datetime event_time ts date when",
    "sent_at": "",
    "confidence": "probability prob score certainty",
    "scores": "probabilities logits",
    "latency_ms": "duration_ms elapsed_ms response_time_ms",
    "error": "exception error_message",
    "model": "model_version model_name model_id",
    "user": "user_id userid username user_name customer customer_id account_id",
    "session": "session_id conversation_id thread_id chat_id",
    "rating": "thumbs feedback user_rating",
    "comment": "feedback_text user_comment remark",
    "report": "",
    "outcome": "",
    "context": "metadata",
    "propensity": "",
    "consent": "",
    "kind": "",
    "value": "",
    "name": "",
    "source": "",
    "by": "",
    "extra": "",
}
_ONLY_FEEDBACK = ("kind", "value", "name", "source", "by", "interaction_id")
_PREFIXES = ("input.", "context.", "outcome.", "scores.", "extra.")


def guess_mapping(columns: Iterable[str], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Guess which column holds which field, by their names: field → column.

    Fields are those of `Recorder.log` and `Recorder.feedback`; `input.x` and `context.x` name parts. Columns nobody can
    place become context, or, when no column looks like the input, parts of the input (a table of features). What is
    `given` stands, and the rest is guessed around it; a field or column that does not exist is an `InvalidConfig`.

    >>> guess_mapping(["Timestamp", "question", "response", "device"])
    {'at': 'Timestamp', 'input': 'question', 'output': 'response', 'context.device': 'device'}
    """
    known = list(dict.fromkeys(columns))
    given = dict(given or {})
    _check_given(given, known)
    names = [name for name in known if name not in given.values()]
    plain_names = {name: re.sub(r"[\s-]+", "_", name.strip().lower()) for name in names}
    about_feedback = "interaction_id" in plain_names.values() and (
        "input" not in plain_names.values() or "kind" in plain_names.values()
    )
    field_of: dict[str, str] = {}
    taken: set[str] = set(given)

    def take(field: str, column: str) -> None:
        field_of[column] = field
        taken.add(field)

    for name in names:
        field = plain_names[name]
        if (
            field in _KNOWN_AS and field not in taken and (about_feedback or field not in _ONLY_FEEDBACK)
        ) or field.startswith(_PREFIXES):
            take(name if field.startswith(_PREFIXES) else field, name)
    for field, others in _KNOWN_AS.items():
        for other in others.split():
            if field in taken or (about_feedback and field == "id" and other == "interaction_id"):
                continue
            column = next((name for name in names if plain_names[name] == other and name not in field_of), None)
            if column is not None and not (field in _ONLY_FEEDBACK and not about_feedback):
                take(field, column)
    has_input = about_feedback or any(field == "input" or field.startswith("input.") for field in taken)
    for name in names:
        if name not in field_of:
            take(f"extra.{name}" if about_feedback else f"context.{name}" if has_input else f"input.{name}", name)
    return given | {field_of[name]: name for name in names}


def _check_given(given: Mapping[str, str], columns: Sequence[str]) -> None:
    for field, column in given.items():
        if field not in _KNOWN_AS and not field.startswith(_PREFIXES):
            close = difflib.get_close_matches(field, _KNOWN_AS, n=1)
            hint = (
                f"Did you mean {close[0]!r}?"
                if close
                else f"There are: {', '.join(_KNOWN_AS)}, context.NAME, input.NAME"
            )
            raise InvalidConfig(f"{field!r} is not a field that a column can be mapped to. {hint}")
        if columns and column not in columns and column.split(".")[0] not in columns:
            close = difflib.get_close_matches(column, columns, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(columns)}"
            raise InvalidConfig(f"there is no column {column!r} to be the {field}. {hint}")


def columns_of(source: Source, location: str) -> list[str]:
    """List the columns at a location: what `guess_mapping` guesses from.

    Built-in sources read a hundred rows for it.
    """
    listing = getattr(source, "columns", None)
    if listing is not None:
        return list(listing(location))
    first = next(iter(source.read(location, None)), {})
    return [name for name in first if name != "kind"]


def shape(row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """Turn a row into a record by a mapping: a plain dict with `kind` `interaction` or `feedback`.

    A column that a row does not have, or that is null there, is a thing not said. Dots in a column's name reach into
    nested values (`request.body.text`).
    """
    record: dict[str, Any] = {}
    for field, column in mapping.items():
        value = _reach(row, column)
        if value is None:
            continue
        prefix, _, rest = field.partition(".")
        if rest and f"{prefix}." in _PREFIXES:
            if prefix == "context" and isinstance(value, dict | list):
                prefix = "extra"  # context is flat
            part = record.setdefault(prefix, {})
            if isinstance(part, dict):
                part[rest] = value
        elif isinstance(record.get(field), dict) and isinstance(value, dict):
            record[field] = {**value, **record[field]}
        else:
            record[field] = value
    _flatten_context(record)
    return _kind(record)


def _flatten_context(record: dict[str, Any]) -> None:
    """Context is flat: what is nested in a column of metadata is kept as extra."""
    context, extra = record.get("context"), record.get("extra", {})
    if isinstance(context, dict) and isinstance(extra, dict):
        nested = {name: value for name, value in context.items() if isinstance(value, dict | list)}
        if nested:
            record["context"] = {name: value for name, value in context.items() if name not in nested}
            record["extra"] = {**nested, **extra}


def _kind(record: dict[str, Any]) -> dict[str, Any]:
    kind = record.get("kind")
    if kind in ("interaction", "feedback"):
        return record
    if kind in (*FEEDBACK_KINDS, "withdrawal"):  # the stored form of feedback, whose own kind this is
        value, name = record.pop("value", None), record.pop("name", None)
        record[str(kind)] = {str(name): value} if kind == "outcome" else value
        record["kind"] = "feedback"
        return record
    record["kind"] = "feedback" if "interaction_id" in record and "input" not in record else "interaction"
    return record


def _reach(row: Mapping[str, Any], column: str) -> Any:
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value
