"""A spin, begun on a page or elsewhere, is seen step by step on every open page, and after a reload."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flywheel import wheel

pytestmark = pytest.mark.slow


def test_every_tab_sees_the_step_whoever_began_the_spin(
    tmp_path: Path, serving: Callable[[Any], str], browser: Any
) -> None:
    with wheel.open(tmp_path, task="classification") as fw, wheel.open(tmp_path) as elsewhere:
        fw.seed([f"my {word} {n}" for word in ("card", "fee") for n in range(20)], ["card"] * 20 + ["fee"] * 20)
        address = serving(fw)
        first, second = browser.new_page(), browser.new_page()
        for page in (first, second):
            page.goto(f"{address}/spins")
            page.get_by_role("button", name="Start a spin").wait_for(timeout=60_000)
        there, go_on = threading.Event(), threading.Event()

        def hold(step: str, what: str) -> None:
            if (step, what) == ("train", "end"):
                there.set()
                go_on.wait(60)

        running = threading.Thread(target=lambda: elsewhere.spin(budget=0, on_step=hold))
        running.start()
        assert there.wait(60)
        for page in (first, second):
            page.locator("[aria-current=step]").wait_for(timeout=60_000)
        first.reload()
        first.locator("[aria-current=step]").wait_for(timeout=60_000)
        assert "It is at the step" in first.locator("#main").inner_text()
        go_on.set()
        running.join(60)
        for page in (first, second):
            page.get_by_text("Spin 1 is done").wait_for(timeout=60_000)
            page.close()


def test_a_page_starts_a_spin_and_a_second_is_told_why_it_cannot(
    tmp_path: Path, serving: Callable[[Any], str], browser: Any
) -> None:
    with wheel.open(tmp_path, task="classification") as fw:
        address = serving(fw)
        page = browser.new_page()
        page.goto(f"{address}/spins")
        page.get_by_role("button", name="Start a spin").click(timeout=60_000)
        page.get_by_role("alert").first.wait_for(timeout=60_000)  # nothing to learn from: it says so and what to do
        other = browser.new_page()
        other.goto(f"{address}/spins")
        assert "seed" in other.get_by_role("alert").first.inner_text()
        fw.seed([f"my {word} {n}" for word in ("card", "fee") for n in range(20)], ["card"] * 20 + ["fee"] * 20)
        page.get_by_role("spinbutton").fill("0")
        page.get_by_role("button", name="Start a spin").click()
        page.wait_for_url("**/spins/1", timeout=60_000)
        assert fw.spins()[0].state == "done"
        assert fw.spins()[0].budget == 0
        assert any(line["action"] == "spin" for line in fw.trail())
        page.close()
        other.close()
