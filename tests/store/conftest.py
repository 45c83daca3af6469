"""Stores on either database, and processes that work on them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flywheel.config import Config, StoreSettings
from flywheel.store import Store


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, new_url: Callable[[str], str]) -> str:
    """An empty database of each kind."""
    return new_url(request.param)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Open stores that are closed when the test ends."""
    stores: list[Store] = []

    def open_(url: str = "", folder: Path | None = None, **settings: object) -> Store:
        config = Config(store=StoreSettings(url=url, **settings))  # type: ignore[arg-type]
        stores.append(Store.open(folder or tmp_path / "wheel", config))
        return stores[-1]

    yield open_
    for store in stores:
        store.close()


@pytest.fixture
def worker() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start `store_worker.py` in a process of its own; it is killed when the test ends."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(Path(__file__).with_name("store_worker.py")), *map(str, arguments)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
