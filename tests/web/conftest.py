"""A small flywheel behind a server of this process, and a browser to look at it with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flywheel import wheel

pytest.importorskip("nicegui", reason="the dashboard needs the extra `web`")
CHROMIUM = Path("/usr/bin/chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A flywheel with a few hundred logged interactions; `product.ids` are theirs."""
    folder = tmp_path_factory.mktemp("product")
    with wheel.open(folder, task="classification") as fw:
        ids = [
            fw.log(input=f"where is my card {n}", output="card", confidence=0.5 + n / 500, context={"device": "ios"})
            for n in range(200)
        ]
        fw.feedback(ids[0], label="lost", source="reviewer")
        fw.__dict__["ids"] = ids
        yield fw


@pytest.fixture(scope="session")
def serving() -> Iterator[Callable[[Any], str]]:
    """Serve one flywheel and return the address; all are stopped at the end."""
    import uvicorn

    from flywheel.server import make_app

    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def serve(fw: Any) -> str:
        app = make_app({"bot": fw})
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread))
        until = time.monotonic() + 20
        while not server.started and time.monotonic() < until:
            time.sleep(0.02)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield serve
    for server, thread in running:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="session")
def dashboard(product: Any, serving: Callable[[Any], str]) -> str:
    """The address of the product's dashboard."""
    return serving(product)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium: apt-get install -y chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, which is in the extra `dev`")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield opened
        opened.close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The toolkit has one event loop a process, so each slow file of this folder runs in a process of its own."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("slow"):
            item.add_marker("browser")
