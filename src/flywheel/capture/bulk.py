"""Elasticsearch's `_bulk` → drafts, and the answer its clients expect: what log shippers write to with stock outputs.

A body is lines of JSON: an action, then the document it is about. Every document becomes a draft; its fields are
found as an import finds columns, with what Filebeat, Logstash, Fluent Bit and Vector add around a line (ECS fields,
the line itself as JSON text) understood first. The log is append-only: `update` and `delete` are refused, item by item.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from flywheel.capture import genai
from flywheel.capture.genai_messages import as_text
from flywheel.capture.mapping import guess_mapping, shape
from flywheel.errors import InvalidConfig, TooLarge, Undecodable

if TYPE_CHECKING:
    from flywheel.capture.intake import Intake, Taken

__all__ = ["Bulk", "BulkReceiver", "Item", "draft_of", "error_body", "filtered"]

MOST_ITEMS = 50_000
MOST_VALUES = 100_000
"""Values in one document."""
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_OPERATIONS = ("index", "create", "update", "delete")
_MARK = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?")
_LINES = ("message", "log", "msg", "event.original")  # where shippers put the line they read
_SHIPPERS = ("@version", "@metadata", "agent", "ecs", "stream", "offset", "beat", "prospector", "input_type", "tags")
_NAMES = ("id", "user", "session", "model", "interaction_id", "by")
_decode = msgspec.json.decode


@dataclass(slots=True)
class Item:
    """One action: what was asked, where, under which id; `problem` says why it cannot be done."""

    operation: str
    index: str
    id: str | None = None
    problem: str | None = None
    fate: str = ""


@dataclass(slots=True)
class Bulk:
    """A request under way: its items in order, each with the draft it became, if it did."""

    items: list[Item] = field(default_factory=list)

    def drafts(self, body: bytes, index: str, max_record_bytes: int) -> Iterator[dict[str, Any]]:
        """Yield a draft for each document, one at a time, and note each item.

        Raises `Undecodable` where the lines are not action and document in turn, `TooLarge` beyond 50,000 items.
        """
        lines = _lines(body)
        for number, line in lines:
            operation, told = _action(number, line)
            item = Item(operation, as_text(told.get("_index") or index or "flywheel"))
            if told.get("_id") not in (None, ""):
                item.id = as_text(told["_id"])
            self.items.append(item)
            if len(self.items) > MOST_ITEMS:
                raise _too_many()
            if operation == "delete":
                item.problem = "[delete] is not possible: the log is append-only. To erase: flywheel erase --user"
                continue
            given = next(lines, None)
            if given is None:
                raise Undecodable(f"line {number} is an action without its document. Send both, each on its own line")
            if operation == "update":
                item.problem = "[update] is not possible: the log is append-only. Send feedback, or a new document"
                continue
            yield _document(given[1], item, max_record_bytes)


class BulkReceiver:
    """Takes `_bulk` requests in for one flywheel. Safe to share between threads."""

    def __init__(self, intake: Intake, *, max_record_bytes: int = 1_048_576) -> None:
        self._intake = intake
        self._limit = max_record_bytes

    def receive(
        self, body: bytes, index: str = "", *, counts: Mapping[str, int] | None = None
    ) -> tuple[Taken, list[dict[str, Any]]]:
        """Take a request in; return its books and the result of each item in order, as Elasticsearch words them.

        201 created; 200 for a document that is there already (`create`: 409, as there); 409 for an id with other
        content, where the first stands; 400 for a document that cannot be stored, with the reason.

        Raises `Undecodable` (the body is then a dead letter), `TooLarge`, `StoreBusy` and `StoreUnavailable`.
        """
        bulk = Bulk()
        try:
            taken = self._intake.take(bulk.drafts(body, index, self._limit), source="bulk", counts=counts)
        except Undecodable as problem:
            self._intake.refuse_body(body, str(problem), source="bulk")
            raise
        reasons = dict(taken.errors)
        results, place = [], 0
        for item in bulk.items:
            if item.problem is not None:
                results.append(_result(item, "refused", item.problem))
                continue
            item.id = taken.ids[place] or item.id
            results.append(_result(item, taken.outcomes[place], reasons.get(place, "")))
            place += 1
        return taken, results


def _result(item: Item, outcome: str, reason: str) -> dict[str, Any]:
    told: dict[str, Any] = {"_index": item.index, "_id": item.id}
    if outcome == "stored":
        told |= {"_version": 1, "result": "created", "status": 201}
    elif outcome == "duplicate" and item.operation == "index":
        told |= {"_version": 1, "result": "noop", "status": 200}
    elif outcome in ("duplicate", "conflict"):
        words = reason or "document already exists"
        told |= _failed(409, "version_conflict_engine_exception", f"[{item.id}]: version conflict, {words}")
    elif outcome == "dead-lettered":
        told |= _failed(400, "mapper_parsing_exception", reason or "it could not be stored; it is a dead letter")
    else:
        told |= _failed(400, "illegal_argument_exception", reason or "it was not stored")
    return {item.operation: told}


def _failed(status: int, kind: str, reason: str) -> dict[str, Any]:
    return {"status": status, "error": {"type": kind, "reason": reason[:2000]}}


def error_body(status: int, kind: str, reason: str) -> dict[str, Any]:
    """The body of an error of a whole request, as Elasticsearch words it."""
    cause = {"type": kind, "reason": reason}
    return {"error": {"root_cause": [cause], **cause}, "status": status}


def filtered(body: dict[str, Any], paths: str) -> dict[str, Any]:
    """Keep what a `filter_path` names: names separated by dots, `*` for any part of one, `**` for any depth.

    >>> filtered({"took": 3, "errors": True, "items": [{"index": {"_id": "1", "status": 400}}]}, "errors,*.*.status")
    {'errors': True, 'items': [{'index': {'status': 400}}]}
    """
    wanted = [path.strip().split(".")[:16] for path in paths[:2000].split(",")[:32] if path.strip()]
    if not wanted:
        return body
    kept = _kept(body, wanted)
    return kept if isinstance(kept, dict) else {}


def _kept(value: Any, paths: list[list[str]]) -> Any:
    if any(not path or path == ["**"] for path in paths):
        return value
    if isinstance(value, list):
        found = [one for one in (_kept(item, paths) for item in value) if one is not None]
        return found or None
    if not isinstance(value, dict):
        return None
    kept = {}
    for key, item in value.items():
        below = [path[1:] for path in paths if path[0] != "**" and _matches(path[0], key)]
        below += [path for path in paths if path[0] == "**"]
        below += [path[2:] for path in paths if path[0] == "**" and len(path) > 1 and _matches(path[1], key)]
        inner = _kept(item, below) if below else None
        if inner is not None:
            kept[key] = inner
    return kept or None


def _matches(pattern: str, name: str) -> bool:
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == name
    if not name.startswith(first):
        return False
    at = len(first)
    for part in rest[:-1]:
        at = name.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return name.endswith(rest[-1]) and len(name) - len(rest[-1]) >= at


# --- reading ---


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    if body and not body.endswith(b"\n"):
        raise Undecodable("the bulk request must be terminated by a newline [\\n]; this one may have been cut off")
    if body.count(b"\n{") > 2 * MOST_ITEMS:
        raise _too_many()
    start = number = 0
    while start < len(body):
        end = body.find(b"\n", start)
        number += 1
        line = body[start:end].strip()
        start = end + 1
        if line:
            yield number, line


def _too_many() -> TooLarge:
    return TooLarge(f"the request holds more than {MOST_ITEMS:,} documents. Send smaller batches")


def _action(number: int, line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        action = _decode(line) if len(line) <= 8192 else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        action = None
    if isinstance(action, dict) and len(action) == 1:
        operation, told = next(iter(action.items()))
        if operation in _OPERATIONS and (told is None or isinstance(told, dict)):
            return operation, told or {}
    shown = line[:60].decode("utf-8", "replace")
    raise Undecodable(
        f"Malformed action/metadata line [{number}]: {shown!r} is none of {', '.join(_OPERATIONS)} with an object. "
        'Send {"index": {}} and the document, each on its own line'
    )


def _document(line: bytes, item: Item, limit: int) -> dict[str, Any]:
    document: Any = None
    if len(line) > limit:
        problem = f"it has {len(line):,} bytes; at most {limit:,} are taken. Store the large part elsewhere"
    elif _crowded(line):
        problem = f"it holds more than {MOST_VALUES:,} values. Store arrays elsewhere and send where"
    else:
        try:
            document = _decode(line)
            problem = "" if isinstance(document, dict) else f"it is a JSON {type(document).__name__}, not an object"
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as failure:
            problem = f"it is not JSON ({failure})"
    draft: dict[str, Any] = {}
    if not problem:
        try:
            draft = draft_of(document)
        except InvalidConfig as failure:
            problem = str(failure)
    if problem:
        told = line[:65_536].decode("utf-8", "replace") if document is None else document
        place = f"document {item.id}" if item.id else "document"
        return {"kind": "unreadable", "place": place, "problem": f"failed to parse: {problem}", "body": told}
    if item.id is not None:
        draft["id"] = item.id
    elif draft.get("id") is None:
        draft["id"] = f"bulk-{hashlib.blake2b(item.index.encode() + b' ' + line, digest_size=16).hexdigest()}"
    item.id = as_text(draft["id"])
    return draft


def _crowded(line: bytes) -> bool:
    """Does a document hold too many values? Counted roughly first, and without its texts where that looks like many."""
    many = line.count(b",") + line.count(b"[") + line.count(b"{")
    if many <= MOST_VALUES:
        return False
    bare = _TEXT.sub(b"", line)
    return bare.count(b",") + bare.count(b"[") + bare.count(b"{") > MOST_VALUES


def draft_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a document into a draft.

    Our own fields and their usual other names are found by `guess_mapping`; `message` is the input where there is no
    other. A line that is a JSON object itself is the record, and what the shipper put around it becomes context.
    Documents with ECS's `gen_ai` fields are read as GenAI telemetry.
    """
    row, around = _unwrapped(document)
    if isinstance(row.get("gen_ai"), dict) or any(name.startswith("gen_ai.") for name in row):
        told = genai.interaction_from_attributes(genai.flatten(row), any_span=True)
        if told is not None and (told["input"] is not None or told["output"] is not None):
            return _finished(told, around)
    draft = shape(row, _mapping(tuple(row)))
    return _finished(draft, around)


def _unwrapped(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The record itself, and what stands around it: `at`, context and extra that a shipper added."""
    row = dict(document)
    around: dict[str, Any] = {"context": {}, "extra": {}}
    shipped = any(name in row for name in ("@timestamp", "@version", "agent", "ecs"))
    for name in ("@timestamp", "timestamp") if shipped else ():
        if name in row:
            around["at"] = row.pop(name)
            break
    for name in _LINES:
        line = row.get(name)
        inner = _object(line) if isinstance(line, str) else None
        if inner is not None:
            del row[name]
            _put_around(row, around)
            around["context"].update({key: value for key, value in row.items() if not isinstance(value, dict | list)})
            around["extra"].update({key: value for key, value in row.items() if isinstance(value, dict | list)})
            return inner, around
    if shipped or isinstance(row.get("host"), dict):
        _put_around(row, around)
        if "message" not in row and isinstance(row.get("log"), str):
            row["message"] = row.pop("log")
    elif set(row) & {"log", "msg"} and "message" not in row:  # Fluent Bit's and many loggers' name for a line
        name = "log" if isinstance(row.get("log"), str) else "msg"
        if isinstance(row.get(name), str):
            row["message"] = row.pop(name)
    return row, around


def _object(line: str) -> dict[str, Any] | None:
    if not line.lstrip().startswith("{"):
        return None
    try:
        found = _decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return found if isinstance(found, dict) and found else None


def _put_around(row: dict[str, Any], around: dict[str, Any]) -> None:
    """Move what ECS and the shippers put beside a line out of the way: facts into context, the rest into extra."""
    context, extra = around["context"], around["extra"]
    for name in _SHIPPERS:
        if name in row:
            extra[name] = row.pop(name)
    if isinstance(row.get("input"), dict) and set(row["input"]) == {"type"}:  # Filebeat's kind of input
        extra["shipper_input"] = row.pop("input")
    _lift(row, "host", "name", context, "host", extra)
    _lift(row, "service", "name", context, "service", extra)
    _lift(row, "log", "level", context, "level", extra)
    _lift(row, "user", "id", row, "user", extra, "name")
    for name, part, field_name in (("trace", "id", "trace_id"), ("span", "id", "span_id")):
        _lift(row, name, part, extra, field_name, extra)
    event = row.get("event")
    if isinstance(event, dict):
        duration = event.get("duration")
        if isinstance(duration, int) and not isinstance(duration, bool):
            row.setdefault("latency_ms", duration / 1e6)  # ECS: nanoseconds
        extra["event"] = row.pop("event")
    error = row.get("error")
    if isinstance(error, dict):
        words = ": ".join(as_text(error[key]) for key in ("type", "message") if error.get(key))
        row["error"] = words or None
        extra["error"] = {key: value for key, value in error.items() if key not in ("type", "message")}
    if isinstance(row.get("labels"), dict):
        labels = row.pop("labels")
        context.update({key: value for key, value in labels.items() if not isinstance(value, dict | list)})


def _lift(
    row: dict[str, Any], name: str, part: str, into: dict[str, Any], to: str, extra: dict[str, Any], other: str = ""
) -> None:
    """Take one part of a nested ECS field up; the others go to extra."""
    told = row.get(name)
    if not isinstance(told, dict):
        return
    del row[name]
    rest = dict(told)
    found = rest.pop(part, None)
    if found is None and other:
        found = rest.pop(other, None)
    if found is not None:
        into[to] = found
    if rest:
        extra[f"{name}_fields" if into is row else name] = rest


@lru_cache(maxsize=512)
def _mapping(columns: tuple[str, ...]) -> dict[str, str]:
    return guess_mapping(columns)


def _finished(draft: dict[str, Any], around: dict[str, Any]) -> dict[str, Any]:
    for name in _NAMES:
        if isinstance(draft.get(name), int) and not isinstance(draft.get(name), bool):
            draft[name] = str(draft[name])  # ids are often written as numbers
    if "at" in around and draft.get("at") is None:
        draft["at"] = around["at"]
    at = draft.get("at")
    if isinstance(at, str) and _MARK.fullmatch(at.strip()):
        draft["at"] = f"{at.strip().replace(',', '.')}+00:00"  # as Elasticsearch reads a time without a zone
    if draft["kind"] == "feedback":
        own = draft.get("extra")
        told = {**around["extra"], **around["context"]}
        return {**draft, "extra": {**told, **(own or {})}} if told and isinstance(own, dict | None) else draft
    for part in ("context", "extra"):
        own = draft.get(part)
        if around[part] and (own is None or isinstance(own, dict)):
            draft[part] = {**around[part], **(own or {})}
    draft.setdefault("input", None)
    return draft
