"""The pages in a real browser: they stand, they fit, and logged text stays text."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow

HOSTILE = (
    "<script>window.hit=1</script>", "<img src=x onerror=window.hit=1>", "{{constructor.constructor('window.hit=1')()}}",  # noqa: E501
    "`${window.hit=1}`", "</script><script>window.hit=1</script>", "\x1b[31mred", "\u202egnirts", "=1+1",
)  # fmt: skip


def test_each_page_stands_and_fits_at_both_widths(browser: Any, dashboard: str, product: Any) -> None:
    for width in (1280, 390):
        page = browser.new_page(viewport={"width": width, "height": 800})
        wrong: list[str] = []
        page.on("console", lambda said, wrong=wrong: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda problem, wrong=wrong: wrong.append(str(problem)))
        for path in ("/", "/modes", f"/interactions/{product.ids[0]}"):
            page.goto(dashboard + path)
            page.wait_for_selector("h1")
            page.wait_for_timeout(300)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, width)
        page.close()
        assert wrong == []


def test_hostile_text_is_shown_and_never_run(browser: Any, dashboard: str, product: Any) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for text in HOSTILE:
        id = product.log(input=text, output=text, error=text, context={"device": text})
        page.goto(f"{dashboard}/interactions/{id}")
        page.wait_for_selector("h1")
        page.wait_for_timeout(200)
        assert page.evaluate("window.hit === undefined"), text
        assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
    page.close()
    assert all(url.startswith((dashboard, "data:")) for url in asked)


def test_an_interaction_that_is_none_is_said_in_words(browser: Any, dashboard: str) -> None:
    page = browser.new_page()
    answer = page.goto(f"{dashboard}/interactions/nothing")
    assert answer.status == 404
    assert "there is no interaction" in page.text_content("[role=alert]")
    page.close()
