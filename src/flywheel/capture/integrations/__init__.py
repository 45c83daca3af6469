"""The recorder in the frameworks you use: each a line or two, for an open flywheel or a connection to a server.

Names are loaded when first used, and with them the framework they belong to. Nothing here raises into the product: what
cannot be logged is counted in `unrecorded` and told to the `flywheel` logger at most once a minute.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flywheel.capture.integrations.asgi import AsgiMiddleware
    from flywheel.capture.integrations.estimator import watch_estimator
    from flywheel.capture.integrations.langchain import LangChainHandler
    from flywheel.capture.integrations.log_handler import LogHandler
    from flywheel.capture.integrations.openai_client import watch_openai
    from flywheel.capture.integrations.wsgi import WsgiMiddleware

__all__ = ["AsgiMiddleware", "LangChainHandler", "LogHandler", "WsgiMiddleware", "watch_estimator", "watch_openai"]

_HOMES = {
    "AsgiMiddleware": "asgi",
    "LangChainHandler": "langchain",
    "LogHandler": "log_handler",
    "WsgiMiddleware": "wsgi",
    "watch_estimator": "estimator",
    "watch_openai": "openai_client",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"flywheel.capture.integrations.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}. It has: {', '.join(__all__)}")
