"""The Wheel and Modes in a browser: the loop in a picture and in words, one mode's story, and "fix this next"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flywheel import wheel
from flywheel.records import Cause, Example, Mode, Risk, Spin, Verdict, to_dict

pytestmark = pytest.mark.slow
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOSTILE = "<img src=x onerror=alert(1)> late cards"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A log in which one mode lies on iOS, as a spin has stored it that now waits for labels."""
    late = Mode(
        id="m1", name=HOSTILE, state="in work", count=24, share=0.12, first_spin=1, last_spin=1,
        cause=Cause(kind="data scarcity", probability=0.8, remedy="Label about 20 more", wanted=20),
        risk=Risk(severity=7, occurrence=9, detectability=4),
    )  # fmt: skip
    other = Mode(id="m2", name="wrong fees", count=2, share=0.01, first_spin=1, last_spin=1)
    with wheel.open(tmp_path_factory.mktemp("planted"), task="classification") as fw:
        ids = [
            fw.log(id=f"i{n}", input=f"where is my card {n}", output="card", at=AT + timedelta(minutes=n),
                   context={"device": "ios" if n % 4 == 0 else "web"})
            for n in range(200)
        ]  # fmt: skip
        fw._store.tables.sync(fw._store.log)
        state, upto = fw._store.state, fw._store.tables.snapshot().seq
        state.save_modes([late, other])
        assigned = {key: "m1" for n, key in enumerate(ids) if n % 4 == 0 and n < 120} | {"i1": "m2", "i2": "m2"}
        state.save_step(1, "sync", {"modes": [], "after": 0, "upto": upto})
        state.save_step(1, "diagnose", {"modes": to_dict([late, other]), "assignments": assigned})
        state.save_spin(
            Spin(number=1, state="waiting", step="label", waiting_for=7, started_at=AT + timedelta(hours=5),
                 seconds={"sync": 0.5, "observe": 2.0}, verdict=Verdict(decision="need labels", checks=(), need=30))
        )  # fmt: skip
        state.add_examples(
            Example(id=f"e{n}", input=f"card {n}", label="lost", interaction_id=f"i{4 * n}", mode="m1")
            for n in range(5)
        )
        yield fw


@pytest.fixture(scope="module")
def address(planted: Any, serving: Callable[[Any], str]) -> str:
    return serving(planted)


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 390, "height": 900})
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


def test_the_loop_is_drawn_and_said_in_words(tab: Any, address: str) -> None:
    tab.goto(address)
    picture = tab.locator("svg.fw-ring")
    picture.wait_for()
    assert "Spin 1 waits for 7 labels" in picture.get_attribute("aria-label")
    assert picture.locator("path.done").count() == 5
    assert picture.locator("path.now").count() == 1
    assert picture.locator("path.come").count() == 6
    steps = tab.locator("ol[aria-label='The twelve stages'] > li")
    assert steps.count() == 12
    assert "needs about 30 more labels" in steps.nth(9).inner_text()
    assert tab.locator("svg.fw-ring").bounding_box()["width"] <= 390
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.get_by_role("link", name="The verdict of spin 1 needs about 30 more labels").count() == 1


def test_a_mode_is_asked_for_next_and_the_wheel_says_so(tab: Any, address: str, planted: Any) -> None:
    tab.goto(f"{address}/modes/m1")
    tab.get_by_role("button", name="Fix this next").click()
    tab.get_by_role("button", name="Take it back").wait_for()
    assert planted.next_fix().mode == "m1"
    said = tab.locator("#main").inner_text()
    assert "device=ios" in said
    assert "4.0 × (" in said
    assert "0 of 5" in said  # the product's own answers to its five labelled cases
    assert HOSTILE in said
    tab.goto(address)
    tab.get_by_text("will be asked about first by the next spin").wait_for()
    tab.goto(f"{address}/modes/m1")
    tab.get_by_role("button", name="Take it back").click()
    tab.get_by_role("button", name="Fix this next").wait_for()
    assert planted.next_fix() is None
    assert [line["action"] for line in planted.trail()] == ["fix next", "fix next undo"]


def test_the_state_of_the_list_is_in_its_address(tab: Any, address: str) -> None:
    tab.goto(f"{address}/modes?state=in%20work")
    table = tab.get_by_role("table", name="Failure modes by risk")
    table.get_by_role("link", name=HOSTILE, exact=True).wait_for()
    assert table.get_by_role("link", name="wrong fees").count() == 0
    assert "252 = 7 × 9 × 4" in table.inner_text().replace("\n", " ")
