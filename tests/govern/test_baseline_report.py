"""The report shows what was found, and nothing that was logged ever acts or appears in it as it was."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from baseline_logs import PLANTED, START, plain, support_bot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flywheel import plugins
from flywheel.govern.baseline import Audit, columns, report, survey
from flywheel.records import to_dict

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><b>bold</b>&amp; \u202etxt.exe \x1b[31m"
VOID = {"meta"}


def look(drafts: Iterable[Any], **options: Any) -> Audit:
    options.setdefault("now", START + timedelta(weeks=2))
    return survey(drafts, plugins.create("redactors", "patterns"), location=options.pop("location", "log"), **options)


class Page(HTMLParser):
    """Which elements and attributes a page has, and whether they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: dict[str, set[str]] = {}
        self.open: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def hostile() -> list[dict[str, Any]]:
    """Markup wherever a log can have text."""
    return [
        plain(
            n,
            input={"text": f"{MARKUP} {n}", MARKUP: MARKUP},
            output=MARKUP,
            user=MARKUP,
            model=MARKUP if n % 2 else "v1",
            error=MARKUP if n % 3 == 0 else None,
            context={"device": MARKUP if n % 2 else "ios", MARKUP: "x" if n % 2 else "y", "status": 500},
            rating=-1,
        )
        for n in range(60)
    ] + [{"kind": "unreadable", "place": MARKUP, "problem": MARKUP}]


def test_markup_in_a_log_is_shown_as_text() -> None:
    audit = look(hostile(), location=MARKUP, source=MARKUP, mapping={"output": MARKUP}, expected={MARKUP: [MARKUP]})
    text = report(audit)
    page = Page(text)
    assert page.open == []
    assert not page.tags & {"script", "img", "b" if "<b>bold" in text else "script", "iframe", "link", "object"}
    assert not any(name.startswith("on") or name in ("href2", "src") for name in page.attributes)
    assert all(link.startswith("#") for link in page.attributes["href"])
    assert "<script>alert(1)" in page.words
    assert "\u202e" not in text
    assert "\x1b" not in text


def test_the_report_needs_nothing_from_outside() -> None:
    text = report(look(support_bot(weeks=2)))
    assert "default-src 'none'" in text
    assert "prefers-color-scheme:dark" in text
    assert not re.search(r"https?://|url\(|@import|<script|src=", text)
    assert Page(text).tags >= {"svg", "table", "figure"}


def planted(kind: str) -> list[dict[str, Any]]:
    secret = PLANTED[kind]
    drafts = [plain(n, context={"note": "nothing"}) for n in range(200)]
    drafts[3]["input"] = f"please write to me: {secret}"
    drafts[4]["input"] = {"messages": [{"role": "user", "content": f"again {secret}"}]}
    drafts[5]["context"] = {"note": f"note {secret}"}
    drafts[6]["error"] = f"ValueError: cannot read {secret}"
    drafts[7]["extra"] = {f"under {secret}": 1}
    drafts.append({"kind": "feedback", "interaction_id": "i3", "comment": f"I said {secret}"})
    drafts.append({"kind": "unreadable", "place": "line 9", "problem": f"not JSON: {secret}"})
    return drafts


@pytest.mark.parametrize("kind", sorted(PLANTED))
def test_personal_data_is_found_by_field_and_nowhere_shown(kind: str) -> None:
    audit = look(planted(kind), mapping={f"context.{PLANTED[kind]}": PLANTED[kind]}, location=f"{PLANTED[kind]}.jsonl")
    rows = {one["path"]: one["kinds"] for one in audit.personal.by_field}
    assert {rows[path][kind] for path in ("input", "input.messages", "context.note", "error", "comment")} == {1}
    assert audit.personal.rows.count == 6
    assert "personal data" in {finding.name for finding in audit.findings}
    secret = PLANTED[kind]
    for written in (report(audit), json.dumps(to_dict(audit)), repr(audit)):
        assert secret not in written
        assert secret.replace(" ", "") not in written


def test_users_by_name_or_address_are_told_from_opaque_ones() -> None:
    users = [
        "ana@example.org",
        "Ana Planted",
        "u17",
        "4f1c9a",
        "+49 30 901820",
        None,
        "10.0.0.1",
        "Mary-Ann O’Brien Jr.",
    ]
    audit = look(plain(n, user=user) for n, user in enumerate(users))
    assert (audit.personal.users.count, audit.personal.identifiable.count) == (7, 4)
    assert not any("Planted" in text or "ana@" in text for text in (report(audit), repr(audit)))


def test_fields_that_describe_people_are_listed_by_their_names() -> None:
    audit = look([plain(1, input={"age": 41, "first_name": "x", "page": 2, "usage": 1}, context={"gender": "f"})])
    assert set(audit.personal.describing) == {"input.age", "input.first_name", "context.gender"}


def test_without_examples_no_value_of_an_input_is_in_the_report() -> None:
    drafts = [plain(n, input=f"unmistakable {n}") for n in range(40)]
    assert "unmistakable" in report(look(drafts))
    assert "unmistakable" not in report(look(drafts, examples=False))


def test_the_gap_the_slices_and_the_intervals_are_in_the_report() -> None:
    begin = START + timedelta(days=24, hours=8)
    drafts = list(support_bot(gap=(begin, begin + timedelta(hours=30))))
    page = Page(report(look(drafts, sample=500, expected={"device": ["tv"]})))
    assert "Thu 2026-01-29 08:00" in page.words
    assert "device=tv" in page.words
    assert re.search(r"\d\.\d % \(\d+\.\d to \d+\.\d\)", page.words)
    assert "a uniform sample of 500" in page.words


value = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=12)
    | st.sampled_from(
        ["2026-01-05T10:00:00Z", "2026-01-05 10:00", 1.7e9, 1.7e12, "n/a", "9999-12-31T23:59:59+00:00", "0001-01-01"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from([*columns.KNOWN, "interaction_id", "extra", "problem", "place"])
drafts = st.lists(
    st.builds(
        lambda kind, rest: {**rest, "kind": kind},
        st.sampled_from(["interaction", "interaction", "interaction", "feedback", "unreadable", "other"]),
        st.dictionaries(fields, value, max_size=8),
    )
    | value,
    max_size=25,
)


@pytest.mark.slow
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drafts, st.none() | st.integers(1, 10))
def test_whatever_a_source_yields_the_numbers_agree(given_drafts: list[Any], sample: int | None) -> None:
    audit = look(given_drafts, sample=sample)
    assert audit.records == len(given_drafts) == audit.interactions + audit.feedback + audit.unreadable
    assert audit.profiled == min(audit.interactions, sample or audit.interactions)
    assert audit.ids.with_id.n == audit.interactions
    assert audit.times.readable.count + audit.times.unreadable <= audit.interactions
    assert sum(count for _, count in audit.times.days) <= audit.times.readable.count
    for found in audit.fields:
        assert 0 <= found.complete.count <= found.complete.n == audit.profiled
        assert found.distinct <= found.complete.count
        assert sum(found.types.values()) == found.complete.count + found.empty
    for share in _shares(to_dict(audit)):
        assert 0 <= share["count"] <= share["n"]
        assert share["share"] is None or 0 <= share["share"] <= 1
        assert share["low"] is None or share["low"] <= share["share"] + 1e-9 <= share["high"] + 2e-9
    assert audit.met <= audit.required
    assert Page(report(audit)).open == []


def _shares(data: Any) -> Iterable[dict[str, Any]]:
    if isinstance(data, dict):
        if {"count", "n", "share", "low"} <= set(data):
            yield data
        for item in data.values():
            yield from _shares(item)
    elif isinstance(data, list):
        for item in data:
            yield from _shares(item)


def test_times_all_over_history_end_soon() -> None:
    draw = random.Random(1)
    drafts = [
        plain(n, at=f"{draw.randrange(1, 9999):04}-{draw.randrange(1, 13):02}-01T{draw.randrange(24):02}:00:00Z")
        for n in range(3_000)
    ]
    audit = look(drafts)
    assert audit.times.pattern == "times too far apart"
    assert len(audit.times.days) <= 400
    assert Page(report(audit)).open == []
