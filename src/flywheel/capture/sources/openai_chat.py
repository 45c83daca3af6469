"""The source `openai-chat`: conversations in OpenAI's format, as training files, request logs and streams hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from flywheel.capture.exchanges import chat_of, draft_of_exchange, error_text, is_chat, output_of
from flywheel.capture.mapping import guess_mapping, shape
from flywheel.capture.sources.row_source import RowSource, said, utc
from flywheel.errors import InvalidConfig

__all__ = ["OpenAIChat", "beside"]

_REQUESTS = ("request", "request_body", "req", "kwargs", "body")
_RESPONSES = ("response", "response_body", "res", "completion", "chunks", "stream", "events")
_TURNS = ("last", "every")


class OpenAIChat(RowSource):
    """Chat logs in OpenAI's format; JSON lines, an array, CSV or Parquet.

    A row is one of: `{"messages": […]}`, as files for fine-tuning have it, whose last answer is the output; a `request`
    with its `response` (chat completions, completions, responses; the answer whole, as a list of `chunks` or as the
    text of the event stream); a line of a batch's output; a pair for preference tuning, whose preferred answer is the
    right one; an answer alone; a chunk of a stream, the next ones being its neighbours. Other fields get their meaning
    by their names (`user`, `rating`, `label`, `latency_ms` …), and what has no name becomes context.

    Setting `turns=every`: each answer in a conversation is an interaction, not only the last.
    """

    name = "openai-chat"
    settings = ("turns",)
    maps: ClassVar[dict[str, str]] = {
        "input": "messages before the answer, or request.messages (input, prompt)",
        "output": "the last answer, or response.choices[0].message (output)",
        "id": "response.id, or an id of the row",
        "at": "a time of the row, or response.created",
        "model": "response.model, else request.model",
        "error": "an error of the API, or a refusal",
        "context": "tokens, finish reason, temperature; other fields of the row",
    }

    @classmethod
    def recognises(cls, rows: Sequence[Mapping[str, Any]]) -> str | None:
        """Say why these rows are chat logs, if they are."""
        for words, test in (
            ("a list of messages with roles under `messages`", lambda row: _messages(row) is not None),
            ("a request and its response", _is_exchange),
            ("chunks or answers of chat completions", lambda row: str(row.get("object", "")).startswith("chat.compl")),
        ):
            if sum(bool(test(row)) for row in rows) * 2 > len(rows):
                return f"its rows hold {words}"
        return None

    def begin(self, settings: Mapping[str, str], ranks: Sequence[int]) -> None:
        """Get ready to read from the start."""
        self._turns = settings.get("turns", _TURNS[0])
        if self._turns not in _TURNS:
            raise InvalidConfig(
                f"turns={self._turns!r} is none of {', '.join(_TURNS)}. Leave it out for the last answer"
            )
        self._chunks: list[dict[str, Any]] = []

    def drafts(self, row: dict[str, Any], place: str) -> Iterator[dict[str, Any]]:
        """Yield the interactions of a row."""
        if row.get("object") in ("chat.completion.chunk", "text_completion.chunk"):
            if self._chunks and self._chunks[0].get("id") != row.get("id"):
                yield from self._streamed()
            self._holds = "on" if self._chunks else "new"
            self._chunks.append(row)
            return
        yield from self._streamed()
        messages = _messages(row)
        if messages is not None:
            yield from self._conversation(row, messages)
        elif "preferred_output" in row or "non_preferred_output" in row:
            yield _preference(row)
        else:
            yield _exchange(row)

    def end(self) -> Iterator[dict[str, Any]]:
        """Yield the stream that the file ended with."""
        yield from self._streamed()

    def _streamed(self) -> Iterator[dict[str, Any]]:
        if self._chunks:
            chunks, self._chunks, self._holds = self._chunks, [], ""
            yield draft_of_exchange(None, chunks)

    def _conversation(self, row: dict[str, Any], messages: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        answers = [number for number, one in enumerate(messages) if one.get("role") == "assistant"]
        rest = beside(row, ("messages",))
        if self._turns == "every" and len(answers) > 1:
            known = rest.pop("id", None)
            for turn, number in enumerate(answers, 1):
                draft = {"kind": "interaction", "input": messages[:number], "output": output_of(messages[number])}
                last = rest if number == answers[-1] else _lasting(rest)
                yield draft | last | ({"id": f"{known}-{turn}"} if known else {})
        elif answers and answers[-1] == len(messages) - 1:
            yield {"kind": "interaction", "input": messages[:-1], "output": output_of(messages[-1])} | rest
        else:
            yield {"kind": "interaction", "input": messages, "output": None} | rest


def _lasting(rest: Mapping[str, Any]) -> dict[str, Any]:
    """What holds for every turn of a conversation, and not only for its end."""
    return {
        name: value for name, value in rest.items() if name in ("at", "model", "user", "session", "context", "extra")
    }


def _messages(row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    if any(name in row for name in ("choices", "response", "chunks")):
        return None
    found = said(row, "messages", "conversation", "conversations")
    return chat_of(found) if is_chat(found) else None


def _is_exchange(row: Mapping[str, Any]) -> bool:
    request, response = said(row, *_REQUESTS), said(row, *_RESPONSES)
    if isinstance(request, Mapping) and isinstance(request.get("body"), Mapping):
        request = request["body"]
    asks = isinstance(request, Mapping) and any(name in request for name in ("messages", "input", "prompt"))
    if isinstance(response, Mapping) and isinstance(response.get("body"), Mapping):
        response = response["body"]
    answers = isinstance(response, Mapping) and any(name in response for name in ("choices", "output", "error"))
    return "preferred_output" in row or (asks and response is not None) or answers


def _exchange(row: Mapping[str, Any]) -> dict[str, Any]:
    request, response = said(row, *_REQUESTS), said(row, *_RESPONSES)
    used = [*_REQUESTS, *_RESPONSES]
    if request is None and ("messages" in row or "prompt" in row) and response is not None:
        request = {name: row[name] for name in row if name not in used}  # the request's fields beside the answer
        used += list(request)
    if response is None and ("choices" in row or isinstance(row.get("output"), list)):
        response, used = row, list(row)
    if request is None and response is None:
        request = {name: value for name, value in row.items() if value is not None}
        used = list(row)
    draft = draft_of_exchange(request, response)
    rest = beside(row, used)
    if isinstance(rest.get("error"), Mapping):
        rest["error"] = error_text(rest["error"])
    return _joined(draft, rest)


def _preference(row: Mapping[str, Any]) -> dict[str, Any]:
    worse, better = said(row, "non_preferred_output"), said(row, "preferred_output")
    asked = draft_of_exchange(said(row, "input"), None)
    rest = beside(row, ("input", "preferred_output", "non_preferred_output"))
    draft = asked | {"output": _answer(worse)}
    right = _answer(better)
    return _joined(draft, rest | ({"label": right} if right is not None else {}))


def _answer(messages: Any) -> Any:
    found = chat_of(messages, "assistant")
    return output_of(found[-1]) if found else None


def beside(row: Mapping[str, Any], used: Sequence[str]) -> dict[str, Any]:
    """The other fields of a row, by the meaning of their names; what has none becomes context."""
    columns = [name for name in row if name not in used and row[name] is not None and row[name] != ""]
    if not columns:
        return {}
    placed = {field: column for field, column in guess_mapping(["input", *columns]).items() if field != "input"}
    record = shape({name: said(row, name) for name in columns}, placed)
    record.pop("kind", None)
    if not isinstance(record.get("extra", {}), dict):
        record["extra"] = {"extra": record["extra"]}
    if not isinstance(record.get("context", {}), dict):
        record.setdefault("extra", {})["context"] = record.pop("context")
    if "at" in record:
        record["at"] = utc(record["at"])
    return record


def _joined(draft: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    for part in ("context", "extra"):
        found = {**(draft.get(part) or {}), **rest.pop(part, {})}
        if found:
            draft[part] = found
    return draft | {name: value for name, value in rest.items() if value is not None}
