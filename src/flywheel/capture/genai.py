"""Attributes of a GenAI span, event or export → a draft of an interaction.

One reader for every dialect: OpenTelemetry's `gen_ai.*` as it is today (messages with parts, the event
`gen_ai.client.inference.operation.details`) and as it was (`gen_ai.system`, `gen_ai.prompt`, message events up to
semantic conventions 1.36), OpenLLMetry's flattened prompts and `traceloop.*`, OpenInference (`llm.*`, `input.value`),
the Vercel AI SDK (`ai.*`), Langfuse's and MLflow's span attributes.

`interaction_from_attributes` is what importers of such exports call too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from flywheel.capture import genai_content
from flywheel.capture.genai_messages import as_text, parsed
from flywheel.capture.genai_names import (
    ASSOCIATIONS,
    CONTEXT,
    KIND_NAMES,
    KINDS,
    METADATA,
    MODELS,
    OPERATIONS,
    RESOURCE,
    SESSIONS,
    SYSTEMS,
    TELEMETRY,
    USERS,
)

__all__ = ["flatten", "interaction_from_attributes", "interaction_id", "is_model_call", "moment_of"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_NAME = 200
_PLACES = {
    name: (field, rank)
    for field, names in {**CONTEXT, "": MODELS, "user": USERS, "session": SESSIONS}.items()
    for rank, name in enumerate(names)
}
"""Attribute → the field it tells of, and how good a source it is (0 the best). The model goes by no name of its own."""
_PLACES["llm.request.type"] = ("operation", 1)


def moment_of(nanoseconds: int | datetime | None) -> datetime | None:
    """Turn nanoseconds since 1970 into a UTC datetime (to the microsecond); 0 and what lies beyond 9999 are no time."""
    if isinstance(nanoseconds, datetime):
        return nanoseconds if nanoseconds.tzinfo else nanoseconds.replace(tzinfo=UTC)
    if not nanoseconds or not 0 < nanoseconds < 253_402_300_800_000_000_000:
        return None
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def interaction_id(trace_id: str, span_id: str) -> str:
    """The id of the interaction that a span becomes: the same however often it is sent.

    >>> interaction_id("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174")
    '5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174'
    """
    return f"{trace_id}-{span_id}".lower()


def flatten(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Write nested attributes (`{"llm": {"model_name": …}}`, as Phoenix exports them) with dotted names.

    >>> flatten({"llm": {"input_messages": [{"message": {"role": "user"}}]}, "user.id": "7"})
    {'llm.input_messages.0.message.role': 'user', 'user.id': '7'}
    """
    flat: dict[str, Any] = {}
    waiting: list[tuple[str, Any, int]] = [(str(key), value, 0) for key, value in reversed(list(attributes.items()))]
    while waiting:
        name, value, depth = waiting.pop()
        if isinstance(value, Mapping) and value and depth < 16:
            waiting.extend((f"{name}.{key}", item, depth + 1) for key, item in reversed(list(value.items())))
        elif isinstance(value, list) and value and depth < 16 and all(isinstance(item, Mapping) for item in value):
            waiting.extend((f"{name}.{n}", value[n], depth + 1) for n in range(len(value) - 1, -1, -1))
        else:
            flat[name] = value
    return flat


def is_model_call(attributes: Mapping[str, Any], *, root: bool = False) -> bool:
    """Tell whether a span is an interaction: one call of a model, or the agent at the root of a trace.

    Yes: operations `chat`, `text_completion`, `generate_content`; OpenInference kind `LLM`; `llm.request.type` chat
    or completion; generations of Langfuse and chat models of MLflow; without any of these, a span that names a GenAI
    system and a model. `invoke_agent` and agents of the other dialects: only at the root (`root`), where they are
    what the user met. No: embeddings, retrieval, tools, chains, workflows and agents within.
    """
    sort = _sort(attributes)
    return sort == "call" or (sort == "agent" and root)


def _sort(attributes: Mapping[str, Any]) -> str:
    operation = attributes.get("gen_ai.operation.name")
    if isinstance(operation, str) and operation:
        return OPERATIONS.get(operation.lower(), "")
    for name in KIND_NAMES:
        kind = attributes.get(name)
        if isinstance(kind, str) and kind:
            return KINDS.get(kind.strip('"').lower(), "")  # MLflow writes kinds as JSON text
    if any(name in attributes for name in SYSTEMS) and any(name in attributes for name in MODELS):
        return "call"
    return "call" if genai_content.has_prompt(attributes) else ""


def interaction_from_attributes(
    attributes: Mapping[str, Any],
    *,
    name: str = "",
    trace_id: str | None = None,
    span_id: str | None = None,
    parent_span_id: str | None = None,
    start: int | datetime | None = None,
    end: int | datetime | None = None,
    failed: bool = False,
    status_message: str = "",
    events: Sequence[Mapping[str, Any]] = (),
    resource: Mapping[str, Any] | None = None,
    any_span: bool = False,
) -> dict[str, Any] | None:
    """Read a span's attributes as a draft of an interaction; None when the span is no call of a model.

    `attributes` have dotted names (`flatten` makes them so) and JSON values. `start` and `end` are nanoseconds since
    1970 or datetimes; `failed` is status code ERROR. `events` are `{"name", "time", "attributes", "body"?}`, and may
    include the log records that belong to the span. `resource` are the resource's attributes. With `any_span` every
    span becomes a draft. Without ids the draft has no `id`, and the log will draw one.

    Missing content leaves `input` None: telemetry without content capture still tells of latency and errors.
    """
    if not any_span and not is_model_call(attributes, root=not parent_span_id):
        return None
    content = genai_content.read(attributes, events)
    draft: dict[str, Any] = {"kind": "interaction", "input": content.input, "output": content.output}
    if trace_id and span_id:
        draft["id"] = interaction_id(trace_id, span_id)
    began, ended = moment_of(start), moment_of(end)
    if began is not None or ended is not None:
        draft["at"] = began or ended
    if began is not None and ended is not None and ended >= began:
        draft["latency_ms"] = (ended - began) / timedelta(milliseconds=1)
    facts, extra = _circumstances(attributes, content, resource or {})
    model = facts.pop("", None) or content.model
    user, session = facts.pop("user", None) or content.user, facts.pop("session", None)
    error = _error(attributes, events, failed, status_message) or content.refusal
    if error is not None:
        draft["error"] = error
    for field, value in (("model", model), ("user", user), ("session", session)):
        if value is not None:
            draft[field] = _name_text(value)
    asked = attributes.get("gen_ai.request.model") or attributes.get("llm.request.model_name")
    if isinstance(asked, str) and asked != model:
        facts["requested_model"] = asked
    draft["context"] = facts
    ids = {"trace_id": trace_id, "span_id": span_id, "parent_span_id": parent_span_id, "span_name": name}
    draft["extra"] = {key: value for key, value in ids.items() if value} | extra
    return draft


def _first(attributes: Mapping[str, Any], names: Sequence[str]) -> Any:
    for name in names:
        value = attributes.get(name)
        if value is not None and value != "":
            return value
    return None


def _name_text(value: Any) -> str | None:
    """A name as the log takes it: text on one line, at most 200 characters."""
    if value is None:
        return None
    words = " ".join(as_text(value).split())[:_LONGEST_NAME]
    return words or None


def _error(
    attributes: Mapping[str, Any], events: Sequence[Mapping[str, Any]], failed: bool, message: str
) -> str | None:
    kind = _first(attributes, ("error.type", "exception.type"))
    words = message or _first(attributes, ("error.message", "exception.message"))
    for event in reversed(events):
        if event.get("name") in ("exception", "gen_ai.client.operation.exception"):
            told = event.get("attributes") or {}
            if failed or kind or told.get("exception.escaped"):
                kind = told.get("exception.type") or kind
                words = told.get("exception.message") or words
            break
    if kind is None and not failed:
        return None
    kind, words = as_text(kind or "error"), as_text(words or "")
    if words.startswith(f"{kind}: ") or words == kind:
        return words
    return f"{kind}: {words}" if words else kind


def _circumstances(
    attributes: Mapping[str, Any], content: genai_content.Content, resource: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read in one pass: flat facts that slices can be made of; and everything else, which nobody has read."""
    facts: dict[str, Any] = {}
    ranks: dict[str, int] = {}
    extra: dict[str, Any] = dict(content.extra)
    rest: dict[str, Any] = {}

    def tell(name: str, value: Any) -> None:
        field, rank = _PLACES[name]
        if value is not None and value != "" and rank < ranks.get(field, 99) and not isinstance(value, dict | list):
            facts[field] = value
            ranks[field] = rank

    for name, value in attributes.items():
        if name in _PLACES:
            tell(name, value)
        elif genai_content.is_content(name) or name in _ERRORS:
            continue
        elif name in METADATA or name.startswith(ASSOCIATIONS):
            short = next((name[len(prefix) :] for prefix in ASSOCIATIONS if name.startswith(prefix)), None)
            for key, told in _properties(parsed(value) if short is None else {short: value}).items():
                known = _SHORT.get(key, key)
                if known in _PLACES:
                    tell(known, told)
                elif isinstance(told, dict | list):
                    extra.setdefault(key, told)
                else:
                    facts.setdefault(key, told)
        elif name.partition(".")[0] in TELEMETRY or isinstance(value, dict | list):
            rest[name] = value
        else:
            facts.setdefault(name, value)
    if isinstance(facts.get("time_to_first_ms"), int | float):
        facts["time_to_first_ms"] = round(facts["time_to_first_ms"] * 1000, 3)
    if resource:
        for field, names in RESOURCE.items():
            found = _first(resource, names)
            if (
                found is not None
                and not isinstance(found, dict | list)
                and not str(found).startswith("unknown_service")
            ):
                facts[field] = found
    facts |= content.context
    if rest:
        extra["attributes"] = rest
    return facts, extra


_ERRORS = ("error.type", "error.message", "exception.type", "exception.message")
_SHORT = {"sessionId": "session_id", "userId": "user_id", "threadId": "thread_id", "conversationId": "conversation_id"}


def _properties(told: Any) -> Mapping[str, Any]:
    if isinstance(told, Mapping):
        return {str(key): value for key, value in told.items() if value is not None}
    return {"metadata": told} if told not in (None, "") else {}
