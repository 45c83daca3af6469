"""The dashboard's path, walked in a browser on the demo's own flywheel: spike, slice, mode, interaction, why, label,
spin, verdict, release, receipt. After the first page only links, buttons and keys of the pages are used."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flywheel import demo, wheel
from flywheel.demo.post_office import Day, PostOffice, complains

pytestmark = pytest.mark.slow
DAYS = 3
"""The demo plays the first of them; on the third, the second scanner arrives."""
BUDGET = 80


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, dict[tuple[float, ...], int]]]:
    """The demo after two spins, then two days of letters and a spin that waits for labels; what is on every letter."""
    folder: Path = tmp_path_factory.mktemp("demo") / "office"
    demo.run(folder, spins=1, seed=0)
    world = PostOffice(DAYS, 0)
    with wheel.open(folder, release={"automatic": False}) as fw:
        for today in world.days[1:]:
            _open_office(fw, today)
        assert fw.spin(budget=BUDGET, at=today.end).state == "waiting"
        truth = {tuple(read.pixels): read.digit for day in world.days for read in day.reads}
        truth.update(zip(map(tuple, world.seed_inputs), world.seed_labels, strict=True))
        yield fw, truth


def _open_office(fw: Any, today: Day) -> None:
    answers = fw.predict(
        [read.pixels for read in today.reads],
        users=[read.user for read in today.reads],
        contexts=[read.context for read in today.reads],
        at=[read.at for read in today.reads],
        ids=[f"day-{today.number}-letter-{place}" for place in range(len(today.reads))],
    )
    fw.feedback_many(
        {"interaction_id": answer.id, "rating": -1, "at": read.at + timedelta(hours=read.delay_hours)}
        for read, answer in zip(today.reads, answers, strict=True)
        if complains(read, answer.output)
    )


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.set_default_timeout(20_000)
    yield tab
    tab.close()


def test_from_a_spike_to_a_receipt_without_leaving_the_browser(
    office: tuple[Any, dict[tuple[float, ...], int]], serving: Callable[[Any], str], page: Any
) -> None:
    fw, truth = office
    page.goto(serving(fw))
    _rail(page, "Health")
    where = _spike_to_slice(fw, page)
    mode = _slice_to_mode(fw, page, where)
    _mode_to_interaction_and_back_to_its_whys(fw, page, mode)
    _edit_a_why(fw, page, mode)
    number = fw.spins()[-1].number
    _rail(page, "Review")
    _label_everything(fw, page, truth)
    _spin_to_its_verdict(fw, page, number)
    _approve(fw, page, number)
    _receipt(fw, page, number)


def _rail(page: Any, name: str) -> None:
    page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True).click()
    page.wait_for_load_state()


def _spike_to_slice(fw: Any, page: Any) -> Any:
    seen = next(one for one in fw.findings() if one.kind == "slice" and str(one.where) == "scanner=B")
    told = page.get_by_text(seen.line[:1].upper() + seen.line[1:]).first
    told.wait_for()
    page.get_by_role("link", name=f"What fails where {seen.where}").first.click()
    page.wait_for_url("**/slices?where=*")
    return seen.where


def _slice_to_mode(fw: Any, page: Any, where: Any) -> Any:
    found = fw.slice(*(f"{name}={value}" for name, value in where.conditions))
    assert found.modes
    page.locator(".fw-figure", has_text="Slice").get_by_text(str(where), exact=True).wait_for()
    page.locator(".fw-figure", has_text="Failures").get_by_text(f"{found.failures:,.1f}", exact=True).wait_for()
    mode, _ = found.modes[0]
    page.get_by_role("table", name="Failure modes of the slice").get_by_role("link", name=mode.name).first.click()
    page.wait_for_url(f"**/modes/{mode.id}")
    return mode


def _mode_to_interaction_and_back_to_its_whys(fw: Any, page: Any, mode: Any) -> None:
    page.get_by_text(mode.name).first.wait_for()
    page.get_by_text(mode.cause.evidence[0]).first.wait_for()
    example = fw.failures(limit=20, mode=mode.id)[0]
    page.locator(f'a[href$="/interactions/{example.interaction_id}"]').first.click()
    page.wait_for_url(f"**/interactions/{example.interaction_id}")
    page.get_by_text(example.interaction_id).first.wait_for()
    page.get_by_text("scanner", exact=True).first.wait_for()
    page.locator(f'main a[href*="/modes/{mode.id}"]').first.click()
    page.wait_for_url(f"**/modes/{mode.id}*")


def _edit_a_why(fw: Any, page: Any, mode: Any) -> None:
    chain = fw.why(mode.id)
    page.get_by_text(chain.whys[0].question).first.wait_for()
    page.get_by_text(chain.whys[0].answer).first.wait_for()
    place = next(place for place, why in enumerate(chain.whys, 1) if why.kind == "open")
    said = "Nobody cleans the glass of the second scanner"
    page.get_by_label("Your answer").locator("visible=true").first.fill(said)
    page.get_by_role("button", name="Save").locator("visible=true").first.click()
    page.get_by_text(said).first.wait_for()
    kept = fw.why(mode.id).whys[place - 1]
    assert (kept.answer, kept.kind) == (said, "said")


def _label_everything(fw: Any, page: Any, truth: dict[tuple[float, ...], int]) -> None:
    total = fw.review_progress()["asked"]
    while fw.review_queue():
        page.wait_for_url("**/review?item=*")
        item = next(one for one in fw.review_queue() if one.id == page.url.rpartition("item=")[2])
        page.get_by_text(item.why).first.wait_for()
        right = truth[tuple(item.input)]
        page.keyboard.press(str(right))  # ten classes, each with its own digit
        page.wait_for_function(
            "item => !location.href.endsWith(item) || document.body.innerText.includes('Nothing waits for you')",
            arg=item.id,
        )
    page.get_by_text("Nothing waits for you").wait_for()
    told = fw.review_progress()
    assert (told["labelled"], total) == (BUDGET, BUDGET)
    given = [item for item in fw._store.state.items(status="labelled") if tuple(item.input) in truth]
    assert len(given) >= BUDGET
    assert all(item.label == truth[tuple(item.input)] for item in given)


def _spin_to_its_verdict(fw: Any, page: Any, number: int) -> None:
    page.get_by_role("link", name=re.compile("Go on with spin")).click()
    page.get_by_role("button", name=re.compile("Go on")).click()
    page.get_by_role("table", name="Checks of the verdict").wait_for(timeout=120_000)
    spin = next(one for one in fw.spins() if one.number == number)
    assert (spin.state, spin.verdict.decision) == ("done", "promote")
    page.get_by_text(str(spin.verdict)).first.wait_for()
    for check in spin.verdict.checks:
        page.get_by_role("row", name=re.compile(re.escape(check.name))).first.wait_for()
        assert page.get_by_text(check.line).count()


def _approve(fw: Any, page: Any, number: int) -> None:
    waits = fw.releases()[-1]
    assert (waits.role, waits.spin) == ("challenger", number)
    _rail(page, "Releases")
    page.get_by_role("button", name="Promote the challenger", exact=True).click()
    page.get_by_role("button", name="Yes: promote the challenger").click()
    page.locator(".fw-figure", has_text="Champion").get_by_text(waits.version, exact=True).wait_for()
    assert fw.status()["champion"]["version"] == waits.version


def _receipt(fw: Any, page: Any, number: int) -> None:
    page.get_by_role("link", name=f"Spin {number}", exact=True).first.click()
    page.wait_for_url(f"**/spins/{number}")
    receipt = fw.spins()[-1].receipt
    assert receipt.uplift.n
    assert "changed nothing" not in receipt.line
    page.get_by_text(receipt.line).first.wait_for()
    page.get_by_role("table", name="Receipt").get_by_role("row", name=re.compile(f"{receipt.labels}")).first.wait_for()
