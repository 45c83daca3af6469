"""More than two hundred strings in every logged field, and every page opened: nothing runs, nothing is fetched from
elsewhere, and the text is there to be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from flywheel import wheel
from flywheel.curate import ReviewQueue
from flywheel.errors import InvalidRecord
from flywheel.records import Cause, Group, Mode, Selection
from hostile import FAMILIES, HOSTILE, as_name, plain

pytestmark = pytest.mark.slow
AT = datetime(2026, 1, 1, tzinfo=UTC)
PLACES = ("/", "/live?show=all", "/modes", "/review", "/review?show=disagreements", "/health", "/spins", "/spins/1",
          "/releases", "/data", "/reports", "/report-form")  # fmt: skip
ASKED = (
    "/live?show=all&where={word}", "/live?mode={word}&model={word}&cause={word}", "/modes?state={word}",
    "/modes/{word}", "/interactions/{word}", "/review?item={word}&show={word}", "/releases?a={word}&b={word}",
    "/data/{word}",
    "/slices?where=device%3D{word}", "/reports?state={word}", "/sign-in?next={word}", "/spins/{word}",
)  # fmt: skip
LOOKED_INTO = (1, 13, 34, 66)
"""Places of a script, a handler, a template and an address: the pages of these modes are opened too."""
POLICY = ("default-src 'none'", "base-uri 'none'", "frame-ancestors '", "form-action '")


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A flywheel that has spun on such strings: they are in every fact, label, mode, why, group and report."""
    folder = tmp_path_factory.mktemp("hostile") / "wheel"
    untouched = {"redactor": "none"}  # every string arrives as it is
    with wheel.open(folder, task="classification", product={"name": HOSTILE[1]}, privacy=untouched) as fw:
        fw.seed(HOSTILE, [HOSTILE[n % 2] for n in range(len(HOSTILE))], at=AT, by=as_name(HOSTILE[3], 0))
        fw.spin(budget=0, at=AT)
        assert fw.log_many(_facts()) == [_id(number) for number in range(len(HOSTILE))]
        for number, text in enumerate(HOSTILE):
            name, id = as_name(text, number), _id(number)
            fw.feedback(id, rating=-1, comment=f"{text}~", outcome={name: 1.0}, by=name)
            fw.feedback(id, label=HOSTILE[number - 1], source="reviewer", by=name)
            fw.report(f"{text}~"[:4000], interaction=id, expected=f"{text}~"[:4000], by=name)
        fw.spin(budget=10, at=AT + timedelta(days=1))
        _review(fw)
        causes = [Cause(kind="unknown", evidence=(text,), remedy=text) for text in HOSTILE]
        fw._store.state.save_modes(
            Mode(id=f"h{n}", name=text, count=1.0, cause=causes[n], exemplars=(_id(n),), last_spin=2)
            for n, text in enumerate(HOSTILE)
        )
        for n in LOOKED_INTO:
            fw.answer_why(f"h{n}", 1, f"{HOSTILE[n][:1500]}~", by=_id(n))
        yield fw


def _id(number: int) -> str:
    return as_name(HOSTILE[number], number)


def _facts() -> Iterator[dict[str, Any]]:
    for number, text in enumerate(HOSTILE):
        name = as_name(text, number)
        chat = [{"role": "user", "content": text}, {"role": name, "content": [text]}]
        rows = [{name: text}, {"b": text}]
        forms = (text, {name: text}, chat, rows, {"messages": chat}, [text, [text]])
        yield {
            "id": _id(number), "input": forms[number % len(forms)], "output": text, "error": text, "model": name,
            "user": name, "session": name, "context": {name: text[:1000], "device": text[:1000]},
            "scores": {text: 0.6}, "confidence": 0.2, "at": AT + timedelta(hours=number / 20),
        }  # fmt: skip


def _review(fw: Any) -> None:
    """Every string as a reason, a group's name and an answer; two people who disagree on some."""
    seen = [fw.interaction(_id(number))[0] for number in range(len(HOSTILE))]
    chosen = [Selection(interaction_id=one.id, propensity=1.0, audit=False, why=text)
              for one, text in zip(seen, HOSTILE, strict=True)]  # fmt: skip
    groups = {one.id: Group(id=f"g{n // 2}", name=HOSTILE[n // 2 * 2], members=(one.id,), size=2)
              for n, one in enumerate(seen)}  # fmt: skip
    ReviewQueue(fw._store.state).fill(chosen, seen, fw.spins()[-1].number, groups)
    for item in fw.review_queue()[:40]:
        for text in HOSTILE[:2]:
            fw.label(item.id, text, by=as_name(text, 1))


class _Watch:
    """A tab that remembers all that must not happen in it."""

    def __init__(self, browser: Any, address: str) -> None:
        self.address, self.wrong = address, list[str]()
        self.page = browser.new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("dialog", self._dialog)
        self.page.on("request", lambda request: self._request(request.url))
        self.page.on("pageerror", lambda problem: self.wrong.append(f"script error: {problem}"))
        self.page.on("console", lambda said: self._console(said.text))
        self.page.on("popup", lambda _: self.wrong.append("a window was opened"))

    def _dialog(self, dialog: Any) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, url: str) -> None:
        own = (self.address, self.address.replace("http", "ws", 1), "data:", f"blob:{self.address}")
        if not url.startswith(own):
            self.wrong.append(f"asked for {url[:200]}")

    def _console(self, text: str) -> None:
        if "Content Security Policy" in text or "Refused to" in text:
            self.wrong.append(text[:300])

    def open(self, path: str) -> str:
        """Open a page, see that nothing of it ran and that its policy is strict; its text."""
        self.wrong.clear()
        answer = self.page.goto(self.address + path)
        self.page.wait_for_selector("h1, pre, form")
        policy = answer.headers.get("content-security-policy", "")
        if answer.headers.get("content-type", "").startswith("text/html"):
            assert all(part in policy for part in POLICY), (path, policy)
            assert "http:" not in policy, path
            assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0], path
        assert self.page.evaluate("window.__pwned") is None, path
        assert self.page.evaluate("Object.prototype.polluted") is None, path
        ours = "svg:not(.fw-ring)"  # the wheel's own picture has links
        planted = (
            f"main :is(script, iframe, object, embed, base, meta, link, marquee, video, audio, {ours} a, svg script)"
        )
        assert self.page.locator(planted).count() == 0, path
        handlers = "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(n => /^on/.test(n))"
        assert self.page.evaluate(handlers) == [], path
        links = "[...document.querySelectorAll('a[href]')].map(a => new URL(a.getAttribute('href'), location).href)"
        assert [to for to in self.page.evaluate(links) if not to.startswith(self.address)] == [], path
        assert self.wrong == [], path
        return str(self.page.evaluate("document.body.textContent"))


@pytest.fixture(scope="module")
def watch(browser: Any, serving: Callable[[Any], str], poisoned: Any) -> Iterator[_Watch]:
    found = _Watch(browser, serving(poisoned))
    yield found
    found.page.close()


def test_there_are_two_hundred_and_each_is_another() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 200


@pytest.mark.parametrize("place", PLACES)
def test_no_page_runs_what_was_logged(watch: _Watch, poisoned: Any, place: str) -> None:
    shown = watch.open(place)
    if place in ("/live?show=all", "/modes", "/reports", "/review"):
        assert "__pwned" in shown, "the page shows nothing that could have run"


def test_pages_of_one_mode_dataset_and_spin_run_nothing(watch: _Watch, poisoned: Any) -> None:
    for n in LOOKED_INTO:
        assert plain(HOSTILE[n], 20) in plain(watch.open(f"/modes/h{n}"), 10_000_000)
    for dataset in poisoned.datasets():
        watch.open(f"/data/{dataset.hash}")
    for spin in poisoned.spins():
        watch.open(f"/spins/{spin.number}")


@pytest.mark.parametrize("family", FAMILIES)
def test_an_interaction_shows_it_as_text(watch: _Watch, poisoned: Any, family: str) -> None:
    for text in FAMILIES[family]:
        number = HOSTILE.index(text)
        shown = watch.open(f"/interactions/{quote(_id(number), safe='')}")
        assert plain(text) in plain(shown, 10_000_000), (family, text[:80])


@pytest.mark.parametrize("family", FAMILIES)
def test_asking_for_it_is_answered_in_words(watch: _Watch, family: str) -> None:
    for place, text in enumerate(FAMILIES[family]):
        path = ASKED[(place + len(family)) % len(ASKED)]
        watch.open(path.format(word=quote(text[:1500], safe="")))


@pytest.mark.parametrize("family", FAMILIES)
def test_it_can_be_typed_into_a_search_and_a_sign_in(watch: _Watch, family: str) -> None:
    watch.open("/review")
    for text in FAMILIES[family][:4]:
        watch.page.fill("#fw-search", text[:300])
    watch.page.locator(".fw-found").wait_for(state="attached")
    watch.page.wait_for_timeout(200)
    assert watch.page.evaluate("window.__pwned") is None
    assert watch.page.locator(".fw-found :is(img, script, svg)").count() == 0
    watch.open("/sign-in")
    watch.page.fill("#key", FAMILIES[family][0][:300].replace("\n", " "))
    watch.page.locator("form button").click()
    watch.page.get_by_role("alert").wait_for()
    assert watch.page.evaluate("window.__pwned") is None
    assert watch.wrong == []


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\udcff<script>"])
def test_half_a_surrogate_pair_is_no_text_and_is_refused(poisoned: Any, text: str) -> None:
    with pytest.raises(InvalidRecord, match="surrogate"):
        poisoned.log(input=text, output="a")


def test_a_search_for_it_gets_no_page_of_another_site(watch: _Watch) -> None:
    for word in ("//evil.example/x", "\\\\evil.example\\x", "javascript:window.__pwned=1", "http://evil.example"):
        watch.open(f"/sign-in?{urlencode({'next': word})}")
        assert watch.page.locator(f'[href*="evil.example"], [action^="{word}"]').count() == 0
