"""Charts are drawn as SVG in the page's colours, at any width, and tell their values where they are pointed at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="the dashboard needs the extra `web`")

from flywheel.web import charts

BROWSER = pytest.mark.slow
HOSTILE = "<img src=x onerror=window.hit=1>"


def test_a_share_goes_no_further_than_a_hundred() -> None:
    near = charts.line(["a", "b"], [90.0, 95.0], low=[80.0, 85.0], high=[99.0, 100.0], unit="%")
    far = charts.line(["a", "b"], [9.0, 5.0], low=[8.0, 4.0], high=[10.0, 6.0], unit="%")
    assert near["top"] == 100
    assert "top" not in far


def test_bars_begin_at_nothing_and_stacked_ones_differ_by_texture() -> None:
    parts = [("open", "#000", [1, 2]), ("fixed", "#fff", [0, 3])]
    assert charts.bars(["a"], [5])["zero"]
    assert [one["pattern"] for one in charts.stacked(["a", "b"], parts)["series"]] == [0, 1]
    assert [one["name"] for one in charts.bars(["a"], [5], name="now", before=[4])["series"]] == ["now", "before"]


@pytest.fixture(scope="module")
def page(browser: Any, product: Any, dashboard: str) -> Iterator[Any]:
    product.__dict__["vector"] = product.log(input=[float(n) for n in range(40)], output="card", confidence=0.9)
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    yield opened
    opened.close()


@BROWSER
def test_the_wheel_s_traffic_is_drawn_and_told_where_it_is_pointed_at(page: Any, dashboard: str) -> None:
    page.goto(dashboard)
    chart = page.locator(".fw-block:has(h2:text-is('Traffic')) .fw-chart")
    chart.locator("svg path[d^=M]").first.wait_for()
    assert chart.get_attribute("role") == "img"
    assert "Interactions a day" in chart.get_attribute("aria-label")
    assert chart.locator(".fw-told").count() == 0
    chart.hover()
    assert "interactions: 20" in chart.locator(".fw-told").inner_text()
    page.mouse.move(0, 0)
    chart.locator(".fw-told").wait_for(state="detached")


@BROWSER
def test_a_chart_follows_its_room_and_the_page_s_theme(page: Any, product: Any, dashboard: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"{dashboard}/interactions/{product.vector}")
    svg = page.locator("main .fw-chart svg").first
    svg.wait_for()
    wide = svg.bounding_box()["width"]
    page.set_viewport_size({"width": 390, "height": 900})
    page.wait_for_function("document.querySelector('main .fw-chart svg').getBoundingClientRect().width < 390")
    assert svg.bounding_box()["width"] < wide
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ink = "getComputedStyle(document.querySelector('main .fw-chart text')).fill"
    light = page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{ink} !== {light!r}")


@BROWSER
def test_whatever_a_place_is_called_it_is_put_as_text(page: Any, dashboard: str) -> None:
    page.goto(dashboard)
    page.locator(".fw-chart svg path").first.wait_for()
    told = page.evaluate(
        """async ([name, drawn]) => {
          const made = [...document.querySelectorAll('link[rel=modulepreload]')].map((one) => one.href);
          const { default: chart } = await import(made.find((one) => one.endsWith('/chart.js')));
          const room = document.createElement('div');
          room.style = 'width:400px;height:200px';
          document.body.append(room);
          chart.mounted.call({ $el: room, drawn });
          await new Promise((done) => setTimeout(done, 50));
          const { x, y } = room.getBoundingClientRect();
          room.dispatchEvent(new PointerEvent('pointermove', { clientX: x + 200, clientY: y + 100 }));
          await new Promise((done) => setTimeout(done, 50));
          return [room.innerText.split(name).length, room.querySelectorAll('img').length, window.hit === 1];
        }""",
        [HOSTILE, charts.whiskers([HOSTILE], [1.0], [0.5], [2.0], unit=HOSTILE)],
    )
    assert told[0] >= 3, "the place and the unit are words"
    assert told[1:] == [0, False]
