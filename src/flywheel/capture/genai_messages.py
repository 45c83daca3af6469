"""Messages of every GenAI dialect → the OpenAI chat form that the log keeps.

A message is `{"role": "user", "content": ...}` with `tool_calls`, `tool_call_id`, `name`, `refusal` and
`reasoning_content` where there are such things. `content` is text, or a list of typed parts when there are several or
some are no text. Sources: OpenTelemetry GenAI semantic conventions (parts; the message events up to 1.36),
OpenInference, and the request forms of OpenAI, Anthropic, Google and the Vercel AI SDK, which instrumentations copy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

try:
    import msgspec
except ModuleNotFoundError:  # inside a product there may be the standard library alone
    _decode: Callable[[str], Any] = json.loads
    _no_json: tuple[type[Exception], ...] = (ValueError, RecursionError)
else:
    _decode = msgspec.json.decode
    _no_json = (msgspec.DecodeError, UnicodeError, RecursionError)

__all__ = ["answer_of", "as_text", "listed", "messages_of", "parsed", "refusal_of", "system_message"]

_LONG, _MOST_VALUES = 65_536, 50_000
_DEEPEST_NAME = 12  # parts of a flattened attribute's name that are looked at
_SILENT = {"role", "content", "reasoning_content", "finish_reason"}
_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool", "developer": "developer"}
_CALLS = ("tool_call", "tool_use", "tool-call", "function_call")
_RESULTS = ("tool_call_response", "tool_result", "tool-result", "function_call_output")
_REASONING = ("reasoning", "thinking", "redacted_thinking")


def parsed(value: Any) -> Any:
    """Read text that is a JSON object or array; anything else comes back as it is.

    >>> parsed('[{"role": "user"}]'), parsed("[sic] it said")
    ([{'role': 'user'}], '[sic] it said')
    """
    if type(value) is str and value[:1] in ("{", "[") and (len(value) < _LONG or _sparse(value)):
        try:
            return _decode(value)
        except _no_json:
            return value
    return value


def _sparse(text: str) -> bool:
    """Is there more text than structure? A megabyte of brackets stays the text that it is."""
    return text.count("[") + text.count("{") + text.count(",") <= _MOST_VALUES


def as_text(value: Any) -> str:
    """Write a value as text: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def listed(attributes: Mapping[str, Any], prefix: str) -> list[Any]:
    """Put flattened attributes (`prefix.0.role`, `prefix.0.content`, …) together again: a list in order of the numbers.

    >>> listed({"gen_ai.prompt.1.role": "user", "gen_ai.prompt.0.role": "system"}, "gen_ai.prompt")
    [{'role': 'system'}, {'role': 'user'}]
    """
    start = f"{prefix}."
    tree: dict[str, Any] = {}
    for key, value in attributes.items():
        if not key.startswith(start):
            continue
        *path, last = key[len(start) :].split(".", _DEEPEST_NAME)
        node = tree
        for step in path:
            below = node.get(step)
            if not isinstance(below, dict):
                below = {} if below is None else {"": below}
                node[step] = below
            node = below
        if isinstance(node.get(last), dict):
            node[last][""] = value
        else:
            node[last] = value
    numbered = {key: value for key, value in tree.items() if key.isdecimal() and len(key) < 10}
    return [_gathered(numbered[key]) for key in sorted(numbered, key=int)]


def _gathered(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(key.isdecimal() and len(key) < 10 for key in node):
        return [_gathered(node[key]) for key in sorted(node, key=int)]
    return {key: _gathered(value) for key, value in node.items()}


def messages_of(value: Any, role: str = "user") -> list[dict[str, Any]] | None:
    """Read a conversation: a list of messages of any form, one message, or JSON text of these.

    None when the value is none of them. A message without a role is from `role`.
    """
    value = parsed(value)
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        value = value["messages"]
    if isinstance(value, dict) and _is_message(value):
        value = [value]
    if not isinstance(value, list) or not value:
        return None
    while len(value) == 1 and isinstance(value[0], list) and value[0]:
        value = value[0]  # a batch of one conversation
    messages: list[dict[str, Any]] = []
    for one in map(parsed, value):
        if not isinstance(one, dict) or not _is_message(one):
            return None
        messages.extend(_chat(one, role))
    return messages


def system_message(instructions: Any) -> list[dict[str, Any]]:
    """Turn system instructions (text, or a list of parts) into one system message; nothing into none."""
    instructions = parsed(instructions)
    if not instructions:
        return []
    if isinstance(instructions, list) and not all(isinstance(part, dict | str) for part in instructions):
        return [{"role": "system", "content": as_text(instructions)}]
    return _chat({"role": "system", "content": instructions}, "system")


def answer_of(choices: Sequence[Mapping[str, Any]]) -> Any:
    """Turn the answer's messages into an output: text where there is only text, else the assistant's message.

    Several choices: the first one's message, with all of them under `choices`.
    """
    if not any(set(choice) - _SILENT or choice.get("content") is not None for choice in choices):
        return None
    first = {key: value for key, value in choices[0].items() if key not in ("reasoning_content", "finish_reason")}
    if len(choices) > 1:
        return {**first, "choices": [dict(choice) for choice in choices]}
    if set(first) <= {"role", "content"} and isinstance(first.get("content"), str):
        return first["content"]
    return first


def refusal_of(choices: Iterable[Mapping[str, Any]]) -> str | None:
    """The words with which the model refused, where it did."""
    return next((as_text(choice["refusal"]) for choice in choices if choice.get("refusal")), None)


def _is_message(value: Mapping[str, Any]) -> bool:
    return any(key in value for key in ("role", "parts", "message", "tool_calls")) or (
        "content" in value and value.get("type") not in ("text", *_CALLS, *_RESULTS)
    )


def _chat(told: Mapping[str, Any], role: str) -> list[dict[str, Any]]:
    """One message of any form: usually one, more where it holds the results of several tools."""
    outer = told
    if isinstance(told.get("message"), dict):  # a choice, or OpenInference's message.role
        told = {**{key: outer[key] for key in ("finish_reason", "role") if key in outer}, **told["message"]}
    elif isinstance(parsed(told.get("message")), dict):
        told = {**told, **parsed(told["message"])}
    elif "message" in told and "content" not in told:
        told = {**told, "content": parsed(told["message"])}
    who = str(told.get("role") or told.get("type") or role).lower()
    message: dict[str, Any] = {"role": _ROLES.get(who, who), "content": None}
    results: list[dict[str, Any]] = []
    parts: list[Any] = []
    calls: list[dict[str, Any]] = []
    for part in _parts_of(told):
        _take(part, message, parts, calls, results)
    for call in _items(told.get("tool_calls")):
        calls.append(_call(call))
    if told.get("function_call_name"):
        calls.append(_called(None, told["function_call_name"], told.get("function_call_arguments_json")))
    elif isinstance(told.get("function_call"), dict):
        calls.append(_call(told["function_call"]))
    message["content"] = _content(parts)
    if calls:
        message["tool_calls"] = calls
    call_id = told.get("tool_call_id") or (told.get("id") if message["role"] == "tool" else None)
    if call_id and message["role"] == "tool":
        message["tool_call_id"] = str(call_id)
    for key in ("name", "refusal"):
        if told.get(key):
            message[key] = told[key]
    if told.get("reasoning_content") or isinstance(told.get("reasoning"), str):
        message["reasoning_content"] = told.get("reasoning_content") or told.get("reasoning")
    if told.get("finish_reason"):
        message["finish_reason"] = str(told["finish_reason"])
    said = set(message) - {"role", "content"} or parts
    return [*results, message] if said or not results else results


def _parts_of(told: Mapping[str, Any]) -> list[Any]:
    for key in ("parts", "contents", "content"):
        given = parsed(told.get(key))
        if key == "content" and isinstance(given, list) and not all(isinstance(part, dict | str) for part in given):
            return [as_text(given)]  # a JSON array that is the text itself
        if key == "content" and isinstance(given, dict):
            given = [given] if "type" in given or "text" in given else as_text(given)
        if given is not None and given != []:
            return given if isinstance(given, list) else [given]
    return []


def _items(value: Any) -> list[Mapping[str, Any]]:
    value = parsed(value)
    if isinstance(value, dict):
        value = [value]
    return [one for one in map(parsed, value) if isinstance(one, dict)] if isinstance(value, list) else []


def _take(
    part: Any, message: dict[str, Any], parts: list[Any], calls: list[dict[str, Any]], results: list[dict[str, Any]]
) -> None:
    """Put one part where it belongs in the chat form."""
    if not isinstance(part, dict):
        parts.append({"type": "text", "text": as_text(part)})
        return
    if isinstance(part.get("message_content"), dict):  # OpenInference
        part = part["message_content"]
    kind = str(part.get("type") or _guessed(part))
    if kind in ("text", "input_text", "output_text"):
        words = part.get("text", part.get("content"))
        parts.append({"type": "text", "text": as_text(words.get("value") if isinstance(words, dict) else words)})
    elif kind in _CALLS:
        calls.append(_call(part))
    elif kind in _RESULTS:
        results.append(_result(part))
    elif kind in _REASONING:
        words = part.get("content") or part.get("thinking") or part.get("text")
        if words:
            before = message.get("reasoning_content")
            message["reasoning_content"] = f"{before}\n{as_text(words)}" if before else as_text(words)
    elif kind == "refusal":
        message["refusal"] = as_text(part.get("refusal") or part.get("content"))
    else:
        parts.append(_medium(kind, part))


def _guessed(part: Mapping[str, Any]) -> str:
    names = {"functionCall": "tool_call", "functionResponse": "tool_call_response", "toolUse": "tool_call"}
    names |= {"toolResult": "tool_call_response", "function": "tool_call"}
    return next((kind for name, kind in names.items() if name in part), "text" if "text" in part else "other")


def _medium(kind: str, part: Mapping[str, Any]) -> dict[str, Any]:
    modality = str(part.get("modality") or kind)
    mime = str(part.get("mime_type") or "")
    if kind == "blob":
        data = as_text(part.get("content", ""))
        if modality == "image":
            return {"type": "image_url", "image_url": {"url": f"data:{mime or 'image/png'};base64,{data}"}}
        if modality == "audio":
            return {"type": "input_audio", "input_audio": {"data": data, "format": mime.rpartition("/")[2] or "wav"}}
        return {"type": "file", "file": {"file_data": f"data:{mime or 'application/octet-stream'};base64,{data}"}}
    if kind == "uri":
        address = as_text(part.get("uri", ""))
        if modality == "image":
            return {"type": "image_url", "image_url": {"url": address}}
        return {"type": "file", "file": {"file_url": address, **({"mime_type": mime} if mime else {})}}
    if kind == "file" and "file_id" in part:
        return {"type": "file", "file": {"file_id": as_text(part["file_id"])}}
    if kind == "image" and isinstance(part.get("image"), dict):
        image = part["image"].get("image", part["image"])
        if isinstance(image, dict) and "url" in image:
            return {"type": "image_url", "image_url": {"url": as_text(image["url"])}}
    return dict(part)


def _content(parts: list[Any]) -> Any:
    if not parts:
        return None
    if len(parts) == 1 and parts[0].get("type") == "text":
        return parts[0]["text"]
    return parts


def _call(told: Mapping[str, Any]) -> dict[str, Any]:
    for key in ("tool_call", "functionCall", "toolUse"):
        if isinstance(told.get(key), dict):
            told = {**told, **told[key]}
    function = told.get("function")
    if not isinstance(function, dict):
        function = {} if function is None else {"name": function}
    arguments = next(
        (
            source[key]
            for source in (function, told)
            for key in ("arguments", "args", "input", "parameters")
            if source.get(key) is not None
        ),
        None,
    )
    name = function.get("name") or told.get("name") or told.get("toolName")
    return _called(
        told.get("id") or told.get("call_id") or told.get("toolCallId") or told.get("toolUseId"), name, arguments
    )


def _called(id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    call: dict[str, Any] = {"type": "function", "function": {"name": as_text(name) if name is not None else ""}}
    if arguments is not None:
        call["function"]["arguments"] = as_text(arguments)
    return {"id": as_text(id), **call} if id else call


def _result(told: Mapping[str, Any]) -> dict[str, Any]:
    for key in ("functionResponse", "toolResult"):
        if isinstance(told.get(key), dict):
            told = {**told, **told[key]}
    ids = ("id", "tool_use_id", "call_id", "toolCallId", "toolUseId")
    said = next((told[key] for key in ("response", "result", "content", "output") if told.get(key) is not None), None)
    message: dict[str, Any] = {"role": "tool", "content": None if said is None else as_text(_only_text(said))}
    about = next((told[key] for key in ids if told.get(key)), None)
    return {**message, "tool_call_id": as_text(about)} if about else message


def _only_text(said: Any) -> Any:
    if isinstance(said, list) and len(said) == 1 and isinstance(said[0], dict) and isinstance(said[0].get("text"), str):
        return said[0]["text"]
    return said
