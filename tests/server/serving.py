"""A flywheel behind a server in this process, for tests of what clients are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

import flywheel
from flywheel import wheel
from flywheel.server import make_app


@contextmanager
def served(*folders: Path, **sections: dict[str, Any]) -> Iterator[tuple[TestClient, list[flywheel.Flywheel]]]:
    """Open flywheels, named by their folders, behind one application."""
    wheels = {folder.name: wheel.open(folder, **sections) for folder in folders}
    try:
        with TestClient(make_app(wheels), base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
            yield client, list(wheels.values())
    finally:
        for fw in wheels.values():
            fw.close()


def balanced(fw: flywheel.Flywheel) -> dict[str, int]:
    """The books, which must balance."""
    books = fw.books()
    parts = ("stored", "duplicates", "rejected", "dead_lettered")
    assert books["received"] == sum(books[part] for part in parts), books
    return books
