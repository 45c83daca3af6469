"""In a real browser: what another process logs appears, labels come from the keyboard, logged text is text."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

import flywheel
from flywheel.curate import ReviewQueue
from flywheel.records import Group, Selection, Spin

pytestmark = pytest.mark.slow
AT = datetime(2026, 1, 1, tzinfo=UTC)
EVIL = "<img src=x onerror=window.hit=1><script>window.hit=1</script>{{window.hit=1}}\u202e=1+1\x1b[31m"
LABELS = ("lost_card", "pin", "transfer")


@pytest.fixture(scope="module")
def served(tmp_path_factory, serving):
    with flywheel.open(tmp_path_factory.mktemp("seen") / "wheel", task="classification") as fw:
        _fill(fw)
        yield fw, serving(fw)


def _fill(fw):
    for k in range(48):
        scores = dict.fromkeys(LABELS, 0.3)
        fw.log(id=f"i{k}", input=f"text number {k}", output=LABELS[k % 3], confidence=0.4, scores=scores,
               context={"device": "ios"}, model="v1")  # fmt: skip
    plain = EVIL.replace("\x1b", "").replace("\u202e", "")
    fw.log(id="evil", input=EVIL, output=EVIL, error=EVIL, model=plain, context={"device": EVIL}, confidence=0.2)
    seen = [fw.interaction(f"i{k}")[0] for k in range(48)] + [fw.interaction("evil")[0]]
    chosen = [
        Selection(interaction_id=one.id, propensity=1.0, audit=False, why=f"doubt {EVIL}", blind=one.id == "i44")
        for one in seen
    ]
    alike = Group(id="g1", name=EVIL, members=("i45", "i46", "i47"), size=3)
    ReviewQueue(fw._store.state).fill(chosen, seen, 1, dict.fromkeys(alike.members, alike))
    fw._store.state.save_spin(Spin(number=1, state="waiting", step="label", budget=60, waiting_for=49))


@pytest.fixture
def page(browser):
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.set_default_timeout(15_000)
    yield tab
    tab.close()


def test_a_failure_that_another_process_logs_appears_by_itself(served, page):
    fw, address = served
    page.goto(f"{address}/live?where=device%3Dweb")
    page.get_by_text("Nothing that came of late fits").wait_for()
    code = (
        "import sys, time, flywheel\n"
        "with flywheel.open(sys.argv[1]) as fw:\n"
        "    fw.log(input='from elsewhere', output='a', error='timeout', context={'device': 'web'})\n"
        "    print(time.time())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(fw.folder)], check=True, timeout=60, stdout=subprocess.PIPE)
    page.get_by_role("link", name="from elsewhere").wait_for(timeout=60_000)
    sys.stdout.write(f"seen at most {time.time() - float(done.stdout):.2f} s after it was on disk\n")
    assert page.locator("tbody tr").count() == 1
    page.keyboard.press("p")
    page.wait_for_url("**upto=*")
    page.get_by_role("link", name="from elsewhere").wait_for()


def test_forty_items_are_labeled_from_the_keyboard_and_one_taken_back(served, page):
    fw, address = served
    page.goto(f"{address}/review")
    for k in range(40):
        page.get_by_text(f"text number {k}", exact=True).wait_for()
        page.keyboard.press(str(k % 3 + 1))
    page.get_by_text("text number 40", exact=True).wait_for()
    assert fw.review_progress()["labelled"] == 40
    page.keyboard.press("u")
    page.get_by_text("text number 39", exact=True).wait_for()
    assert fw.review_progress()["labelled"] == 39
    page.keyboard.press("n")
    page.get_by_text("text number 40", exact=True).wait_for()
    page.keyboard.press("s")
    page.get_by_text("text number 41", exact=True).wait_for()
    told = fw.review_progress()
    assert (told["unsure"], told["skipped"]) == (1, 1)
    page.keyboard.press("/")
    page.keyboard.type("trans")
    page.keyboard.press("Enter")
    page.get_by_text("text number 42", exact=True).wait_for()
    assert {item.interaction_id: item.label for item in fw._store.state.items()}["i41"] == "transfer"


def test_where_two_models_differ_the_page_does_not_say_what_users_were_told(served, page):
    fw, address = served
    items = {item.interaction_id: item.id for item in fw._store.state.items()}
    for key, told in (("i43", ["Answer", "Confidence"]), ("i44", [])):
        page.goto(f"{address}/review?item={items[key]}")
        page.get_by_text(f"text number {key[1:]}", exact=True).wait_for()
        facts = page.locator(".fw-facts dt").all_inner_texts()
        assert [name for name in facts if name in ("Answer", "Confidence")] == told
        assert page.get_by_text("answered", exact=True).count() == bool(told)
        assert page.locator(".fw-choice").count() >= 3


@pytest.mark.parametrize("path", ["/live", "/live?show=all", "/review?item={evil}", "/review?item={grouped}"])
def test_hostile_text_is_shown_and_nothing_runs(served, page, path):
    fw, address = served
    items = {item.interaction_id: item.id for item in fw._store.state.items()}
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address + path.format(evil=items["evil"], grouped=items["i45"]))
    page.locator("main :is(td, span, p)").filter(has_text="window.hit=1").first.wait_for()
    assert page.evaluate("window.hit") is None
    assert page.locator("main img").count() == 0
    assert all(url.startswith((address, "data:", "ws://127.0.0.1", "blob:")) for url in asked)
