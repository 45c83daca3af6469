"""LangChain: a callback handler that logs model calls, and chains, tools and retrievers where asked."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage, convert_to_openai_messages

from flywheel.capture.integrations.teller import Teller, Told, error_of

__all__ = ["LangChainHandler"]

_KINDS = ("model", "root", "chain", "tool", "retriever")
_MOST_OPEN = 10_000
_SESSION = ("session_id", "thread_id", "conversation_id")
_SCALARS = (str, int, float, bool)


class _Run:
    """One run under way."""

    def __init__(self, kind: str, given: Any, parent: UUID | None, told: Mapping[str, Any]) -> None:
        self.kind = kind
        self.given = given
        self.parent = parent
        self.told = told
        self.at = datetime.now(UTC)
        self.started = time.perf_counter()
        self.first: float | None = None
        self.root: UUID | None = None


class LangChainHandler(BaseCallbackHandler):
    """Pass it as a callback::

        chain.invoke(question, config={"callbacks": [LangChainHandler(connection)]})

    `runs` chooses what becomes an interaction: `model` (each call of a model, the default), `root` (the outermost run
    of each invocation), `chain`, `tool`, `retriever`. The id is the run's own; `extra` has `run_id`,
    `parent_run_id` and `trace_id` (the outermost run). Tokens, model, finish reason and first token's time
    are kept; `session_id` (or `thread_id`, `conversation_id`) and `user_id` of the metadata become session and user.
    """

    raise_error = False
    run_inline = True  # so that the order of starts and ends holds in asynchronous chains too; it does no waiting

    def __init__(self, to: Told, *, runs: Iterable[str] = ("model",)) -> None:
        self._teller = Teller(to)
        self._wanted = frozenset(runs)
        if not self._wanted or self._wanted - set(_KINDS):
            raise ValueError(f"runs={sorted(self._wanted)} is not a choice of {', '.join(_KINDS)}")
        self._open: OrderedDict[UUID, _Run] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def unrecorded(self) -> dict[str, int]:
        """What could not be logged, by the kind of trouble."""
        return dict(self._teller.unrecorded)

    # --- models ---

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **told: Any
    ) -> Any:
        """Note what a chat model is asked."""
        self._teller.quietly(lambda: self._begin("model", _chat(messages), run_id, told))

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **told: Any) -> Any:
        """Note what a language model is asked."""
        self._teller.quietly(lambda: self._begin("model", _one(prompts), run_id, told))

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **told: Any) -> Any:
        """Note when the first token came."""
        run = self._open.get(run_id)
        if run is not None and run.first is None:
            run.first = (time.perf_counter() - run.started) * 1000

    def on_llm_end(self, response: Any, *, run_id: UUID, **told: Any) -> Any:
        """Log a model's answer."""
        self._teller.quietly(lambda: self._end(run_id, *_answer(response)))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **told: Any) -> Any:
        """Log a model's failure, with what had come of the answer."""
        self._teller.quietly(lambda: self._failed(run_id, told.get("response"), error))

    # --- chains, tools, retrievers ---

    def on_chain_start(self, serialized: dict[str, Any], inputs: Any, *, run_id: UUID, **told: Any) -> Any:
        """Note a chain's input."""
        self._teller.quietly(lambda: self._begin("chain", inputs, run_id, told))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **told: Any) -> Any:
        """Log a chain's output."""
        self._teller.quietly(lambda: self._end(run_id, outputs, {}))

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **told: Any) -> Any:
        """Log a chain's failure."""
        self._teller.quietly(lambda: self._end(run_id, None, {}, error=error))

    def on_tool_start(self, serialized: dict[str, Any], input_str: str, *, run_id: UUID, **told: Any) -> Any:
        """Note a tool's input."""
        given = told.get("inputs") or input_str
        self._teller.quietly(lambda: self._begin("tool", given, run_id, {**told, "name": _name(serialized, told)}))

    def on_tool_end(self, output: Any, *, run_id: UUID, **told: Any) -> Any:
        """Log a tool's output."""
        self._teller.quietly(lambda: self._end(run_id, output, {}))

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **told: Any) -> Any:
        """Log a tool's failure."""
        self._teller.quietly(lambda: self._end(run_id, None, {}, error=error))

    def on_retriever_start(self, serialized: dict[str, Any], query: str, *, run_id: UUID, **told: Any) -> Any:
        """Note what a retriever is asked."""
        self._teller.quietly(lambda: self._begin("retriever", query, run_id, {**told, "name": _name(serialized, told)}))

    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **told: Any) -> Any:
        """Log what a retriever found."""
        self._teller.quietly(lambda: self._end(run_id, documents, {}))

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **told: Any) -> Any:
        """Log a retriever's failure."""
        self._teller.quietly(lambda: self._end(run_id, None, {}, error=error))

    # --- inside ---

    def _begin(self, kind: str, given: Any, run_id: UUID, told: Mapping[str, Any]) -> None:
        parent = told.get("parent_run_id")
        run = _Run(kind, None, parent, told)
        run.given = _plain(given) if self._wants(run) else None  # a copy: chains change what they are given
        with self._lock:
            above = self._open.get(parent) if parent is not None else None
            run.root = (above.root if above is not None else parent) or run_id
            self._open[run_id] = run
            if len(self._open) > _MOST_OPEN:  # runs whose end was never told
                self._open.popitem(last=False)
                self._teller.unrecorded["runs without an end"] += 1

    def _failed(self, run_id: UUID, partial: Any, error: BaseException) -> None:
        output, about = _answer(partial) if partial is not None else (None, {})
        self._end(run_id, output, about, error=error)

    def _wants(self, run: _Run) -> bool:
        return run.kind in self._wanted or (run.parent is None and "root" in self._wanted)

    def _end(self, run_id: UUID, output: Any, about: Mapping[str, Any], error: BaseException | None = None) -> None:
        with self._lock:
            run = self._open.pop(run_id, None)
        if run is None or not self._wants(run):
            return
        fields: dict[str, Any] = {
            "id": str(run_id),
            "at": run.at,
            "input": run.given,
            "output": _plain(output),
            "latency_ms": (time.perf_counter() - run.started) * 1000,
        }
        if error is not None:
            fields["error"] = error_of(error)
        self._describe(fields, run, about)
        fields["extra"] = {"run_id": str(run_id), "trace_id": str(run.root)}
        if run.parent is not None:
            fields["extra"]["parent_run_id"] = str(run.parent)
        if run.told.get("tags"):
            fields["extra"]["tags"] = list(run.told["tags"])
        self._teller.to.log(**fields)

    @staticmethod
    def _describe(fields: dict[str, Any], run: _Run, about: Mapping[str, Any]) -> None:
        metadata = run.told.get("metadata") or {}
        parameters = run.told.get("invocation_params") or {}
        context: dict[str, Any] = {"operation": run.kind}
        if run.told.get("name"):
            context["name"] = str(run.told["name"])
        for name, value in metadata.items():
            if name == "user_id" and value is not None:
                fields["user"] = str(value)
            elif name in _SESSION and value is not None:
                fields.setdefault("session", str(value))
            elif isinstance(value, _SCALARS):
                context[name] = value
        for name in ("temperature", "max_tokens"):
            if isinstance(parameters.get(name), int | float):
                context[name] = parameters[name]
        if metadata.get("ls_provider"):
            context["provider"] = metadata["ls_provider"]
        if run.first is not None:
            context["first_token_ms"] = run.first
        context |= {name: value for name, value in about.items() if name != "model"}
        fields["context"] = context
        model = about.get("model") or parameters.get("model") or parameters.get("model_name")
        model = model or (metadata.get("ls_model_name") if run.kind == "model" else None)
        if model:
            fields["model"] = str(model)


def _name(serialized: Mapping[str, Any] | None, told: Mapping[str, Any]) -> Any:
    return told.get("name") or (serialized or {}).get("name")


def _one(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else list(values)


def _chat(batches: Sequence[Sequence[BaseMessage]]) -> Any:
    return _one([convert_to_openai_messages(list(messages)) for messages in batches])


def _answer(response: Any) -> tuple[Any, dict[str, Any]]:
    """The text of a result, or its message where there is more to it; and tokens, model, finish reason."""
    outputs: list[Any] = []
    about: dict[str, Any] = {}
    for generation in (one for batch in response.generations for one in batch):
        message = getattr(generation, "message", None)
        if message is None:
            outputs.append(generation.text)
            continue
        written = convert_to_openai_messages(message)
        plain = set(written) <= {"role", "content"} and isinstance(written.get("content"), str)
        outputs.append(written["content"] if plain else written)
        about |= _usage(message)
    told = response.llm_output or {}
    tokens = told.get("token_usage") or told.get("usage") or {}
    for name, given in (("tokens_in", "prompt_tokens"), ("tokens_out", "completion_tokens")):
        if isinstance(tokens.get(given), int):
            about.setdefault(name, tokens[given])
    if told.get("model_name"):
        about.setdefault("model", told["model_name"])
    return (_one(outputs) if outputs else None), about


def _usage(message: Any) -> dict[str, Any]:
    about: dict[str, Any] = {}
    used = getattr(message, "usage_metadata", None) or {}
    places = (
        ("tokens_in", used.get("input_tokens")),
        ("tokens_out", used.get("output_tokens")),
        ("tokens_cached", (used.get("input_token_details") or {}).get("cache_read")),
        ("tokens_reasoning", (used.get("output_token_details") or {}).get("reasoning")),
    )
    about.update({name: value for name, value in places if isinstance(value, int)})
    said = getattr(message, "response_metadata", None) or {}
    for name, given in (("model", "model_name"), ("model", "model"), ("finish_reason", "finish_reason")):
        if isinstance(said.get(given), str):
            about.setdefault(name, said[given])
    return about


def _plain(value: Any, depth: int = 0) -> Any:
    """Whatever a chain hands on, as JSON: messages in OpenAI's form, documents and models as dicts, others by name."""
    if value is None or isinstance(value, _SCALARS):
        return value
    if isinstance(value, BaseMessage):
        return convert_to_openai_messages(value)
    if hasattr(value, "to_messages"):
        return convert_to_openai_messages(value.to_messages())
    if depth > 20:
        return type(value).__name__
    if isinstance(value, Mapping):
        return {str(key): _plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, depth + 1) for one in value]
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return _plain(value.model_dump(), depth + 1)
    return f"<{type(value).__name__}>"
