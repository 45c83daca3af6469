"""A real server on a free port of this machine, around flywheels of a test's own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

import flywheel
from flywheel.server import make_app


@contextmanager
def serving(folder: Path, **sections: object) -> Iterator[tuple[flywheel.Flywheel, str]]:
    """Open a flywheel in `folder` and serve it: yields it and the server's address."""
    with flywheel.open(folder, **sections) as fw:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(make_app({"bot": fw}), log_config=None, access_log=False, lifespan="on")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        until = time.monotonic() + 20
        while not server.started and time.monotonic() < until:
            time.sleep(0.01)
        try:
            yield fw, f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
            listener.close()
