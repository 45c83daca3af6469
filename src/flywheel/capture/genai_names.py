"""Which attribute means what, dialect by dialect: the names that `genai` and `genai_content` look for, best first."""

from __future__ import annotations

__all__ = [
    "ASSOCIATIONS",
    "CONTEXT",
    "KINDS",
    "KIND_NAMES",
    "METADATA",
    "MODELS",
    "OPERATIONS",
    "RESOURCE",
    "SESSIONS",
    "SYSTEMS",
    "TELEMETRY",
    "USERS",
    "USER_PARAMETERS",
]

OPERATIONS = {
    "chat": "call",
    "text_completion": "call",
    "generate_content": "call",
    "completion": "call",
    "responses": "call",
    "message": "call",
    "invoke_agent": "agent",
}
"""`gen_ai.operation.name`: a call of a model, or an agent; any other is neither."""

KINDS = {"llm": "call", "chat": "call", "completion": "call", "generation": "call", "chat_model": "call"} | {
    "agent": "agent"
}
"""The same for the kinds of the other dialects, in lower case."""

KIND_NAMES = (
    "openinference.span.kind",
    "llm.request.type",
    "langfuse.observation.type",
    "mlflow.spanType",
    "traceloop.span.kind",
)
SYSTEMS = ("gen_ai.system", "gen_ai.provider.name", "llm.vendor", "llm.system", "llm.provider")
MODELS = (
    "gen_ai.response.model",
    "llm.response.model_name",
    "ai.response.model",
    "llm.response.model",
    "gen_ai.request.model",
    "llm.model_name",
    "llm.request.model_name",
    "llm.request.model",
    "ai.model.id",
    "langfuse.observation.model.name",
    "mlflow.llm.model",
)
CONTEXT: dict[str, tuple[str, ...]] = {
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
"""Field of `context` → where it is told."""

RESOURCE = {
    "service": ("service.name",),
    "service_version": ("service.version",),
    "environment": ("deployment.environment.name", "deployment.environment", "langfuse.environment"),
}
"""The same among a resource's attributes."""

SESSIONS = (
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
USERS = (
    "enduser.id",
    "user.id",
    "langfuse.user.id",
    "langfuse.userId",
    "enduser.pseudo.id",
    "gen_ai.user.id",
    "gen_ai.user",
    "gen_ai.request.user",
    "gen_ai.openai.request.user",
    "llm.user",
    "user_id",
    "mlflow.trace.user",
)
ASSOCIATIONS = (
    "traceloop.association.properties.",
    "ai.telemetry.metadata.",
    "langfuse.trace.metadata.",
    "langfuse.observation.metadata.",
)
"""Prefixes under which products put facts of their own; `METADATA` holds such facts as JSON."""
METADATA = frozenset(("metadata", "langfuse.trace.metadata", "langfuse.observation.metadata"))

USER_PARAMETERS = ("user", "safety_identifier", "user_id")
"""Parameters of a request that name the user: never kept among the parameters."""

TELEMETRY = frozenset(
    (
        *("gen_ai", "llm", "openinference", "traceloop", "ai", "langfuse", "mlflow", "input", "output", "embedding"),
        *("retrieval", "reranker", "tool", "graph", "prompt", "tag", "thread", "code", "http", "url", "net", "network"),
        *("server", "client", "peer", "telemetry", "process", "host", "os", "otel", "db", "rpc", "user_agent"),
        *("exception", "error", "event", "container", "k8s", "logfire", "annotations", "evaluations", "openai", "aws"),
        *("gcp", "azure", "az", "cloud", "session", "enduser", "user", "service", "deployment", "operation"),
        *("resource", "messaging", "faas", "browser", "document", "image", "audio", "video", "message", "response"),
    )
)
"""First words of names that telemetry gives itself: kept in `extra`. What a product adds is context."""
