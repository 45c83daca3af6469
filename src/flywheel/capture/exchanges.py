"""A request to a chat model and its answer, as an API speaks them → a draft of an interaction.

OpenAI's chat completions, completions and responses, whole or streamed (chunks, or the text of the event stream), the
lines of its batch files, and Anthropic's messages. What is in the chat form already stays word for word.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from flywheel.capture.genai_messages import answer_of, as_text, messages_of, refusal_of

__all__ = ["chat_of", "draft_of_exchange", "error_text", "is_chat", "output_of", "whole_of"]

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_PARTS = ("text", "image_url", "input_audio", "file", "refusal")
_REFUSED = ("content_filter", "refusal")
_ASKED = ("messages", "input", "prompt", "instructions", "system", "model", "metadata", "user", "safety_identifier")
_SCALARS = ("temperature", "top_p", "max_tokens", "stream", "service_tier")
_EPOCH = (1e9, 1e10)


def draft_of_exchange(request: Any, response: Any) -> dict[str, Any]:
    """Read a request and its answer (either may be missing) as a draft of an interaction.

    `response` may be the answer, a list of streamed chunks or events, or the text of an event stream. The draft has an
    `id` where the answer has one. A refusal and an upstream error become `error`.
    """
    request = _body(request)
    response = _body(whole_of(response))
    asked = request if isinstance(request, Mapping) else {}
    answered = response if isinstance(response, Mapping) else {}
    draft: dict[str, Any] = {"kind": "interaction", "input": _asked(request)}
    choices = _choices(response)
    draft["output"] = answer_of(choices) if choices else _plain(response)
    context, extra = _about(asked), _beside(asked)
    _usage(answered.get("usage"), context)
    finish = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
    why = answered.get("incomplete_details")
    if isinstance(why, Mapping) and why.get("reason"):
        finish = [as_text(why["reason"])]
    if finish:
        context["finish_reason"] = ",".join(dict.fromkeys(finish))
    error = error_text(answered.get("error")) if answered.get("error") else _refusal(choices, finish)
    thoughts = [choice["reasoning_content"] for choice in choices if choice.get("reasoning_content")]
    if thoughts:
        extra["reasoning"] = thoughts[0] if len(thoughts) == 1 else thoughts
    for name in ("system_fingerprint", "previous_response_id"):
        if answered.get(name):
            extra[name] = answered[name]
    model = answered.get("model") or asked.get("model")
    if model is not None:
        draft["model"] = as_text(model)
    if asked.get("model") and asked["model"] != model:
        context["requested_model"] = as_text(asked["model"])
    if isinstance(answered.get("id"), str) and answered["id"]:
        draft["id"] = extra["response_id"] = answered["id"]
    moment = _moment(answered.get("created", answered.get("created_at")))
    if moment is not None:
        draft["at"] = moment
    if error is not None:
        draft["error"] = error
    for field, value in (("user", asked.get("user") or asked.get("safety_identifier")), ("session", _session(asked))):
        if value:
            draft[field] = as_text(value)
    return draft | {name: part for name, part in (("context", context), ("extra", extra)) if part}


def is_chat(value: Any) -> bool:
    """Tell whether a value is a conversation: a list of messages with roles."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) and isinstance(one.get("role"), str) for one in value)
    )


def chat_of(value: Any, role: str = "user") -> list[dict[str, Any]] | None:
    """Read a conversation of any form in the chat form; None for what is none.

    Messages that have the form already stay as they are (null fields left out). Items of OpenAI's responses (function
    calls and their results, reasoning) become the messages they stand for.
    """
    if isinstance(value, Mapping) and isinstance(value.get("messages"), list):
        value = value["messages"]
    if isinstance(value, Mapping) and isinstance(value.get("role"), str):
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(one, Mapping) for one in value):
        return None
    messages: list[dict[str, Any]] = []
    for one in value:
        if _proper(one):
            messages.append({key: part for key, part in one.items() if part is not None or key == "content"})
        elif one.get("type") in _ITEMS:
            _item(one, messages)
        else:
            found = messages_of([_unwrapped(one)], role)
            if found is None:
                return None
            messages.extend(found)
    return messages


def _proper(message: Mapping[str, Any]) -> bool:
    content, calls = message.get("content"), message.get("tool_calls") or []
    if message.get("role") not in _ROLES or "additional_kwargs" in message or not isinstance(calls, list):
        return False
    if not all(isinstance(call, Mapping) and isinstance(call.get("function"), Mapping) for call in calls):
        return False
    if isinstance(content, list):
        return all(isinstance(part, Mapping) and part.get("type") in _PARTS for part in content)
    return content is None or isinstance(content, str)


def _unwrapped(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """LangChain keeps a message's calls beside it."""
    beside = message.get("additional_kwargs")
    if not isinstance(beside, Mapping):
        return message
    kept = {key: value for key, value in message.items() if key != "additional_kwargs"}
    return {**{key: beside[key] for key in ("tool_calls", "function_call", "refusal") if beside.get(key)}, **kept}


_ITEMS = ("function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "reasoning")


def _item(item: Mapping[str, Any], messages: list[dict[str, Any]]) -> None:
    """Add an item of a response to the messages; calls that follow each other are one message's."""
    kind = item["type"]
    if kind in ("function_call", "custom_tool_call"):
        function = {"name": as_text(item.get("name") or "")}
        given = item.get("arguments", item.get("input"))
        if given is not None:
            function["arguments"] = as_text(given)
        call = {"id": as_text(item.get("call_id") or item.get("id") or ""), "type": "function", "function": function}
        last = messages[-1] if messages else None
        if last is not None and last["role"] == "assistant":
            last["tool_calls"] = [*(last.get("tool_calls") or []), call]
        else:
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
    elif kind == "reasoning":
        words = "\n".join(
            as_text(part["text"])
            for name in ("summary", "content")
            for part in _listed(item.get(name))
            if isinstance(part, Mapping) and part.get("text")
        )
        if words:
            messages.append({"role": "assistant", "content": None, "reasoning_content": words})
    else:
        result = {"role": "tool", "content": as_text(item.get("output"))}
        if item.get("call_id"):
            result["tool_call_id"] = as_text(item["call_id"])
        messages.append(result)


def _body(value: Any) -> Any:
    """What an HTTP exchange carried: batch files and many loggers keep it under `body`."""
    if isinstance(value, Mapping) and "body" in value and ("status_code" in value or "method" in value):
        inner = _read(value["body"])
        status = value.get("status_code")
        if isinstance(inner, Mapping):
            return inner
        return {"error": f"HTTP {status}: {as_text(inner)}"} if isinstance(status, int) and status >= 400 else inner
    return value


def _read(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _asked(request: Any) -> Any:
    request = _read(request)
    if not isinstance(request, Mapping):
        return chat_of(request) or request
    given = next((request[name] for name in ("messages", "input", "prompt") if request.get(name) is not None), None)
    if given is None:
        kept = {name: value for name, value in request.items() if value is not None}
        return kept or None
    messages = chat_of(given)
    system = request.get("system") or (request.get("instructions") if "input" in request else None)
    if not system:
        return messages or given
    said = messages or [{"role": "user", "content": as_text(given)}]
    return (chat_of([{"role": "system", "content": system}]) or []) + said


def _choices(response: Any) -> list[dict[str, Any]]:
    if not isinstance(response, Mapping):
        return []
    given = response.get("choices")
    if isinstance(given, list):
        return [choice for one in given if isinstance(one, Mapping) for choice in _choice(one)]
    if isinstance(response.get("output"), list):
        return _of_items(response["output"])
    kept = {name: response[name] for name in ("role", "content", "tool_calls", "refusal") if name in response}
    message = chat_of([kept]) if isinstance(response.get("role"), str) else None
    if not message:
        return []
    return [{**_tidy(message[-1]), **_finish(response.get("stop_reason") or response.get("finish_reason"))}]


def _choice(choice: Mapping[str, Any]) -> list[dict[str, Any]]:
    finish = _finish(choice.get("finish_reason"))
    if isinstance(choice.get("text"), str):
        return [{"role": "assistant", "content": choice["text"], **finish}]
    told = choice.get("message") or choice.get("delta")
    messages = chat_of([{"role": "assistant", **told}], "assistant") if isinstance(told, Mapping) else None
    return [{**_tidy(messages[-1]), **finish}] if messages else []


def _finish(reason: Any) -> dict[str, str]:
    return {"finish_reason": str(reason)} if reason else {}


def output_of(message: Mapping[str, Any]) -> Any:
    """The output that an assistant's message is: its text, or the message where it holds more."""
    return answer_of([_tidy(message)])


def _tidy(message: Mapping[str, Any]) -> dict[str, Any]:
    """An answer without what says nothing: empty lists and nulls, but for the content; text in parts becomes one."""
    told = {key: value for key, value in message.items() if key == "content" or value not in (None, [], {})}
    parts = told.get("content")
    if isinstance(parts, list) and parts and all(part.get("type") == "text" for part in parts):
        told["content"] = "".join(as_text(part.get("text") or "") for part in parts)
    return told


def _of_items(items: Sequence[Any]) -> list[dict[str, Any]]:
    """The one message that the items of a response are."""
    texts: list[str] = []
    whole: dict[str, Any] = {"role": "assistant", "content": None}
    rest: list[Any] = []
    for message in chat_of([item for item in items if isinstance(item, Mapping)], "assistant") or []:
        content = message.get("content")
        if isinstance(content, str):
            texts.append(content)
        elif content is not None:
            rest.append(content)
        for key in ("tool_calls", "refusal", "reasoning_content"):
            if message.get(key):
                whole[key] = whole[key] + message[key] if key in whole else message[key]
    if texts:
        whole["content"] = "\n".join(texts)
    elif rest:
        whole["content"] = rest[0] if len(rest) == 1 else rest
    return [whole] if len(whole) > 2 or whole["content"] is not None else []


def _plain(response: Any) -> Any:
    """An answer of no known form stays as it is; one that only tells of an error, or has nothing in it, is none."""
    if isinstance(response, Mapping) and (response.get("error") or "choices" in response or "output" in response):
        return None
    return response


def _refusal(choices: Iterable[Mapping[str, Any]], finish: Iterable[str]) -> str | None:
    words = refusal_of(choices)
    if words:
        return f"refusal: {words}"
    return next((f"refusal: {reason}" for reason in finish if reason.lower() in _REFUSED), None)


def error_text(error: Any) -> str | None:
    """Write an API's error as `type: message`.

    >>> error_text({"type": "rate_limit_error", "message": "slow down"})
    'rate_limit_error: slow down'
    """
    if isinstance(error, Mapping) and isinstance(error.get("error"), Mapping):
        error = error["error"]
    if isinstance(error, Mapping):
        kind = as_text(error.get("type") or error.get("code") or error.get("status") or "error")
        words = as_text(error.get("message") or error.get("detail") or "")
        return f"{kind}: {words}" if words else kind
    return as_text(error) if error else None


def _about(asked: Mapping[str, Any]) -> dict[str, Any]:
    context = {name: asked[name] for name in _SCALARS if isinstance(asked.get(name), str | int | float)}
    for name in ("max_completion_tokens", "max_output_tokens"):
        if isinstance(asked.get(name), int):
            context.setdefault("max_tokens", asked[name])
    told = asked.get("metadata")
    for name, value in told.items() if isinstance(told, Mapping) else ():
        if isinstance(value, str | int | float) and name not in ("session_id", "conversation_id"):
            context.setdefault(str(name), value)
    return context


def _beside(asked: Mapping[str, Any]) -> dict[str, Any]:
    rest = {
        name: value
        for name, value in asked.items()
        if value is not None and name not in _ASKED and name not in _SCALARS and name != "tools"
    }
    extra: dict[str, Any] = {"parameters": rest} if rest and _is_request(asked) else {}
    if asked.get("tools"):
        extra["tools"] = asked["tools"]
    return extra


def _is_request(asked: Mapping[str, Any]) -> bool:
    return any(asked.get(name) is not None for name in ("messages", "input", "prompt"))


def _session(asked: Mapping[str, Any]) -> Any:
    given = asked.get("metadata")
    told: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    found = asked.get("conversation") or told.get("session_id") or told.get("conversation_id")
    return found.get("id") if isinstance(found, Mapping) else found


_TOKENS = {
    "tokens_in": ("prompt_tokens", "input_tokens"),
    "tokens_out": ("completion_tokens", "output_tokens"),
    "tokens_cached": ("cached_tokens", "cache_read_input_tokens"),
    "tokens_reasoning": ("reasoning_tokens",),
}


def _usage(usage: Any, context: dict[str, Any]) -> None:
    if not isinstance(usage, Mapping):
        return
    told = dict(usage)
    for part in usage.values():
        if isinstance(part, Mapping):
            told = {**part, **told}
    for field, names in _TOKENS.items():
        found = next((told[name] for name in names if isinstance(told.get(name), int)), None)
        if found is not None:
            context[field] = found


def _moment(created: Any) -> datetime | None:
    if isinstance(created, int | float) and not isinstance(created, bool) and _EPOCH[0] <= created < _EPOCH[1]:
        return datetime.fromtimestamp(created, UTC)
    return None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# --- streams ---


def whole_of(response: Any) -> Any:
    """Put a streamed answer together: a list of chunks or events, or the text of an event stream.

    Anything else comes back as it is, JSON text read.
    """
    if isinstance(response, str):
        if response.lstrip().startswith(("data:", "event:", ":")):
            lines = (line[5:].strip() for line in response.splitlines() if line.startswith("data:"))
            response = [part for part in map(_read, lines) if isinstance(part, Mapping)]
        else:
            return _read(response)
    if not isinstance(response, list) or not response or not all(isinstance(one, Mapping) for one in response):
        return response
    if any(isinstance(one.get("type"), str) and one["type"].startswith("response.") for one in response):
        return _responded(response)
    if any("choices" in one for one in response):
        return _joined(response)
    return response


def _responded(events: Sequence[Mapping[str, Any]]) -> Any:
    """The last whole response of an event stream, or what had come of it when it broke off."""
    for event in reversed(events):
        if event.get("type") in ("response.completed", "response.incomplete", "response.failed"):
            return event.get("response")
    began: Mapping[str, Any] = next(
        (event["response"] for event in events if isinstance(event.get("response"), Mapping)), {}
    )
    said = "".join(as_text(one.get("delta", "")) for one in events if one.get("type") == "response.output_text.delta")
    item = {"type": "message", "role": "assistant", "content": said}
    return {**began, "output": [item] if said else [], "error": "stream: it broke off before its end"}


def _joined(chunks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One answer of the chunks of a chat completion."""
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for key, value in chunk.items():
            if key != "choices" and value is not None:
                whole[key] = value
        for one in _listed(chunk.get("choices")):
            if isinstance(one, Mapping):
                number = one.get("index")
                choice = choices.setdefault(number if isinstance(number, int) else 0, {})
                _add(choice, one)
    if whole.get("object") == "chat.completion.chunk":
        whole["object"] = "chat.completion"
    return {**whole, "choices": [choices[number] for number in sorted(choices)]}


def _add(choice: dict[str, Any], chunk: Mapping[str, Any]) -> None:
    if chunk.get("finish_reason"):
        choice["finish_reason"] = chunk["finish_reason"]
    if isinstance(chunk.get("text"), str):
        choice["text"] = choice.get("text", "") + chunk["text"]
    delta = chunk.get("delta") or chunk.get("message")
    if not isinstance(delta, Mapping):
        return
    message = choice.setdefault("message", {"role": "assistant"})
    for key, value in delta.items():
        if key == "tool_calls":
            for call in value if isinstance(value, list) else ():
                if isinstance(call, Mapping):
                    _add_call(message.setdefault("tool_calls", []), call)
        elif key == "role":
            message["role"] = value or message["role"]
        elif isinstance(value, str):
            before = message.get(key)
            message[key] = before + value if isinstance(before, str) else value
        elif value is not None:
            message[key] = value


def _add_call(calls: list[dict[str, Any]], part: Mapping[str, Any]) -> None:
    number = part.get("index")
    place = number if isinstance(number, int) and 0 <= number <= len(calls) else max(0, len(calls) - 1)
    if place == len(calls):
        calls.append({"type": "function", "function": {"name": "", "arguments": ""}})
    call = calls[place]
    if part.get("id"):
        call["id"] = part["id"]
    given = part.get("function")
    function: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    for key in ("name", "arguments"):
        if isinstance(function.get(key), str):
            call["function"][key] += function[key]
