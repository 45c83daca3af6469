"""A release is rolled back from its page, after a confirmation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flywheel import wheel

pytestmark = pytest.mark.slow


def test_roll_back_asks_first_then_brings_back_the_champion_before(
    tmp_path: Path, serving: Callable[[Any], str], browser: Any
) -> None:
    from sklearn.dummy import DummyClassifier

    with wheel.open(tmp_path, task="classification") as fw:
        for answer in ("a", "b"):
            fw.adopt(DummyClassifier(strategy="most_frequent").fit([[0.0]], [answer]))
        page = browser.new_page()
        page.goto(f"{serving(fw)}/releases")
        page.get_by_role("button", name="Roll back", exact=True).click(timeout=5000)
        assert fw._releases.champion().version == "adopted-2"
        page.get_by_role("button", name="Yes: roll back").click(timeout=5000)
        page.locator(".fw-figure", has_text="Champion").get_by_text("adopted-1", exact=True).wait_for(timeout=5000)
        assert fw._releases.champion().version == "adopted-1"
        page.close()
