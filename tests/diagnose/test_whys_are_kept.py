"""The chain of whys: redrafts leave what people wrote, edits keep the claim beside them, Markdown holds no markup."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import flywheel
from flywheel.diagnose.whys import LONGEST, MOST, answered, merged, to_markdown
from flywheel.errors import InvalidRecord, NotFound
from flywheel.records import Interval, Mode, Receipt, Release, Spin, Why, WhyChain

AT = datetime(2026, 5, 4, 12, tzinfo=UTC)


def claim_of(topic: str, answer: str) -> Why:
    interval = Interval(0.5, 0.4, 0.6, 100)
    return Why(
        topic=topic, question=f"why {topic}?", answer=answer, kind="tested", effect=0.5, interval=interval, n=100
    )


OPEN = Why(topic="ask training", question="Why were no more collected?")
CHAIN = WhyChain(mode="m1", whys=(claim_of("slice", "on ios"), claim_of("training", "2 examples"), OPEN), drafted_in=3)


def test_an_answer_stays_when_the_claims_are_tested_again() -> None:
    said = answered(CHAIN, 3, "Nobody asked for them", by="ana", at=AT)
    again = merged(said, (claim_of("slice", "on android"), claim_of("since", "v3"), OPEN), "m1", 4)
    assert [(w.topic, w.kind, w.answer) for w in again.whys] == [
        ("slice", "tested", "on android"),
        ("since", "tested", "v3"),
        ("ask training", "said", "Nobody asked for them"),
    ]
    assert [w.answer for w in again.whys[0].before] == ["on ios"]
    assert again.whys[2].by == "ana"
    assert again.drafted_in == 4


def test_an_edited_claim_is_kept_beside_the_edit_and_refreshed_there() -> None:
    said = answered(CHAIN, 1, "On the old ios app only", by="ana", at=AT)
    first = said.whys[0]
    assert (first.kind, first.effect, first.interval) == ("said", None, None)
    assert first.drafted is not None
    assert first.drafted.answer == "on ios"
    assert [w.answer for w in first.before] == ["on ios"]
    twice = answered(said, 1, "On ios 14", by="bo", at=AT + timedelta(hours=1))
    assert [w.answer for w in twice.whys[0].before] == ["on ios", "On the old ios app only"]
    again = merged(twice, (claim_of("slice", "on ios & web"), OPEN), "m1", 4)
    assert again.whys[0].answer == "On ios 14"
    assert again.whys[0].drafted is not None
    assert again.whys[0].drafted.answer == "on ios & web"
    gone = merged(twice, (OPEN,), "m1", 5)
    assert gone.whys[0].answer == "On ios 14"
    assert gone.whys[0].drafted is None  # no longer borne out


def test_what_people_add_comes_after_and_has_an_end() -> None:
    chain = CHAIN
    while len(chain.whys) < MOST:
        chain = answered(chain, len(chain.whys) + 1, f"because {len(chain.whys)}", by=None, at=AT)
    assert merged(chain, CHAIN.whys, "m1", 4).whys == chain.whys
    with pytest.raises(NotFound, match="the most"):
        answered(chain, MOST + 1, "and more", by=None, at=AT)
    for number in (0, -1, 5):
        with pytest.raises(NotFound, match="has 3 whys"):
            answered(CHAIN, number, "because", by=None, at=AT)
    with pytest.raises(InvalidRecord, match="says nothing"):
        answered(CHAIN, 1, "  ", by=None, at=AT)
    with pytest.raises(InvalidRecord, match="2,001"):
        answered(CHAIN, 1, "x" * (LONGEST + 1), by=None, at=AT)


@given(st.lists(st.tuples(st.sampled_from(["slice", "since", "field", "training"]), st.text(max_size=5)), max_size=6))
def test_no_redraft_ever_loses_what_was_said(drafts: list[tuple[str, str]]) -> None:
    chain = answered(answered(CHAIN, 1, "said one", by="a", at=AT), 3, "said three", by="b", at=AT)
    chain = answered(chain, 4, "said four", by="c", at=AT)
    for spin, (topic, answer) in enumerate(drafts, 4):
        chain = merged(chain, (claim_of(topic, answer), OPEN), "m1", spin)
        assert [w.answer for w in chain.whys if w.kind == "said"] == ["said one", "said three", "said four"]
        assert len({w.topic for w in chain.whys}) == len(chain.whys)


PLAIN = {"paragraph", "heading", "list_item", "ordered_list", "strong", "em", "text", "inline", "softbreak"}
MARKDOWN = MarkdownIt("gfm-like", {"linkify": False, "html": True})
HOSTILE = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["<script>alert(1)</script>", "[x](javascript:alert(1))", "![i](http://e/x)", "`code`", "# head", "1. one",
         "- a", "***", "<http://e.example>", "&lt;b&gt;", "a|b\n-|-", "~~x~~", "> quote", "    code",
         "```\nx\n```", "\\*x*", "==="]
    ),
)  # fmt: skip


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_text_becomes_markup(name: str, question: str, answer: str) -> None:
    why = Why(topic="a", question=question, answer=answer, kind="said", by=answer, at=AT, drafted=claim_of("a", name))
    chain = WhyChain(mode=question, whys=(why, replace(OPEN, question=answer)), fix=name, receipt=answer)
    tokens = MARKDOWN.parse(to_markdown(chain, Mode(id="m1", name=name)))
    kinds = {
        child.type.removesuffix("_open").removesuffix("_close") for t in tokens for child in (t, *(t.children or ()))
    }
    assert kinds <= PLAIN
    shown = "".join(child.content for token in tokens for child in token.children or ())
    assert "".join(answer.split())[:3] in "".join(shown.split()) or not answer.isascii() or not answer.isprintable()


def test_the_page_says_what_was_tested_what_was_said_and_what_is_asked() -> None:
    chain = answered(CHAIN, 1, "On the old app", by="ana", at=AT)
    page = to_markdown(
        replace(chain, fix="v4", spin=7, receipt="fixed 31 of 40"), Mode(id="m1", name="cards", count=40)
    )
    for part in (
        "Said by ana on 2026-05-04",
        "The data says: on ios",
        "Tested on 100 cases",
        "Asked:",
        "Fixed in v4, by spin 7",
    ):
        assert part in page
    assert "fixed 31 of 40" in page


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[flywheel.Flywheel]:
    """A shop whose model fails on one device, with what a spin found of it."""
    with flywheel.open(tmp_path_factory.mktemp("whys") / "shop", release={"registry": "folder"}) as fw:
        rows = [
            {
                "id": f"q-{n:04d}",
                "input": f"my pin is blocked {n}" if n % 10 == 0 else f"where is my card {n}",
                "output": "card",
                "context": {"device": "ios" if n % 10 == 0 or n % 5 == 1 else "android"},
                "user": f"user-name-{n}",
                "at": AT + timedelta(minutes=n),
            }
            for n in range(300)
        ]
        fw.log_many(rows)
        fw._store.tables.sync(fw._store.log)
        failing = [row["id"] for row in rows[::10]]
        interval = Interval(0.8, 0.7, 0.9, 100)
        brought = Receipt(
            spin=1, decision="promote", before=interval, after=interval, uplift=interval, avoided_per_1000=interval,
            line="fixed 31 of 40",
        )  # fmt: skip
        state = fw._store.state
        state.save_modes(
            [Mode(id="m1", name="pin is blocked", count=30, share=0.1, last_spin=1, exemplars=("q-0000",))]
        )
        state.save_step(1, "sync", {"after": 0, "upto": 300, "interactions": 300})
        state.save_step(1, "diagnose", {"assignments": dict.fromkeys(failing, "m1")})
        state.save_spin(Spin(number=1, state="done", step="measure", started_at=AT, receipt=brought))
        state.save_release(Release(version="v1", role="champion", folder="models/v1", at=AT, spin=1))
        yield fw


def test_a_wheel_drafts_keeps_and_exports_the_chain(shop: flywheel.Flywheel) -> None:
    mode = shop.modes()[0]
    chain = shop.why(mode.id)
    assert chain.whys[0].topic == "slice"
    assert "device=ios" in chain.whys[0].answer
    assert chain.whys[-1].kind == "open"
    assert shop.why(mode.id) == chain
    number = len(chain.whys)
    said = shop.answer_why(
        mode.id, number, "Write to ana@example.org about pins", by="rita", at=AT + timedelta(hours=8)
    )
    assert said.whys[number - 1].answer == "Write to [email] about pins"  # redacted before it is stored
    assert said.edited_at == AT + timedelta(hours=8)
    assert shop.why(mode.id) == said
    line = shop.trail()[-1]
    assert (line["action"], line["subject"], line["by"], line["detail"]) == (
        "answer why", mode.id, "rita", {"number": number},
    )  # fmt: skip
    assert "Said by rita" in shop.why_markdown(mode.id)
    with pytest.raises(NotFound, match="m-none"):
        shop.why("m-none")


def test_the_chain_is_linked_to_the_fix_and_its_receipt(shop: flywheel.Flywheel) -> None:
    mode = shop.modes()[0]
    shop._store.state.save_modes([replace(mode, state="fixed", fixed_in="v1")])
    chain = shop.why(mode.id)
    assert (chain.fix, chain.spin) == ("v1", 1)
    assert chain.receipt == shop.spins()[0].receipt.line
    assert "Fixed in v1, by spin 1" in shop.why_markdown(mode.id)
    shop._store.state.save_modes([mode])


def test_an_erased_person_is_in_no_chain(shop: flywheel.Flywheel) -> None:
    mode = shop.modes()[0]
    shop.answer_why(mode.id, 1, "Because hedwig-schmidt wrote so", by="otto-waechter")
    receipt = shop.erase("hedwig-schmidt")
    assert receipt["clean"]
    assert shop.why(mode.id).whys[0].answer == "erased"
    receipt = shop.erase("otto-waechter")
    assert {row["place"] for row in receipt["search"]["left"]} == {
        "database: trail.doc",
        "flywheel.db",
    }  # who did it stays
    assert shop.why(mode.id).whys[0].by == "erased"
