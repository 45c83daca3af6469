"""Charts are drawn by ECharts in the page's colours, at any width, and tell their values where they are pointed at."""

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
    apart = charts.intervals(["a"], [[80.0, 95.0, 100.0]], unit="%", name="right")
    far = charts.line(["a", "b"], [9.0, 5.0], low=[8.0, 4.0], high=[10.0, 6.0], unit="%")
    assert near["top"] == apart["top"] == 100
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
    chart.scroll_into_view_if_needed()
    chart.locator("svg path[d^=M]").first.wait_for(state="attached")
    assert chart.get_attribute("role") == "img"
    assert "Interactions a day" in chart.get_attribute("aria-label")
    assert not chart.locator(".fw-told").is_visible()
    chart.hover()
    chart.locator(".fw-told", has_text="interactions: 20").wait_for()
    page.mouse.move(0, 0)
    chart.locator(".fw-told").wait_for(state="hidden")


@BROWSER
def test_a_chart_far_below_is_drawn_when_it_comes_near(page: Any, dashboard: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 60})
    page.goto(dashboard)
    charts_there = page.locator("main .fw-chart")
    charts_there.last.wait_for()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 200)))")
    assert charts_there.last.locator("svg").count() == 0
    charts_there.last.scroll_into_view_if_needed()
    charts_there.last.locator("svg path").first.wait_for(state="attached")


@BROWSER
def test_all_charts_are_drawn_for_paper(page: Any, dashboard: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 60})
    page.goto(dashboard)
    page.locator("main .fw-chart").last.wait_for()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function("[...document.querySelectorAll('main .fw-chart')].every((one) => one.querySelector('svg'))")


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
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(dashboard)
    page.evaluate(
        """async (drawn) => {
          const made = [...document.querySelectorAll('link[rel=modulepreload]')].map((one) => one.href);
          const { default: chart } = await import(made.find((one) => one.endsWith('/chart.js')));
          const room = document.createElement('div');
          room.id = 'tried';
          room.style = 'position:absolute;top:0;left:0;width:600px;height:200px;z-index:99';
          document.body.append(room);
          chart.mounted.call({ $el: room, drawn });
        }""",
        charts.whiskers([HOSTILE], [1.0], [0.5], [2.0], unit=HOSTILE),
    )
    page.locator("#tried svg path").first.wait_for(state="attached")
    page.mouse.move(300, 90)
    told = page.locator("#tried .fw-told")
    told.wait_for()
    assert told.inner_text().split("\n") == [HOSTILE, f"estimate: 1 {HOSTILE} (0.5 to 2)"]
    assert HOSTILE in page.locator("#tried svg").text_content(), "the unit is words"
    assert page.evaluate("[document.querySelectorAll('#tried img').length, window.hit === 1]") == [0, False]
