"""No page has a serious or critical finding of axe, in either theme, wide or narrow; and every action has a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bank import SAYS, knows, play
from flywheel import wheel

pytestmark = pytest.mark.slow
pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python, which is in the extra `dev`")

PLACES = (
    "/", "/live?show=all", "/modes", "/modes/{mode}", "/interactions/a-1", "/review", "/review?show=disagreements",
    "/health", "/spins", "/spins/2", "/releases", "/data", "/data/{dataset}", "/reports", "/sign-in", "/report-form",
    "/spins/999",
)  # fmt: skip
RUN = """async () => {
  const found = await axe.run(document, { resultTypes: ['violations'] });
  return found.violations.filter((one) => ['serious', 'critical'].includes(one.impact))
    .map((one) => one.id + ': ' + one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(' | '));
}"""


WIDER = "all => all.filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.ariaLabel)"


def opened(page: Any, address: str) -> None:
    """Go there, and wait until everything has been read."""
    page.goto(address, wait_until="networkidle", timeout=120_000)
    page.locator(".fw-reading").wait_for(state="detached", timeout=120_000)


@pytest.fixture(scope="module")
def spun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two spins, one of which proved a model; a third waits for labels; one report."""
    with wheel.open(tmp_path_factory.mktemp("spun"), task="classification") as fw:
        truth = play(fw, 160, "a-{}".format, lambda _: {"device": "ios"})
        fw.report("it took the wrong card", interaction="a-1")
        fw.spin(budget=40, labeler=knows(truth))
        fw.predict([f"{SAYS['card']} now {n}" for n in range(40)])
        fw.spin(budget=10)
        yield fw


@pytest.fixture(scope="module")
def address(spun: Any, serving: Callable[[Any], str]) -> str:
    return serving(spun)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_has_a_serious_finding(theme: str, width: int, address: str, spun: Any, browser: Any) -> None:
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    known = {"mode": (spun.modes() or [None])[0].id, "dataset": spun.spins()[1].dataset}
    looking = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, bypass_csp=True)
    looking.add_cookies([{"name": "flywheel_theme", "value": theme, "url": address}])
    found = {}
    for place in PLACES:
        page = looking.new_page()
        opened(page, f"{address}{place.format(**known)}")
        page.evaluate(axe)
        broken = page.evaluate(RUN)
        if broken:
            found[place] = broken
        page.close()
    looking.close()
    assert not found


def test_axe_would_have_seen_it(address: str, browser: Any) -> None:
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    looking = browser.new_context(bypass_csp=True)
    page = looking.new_page()
    opened(page, f"{address}/spins")
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"/x.png\">')")
    page.evaluate(axe)
    assert any("image-alt" in one for one in page.evaluate(RUN))
    looking.close()


@pytest.mark.parametrize("place", ["/", "/health", "/spins", "/spins/2", "/releases", "/reports", "/modes", "/data"])
def test_headings_are_in_order_and_the_page_says_its_language(place: str, address: str, browser: Any) -> None:
    page = browser.new_page()
    opened(page, f"{address}{place}")
    levels = [int(tag[1]) for tag in page.eval_on_selector_all("h1,h2,h3,h4", "all => all.map((one) => one.tagName)")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.get_attribute("html", "lang").startswith("en")
    page.close()


def test_a_page_is_gone_through_by_keyboard_alone(address: str, browser: Any) -> None:
    page = browser.new_page()
    opened(page, f"{address}/spins")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to the content"
    page.keyboard.press("Enter")
    names, outlined = [], True
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break  # behind the last of them
        names.append(page.evaluate("document.activeElement.innerText"))
        outlined &= page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert any("Go on" in name for name in names), names
    assert outlined
    page.close()


def test_on_a_phone_every_page_is_in_the_menu_and_nothing_scrolls_sideways(address: str, browser: Any) -> None:
    looking = browser.new_context(viewport={"width": 390, "height": 844})
    page = looking.new_page()
    for place in ("/", "/health", "/spins", "/spins/2", "/releases", "/reports"):
        opened(page, f"{address}{place}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, place
        wide = page.eval_on_selector_all(
            ".fw-scroll",
            "all => all.filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.ariaLabel)",
        )
        assert not wide, (place, wide)
    assert not page.get_by_role("link", name="Modes", exact=True).is_visible()
    page.get_by_role("button", name="Menu").press("Enter")
    for name in ("Wheel", "Live", "Modes", "Review", "Health", "Spins", "Releases", "Data", "Reports"):
        box = page.get_by_role("link", name=name, exact=True).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    page.get_by_role("link", name="Modes", exact=True).click()
    page.wait_for_url("**/modes")
    looking.close()


def test_pictures_are_of_the_pages_there_are() -> None:
    """What `make screenshots` opens and what the dashboard has are the same pages."""
    script = (Path(__file__).parents[2] / "docs" / "screenshots.py").read_text(encoding="utf-8")
    from flywheel.web.frame import PLACES as IN_THE_MENU

    for path, _ in IN_THE_MENU:
        assert f'"{path}' in script, path
