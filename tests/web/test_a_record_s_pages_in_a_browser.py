"""Interaction and Data in a real browser: what is worked out later arrives, and copies are real downloads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flywheel import wheel

pytestmark = pytest.mark.slow
SAYS = {"card": "my card is lost", "money": "send money abroad", "fees": "why this fee", "login": "cannot sign in"}
NAMES = list(SAYS)


@pytest.fixture(scope="module")
def spun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with wheel.open(tmp_path_factory.mktemp("spun"), task="classification", product={"protected": ["device"]}) as fw:
        fw.seed([f"{SAYS[NAMES[n % 3]]} {n}" for n in range(60)], [NAMES[n % 3] for n in range(60)])
        fw.spin(budget=0)
        truth = {}
        for n in range(120):
            name = NAMES[n % 4]
            key = f"a/b?{n}"
            [said] = fw.predict(
                [f"{SAYS[name]} please {n}"], ids=[key], contexts=[{"device": "ios" if n % 4 else "=web"}]
            )
            truth[key] = name
            if said.output != name:
                fw.feedback(key, rating=-1)
        fw.spin(budget=40, labeler=lambda item: truth.get(item.interaction_id, item.output))
        yield fw


@pytest.fixture(scope="module")
def place(spun: Any, serving: Callable[[Any], str]) -> str:
    return serving(spun)


def shown(page: Any, address: str) -> str:
    """The page's words, once everything has arrived."""
    page.goto(address)
    page.wait_for_selector("h1")
    page.wait_for_function("!document.body.innerText.includes('Looking …')")
    return str(page.inner_text("main"))


def failed(fw: Any) -> str:
    newest = fw.dataset(fw.datasets()[-1].hash)
    return next(one.interaction_id for one in newest.examples if one.interaction_id and one.failure)


def test_an_interaction_shows_what_it_is_connected_with_and_leads_there(browser: Any, spun: Any, place: str) -> None:
    page = browser.new_page()
    id = failed(spun)
    words = shown(page, f"{place}/interactions/{id.replace('/', '%2F').replace('?', '%3F')}")
    assert "Known to be wrong" in words
    assert "rated negative" in words
    assert "times likelier" in words
    assert "Of the newest 119 others" in words
    assert "by a twin that had not seen its label" in words
    assert "trains, and proves: new to the champion" in words
    for title, into in (("Most alike", "/interactions/"), ("Datasets it entered", "/data/")):
        block = page.locator("section", has=page.locator("h2", has_text=title))
        link = block.locator("table a").first
        assert into in link.get_attribute("href")
        link.click()
        page.wait_for_selector("h1")
        page.go_back()
        page.wait_for_selector(f"h2:has-text('{title}')")
        page.wait_for_function("!document.body.innerText.includes('Looking …')")
    page.close()


def test_a_dataset_shows_whom_it_holds_beside_the_traffic(browser: Any, spun: Any, place: str) -> None:
    page = browser.new_page()
    words = shown(page, f"{place}/data/{spun.datasets()[-1].hash}")
    assert "User group: device" in words
    assert "Labels beside the product's answers" in words
    assert "by a function" in words or "labelled in review" in words
    assert "Candidate" in words
    drawn = page.locator("main .fw-chart").first
    drawn.scroll_into_view_if_needed()
    drawn.locator("svg path").nth(1).wait_for(state="attached")
    page.close()


@pytest.mark.parametrize("format", ["JSON lines", "Parquet", "CSV"])
def test_a_copy_is_downloaded_and_goes_on_record(browser: Any, spun: Any, place: str, format: str) -> None:
    page = browser.new_page()
    hash = spun.datasets()[-1].hash
    before = sum(one.get("times", 0) for one in spun.provenance(hash).copies)
    shown(page, f"{place}/data/{hash}")
    with page.expect_download() as waiting:
        page.get_by_role("button", name=format).click()
    body = waiting.value.path().read_bytes()
    n = len(spun.dataset(hash).examples)
    ending = {"JSON lines": "jsonl", "Parquet": "parquet", "CSV": "csv"}[format]
    assert waiting.value.suggested_filename == f"dataset-{hash[:12]}.{ending}"
    if ending == "jsonl":
        assert len([json.loads(line) for line in body.splitlines()]) == n
    elif ending == "parquet":
        assert body[:4] == body[-4:] == b"PAR1"
    else:
        assert body.startswith(b"id,input,label")
    assert sum(one.get("times", 0) for one in spun.provenance(hash).copies) == before + 1
    assert "dashboard" in shown(page, f"{place}/data/{hash}")
    assert not any((spun.folder / "outgoing").iterdir())
    page.close()


def test_lineage_is_followed_from_a_version_and_from_an_interaction(browser: Any, spun: Any, place: str) -> None:
    page = browser.new_page()
    assert "Ancestor of its dataset" in shown(page, f"{place}/data?of=v2")
    page.get_by_label("An interaction, a version or a dataset").fill(failed(spun))
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Version that learnt from it")
    assert "of=a%2Fb%3F" in page.url
    assert "is no interaction" in shown(page, f"{place}/data?of=<img src=x>")
    assert page.locator("main img").count() == 0
    page.close()


def test_another_site_s_form_takes_no_copy(spun: Any, place: str) -> None:
    import httpx

    hash = spun.datasets()[-1].hash
    before = len(spun.trail())
    answer = httpx.post(f"{place}/data/{hash}/copy?format=csv", headers={"origin": "https://elsewhere.example"})
    assert answer.status_code == 403
    assert httpx.get(f"{place}/data/{hash}/copy?format=csv").status_code in (404, 405)
    assert httpx.post(f"{place}/data/{hash}/copy?format=exe").status_code == 422
    assert len(spun.trail()) == before


def test_pictures_and_chats_are_drawn_and_hostile_text_is_not_run(browser: Any, spun: Any, place: str) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    hostile = "</script><script>window.hit=1</script><img src=https://elsewhere.example/a onerror=window.hit=1>"
    chat = [
        {"role": "user", "content": hostile},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://elsewhere.example/b.png"}}]},
    ]
    for value in (chat, [[0, 9] * 4] * 8, {hostile: [0, 1] * 32}):
        id = spun.log(input=value, output=hostile, context={"device": hostile})
        words = shown(page, f"{place}/interactions/{id}")
        assert "window.hit=1" in words
        assert page.evaluate("window.hit === undefined")
        assert page.locator("main img").count() >= (value is not chat)
    assert all(url.startswith((place, "data:")) for url in asked)
    page.close()
