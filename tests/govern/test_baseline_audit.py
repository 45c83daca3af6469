"""The baseline audit finds what was planted in a log, and nothing that was not."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from baseline_logs import QUESTIONS, START, plain, support_bot

from flywheel import plugins
from flywheel.govern.baseline import Audit, survey
from flywheel.govern.baseline.clock import Clock
from flywheel.govern.baseline.sketches import hash_of
from flywheel.govern.baseline.survey import _Draw

NOW = START + timedelta(weeks=6, hours=1)


def look(drafts: Iterable[Any], **options: Any) -> Audit:
    options.setdefault("now", NOW)
    return survey(drafts, plugins.create("redactors", "patterns"), location="log.jsonl", **options)


def names(audit: Audit) -> set[str]:
    return {finding.name for finding in audit.findings}


def field(audit: Audit, path: str) -> Any:
    return next(found for found in audit.fields if found.path == path)


@pytest.fixture(scope="module")
def bot() -> list[dict[str, Any]]:
    return list(support_bot())


@pytest.fixture(scope="module")
def audited(bot: list[dict[str, Any]]) -> Audit:
    return look(bot)


def test_counts_are_those_of_the_log(bot: list[dict[str, Any]], audited: Audit) -> None:
    calls = [draft for draft in bot if draft["kind"] == "interaction"]
    assert audited.records == len(bot)
    assert audited.interactions == audited.profiled == len(calls)
    errors = sum(call["error"] is not None for call in calls)
    assert (audited.handling.errors.count, audited.handling.errors.n) == (errors, len(calls))
    timeouts = sum("Timeout" in (call["error"] or "") for call in calls)
    assert audited.handling.timeouts.count == timeouts
    assert dict(audited.handling.kinds) == {
        "Timeout: no answer after … s": timeouts,
        "ValueError: bad token …": errors - timeouts,
    }
    assert audited.feedback_found.kinds["rating"] == sum("rating" in draft for draft in bot)
    about = {draft["interaction_id"] for draft in bot if draft["kind"] == "feedback"}
    assert audited.feedback_found.told.count == len(about)
    assert field(audited, "output").complete.count == len(calls) - errors
    assert field(audited, "user").distinct == len({call["user"] for call in calls})
    assert audited.handling.versions == 2
    assert audited.times.delay is not None
    assert audited.times.delay.p50 == pytest.approx(2.0)
    assert sum(count for _, count in audited.times.days) == len(calls)


def test_a_healthy_log_has_no_invented_problems(audited: Audit) -> None:
    assert audited.times.gaps == ()
    assert audited.slices.vanished == ()
    assert audited.personal.finds == {}
    assert not names(audited) & {
        "gaps", "stale", "no input", "no output", "no times", "no ids", "personal data", "repeated records",
        "conflicting ids", "slices that vanished", "feedback about strangers", "cut off",
        "unreadable records", "retries", "conflicting types", "no model version",
    }  # fmt: skip
    observe = audited.stages[0]
    assert (observe.name, observe.met) == ("observe", len(observe.requirements))


@pytest.mark.parametrize("hours", [12, 30])
def test_a_gap_by_day_is_found(hours: int) -> None:
    begin = START + timedelta(days=24, hours=8)  # a Thursday
    gap = (begin, begin + timedelta(hours=hours))
    found = look(support_bot(gap=gap)).times
    (one,) = found.gaps
    assert one["from"] == gap[0]
    assert timedelta() <= one["until"] - gap[1] <= timedelta(hours=11)  # the night after it is quiet anyway
    assert one["expected"] >= 10
    assert "weeks" in found.pattern


@pytest.mark.parametrize("seed", range(8))
def test_quiet_nights_and_weekends_are_no_gaps(seed: int) -> None:
    assert look(support_bot(weeks=4, seed=seed)).times.gaps == ()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_log_that_comes_in_bursts_has_no_gaps(seed: int) -> None:
    """What is usual varies as much as it varies in the other hours, not as evenly as chance alone would have it."""
    draw = random.Random(seed)
    hours = [hour for hour in range(24 * 28) if draw.random() < 0.6]
    drafts = [plain(60 * hour + minute) for hour in hours for minute in range(12)]
    assert look(drafts).times.gaps == ()


@pytest.mark.parametrize("seed", range(4))
def test_an_empty_hour_of_a_very_uneven_log_is_no_gap(seed: int) -> None:
    """Hours hold from none to hundreds of records: an even log would never have an empty one."""
    draw = random.Random(seed)
    clock = Clock()
    for hour in range(24 * 14):
        begin = START + timedelta(hours=hour)
        for second in range(int(draw.expovariate(1 / 60))):
            clock.take({"at": (begin + timedelta(seconds=second)).isoformat()})
    assert clock.found(NOW).gaps == ()


def test_one_stray_time_does_not_make_the_log_a_century_long(bot: list[dict[str, Any]]) -> None:
    stray = plain(0, at="1970-01-02T00:00:00Z")
    found = look([stray, *bot])
    assert found.times.gaps == ()
    assert len(found.times.days) < 50


def test_old_records_future_records_and_times_without_a_zone_are_told() -> None:
    old = look((plain(n) for n in range(50)), now=START + timedelta(days=100))
    assert old.times.newest_days == pytest.approx(100, abs=0.1)
    assert "stale" in names(old)
    future = look((plain(n) for n in range(50)), now=START - timedelta(days=9))
    assert future.times.in_future == 50
    assert "times in the future" in names(future)
    unzoned = look(plain(n, at=f"2026-01-05 10:{n:02}:00") for n in range(50))
    assert unzoned.times.without_zone == 50
    assert "no time zone" in names(unzoned)
    unreadable = look(plain(n, at="5 January") for n in range(50))
    assert unreadable.times.unreadable == 50
    assert "no times" in names(unreadable)


def test_the_order_of_a_log_is_told() -> None:
    bot = list(support_bot(weeks=1))
    assert look(bot).times.order == "oldest first"
    backwards = look(reversed(bot))
    assert backwards.times.order == "newest first"
    assert backwards.times.out_of_order.count == 0
    shuffled = sorted(bot, key=lambda draft: hash_of(draft))
    assert look(shuffled).times.order == "mixed"


def test_a_missing_slice_is_named() -> None:
    """Web in French never came, though both are frequent; a city does imply its country."""
    cities = {"paris": "fr", "lyon": "fr", "bonn": "de", "kiel": "de"}
    drafts = []
    for n in range(1200):
        city = list(cities)[n % 4]
        device = ("ios", "android", "web")[n // 4 % 3]
        if device == "web" and cities[city] == "fr":
            device = "ios"
        drafts.append(plain(n, context={"device": device, "country": cities[city], "city": city}))
    found = look(drafts).slices
    missing = {one["slice"] for one in found.missing}
    assert "country=fr & device=web" in missing
    assert not any("city" in one and "country" in one for one in missing)


def test_a_slice_that_somebody_expects_and_one_that_is_too_small_are_named() -> None:
    drafts = [plain(n, context={"device": "tv" if n % 50 == 0 else ("ios", "web")[n % 2]}) for n in range(1000)]
    audit = look(drafts, expected={"device": ["ios", "kiosk"], "region": ["eu"]})
    assert audit.slices.needed == 385
    assert [(one["slice"], one["n"]) for one in audit.slices.small] == [("device=tv", 20)]
    assert audit.slices.expected_missing == ("device=kiosk", "region=eu")
    assert {"small slices", "expected slices missing"} <= names(audit)


def test_a_value_that_came_steadily_and_then_no_more_has_vanished() -> None:
    drafts = [plain(n * 30, context={"app": "old" if n < 400 and n % 4 == 0 else "new"}) for n in range(1200)]
    (gone,) = look(drafts).slices.vanished
    assert gone["slice"] == "app=old"
    assert gone["n"] == 100
    days = [plain(n * 30, context={"day": f"day {n // 48 % 7}"}) for n in range(48 * 27)]
    assert look(days).slices.vanished == ()  # Mondays come back
    burst = [plain(n * 30, context={"country": "NO" if 100 <= n < 170 else "SE"}) for n in range(1200)]
    assert look(burst).slices.vanished == ()  # one busy day is no habit


def test_repeats_conflicts_and_missing_ids_are_counted() -> None:
    drafts = [plain(n) for n in range(100)]
    again = [plain(n) for n in range(10)]
    other = [plain(n, output="another answer") for n in range(20, 25)]
    nameless = [{key: value for key, value in plain(n).items() if key != "id"} for n in range(200, 240)]
    ids = look([*drafts, *again, *other, *nameless, *nameless[:3]]).ids
    assert (ids.with_id.count, ids.with_id.n) == (115, 158)
    assert ids.repeated.count == 13
    assert ids.conflicts.count == 5


def test_complaints_are_followed_up_only_by_a_label_that_comes_after() -> None:
    drafts: list[dict[str, Any]] = [plain(n) for n in range(10)]

    def said(n: int, hours: int, **what: Any) -> dict[str, Any]:
        at = (START + timedelta(hours=hours)).isoformat()
        return {"kind": "feedback", "interaction_id": f"i{n}", "at": at, **what}

    drafts += [said(n, 2, rating=-1) for n in range(4)]
    drafts += [said(0, 3, label="right"), said(1, 1, label="right"), said(9, 2, rating=1)]
    drafts += [said(77, 2, report="it lied")]
    found = look(drafts).feedback_found
    assert (found.negative.count, found.negative.n) == (4, 5)
    assert (found.followed_up.count, found.followed_up.n) == (1, 4)
    assert (found.strangers.count, found.strangers.n) == (1, 6)
    assert found.labelled.count == 2


def test_labels_beside_answers_say_how_many_differ() -> None:
    drafts = [plain(n, output=str(n % 2), label=1) for n in range(60)]
    found = look(drafts).feedback_found
    assert (found.disagreeing.count, found.disagreeing.n) == (30, 60)
    assert found.classes == 1


def test_asking_again_within_a_minute_is_a_retry_in_any_order() -> None:
    def ask(n: int, second: int, user: str, text: str) -> dict[str, Any]:
        return plain(n, at=(START + timedelta(seconds=second)).isoformat(), user=user, input=text)

    drafts = [
        ask(1, 0, "ana", "where"),
        ask(2, 40, "ana", "where"),
        ask(3, 95, "ana", "where"),
        ask(4, 10, "ben", "where"),
        ask(5, 20, "ana", "why"),
        ask(6, 300, "ana", "why"),
        ask(7, 300, "ana", "why"),  # the same moment: the same call, written twice
    ]
    for order in (drafts, drafts[::-1], sorted(drafts, key=lambda draft: draft["user"])):
        retries = look(order).handling.retries
        assert (retries.count, retries.n) == (2, 7)


def test_sessions_that_end_badly_and_silent_ends_are_counted() -> None:
    drafts = [plain(n, session=f"s{n // 2}") for n in range(20)]
    drafts[1]["error"] = "Timeout"
    drafts[2]["error"] = "not the last of its session"
    drafts[5]["output"] = None
    how = look(drafts).handling
    assert (how.abandoned.count, how.abandoned.n) == (2, 10)
    assert how.unanswered.count == 1


def test_status_codes_that_nobody_mapped_are_seen() -> None:
    drafts = [plain(n, context={"status": 503 if n % 10 == 0 else 200}) for n in range(100)]
    audit = look(drafts)
    assert audit.handling.status_field == "context.status"
    assert (audit.handling.status_failures.count, audit.handling.silent.count) == (10, 10)
    assert "failures only as a code" in names(audit)


def test_errors_are_grouped_by_what_they_say_without_numbers_and_quotes() -> None:
    said = [f"HTTP {503 if n % 4 else 404} for request {n}" for n in range(40)]
    said += [f"KeyError: 'name {n}' at 0x{n:x}f" for n in range(10)]
    kinds = dict(look(plain(n, error=error) for n, error in enumerate(said)).handling.kinds)
    assert kinds == {"HTTP 503 for request …": 30, "HTTP 404 for request …": 10, "KeyError: '…' at …": 10}


def test_odd_fields_are_noted() -> None:
    drafts = [
        plain(
            n,
            input="x" * (256 if n % 3 else 20 + n % 100),
            context={
                "app": "bank",
                "amount": n if n % 2 else str(n),
                "trace": f"trace {n}",
                "plan": "n/a" if n % 2 else "pro",
            },
        )
        for n in range(300)
    ]
    audit = look(drafts)
    assert field(audit, "input").cut_at == 256
    assert "constant" in field(audit, "context.app").notes
    assert "conflicting types" in field(audit, "context.amount").notes
    assert "nearly unique" in field(audit, "context.trace").notes
    assert field(audit, "context.plan").complete.share == pytest.approx(0.5)
    assert {"cut off", "conflicting types", "words for nothing"} <= names(audit)
    replay = next(stage for stage in audit.stages if stage.name == "replay")
    assert [one.name for one in replay.requirements if not one.met] == ["inputs in full", "385 interactions"]


def test_stars_are_not_taken_for_praise() -> None:
    assert "ratings without a negative side" in names(look(plain(n, rating=1 + n % 5) for n in range(50)))


def test_what_stops_a_stage_comes_first() -> None:
    audit = look({"kind": "interaction", "input": text} for text in QUESTIONS * 20)
    severities = [finding.severity for finding in audit.findings]
    assert severities == sorted(severities, reverse=True)
    assert {"no output", "no times", "no feedback", "no sign of failure"} <= {
        finding.name for finding in audit.findings if finding.severity == 3
    }
    assert all(finding.do and finding.why and finding.evidence for finding in audit.findings)


@pytest.mark.slow
def test_a_sample_says_so_and_its_intervals_hold() -> None:
    bot = list(support_bot(weeks=3))
    audited = look(bot)
    caught = 0
    for seed in range(12):
        drawn = look(bot, sample=300, seed=seed)
        assert drawn.sampled
        assert (drawn.profiled, drawn.interactions) == (300, audited.interactions)
        assert drawn.times == audited.times  # times and feedback are of all
        assert drawn.feedback_found == audited.feedback_found
        device = next(found for found in drawn.slices.fields if found.path == "context.device")
        ios = next(one["n"] for one in device.values if one["value"] == "ios")
        assert ios == pytest.approx(audited.interactions / 2, rel=0.25)  # of the log, not of the sample
        assert "device=ios" not in {one["slice"] for one in drawn.slices.small}
        errors = drawn.handling.errors
        assert errors.low is not None
        assert errors.high is not None
        caught += errors.low <= (audited.handling.errors.share or 0) <= errors.high
    assert caught >= 10
    whole = look(bot, sample=10**6)
    assert not whole.sampled
    assert whole.handling.errors == audited.handling.errors


def test_every_interaction_is_drawn_with_the_same_chance() -> None:
    tenths = Counter(
        number * 10 // 2_000 for seed in range(60) for _, (number, _) in _drawn(20, 2_000, seed) if number < 2_000
    )
    assert sum(tenths.values()) == 60 * 20
    assert all(70 <= tenths[tenth] <= 175 for tenth in range(10)), tenths  # 120 each, five standard deviations


def _drawn(size: int, of: int, seed: int) -> list[Any]:
    draw = _Draw(size, seed)
    for number in range(of):
        draw.offer((number, None))
    return draw.kept


def test_the_same_log_gives_the_same_audit(bot: list[dict[str, Any]]) -> None:
    assert look(bot, sample=200, seed=3) == look(bot, sample=200, seed=3)


def test_memory_does_not_grow_with_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every structure at its limit, with limits small enough to reach."""
    from flywheel.govern.baseline import columns, links, slices
    from flywheel.govern.baseline.shown import Shown
    from flywheel.govern.baseline.survey import _Log

    for module, name, limit in (
        (columns, "_MOST_FIELDS", 20),
        (links, "_IDS", 64),
        (links, "_INPUTS", 64),
        (links, "_SESSIONS", 64),
        (slices, "_RESERVOIR", 50),
    ):
        monkeypatch.setattr(module, name, limit)
    log = _Log(Shown(plugins.create("redactors", "patterns")), None, 0)
    for n in range(3_000):
        log.take(plain(n, user=f"u{n}", session=f"s{n}", context={f"field {n}": n, "device": f"d{n % 70}"}))
        log.take({"kind": "feedback", "interaction_id": f"i{n}", "rating": -1})
        log.take({"kind": "unreadable", "place": f"line {n}", "problem": f"{'ab'[n % 2] * (n % 90)}"})
    assert len(log.columns._columns) == 20
    assert log.columns.beyond == 3_000 + 7 - 20
    assert all(len(kept.entries) <= 64 for kept in (log.links._links, log.links._askings, log.links._sessions))
    assert len(log.slicing._rows) == 50
    assert len(log.slicing._fields) <= 60
    assert len(log.problems._counts) <= 64
    assert log.links.found(1.0).told.share == 1.0
    assert log.links.found(1.0).told.low is not None


def test_a_log_without_interactions_says_what_to_do() -> None:
    empty = look([])
    assert [finding.name for finding in empty.findings] == ["nothing readable"]
    only = look([{"kind": "feedback", "interaction_id": "x", "rating": 1}])
    assert [finding.name for finding in only.findings] == ["no interactions"]
    broken = look([{"kind": "unreadable", "place": "line 1", "problem": "it is not JSON"}, "text", None, 7])
    assert broken.unreadable == 4
    assert datetime.fromisoformat(broken.made.isoformat()) == NOW
