"""A report from its first byte to the news that it is fixed: stored redacted, joined, told, erased."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import flywheel
from flywheel.errors import InvalidConfig, InvalidRecord, NotFound
from flywheel.records import Mode, Proposal, Release, Report, Spin
from planted_users import marks_in_database, marks_in_files

AT = datetime(2026, 5, 4, 12, tzinfo=UTC)
OPTIONS = {"task": "classification", "release": {"registry": "folder"}}
HOUR = timedelta(hours=1)


@pytest.fixture
def fw(tmp_path: Path) -> Iterator[flywheel.Flywheel]:
    with flywheel.open(tmp_path / "bot", **OPTIONS) as opened:
        yield opened


def found_by_a_spin(fw: flywheel.Flywheel, assigned: dict[str, str], *, state: str = "open", fixed_in=None) -> None:
    """What a spin leaves when it has put interactions into a mode."""
    number = len(fw.spins()) + 1
    kept = fw._store.state
    kept.save_spin(Spin(number=number, state="done", step="measure", started_at=AT + number * HOUR))
    kept.save_step(number, "sync", {"after": 0, "upto": 100, "interactions": 10})
    kept.save_step(number, "diagnose", {"assignments": assigned})
    kept.save_modes([Mode(id="m1", name="cards", state=state, fixed_in=fixed_in, last_spin=number)])
    if fixed_in:
        kept.save_release(Release(version=fixed_in, role="champion", folder="m", at=AT + number * HOUR, spin=number))


def test_a_report_is_redacted_joined_and_counted(fw: flywheel.Flywheel) -> None:
    i = fw.log(input="where is my card", output="rates", user="ana")
    filed = fw.report(
        "I am ana@example.org, and got rates", interaction=i, expected="call +49 30 901820", by="ana", at=AT
    )
    (report,) = fw.reports()
    assert report.what == "I am [email], and got rates"
    assert "901820" not in str(report)
    assert report.by is not None
    assert report.by.startswith("u_")
    (said,) = fw.interaction(i)[1]
    assert (said.kind, said.value, said.source, said.by) == ("report", report.what, "user", report.by)
    assert (filed.interaction_id, report.state, report.joined_at) == (i, "joined", AT)
    assert fw.books()["received"] == fw.books()["stored"] == 2


def test_an_anonymous_report_says_of_nobody(fw: flywheel.Flywheel, tmp_path: Path) -> None:
    fw.log(input="where is my card", output="rates", at=AT)
    filed = fw.report("qx0001z went wrong", contact="qx0002z@example.org", at=AT + HOUR)
    (report,) = fw.reports()
    assert report.by is None
    assert filed.token not in str(report)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "bot").glob("flywheel.db*"))
    assert filed.token.encode() not in stored  # its digest alone
    assert "qx0002z" not in str(fw.reports())  # the contact lies apart


def test_whoever_has_the_token_hears_what_became_of_it(fw: flywheel.Flywheel) -> None:
    i = fw.log(input="where is my card", output="rates", at=AT)
    filed = fw.report("got rates", interaction=i, contact="ana at the desk", at=AT)
    assert fw.report_state(filed.token, at=AT)["state"] == "received"
    found_by_a_spin(fw, {i: "m1"})
    assert fw.report_state(filed.token, at=AT + 2 * HOUR)["state"] == "acknowledged"
    found_by_a_spin(fw, {}, state="fixed", fixed_in="v2")
    (waiting,) = fw.reporters_to_tell(at=AT + 3 * HOUR)
    assert (waiting["report"].fixed_in, waiting["contact"]) == ("v2", "ana at the desk")
    told = fw.report_state(filed.token, at=AT + 4 * HOUR)
    assert (told["state"], told["fixed_at"]) == ("fixed", "2026-05-04T14:00:00Z")
    assert fw.reporters_to_tell() == []
    assert fw.reports("fixed", told=True)[0].told_how == "page"
    assert fw._store.state.contacts() == {}  # nobody needs it any more
    for wrong in ("", "rp_x", filed.token[:-1], filed.id):
        with pytest.raises(NotFound, match="no report with this token"):
            fw.report_state(wrong)


def test_people_read_join_close_and_tell_and_the_trail_says_who(fw: flywheel.Flywheel) -> None:
    i = fw.log(input="where is my card", output="rates", at=AT - timedelta(days=30))
    one = fw.report("something", at=AT)
    assert one.interaction_id is None
    with pytest.raises(NotFound, match="no interaction"):
        fw.join_report(one.id, "nowhere")
    assert fw.join_report(one.id, i, by="rita").state == "joined"
    assert fw.join_report(one.id, i, by="rita").interaction_id == i  # once more changes nothing
    assert len(fw.interaction(i)[1]) == 1
    found_by_a_spin(fw, {})
    assert fw.acknowledge_report(one.id, mode="m1", by="rita").mode == "m1"
    with pytest.raises(InvalidRecord, match="not fixed"):
        fw.told_reporter(one.id)
    found_by_a_spin(fw, {}, state="fixed", fixed_in="v2")
    assert fw.reports("fixed")[0].id == one.id
    assert fw.told_reporter(one.id, by="rita").told_how == "person"
    two = fw.report("something else", at=AT)
    assert fw.close_report(two.id, "not ours, ask bo@example.org", by="rita").closing == "not ours, ask [email]"
    assert "not ours" in fw.report_state(two.token)["line"]
    actions = [(line["action"], line["by"]) for line in fw.trail()]
    verbs = ("join report", "join report", "acknowledge report", "told reporter", "close report")
    assert actions == [(verb, "rita") for verb in verbs]
    assert one.id not in str(fw.trail())
    with pytest.raises(NotFound, match="--list"):
        fw.close_report("nowhere", "why")


@pytest.mark.parametrize(
    ("fields", "named"),
    [({"what": " "}, "what"), ({"what": "x" * 10_001}, "what"), ({"what": "x", "contact": "y" * 301}, "contact")],
    ids=["empty", "long", "long contact"],
)
def test_what_cannot_be_a_report_leaves_nothing(fw: flywheel.Flywheel, fields: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidRecord) as refused:
        fw.report(**fields)
    assert refused.value.field == named
    assert fw.reports() == []


def test_a_kill_between_report_and_feedback_is_made_good(fw: flywheel.Flywheel) -> None:
    i = fw.log(input="q", output="a")
    fw._store.state.add_report(Report(id="r1", at=AT, what="w", interaction_id=i), "digest")
    (report,) = fw.reports()
    assert report.state == "joined"
    assert [said.id for said in fw.interaction(i)[1]] == ["r1"]


class _Hook(BaseHTTPRequestHandler):
    answers: list[int] = []
    bodies: list[bytes] = []

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(self.answers.pop(0))
        self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_webhook_is_told_without_a_word_of_the_report(tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _Hook.answers[:], _Hook.bodies[:] = [500, 302, 204], []
    hook = {"webhook": f"http://127.0.0.1:{server.server_port}/"}
    with flywheel.open(tmp_path / "bot", **OPTIONS, reports=hook) as fw:
        i = fw.log(input="q", output="a")
        fw.report("my secret words", interaction=i, contact="ana", by="ana", at=AT)
        found_by_a_spin(fw, {i: "m1"}, state="fixed", fixed_in="v2")
        for code in (500, 302):
            (left,) = fw.tell_reporters()
            assert f"answered {code}" in left["problem"]
        assert fw.tell_reporters() == []
        assert fw.reports("fixed")[0].told_how == "webhook"
        assert fw.tell_reporters() == []
    server.shutdown()
    server.server_close()
    assert len(_Hook.bodies) == 3
    for body in _Hook.bodies:
        assert b'"report fixed"' in body
        assert b'"fixed_in": "v2"' in body
        assert not any(word in body for word in (b"secret", b"ana", b"u_", i.encode()))


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    for wrong in ({"webhook": "file:///etc/passwd"}, {"embed_on": ["https://shop.example/page"]}, {"embed_on": ["*"]}):
        with pytest.raises(InvalidConfig, match=r"reports\."):
            flywheel.open(tmp_path / "bot", reports=wrong)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_an_erased_user_leaves_no_byte_in_reports(new_url: Callable[[str], str], tmp_path: Path, kind: str) -> None:
    """Reports they filed, reports about their interactions, their contact, and others' words about them."""
    with flywheel.open(tmp_path / "bot", **OPTIONS, store={"url": new_url(kind)}) as fw:
        _erase_somebody(fw, tmp_path)


def _erase_somebody(fw: flywheel.Flywheel, tmp_path: Path) -> None:
    theirs = fw.log(id="order-qx0001z", input="qx0001z asks", output="a", user="qx0001z-person")
    others = fw.log(id="order-2", input="somebody asks", output="a", user="other-person")
    fw.report("qx0001z says", by="qx0001z-person", at=AT - timedelta(days=9))
    fw.report("anonymous qx0001z", interaction=theirs)
    fw.report("anonymous", interaction=others, contact="qx0001z-person at home")
    fw.report("I saw that qx0001z-person was refused", interaction=others)
    kept = fw.report("all is well", interaction=others, by="other-person")
    likely = fw.report("unclear", at=AT)
    fw._store.state.change_report(
        likely.id, lambda old: replace(old, proposals=(Proposal(theirs, 0.5), Proposal(others, 0.3)))
    )
    before = marks_in_database(fw._store._database.engine)
    assert before["reports"] == before["contacts"] == {"qx0001z"}
    assert fw.erase("qx0001z-person", dry_run=True)["erased"]["reports"] == 4
    receipt = fw.erase("qx0001z-person")
    assert receipt["clean"], receipt["search"]["left"]
    assert receipt["erased"]["reports"] == 4
    for places in (marks_in_files([tmp_path / "bot"]), marks_in_database(fw._store._database.engine)):
        assert {place: found for place, found in places.items() if found} == {}
    assert [report.what for report in fw.reports()] == ["all is well", "unclear"]
    assert [one.interaction_id for one in fw.reports()[-1].proposals] == [others]
    assert fw.report_state(kept.token)["state"] == "received"


def test_reports_go_with_what_they_are_about_and_at_their_age(tmp_path: Path) -> None:
    with flywheel.open(tmp_path / "bot", **OPTIONS, retention={"interactions_days": 30, "reports_days": 60}) as fw:
        for n in range(4):
            at = AT - timedelta(days=20 * n)
            i = fw.log(id=f"i{n}", input="q", output="a", at=at)
            fw.report(f"joined {n}", interaction=i, at=at)
            fw.report(f"alone {n}", at=at - timedelta(days=200))
        due = {row["kind"]: row["due"] for row in fw.retention(AT)}
        assert (due["interactions"], due["reports"]) == (2, 6)
        assert fw.apply_retention(at=AT)["reports"] == 6
        assert [report.what for report in fw.reports()] == ["joined 0", "joined 1"]
        assert not any(fw.apply_retention(at=AT).values())
