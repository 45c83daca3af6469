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

__all__ = ["flatten", "interaction_from_attributes", "interaction_id", "is_model_call", "moment_of"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_NAME = 200
_FIRST, _ROOT, _NOT = 1, 2, 3
_OPERATIONS = {
    **dict.fromkeys(("chat", "text_completion", "generate_content", "completion", "responses", "message"), _FIRST),
    "invoke_agent": _ROOT,
}
_KINDS = {  # openinference.span.kind, traceloop.span.kind, llm.request.type, langfuse.observation.type, mlflow.spanType
    **dict.fromkeys(("llm", "chat", "completion", "generation", "chat_model"), _FIRST),
    "agent": _ROOT,
}
_KIND_NAMES = (
    "openinference.span.kind",
    "llm.request.type",
    "langfuse.observation.type",
    "mlflow.spanType",
    "traceloop.span.kind",
)
_MODELS = ("gen_ai.response.model", "llm.response.model_name", "ai.response.model", "llm.response.model")
_MODELS += ("gen_ai.request.model", "llm.model_name", "llm.request.model_name", "llm.request.model", "ai.model.id")
_MODELS += ("langfuse.observation.model.name", "mlflow.llm.model")
_CONTEXT: dict[str, tuple[str, ...]] = {
    "provider": (
        "gen_ai.provider.name",
        "gen_ai.system",
        "llm.provider",
        "llm.system",
        "llm.vendor",
        "ai.model.provider",
    ),
    "operation": ("gen_ai.operation.name", "llm.request.type", "ai.operationId"),
    "tokens_in": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
        "ai.usage.promptTokens",
        "ai.usage.inputTokens",
    ),
    "tokens_out": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
        "ai.usage.completionTokens",
        "ai.usage.outputTokens",
    ),
    "tokens_cached": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.cachedInputTokens",
    ),
    "tokens_reasoning": (
        "gen_ai.usage.reasoning.output_tokens",
        "llm.token_count.completion_details.reasoning",
        "llm.usage.reasoning_tokens",
        "ai.usage.reasoningTokens",
    ),
    "temperature": ("gen_ai.request.temperature", "llm.request.temperature", "llm.temperature"),
    "top_p": ("gen_ai.request.top_p", "llm.request.top_p", "llm.top_p"),
    "max_tokens": ("gen_ai.request.max_tokens", "llm.request.max_tokens"),
    "output_type": ("gen_ai.output.type",),
    "agent": ("gen_ai.agent.name", "agent.name"),
    "prompt_name": ("gen_ai.prompt.name", "langfuse.observation.prompt.name", "prompt.id"),
    "time_to_first_ms": ("gen_ai.response.time_to_first_chunk",),
    "cost": ("llm.cost.total", "gen_ai.usage.cost"),
    "server": ("server.address",),
}
_RESOURCE = {
    "service": ("service.name",),
    "service_version": ("service.version",),
    "environment": ("deployment.environment.name", "deployment.environment", "langfuse.environment"),
}
_SESSIONS = (
    "gen_ai.conversation.id",
    "session.id",
    "langfuse.session.id",
    "langfuse.sessionId",
    "gen_ai.thread.id",
    "thread_id",
    "session_id",
    "conversation_id",
    "mlflow.trace.session",
)
_USERS = (
    "enduser.id",
    "user.id",
    "langfuse.user.id",
    "langfuse.userId",
    "enduser.pseudo.id",
    "gen_ai.user.id",
    "user_id",
)
_USERS += ("mlflow.trace.user",)
_PROPERTIES = (
    "traceloop.association.properties.",
    "ai.telemetry.metadata.",
    "langfuse.trace.metadata.",
    "langfuse.observation.metadata.",
)
_METADATA = ("metadata", "langfuse.trace.metadata", "langfuse.observation.metadata")
_TELEMETRY = tuple(
    "gen_ai. llm. openinference. traceloop. ai. langfuse. mlflow. input. output. embedding. retrieval. reranker. "
    "tool. graph. prompt. tag. thread. code. http. url. net. network. server. client. peer. telemetry. process. "
    "host. os. otel. db. rpc. user_agent. exception. error. event. container. k8s. logfire. annotations. evaluations. "
    "openai. aws. gcp. azure. az. cloud. session. enduser. user. service. deployment. operation. resource.".split()
)
_SIGNS = ("gen_ai.system", "gen_ai.provider.name", "llm.vendor", "llm.system", "llm.provider")


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
    return sort == _FIRST or (sort == _ROOT and root)


def _sort(attributes: Mapping[str, Any]) -> int:
    operation = attributes.get("gen_ai.operation.name")
    if isinstance(operation, str) and operation:
        return _OPERATIONS.get(operation.lower(), _NOT)
    for name in _KIND_NAMES:
        kind = attributes.get(name)
        if isinstance(kind, str) and kind:
            return _KINDS.get(parsed_word(kind), _NOT)
    if any(name in attributes for name in _SIGNS) and any(name in attributes for name in _MODELS):
        return _FIRST
    return _FIRST if genai_content.has_prompt(attributes) else _NOT


def parsed_word(kind: str) -> str:
    """A kind as one lower-case word: MLflow writes them as JSON text."""
    return kind.strip('"').lower()


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
    error = _error(attributes, events, failed, status_message) or content.refusal
    model = _first(attributes, _MODELS)
    context, extra = _circumstances(attributes, content, resource or {}, model)
    user, session = _named(attributes, context, _USERS), _named(attributes, context, _SESSIONS)
    for field, value in (("error", error), ("model", _name_text(model)), ("user", user), ("session", session)):
        if value is not None:
            draft[field] = value
    draft["context"] = context
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


def _named(attributes: Mapping[str, Any], context: dict[str, Any], names: Sequence[str]) -> str | None:
    """Who or which conversation: among the attributes, or the properties that became context; taken out of these."""
    found = _first(attributes, names)
    for name in names:
        told = context.pop(name, None)
        found = told if found is None else found
    return _name_text(found)


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
    attributes: Mapping[str, Any], content: genai_content.Content, resource: Mapping[str, Any], model: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Context: flat facts that slices can be made of. Extra: everything else that nobody has read."""
    context: dict[str, Any] = {}
    for field, names in _CONTEXT.items():
        value = _first(attributes, names)
        if value is not None and not isinstance(value, dict | list):
            context[field] = value
    if isinstance(context.get("time_to_first_ms"), int | float):
        context["time_to_first_ms"] = round(context["time_to_first_ms"] * 1000, 3)
    for field, names in _RESOURCE.items():
        value = _first(resource, names) or _first(attributes, names)
        if value is not None and not isinstance(value, dict | list):
            context[field] = value
    asked = _first(attributes, ("gen_ai.request.model", "llm.request.model_name"))
    if isinstance(asked, str) and asked != model:
        context["requested_model"] = asked
    context |= content.context
    extra: dict[str, Any] = dict(content.extra)
    rest: dict[str, Any] = {}
    known = _KNOWN
    for name, value in attributes.items():
        if name in known or genai_content.is_content(name):
            continue
        if name in _METADATA:
            _properties(parsed(value), context, extra)
        elif name.startswith(_PROPERTIES):
            short = next(name[len(prefix) :] for prefix in _PROPERTIES if name.startswith(prefix))
            _properties({short: value}, context, extra)
        elif name.startswith(_TELEMETRY) or isinstance(value, dict | list):
            rest[name] = value
        else:
            context.setdefault(name, value)
    if rest:
        extra["attributes"] = rest
    return context, extra


def _properties(told: Any, context: dict[str, Any], extra: dict[str, Any]) -> None:
    if not isinstance(told, Mapping):
        if told not in (None, ""):
            extra.setdefault("metadata", told)
        return
    for key, value in told.items():
        if isinstance(value, dict | list):
            extra.setdefault(str(key), value)
        elif value is not None:
            context.setdefault({"sessionId": "session_id", "userId": "user_id"}.get(key, str(key)), value)


_KNOWN = frozenset(
    (*_MODELS, *_USERS, *_SESSIONS, *_KIND_NAMES, *(name for names in _CONTEXT.values() for name in names))
) - {"openinference.span.kind", "traceloop.span.kind", "langfuse.observation.type", "mlflow.spanType"}
