"""A page whose verb is slow shows that it is reading; one whose verb fails says so, and the rest stays usable."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flywheel import wheel
from flywheel.errors import StoreUnavailable

pytestmark = pytest.mark.slow


def test_slow_failed_and_broken_verbs_are_shown_as_what_they_are(
    tmp_path: Path, serving: Callable[[Any], str], browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wheel.open(tmp_path, task="classification") as fw:
        fw.log(input="x", output="y")
        address = serving(fw)
        page = browser.new_page()
        told, go_on = fw.spins, threading.Event()

        def slow() -> Any:
            go_on.wait(20)
            return told()

        monkeypatch.setattr(fw, "spins", slow)
        page.goto(f"{address}/spins")
        page.get_by_text("Reading …").wait_for(timeout=60_000)
        assert page.get_by_role("link", name="Modes", exact=True).is_visible()
        go_on.set()
        page.get_by_text("No spin has run yet").wait_for(timeout=60_000)
        assert page.get_by_text("Reading …").count() == 0

        def unavailable() -> Any:
            raise StoreUnavailable("the disk is full. Free some space, then try again")

        monkeypatch.setattr(fw, "spins", unavailable)
        page.goto(f"{address}/spins")
        assert "disk is full" in page.get_by_role("alert").inner_text()
        assert page.get_by_role("link", name="Try again").get_attribute("href") == "/spins"

        def broken() -> Any:
            raise ValueError("secret of a customer")

        monkeypatch.setattr(fw, "spins", broken)
        answer = page.goto(f"{address}/spins")
        assert answer is not None
        assert answer.status == 500
        words = page.get_by_role("alert").inner_text()
        assert "ValueError" in words
        assert "flywheel doctor" in words
        assert "secret" not in page.content()

        monkeypatch.setattr(fw, "report_figures", unavailable)
        page.goto(f"{address}/reports")
        assert "disk is full" in page.get_by_role("alert").inner_text()
        assert page.get_by_text("No report here").is_visible()  # the rest of the page stands
        page.close()
