"""The source `tensorzero`: inferences, feedback and datapoints of the TensorZero gateway.

Its tables as ClickHouse or its API write them (https://www.tensorzero.com/docs/gateway/data-model).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

from flywheel.capture.genai_messages import answer_of, as_text, messages_of
from flywheel.capture.sources.files import unreadable
from flywheel.capture.sources.row_source import RowSource, listed, said, utc
from flywheel.capture.sources.said import feedback_about, is_rating, right_output

__all__ = ["TensorZero"]

_MODEL, _INFERENCE, _DATAPOINT, _FEEDBACK = range(4)
_OWN_TAGS = "tensorzero::"
_USERS = ("user_id", "user", "end_user")


class TensorZero(RowSource):
    """Exports of TensorZero's tables as JSON lines, arrays, CSV or Parquet: one file, or a folder with several.

    Inferences and datapoints become interactions; a datapoint's output is its label. Metrics become outcomes (or a
    rating, by their name), comments comments, demonstrations labels. In a folder, `ModelInference` adds tokens and the
    model, and feedback about an episode goes to its last inference; without it, feedback is taken to be about an
    inference. Deleted and staled datapoints are passed over.
    """

    name = "tensorzero"
    joins = True
    maps: ClassVar[dict[str, str]] = {
        "input": "input.system and input.messages",
        "output": "output (text, tool calls, or the parsed JSON)",
        "id": "id; of a datapoint, dataset_name:id",
        "at": "timestamp, else the time in the id",
        "latency_ms": "processing_time_ms",
        "model": "variant_name",
        "session": "episode_id",
        "user": "tags.user_id",
        "context": "function_name, other tags",
        "label": "a datapoint's output; a demonstration",
        "outcome": "boolean and float metrics",
    }

    @classmethod
    def recognises(cls, rows: Sequence[Mapping[str, Any]]) -> str | None:
        """Say why these rows are TensorZero's, if they are."""
        words = {_INFERENCE: "inferences", _DATAPOINT: "datapoints", _FEEDBACK: "feedback", _MODEL: "model inferences"}
        sorts = [_sort(row) for row in rows]
        for sort, called in words.items():
            if sorts.count(sort) * 2 > len(sorts):
                return f"its rows are {called} of TensorZero"
        return None

    def begin(self, settings: Mapping[str, str], ranks: Sequence[int]) -> None:
        """Get ready to read from the start."""
        self._together = len(ranks) > 1
        self._inferences: set[str] = set()
        self._episodes: dict[str, str] = {}
        self._calls: dict[str, dict[str, Any]] = {}

    def rank(self, rows: list[dict[str, Any]]) -> int | None:
        """Model inferences first, then inferences and datapoints, then feedback."""
        return next((sort for sort in map(_sort, rows) if sort is not None), None)

    def drafts(self, row: dict[str, Any], place: str) -> Iterator[dict[str, Any]]:
        """Yield what a row of any of the tables says."""
        sort = _sort(row)
        if sort in (_INFERENCE, _DATAPOINT):
            draft = _inference(row, self._calls, datapoint=sort == _DATAPOINT)
            if draft is None:
                self.passed += 1
                return
            if sort == _INFERENCE:
                self._inferences.add(draft.get("id", ""))
                episode = draft.get("session")
                if episode and self._episodes.get(episode, "") < draft.get("id", ""):
                    self._episodes[episode] = draft["id"]  # ids are in order of time
            yield draft
        elif sort == _MODEL:
            self._calls[str(row["inference_id"])] = _call(row)
            self.passed += 1
        elif sort == _FEEDBACK:
            yield self._feedback(row, place)
        else:
            yield unreadable(place, "it is neither an inference nor a datapoint nor feedback of TensorZero", row)

    def _feedback(self, row: Mapping[str, Any], place: str) -> dict[str, Any]:
        target = as_text(said(row, "target_id", "inference_id"))
        about = self._episodes.get(target, target)
        if said(row, "target_type") == "episode" and target not in self._episodes:
            return unreadable(
                place,
                f"it is about episode {target} as a whole, and no inference of that is known here. Give the folder "
                "that holds the inferences too",
                dict(row),
            )
        tags = _tags(row)
        author = tags.get("author") or tags.get("user_id")
        at, known = _at(row), str(said(row, "id") or "")
        if "inference_id" in row and "metric_name" not in row:
            return right_output(about, id=known, output=_output(said(row, "value"))[0], at=at, by=author)
        name = str(said(row, "metric_name") or "comment")
        value = said(row, "value")
        if name == "comment":
            draft = {"kind": "feedback", "interaction_id": about, "comment": as_text(value), "source": "user"}
            more = {"id": known, "at": at, "by": author}
            return draft | {field: told for field, told in more.items() if told}
        judged = any(tag.startswith(f"{_OWN_TAGS}evaluat") for tag in tags)
        kind = "LLM" if judged else "USER" if is_rating(name) else "CODE"
        if is_rating(name) and value in (0, 1, "0", "1", "true", "false") and not isinstance(value, float):
            value = value in (1, "1", "true")
        made = feedback_about(about, id=known, name=name, kind=kind, value=value, at=at, by=author)
        return made or unreadable(place, f"metric {name!r} has no value", dict(row))


def _sort(row: Mapping[str, Any]) -> int | None:
    if "dataset_name" in row and "function_name" in row and "input" in row:
        return _DATAPOINT
    if "function_name" in row and "variant_name" in row and "input" in row:
        return _INFERENCE
    if "inference_id" in row and ("model_name" in row or "raw_response" in row):
        return _MODEL
    if "value" in row and ("target_id" in row and ("metric_name" in row or "target_type" in row)):
        return _FEEDBACK
    if "value" in row and "inference_id" in row and "id" in row:
        return _FEEDBACK
    return None


def _inference(
    row: Mapping[str, Any], calls: Mapping[str, Mapping[str, Any]], *, datapoint: bool
) -> dict[str, Any] | None:
    if datapoint and (said(row, "is_deleted") in (True, 1, "true", "1") or said(row, "staled_at")):
        return None
    output, problem = _output(said(row, "output"))
    draft: dict[str, Any] = {"kind": "interaction", "input": _input(said(row, "input")), "output": output}
    known = said(row, "id", "inference_id")
    if known:  # a datapoint may be in several datasets, and have the id of the inference that it was made of
        draft["id"] = f"{row['dataset_name']}:{known}" if datapoint else str(known)
    tags, call = _tags(row), calls.get(str(known), {})
    context: dict[str, Any] = {"function": said(row, "function_name"), "dataset": said(row, "dataset_name")}
    context |= {"tokens_in": call.get("input_tokens"), "tokens_out": call.get("output_tokens")}
    context |= {"finish_reason": call.get("finish_reason"), "provider": call.get("model_provider_name")}
    context |= {"base_model": call.get("model_name"), "time_to_first_ms": said(row, "ttft_ms"), **_parameters(row)}
    extra: dict[str, Any] = {
        name: said(row, name)
        for name in (
            "tool_params",
            "output_schema",
            "dynamic_tools",
            "auxiliary",
            "auxiliary_content",
            "name",
            "source_inference_id",
        )
        if said(row, name) not in (None, [], {})
    }
    for tag, value in tags.items():
        if tag.startswith(_OWN_TAGS):
            extra.setdefault("tags", {})[tag] = value
        elif tag not in _USERS:
            context.setdefault(tag, value)
    fields = {
        "at": _at(row),
        "latency_ms": said(row, "processing_time_ms"),
        "model": said(row, "variant_name"),
        "session": str(said(row, "episode_id") or "") or None,
        "user": next((tags[name] for name in _USERS if tags.get(name)), None),
        "error": problem,
        "context": {name: value for name, value in context.items() if value is not None},
        "extra": extra,
    }
    draft |= {name: value for name, value in fields.items() if value not in (None, {})}
    if datapoint and output is not None:
        draft |= {"label": output, "source": "reviewer" if said(row, "is_custom") in (True, 1, "true") else "system"}
    return draft


def _input(given: Any) -> Any:
    """Messages in the chat form; blocks that are no text (templates with their arguments) stay as they are."""
    if not isinstance(given, Mapping):
        return given
    messages: list[dict[str, Any]] = []
    if given.get("system") is not None:
        system = given["system"]
        words = system if isinstance(system, str) else json.dumps(system, ensure_ascii=False, default=str)
        messages.append({"role": "system", "content": words})
    for message in listed(given, "messages"):
        messages.extend(_chat(message.get("content"), str(message.get("role") or "user")))
    return messages or dict(given)


def _chat(content: Any, role: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    blocks = [_block(block) for block in content] if isinstance(content, list) else [{"type": "text", "text": content}]
    return messages_of([{"role": role, "content": blocks}], role) or []


def _block(block: Any) -> Any:
    if not isinstance(block, Mapping):
        return {"type": "text", "text": as_text(block)}
    if block.get("type") == "raw_text":
        return {"type": "text", "text": as_text(block.get("value", ""))}
    if block.get("type") == "text" and "text" not in block:
        if "arguments" in block:
            return {"type": "template", "arguments": block["arguments"]}
        return {"type": "text", "text": as_text(block.get("value", ""))}
    if block.get("type") == "tool_call":
        arguments = block.get("raw_arguments", block.get("arguments"))
        return {**block, "name": block.get("raw_name") or block.get("name"), "arguments": arguments}
    if block.get("type") == "tool_result":
        return {"type": "tool_call_response", "id": block.get("id"), "result": block.get("result")}
    if block.get("type") == "thought":
        return {"type": "reasoning", "content": as_text(block.get("text") or "")}
    return dict(block)


def _output(output: Any) -> tuple[Any, str | None]:
    """An inference's output, and what was wrong with it."""
    if isinstance(output, Mapping) and "raw" in output:
        parsed_output = said(output, "parsed")
        if parsed_output is not None:
            return parsed_output, None
        raw = said(output, "raw")
        wrong = "parsed" in output and raw is not None
        return raw, "schema: the output does not fit the function's schema" if wrong else None
    if isinstance(output, list):
        return answer_of(_chat(output, "assistant")), None
    return output, None


def _parameters(row: Mapping[str, Any]) -> dict[str, Any]:
    given = said(row, "inference_params")
    inner = given.get("chat_completion", given) if isinstance(given, Mapping) else None
    names = ("temperature", "top_p", "max_tokens", "seed")
    return (
        {name: inner[name] for name in names if isinstance(inner.get(name), int | float)}
        if isinstance(inner, Mapping)
        else {}
    )


def _call(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("model_name", "model_provider_name", "input_tokens", "output_tokens", "finish_reason")
    return {name: said(row, name) for name in names if said(row, name) is not None}


def _tags(row: Mapping[str, Any]) -> dict[str, str]:
    tags = said(row, "tags")
    return {str(name): as_text(value) for name, value in tags.items()} if isinstance(tags, Mapping) else {}


def _at(row: Mapping[str, Any]) -> Any:
    """When it happened: as it says, or the time in its UUIDv7."""
    told = said(row, "timestamp", "created_at")
    if told is not None:
        return utc(told)
    try:
        number = UUID(str(said(row, "id", "inference_id")))
    except ValueError:
        return utc(said(row, "updated_at"))
    return datetime.fromtimestamp((number.int >> 80) / 1000, UTC) if number.version == 7 else None
