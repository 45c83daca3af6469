"""What was asked and answered: the content of a GenAI span, from its attributes and events, in any dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flywheel.capture.genai_messages import (
    answer_of,
    as_text,
    listed,
    messages_of,
    parsed,
    refusal_of,
    system_message,
)
from flywheel.capture.genai_names import USER_PARAMETERS

__all__ = ["DETAILS", "MESSAGE_EVENTS", "Content", "has_prompt", "is_content", "read"]

MESSAGE_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "choice",
}
"""The message events of semantic conventions up to 1.36, and whose word each is."""
DETAILS = "gen_ai.client.inference.operation.details"
"""The event that carries a call's messages today."""

_SYSTEM = ("gen_ai.system_instructions", "gen_ai.request.system_instructions")
_INPUTS = ("gen_ai.input.messages", "gen_ai.request.messages")
_OUTPUTS = ("gen_ai.output.messages", "gen_ai.response.messages")
_FLAT_INPUTS = ("gen_ai.prompt", "llm.input_messages", "llm.prompts")
_FLAT_OUTPUTS = ("gen_ai.completion", "llm.output_messages", "llm.completions", "llm.choices")
_WHOLE_INPUTS = (
    "gen_ai.prompt",
    "ai.prompt.messages",
    "ai.prompt",
    "langfuse.observation.input",
    "mlflow.spanInputs",
    "input.value",
    "traceloop.entity.input",
)
_WHOLE_OUTPUTS = (
    "gen_ai.completion",
    "langfuse.observation.output",
    "mlflow.spanOutputs",
    "output.value",
    "traceloop.entity.output",
)
_VERCEL = ("ai.response.text", "ai.response.toolCalls", "ai.response.object")
_TOOLS = ("gen_ai.tool.definitions", "gen_ai.request.tools", "ai.prompt.tools", "mlflow.chat.tools")
_FLAT_TOOLS = ("llm.tools", "llm.request.functions")
_FINISH = (
    "gen_ai.response.finish_reasons",
    "gen_ai.response.finish_reason",
    "llm.finish_reason",
    "llm.response.finish_reason",
    "ai.response.finishReason",
)
_PARAMETERS = ("llm.invocation_parameters", "gen_ai.request.parameters", "langfuse.observation.model.parameters")
_ALONE = frozenset((*_SYSTEM, *_INPUTS, *_OUTPUTS, *_WHOLE_INPUTS, *_WHOLE_OUTPUTS, *_VERCEL, *_TOOLS, *_FINISH))
_RESPONSE_IDS = ("gen_ai.response.id", "llm.response.id", "ai.response.id")
_ALONE |= {*_PARAMETERS, *_RESPONSE_IDS, "input.mime_type", "output.mime_type", "events"}
_VOID: tuple[Any, ...] = (None, "", [], {})
_FLAT = tuple(f"{name}." for name in (*_FLAT_INPUTS, *_FLAT_OUTPUTS, *_FLAT_TOOLS))
_REFUSED = ("content_filter", "refusal", "safety", "prohibited_content", "blocklist")


@dataclass(slots=True)
class Content:
    """What a span says of its content: `input` and `output` as the log keeps them, and what goes beside them."""

    input: Any = None
    output: Any = None
    refusal: str | None = None
    user: str | None = None
    """The user, where the request's parameters name one."""
    model: str | None = None
    """The model that the parameters ask for."""
    context: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nothing was captured."""
        return self.input is None and self.output is None


def is_content(name: str) -> bool:
    """Tell whether an attribute is content, which `read` reads."""
    return name in _ALONE or name.startswith(_FLAT)


def has_prompt(attributes: Mapping[str, Any]) -> bool:
    """Tell whether attributes carry a prompt that only calls of models have (not `input.value`, which any span has)."""
    if any(name in attributes for name in ("gen_ai.input.messages", "gen_ai.prompt")):
        return True
    return any(f"{name}.0.{word}" in attributes for name, word in _HEADS)


_HEADS = (
    ("gen_ai.prompt", "content"),
    ("gen_ai.prompt", "role"),
    ("llm.input_messages", "message.role"),
    ("llm.prompts", "content"),
    ("llm.prompts", "prompt.text"),
)


def read(attributes: Mapping[str, Any], events: Sequence[Mapping[str, Any]] = ()) -> Content:
    """Read what was asked and answered: today's attributes first, then events, then the older forms."""
    merged = attributes
    for event in events:
        if event.get("name") == DETAILS:
            merged = {**(event.get("attributes") or {}), **_body(event), **attributes}
    told = {name: value for name, value in merged.items() if name in _ALONE and value not in _VOID}
    flat = {name: value for name, value in merged.items() if name.startswith(_FLAT)}
    asked, answered = _from_events(told, events) if events or "events" in told else (None, None)
    content = Content()
    given: Any = _messages(told, _INPUTS) or asked or _flat(flat, _FLAT_INPUTS)
    if given is None:
        given = _whole(told, _WHOLE_INPUTS, "input.mime_type", "user")
    instructions = _pick(told, _SYSTEM)
    if instructions is not None:
        given = system_message(instructions) + (
            given if isinstance(given, list) else [] if given is None else [{"role": "user", "content": as_text(given)}]
        )
    content.input = given
    choices: Any = _messages(told, _OUTPUTS, "assistant") or answered or _flat(flat, _FLAT_OUTPUTS, "assistant")
    if choices is None:
        choices = _vercel(told) or _whole(told, _WHOLE_OUTPUTS, "output.mime_type", "assistant")
    _answer(content, choices, told)
    _beside(content, told, flat)
    return content


def _pick(told: Mapping[str, Any], names: Sequence[str]) -> Any:
    for name in names:
        if name in told:
            return told[name]
    return None


def _answer(content: Content, choices: Any, told: Mapping[str, Any]) -> None:
    given = parsed(_pick(told, _FINISH))
    finish = [str(reason) for reason in given if reason] if isinstance(given, list) else [str(given)] if given else []
    if isinstance(choices, list) and choices and all(isinstance(one, dict) and "role" in one for one in choices):
        finish = finish or [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
        content.output = answer_of(choices)
        words = refusal_of(choices)
        content.refusal = f"refusal: {words}" if words else None
        reasoning = [choice["reasoning_content"] for choice in choices if choice.get("reasoning_content")]
        if reasoning:
            content.extra["reasoning"] = reasoning[0] if len(reasoning) == 1 else reasoning
    else:
        content.output = choices
    if finish:
        content.context["finish_reason"] = ",".join(dict.fromkeys(finish))
        refused = next((reason for reason in finish if reason.lower() in _REFUSED), None)
        if refused and content.refusal is None:
            content.refusal = f"refusal: {refused}"


def _beside(content: Content, told: Mapping[str, Any], flat: Mapping[str, Any]) -> None:
    response = _pick(told, _RESPONSE_IDS)
    if response is not None:
        content.extra["response_id"] = as_text(response)
    for name in _PARAMETERS:
        parameters = parsed(told[name]) if name in told else None
        if isinstance(parameters, dict):
            for key in ("temperature", "top_p", "max_tokens"):
                if isinstance(parameters.get(key), int | float):
                    content.context.setdefault(key, parameters[key])
            kept = {key: value for key, value in parameters.items() if key not in USER_PARAMETERS}
            content.user = content.user or next(
                (as_text(parameters[key]) for key in USER_PARAMETERS if parameters.get(key)), None
            )
            content.model = content.model or _name(kept.get("model"))
            content.extra.setdefault("parameters", kept)
    tools = parsed(_pick(told, _TOOLS))
    if tools is None and flat:
        listing: list[Any] = next((found for name in _FLAT_TOOLS if (found := listed(flat, name))), [])
        tools = [_tool(tool) for tool in listing] or None
    if tools is not None:
        content.extra["tools"] = [parsed(tool) for tool in tools] if isinstance(tools, list) else tools


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _tool(tool: Any) -> Any:
    if isinstance(tool, dict):
        inner = tool.get("tool", tool)
        if isinstance(inner, dict) and "json_schema" in inner:
            return parsed(inner["json_schema"])
        return {key: parsed(value) for key, value in inner.items()} if isinstance(inner, dict) else inner
    return parsed(tool)


def _messages(attributes: Mapping[str, Any], names: Sequence[str], role: str = "user") -> list[dict[str, Any]] | None:
    for name in names:
        if name in attributes:
            found = messages_of(attributes[name], role)
            if found is not None:
                return found
            return [{"role": role, "content": as_text(attributes[name])}]
    return None


def _flat(attributes: Mapping[str, Any], prefixes: Sequence[str], role: str = "user") -> Any:
    for prefix in prefixes if attributes else ():
        found = listed(attributes, prefix)
        if not found:
            continue
        texts = [_completion_text(one) for one in found]
        if all(text is not None for text in texts):  # the completions API: text, not messages
            if role == "user":
                return texts[0] if len(texts) == 1 else texts
            return [{"role": role, "content": text} for text in texts]
        messages: list[dict[str, Any]] = []
        for one in found:
            messages.extend(messages_of([one], role) or [{"role": role, "content": as_text(one)}])
        return messages
    return None


def _completion_text(one: Any) -> str | None:
    if isinstance(one, dict):
        for key in ("prompt", "completion"):
            inner = one.get(key)
            if isinstance(inner, dict) and isinstance(inner.get("text"), str):
                return str(inner["text"])
    return None


def _whole(attributes: Mapping[str, Any], names: Sequence[str], mime: str, role: str) -> Any:
    for name in names:
        value = attributes.get(name)
        if value is None or value == "":
            continue
        if name.endswith(".value") and str(attributes.get(mime, "")).startswith("text/"):
            return value
        value = parsed(value)
        if role == "assistant" and isinstance(value, dict) and isinstance(value.get("choices"), list):
            return messages_of(value["choices"], role) or value
        found = messages_of(value, role)
        return value if found is None else found
    return None


def _vercel(attributes: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    text, calls, made = (parsed(attributes.get(name)) for name in _VERCEL)
    if text is None and calls is None and made is None:
        return None
    said = text if text is not None else made
    return messages_of([{"role": "assistant", "content": None if said is None else as_text(said), "tool_calls": calls}])


# --- events ---


def _from_events(
    attributes: Mapping[str, Any], events: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]] | None, list[dict[str, Any]] | None]:
    asked: list[dict[str, Any]] = []
    answered: list[tuple[int, dict[str, Any]]] = []
    written = parsed(attributes.get("events"))  # Logfire: the same events in one attribute
    if isinstance(written, list) and not any(event.get("name") in MESSAGE_EVENTS for event in events):
        events = [{"name": one.get("event.name"), "body": one} for one in written if isinstance(one, dict)]
    for event in events:
        name = event.get("name")
        if name in MESSAGE_EVENTS:
            told = _body(event)
            role = MESSAGE_EVENTS[name]
            if role == "choice":
                index = told.get("index")
                number = int(str(index)) if str(index).isdecimal() else len(answered)
                choice = _spoken({"role": "assistant", **told}, "assistant")
                answered.extend((number, one) for one in choice)
            else:
                asked.extend(one for one in _spoken({"role": role, **told}, role) if _says_something(one))
        elif name == "gen_ai.content.prompt":
            asked.extend(_written(event, "gen_ai.prompt", "user"))
        elif name == "gen_ai.content.completion":
            answered.extend(
                (len(answered) + n, one) for n, one in enumerate(_written(event, "gen_ai.completion", "assistant"))
            )
    answered.sort(key=lambda pair: pair[0])
    choices = [message for _, message in answered]
    if not asked and not any(map(_says_something, choices)):
        choices = [{key: one for key, one in message.items() if key != "tool_calls"} for message in choices]
    return asked or None, choices or None


def _says_something(message: Mapping[str, Any]) -> bool:
    """Is there content? Where its capture is off, events still come: with roles, and tools' names without arguments."""
    calls = message.get("tool_calls") or ()
    return message["content"] is not None or any("arguments" in call["function"] for call in calls)


def _body(event: Mapping[str, Any]) -> dict[str, Any]:
    """What an event says: its body (a log record), or its attributes (a span event)."""
    told = dict(event.get("attributes") or {})
    for given in (told.pop("gen_ai.event.content", None), event.get("body")):
        inner = parsed(given)
        if isinstance(inner, dict):
            told |= inner
        elif inner is not None:
            told.setdefault("content", inner)
    return told


def _spoken(told: Mapping[str, Any], role: str) -> list[dict[str, Any]]:
    kept = ("role", "content", "message", "tool_calls", "id", "name", "finish_reason", "parts", "refusal")
    message = {key: told[key] for key in kept if told.get(key) is not None}
    if role != "tool":
        message.pop("id", None)
    return messages_of([message], role) or []


def _written(event: Mapping[str, Any], name: str, role: str) -> list[dict[str, Any]]:
    told = event.get("attributes") or {}
    flat = _flat(told, (name,), role)
    if flat is not None:
        return flat if isinstance(flat, list) else [{"role": role, "content": flat}]
    given = told.get(name, _body(event).get("content"))
    if given is None:
        return []
    return messages_of(given, role) or [{"role": role, "content": as_text(parsed(given))}]
