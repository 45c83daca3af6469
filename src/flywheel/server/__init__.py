"""The server: HTTP in front of one or several flywheels. A door: it parses, calls and shows; no logic.

`make_app` gives the ASGI application, `serve` runs it. Every route says which scope it needs, or cannot be registered.
"""

from __future__ import annotations

from flywheel.server.app import make_app
from flywheel.server.routes import Routes
from flywheel.server.serve import serve

__all__ = ["Routes", "make_app", "serve"]
