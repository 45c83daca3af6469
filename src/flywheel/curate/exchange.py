"""Review items out to a file that people fill in elsewhere, and their labels back: CSV, JSON lines, Label Studio."""

from __future__ import annotations

import csv
import io
import json
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flywheel.errors import InvalidConfig, InvalidRecord, NotFound
from flywheel.page.sheet import guarded, unguarded
from flywheel.records import ReviewItem

__all__ = ["LabelProblem", "LabelsRead", "RowRead", "label_studio_config", "read_labels", "typed", "write_items"]

FORMATS = ("csv", "jsonl", "label-studio")
_COLUMNS = ("item_id", "input", "output", "suggestions", "why", "mode", "confidence", "context", "label", "by")
_LONG = 60
_LARGEST_CELL = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LabelProblem:
    """A line that could not be used: where, why, and the line itself, so that nothing a person wrote is lost."""

    line: int
    reason: str
    body: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class LabelsRead:
    """What an import did: how many items got a label, were skipped, had it already; which lines could not be used."""

    labelled: int
    skipped: int = 0
    unchanged: int = 0
    problems: tuple[LabelProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class RowRead:
    """One answer found in a file. `as_text` says that the format has no types, so the item's own decide."""

    line: int
    body: str
    item_id: str
    label: Any = None
    by: str = ""
    at: datetime | None = None
    skip: bool = False
    as_text: bool = False

    def problem(self, reason: str) -> LabelProblem:
        """This row as one that could not be used."""
        return LabelProblem(self.line, reason, self.body)


def write_items(items: Sequence[ReviewItem], path: Path, format: str) -> None:
    """Write items as `csv`, `jsonl` or `label-studio`, whole or not at all."""
    writers = {"csv": _csv, "jsonl": _jsonl, "label-studio": _tasks}
    if format not in writers:
        raise InvalidConfig(f"{format!r} is not a format for labels. Formats: {', '.join(FORMATS)}")
    text = writers[format](items)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_text(text, encoding="utf-8", newline="")
        os.replace(partial, path)
    except FileNotFoundError as problem:
        raise NotFound(f"{path} cannot be written: there is no folder {path.parent}") from problem


def read_labels(path: Path, format: str) -> Iterator[RowRead | LabelProblem]:
    """Yield the answers in a file, and what could not be understood, in the file's order."""
    readers = {"csv": _read_csv, "jsonl": _read_jsonl, "label-studio": _read_tasks}
    if format not in readers:
        raise InvalidConfig(f"{format!r} is not a format for labels. Formats: {', '.join(FORMATS)}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as problem:
        raise NotFound(f"there is no file {path}") from problem
    except UnicodeDecodeError as problem:
        raise InvalidRecord("file", f"{path} is not UTF-8: {problem}", "Save it as CSV UTF-8") from problem
    yield from readers[format](text)


def typed(text: str, item: ReviewItem) -> Any:
    """Give a written label the type that the item's own answers have.

    >>> item = ReviewItem(id="q1", interaction_id="i1", input=[0.0, 1.0], output=3)
    >>> typed("8", item), typed("illegible", item)
    (8, 'illegible')
    """
    answers = [answer for answer in (item.output, *item.suggestions) if answer is not None]
    if not any(not isinstance(answer, str) for answer in answers):
        return unguarded(text)
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return unguarded(text)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


# --- CSV --------------------------------------------------------------------------------------------------------------


def _csv(items: Sequence[ReviewItem]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for item in items:
        context = json.dumps(item.context, ensure_ascii=False, sort_keys=True) if item.context else ""
        suggestions = " | ".join(_text(value) for value in item.suggestions)
        cells = (item.id, _text(item.input), _text(item.shown), suggestions, item.why, item.mode or "")
        confidence = "" if item.confidence is None else f"{item.confidence:.4f}"
        writer.writerow([guarded(cell) for cell in (*cells, confidence, context, "", "")])
    return out.getvalue()


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _read_csv(text: str) -> Iterator[RowRead | LabelProblem]:
    before = csv.field_size_limit(_LARGEST_CELL)
    try:
        # Spreadsheets of half of Europe save with semicolons.
        header = text.split("\n", 1)[0]
        separator = ";" if header.count(";") > header.count(",") else ","
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
        missing = {"item_id", "label"} - set(reader.fieldnames or ())
        if missing:
            raise InvalidRecord(
                "file", f"has no column {' or '.join(sorted(missing))}", "Keep the exported header line"
            )
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as problem:
        raise InvalidRecord(
            "file", f"is not CSV: {problem}", "Export it again and fill in the label column"
        ) from problem
    finally:
        csv.field_size_limit(before)
    for line, row in rows:
        body = json.dumps(row, ensure_ascii=False, default=str)
        item_id, by = (row["item_id"] or "").strip(), (row.get("by") or "").strip()
        if not item_id:
            if any(isinstance(cell, str) and cell.strip() for cell in row.values()):
                yield LabelProblem(line, "there is no item_id", body)
            continue
        yield RowRead(line, body, item_id, label=(row["label"] or "").strip(), by=by, as_text=True)


# --- JSON lines -------------------------------------------------------------------------------------------------------


def _jsonl(items: Sequence[ReviewItem]) -> str:
    lines = []
    for item in items:
        row = {
            "item_id": item.id,
            "input": item.input,
            "output": item.shown,
            "suggestions": list(item.suggestions),
            "why": item.why,
            "mode": item.mode,
            "confidence": item.confidence,
            "context": item.context,
            "label": None,
            "by": None,
        }
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)


def _read_jsonl(text: str) -> Iterator[RowRead | LabelProblem]:
    for line, body in enumerate(text.split("\n"), start=1):
        if not body.strip():
            continue
        try:
            row = json.loads(body, parse_constant=_refuse)
        except (ValueError, RecursionError) as problem:
            yield LabelProblem(line, f"is not JSON: {problem}", body)
            continue
        if not isinstance(row, dict) or not isinstance(row.get("item_id"), str):
            yield LabelProblem(line, "is not an object with a text item_id", body)
            continue
        by = row.get("by")
        yield RowRead(
            line,
            body,
            row["item_id"],
            label=row.get("label"),
            by=by if isinstance(by, str) else "",
            at=_time(row.get("at")),
            skip=row.get("skip") is True or row.get("status") == "skipped",
        )


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# --- Label Studio -----------------------------------------------------------------------------------------------------


def label_studio_config(items: Sequence[ReviewItem]) -> str:
    """The labelling interface that goes with exported tasks: paste it into the project's settings.

    Choices when the answers are short, a text box when one of them is long.
    """
    view = ET.Element("View")
    ET.SubElement(view, "Text", name="input", value="$input")
    if any(_is_long(item) for item in items):
        ET.SubElement(view, "TextArea", name="label", toName="input", editable="true", maxSubmissions="1")
    else:
        choices = ET.SubElement(view, "Choices", name="label", toName="input", choice="single", showInline="true")
        answers = {_text(answer) for item in items for answer in (item.output, *item.suggestions) if answer is not None}
        for answer in sorted(answers):
            ET.SubElement(choices, "Choice", value=answer)
    ET.indent(view)
    return ET.tostring(view, encoding="unicode")


def _is_long(item: ReviewItem) -> bool:
    return isinstance(item.output, str) and (len(item.output) > _LONG or "\n" in item.output)


def _tasks(items: Sequence[ReviewItem]) -> str:
    tasks = []
    for item in items:
        answers = item.suggestions or (() if item.output is None else (item.output,))
        data = {"item_id": item.id, "input": _text(item.input), "output": _text(item.shown), "why": item.why}
        data.update({f"context_{key}": value for key, value in sorted(item.context.items())})
        tasks.append(
            {
                "data": data,
                "predictions": [_prediction(item, answer) for answer in answers[: 0 if item.blind else 1]],
                "meta": {"item_id": item.id, "spin": item.spin},
            }
        )
    return json.dumps(tasks, ensure_ascii=False, indent=1)


def _prediction(item: ReviewItem, answer: Any) -> dict[str, Any]:
    kind, value = (
        ("textarea", {"text": [_text(answer)]}) if _is_long(item) else ("choices", {"choices": [_text(answer)]})
    )
    result = {"from_name": "label", "to_name": "input", "type": kind, "value": value}
    score = {} if item.confidence is None else {"score": item.confidence}
    return {"model_version": "flywheel", "result": [result], **score}


def _read_tasks(text: str) -> Iterator[RowRead | LabelProblem]:
    try:
        tasks = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as problem:
        raise InvalidRecord("file", f"is not JSON: {problem}", "Export from Label Studio as JSON") from problem
    if not isinstance(tasks, list):
        raise InvalidRecord("file", "is not a list of tasks", "Export from Label Studio as JSON")
    for line, task in enumerate(tasks, start=1):
        body = json.dumps(task, ensure_ascii=False)
        item_id = _task_item(task)
        if item_id is None:
            yield LabelProblem(line, "the task has no item_id in its meta or data", body)
            continue
        found = task.get("annotations")
        annotations = [a for a in found if isinstance(a, dict)] if isinstance(found, list) else []
        given = [a for a in annotations if a.get("was_cancelled") is not True and isinstance(a.get("result"), list)]
        if not given:
            if any(a.get("was_cancelled") is True for a in annotations):
                latest = max(annotations, key=_when)
                yield RowRead(line, body, item_id, by=_annotator(latest), at=_when(latest), skip=True)
            continue  # nobody has looked at the task yet: it goes on waiting
        latest = max(given, key=_when)
        labels = [label for result in latest["result"] for label in _labels_of(result)]
        yield _task_row(line, body, item_id, labels, latest)


def _task_row(line: int, body: str, item_id: str, labels: list[Any], annotation: dict[str, Any]) -> RowRead:
    who, when = _annotator(annotation), _when(annotation)
    at = when if when.year > 1 else None
    if len(labels) == 1:
        return RowRead(line, body, item_id, label=labels[0], by=who, at=at, as_text=isinstance(labels[0], str))
    return RowRead(line, body, item_id, label=labels or None, by=who, at=at)


def _task_item(task: Any) -> str | None:
    if not isinstance(task, dict):
        return None
    for part in (task.get("meta"), task.get("data")):
        if isinstance(part, dict) and isinstance(part.get("item_id"), str):
            return str(part["item_id"])
    return None


def _when(annotation: dict[str, Any]) -> datetime:
    found = _time(annotation.get("updated_at")) or _time(annotation.get("created_at"))
    return found or datetime.min.replace(tzinfo=UTC)


def _annotator(annotation: dict[str, Any]) -> str:
    who = annotation.get("completed_by")
    if isinstance(who, dict):
        who = who.get("email") or who.get("username") or who.get("id")
    return "" if who is None else f"label-studio:{who}"


def _labels_of(result: Any) -> list[Any]:
    """The answers in one result: choices, text areas, numbers and ratings."""
    value = result.get("value") if isinstance(result, dict) else None
    if not isinstance(value, dict):
        return []
    if isinstance(value.get("choices"), list):
        return [choice for choice in value["choices"] if isinstance(choice, str)]
    if "text" in value and result.get("type") == "textarea":
        text = value["text"]
        lines = [line for line in text if isinstance(line, str)] if isinstance(text, list) else [str(text)]
        return ["\n".join(lines)] if lines else []
    return [value[key] for key in ("number", "rating") if isinstance(value.get(key), int | float)]
