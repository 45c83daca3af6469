"""The report form as a browser sends it by itself: who may, what is kept, and pages that run nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from serving import served
from starlette.testclient import TestClient

from flywheel.server.form import form_page

FORM = "application/x-www-form-urlencoded"
HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</textarea><script>alert(1)</script>",
    "' autofocus onfocus=alert(1) x='", "</title><svg onload=alert(1)>", "&lt;b&gt; &amp; {{7*7}} %s {0}",
    "\nbegins with a line", "\u202eright to left \U0001f600", "javascript:alert(1)",
)  # fmt: skip


class Page(HTMLParser):
    """What a browser without JavaScript makes of a page: its fields, texts, and everything that could run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fields: dict[str, str] = {}
        self.action, self.method, self.alert = "", "", ""
        self.handlers: list[str] = []
        self.texts: list[str] = []
        self._area = self._in = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.handlers += [name for name in said if name.startswith("on")]
        self._in = said.get("role", tag)
        if tag == "form":
            self.action, self.method = said["action"], said["method"]
        if tag == "input":
            self.fields[said["name"]] = said.get("value", "")
        if tag == "textarea":
            self._area, self.fields[said["name"]] = said["name"], ""

    def handle_endtag(self, tag: str) -> None:
        self._in = ""
        if tag == "textarea":
            self.fields[self._area] = self.fields[self._area].removeprefix("\n")  # as the standard has it
            self._area = ""

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._area:
            self.fields[self._area] += data
        if self._in == "alert":
            self.alert += data


def shown(answer: Any) -> Page:
    """The page of an answer, which must be one that nothing can run in."""
    page = Page(answer.text)
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-store"
    rules = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
    assert (rules["default-src"], rules["form-action"]) == ("'none'", "'self'")
    assert "script-src" not in rules
    assert not {"script", "img", "svg", "iframe", "b"} & set(page.tags)
    assert page.handlers == []
    return page


def sent(client: TestClient, opened: Any, **typed: str) -> Any:
    """Fill in the form of a page and send it to where it says."""
    html = re.sub(r"<noscript>.*?</noscript>|<script>.*?</script>", "", opened.text, flags=re.DOTALL)
    page = Page(html)
    assert page.method == "post"
    where = urlsplit(urljoin(str(opened.request.url), page.action)).path
    return client.post(
        where, data={**page.fields, **typed}, headers={"Origin": "null", "Sec-Fetch-Site": "same-origin"}
    )


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[tuple[TestClient, Any]]:
    with served(tmp_path / "a") as (client, (fw,)):
        yield client, fw


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[tuple[TestClient, Any]]:
    with served(tmp_path / "a") as (client, (fw,)):
        fw.keys.create("form", ["ingest"])
        yield client, fw


def test_a_report_is_filed_joined_and_asked_about(laptop: tuple[TestClient, Any]) -> None:
    client, fw = laptop
    about = fw.log(id="chat/7:a=b", input="where is my card", output="rates")
    opened = client.get("/report-form", params={"interaction": about, "session": "s-1", "trace": "t-1"})
    assert 'id="about">' in opened.text
    thanks = sent(client, opened, what="one\r\ntwo", expected="card", contact="ana")
    assert thanks.status_code == 200
    (report,) = fw.reports()
    assert (report.what, report.expected, report.by) == ("one\ntwo", "card", None)
    assert (report.interaction_id, report.state) == (about, "joined")
    token = shown(thanks).fields["token"]
    assert token.startswith("rp_")
    assert f'<code id="token">{token}</code>' in thanks.text
    assert token not in str(thanks.url)
    fw.close_report(report.id, "<img src=x onerror=alert(1)> stays")
    state = sent(client, thanks)
    page = shown(state)
    assert "It is closed: <img src=x onerror=alert(1)> stays" in "".join(page.texts)
    assert {"Sent", "Looked at", "Closed"} <= set(page.texts)
    assert page.tags.count("time") == 3
    assert sent(client, state).text == state.text
    assert about not in state.text


def test_an_address_of_its_flywheel_is_kept(tmp_path: Path) -> None:
    with served(tmp_path / "a", tmp_path / "b") as (client, (a, b)):
        opened = client.get("/flywheels/b/report-form")
        thanks = sent(client, opened, what="wrong")
        assert (thanks.status_code, len(a.reports()), len(b.reports())) == (200, 0, 1)
        assert shown(sent(client, thanks)).alert == ""
        token = {"token": shown(thanks).fields["token"]}
        assert client.post("/flywheels/a/report-form", data=token).status_code == 404
        for path in ("/report-form", "/flywheels/c/report-form"):  # which of them?
            lost = client.post(path, data={"what": "wrong words"})
            assert (lost.status_code, shown(lost).fields["what"]) == (404, "wrong words")
        assert len(a.reports()) + len(b.reports()) == 1


def test_without_a_key_a_server_with_keys_says_so_and_keeps_the_text(keyed: tuple[TestClient, Any]) -> None:
    client, fw = keyed
    opened = client.get("/report-form", params={"interaction": "i-1"})
    refused = sent(client, opened, what="my long story", expected="another", contact="ana@example.org")
    page = shown(refused)
    assert refused.status_code == 403
    assert "JavaScript" in page.alert
    assert page.fields == {
        "interaction": "i-1", "what": "my long story", "expected": "another", "contact": "ana@example.org"
    }  # fmt: skip
    assert fw.reports() == []
    token = fw.report("wrong").token  # a token is asked about without a key, as everywhere
    assert client.post("/report-form", data={"token": token}).status_code == 200


def test_an_owner_can_open_it_to_everybody(tmp_path: Path) -> None:
    with served(tmp_path / "a", reports={"public": True}) as (client, (fw,)):
        fw.keys.create("form", ["ingest"])
        thanks = client.post("/report-form", data={"what": "wrong"}, headers={"Host": "flywheel.example"})
        assert thanks.status_code == 200
        assert len(fw.reports()) == 1
        assert client.post("/v1/reports", json={"what": "x"}).status_code == 401  # and nothing else


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200), ({"Origin": "http://localhost:8377"}, 200), ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403), ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 200), ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example", "Origin": "null", "Sec-Fetch-Site": "same-origin"}, 403),
    ],
    ids=str,
)  # fmt: skip
def test_no_other_site_files_reports_on_this_machine(
    laptop: tuple[TestClient, Any], headers: dict[str, str], status: int
) -> None:
    client, fw = laptop
    answer = client.post("/report-form", data={"what": "wrong"}, headers=headers)
    assert (answer.status_code, len(fw.reports())) == (status, int(status == 200))
    assert status == 200 or shown(answer).fields["what"] == "wrong"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_text(keyed: tuple[TestClient, Any], text: str) -> None:
    client, _ = keyed
    typed = {"what": text, "expected": text, "contact": text}
    page = shown(client.post("/report-form", data={**typed, "interaction": text, "session": text}))
    assert {name: page.fields[name] for name in typed} == typed
    told = client.post("/report-form", data={"token": text})
    assert (told.status_code, shown(told).fields["token"]) == (404, text)
    assert client.get("/report-form", params={"session": text}).text.count("<script>") == 1


@pytest.mark.parametrize("id", ['"><script>', "a b", "x" * 201, "INTERACTION", "", "<b>", "a'b", "a&b", "a\nb"])
def test_an_id_that_is_none_is_left_out_of_the_page(laptop: tuple[TestClient, Any], id: str) -> None:
    assert laptop[0].get("/report-form", params={"interaction": id}).content == form_page()


@pytest.mark.parametrize(
    ("typed", "status", "says"),
    [
        ({"what": " \r\n "}, 422, "What happened?"), ({"expected": "y"}, 422, "What happened?"),
        ({"what": "x" * 10_001}, 422, "10,001"), ({"what": "x", "contact": "c" * 301}, 422, "301"),
        ({"what": "a\x00b"}, 422, "NUL"), ({"what": "x", "session": "s" * 201}, 422, "201"),
        ({"what": "x", "by": "bo"}, 422, "ought not"), ({"what": "x", "token": "t"}, 422, "ought not"),
        ({"what": "x" * 65_537}, 413, "fewer words"), ({"what": "x" * 200_000}, 413, "fewer words"),
    ],
    ids=["blank", "none", "long", "contact", "nul", "session", "by", "token too", "longer", "huge"],
)  # fmt: skip
def test_what_cannot_be_taken_comes_back_with_the_reason(
    laptop: tuple[TestClient, Any], typed: dict[str, str], status: int, says: str
) -> None:
    client, fw = laptop
    answer = client.post("/report-form", data=typed)
    page = shown(answer)
    assert answer.status_code == status
    assert says in page.alert
    for name in ("what", "expected", "contact"):
        if len(typed.get(name, "")) < 100_000:  # what is longer was never read
            assert page.fields[name].replace("\ufffd", "\x00") == typed.get(name, "").replace("\r\n", "\n")
    assert fw.reports() == []


def test_the_longest_report_in_any_script_is_taken(laptop: tuple[TestClient, Any]) -> None:
    client, fw = laptop
    assert client.post("/report-form", data={"what": "語" * 10_000, "expected": "語" * 10_000}).status_code == 200
    assert len(fw.reports()[0].what) == 10_000


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 415), (b"what=x", "text/plain", 415), (b"", "", 415),
        (b"what=%ff", FORM, 400), (b"what=\xff", FORM, 400),
        (b"&".join([b"what=x"] * 30), FORM, 400),
        (b"what=x&what=y", f"{FORM}; charset=utf-8", 422),
    ],
    ids=["json", "plain", "nothing", "escaped", "bytes", "many", "twice"],
)  # fmt: skip
def test_what_no_browser_sends_is_refused(laptop: tuple[TestClient, Any], body: bytes, kind: str, status: int) -> None:
    client, fw = laptop
    answer = client.post("/report-form", content=body, headers={"Content-Type": kind} if kind else {})
    assert (answer.status_code, shown(answer).alert.startswith("It was not sent: ")) == (status, True)
    assert fw.reports() == []


def test_many_at_once_are_held_back_and_nothing_is_lost(tmp_path: Path) -> None:
    with served(tmp_path / "a", tmp_path / "b", reports={"public": True}) as (client, (fw, _)):
        answers = []
        for number in range(200):
            answers.append(client.post("/flywheels/a/report-form", data={"what": f"wrong {number}"}))
            if answers[-1].status_code != 200:
                break
        assert 60 <= len(fw.reports()) == len(answers) - 1
        assert (answers[-1].status_code, shown(answers[-1]).fields["what"]) == (429, f"wrong {number}")
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert client.post("/flywheels/b/report-form", data={"what": "wrong"}).status_code == 200


def test_a_budget_and_a_full_disk_hold_for_the_form_too(tmp_path: Path) -> None:
    with served(tmp_path / "a", server={"records_per_second": 0.05}) as (client, _):
        answers = [client.post("/report-form", data={"what": f"wrong {n}"}) for n in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]
        client.app.state.queue.disk_full = lambda wheel: True  # type: ignore[attr-defined]
        full = client.post("/report-form", data={"what": "still here"})
        assert (full.status_code, shown(full).fields["what"]) == (503, "still here")
        assert full.headers["retry-after"] == "30"


@pytest.mark.slow
def test_in_a_browser_with_javascript_switched_off(tmp_path: Path) -> None:
    import threading
    import time

    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, which is in the extra `dev`")
    uvicorn = pytest.importorskip("uvicorn")
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip("needs Chromium: apt-get install -y chromium")
    from flywheel import wheel
    from flywheel.server import make_app

    with wheel.open(tmp_path / "a") as fw, playwright.sync_playwright() as started:
        fw.log(id="answer-1", input="where is my card", output="rates")
        server = uvicorn.Server(uvicorn.Config(make_app({"a": fw}, dashboard=False), port=0, log_config=None))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        until = time.monotonic() + 20
        while not server.started and time.monotonic() < until:
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        browser = started.chromium.launch(executable_path=str(chromium), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(java_script_enabled=False).new_page()
        page.goto(f"http://127.0.0.1:{port}/flywheels/a/report-form?interaction=answer-1")
        assert page.get_by_text("Your report will be joined").is_visible()
        assert not page.get_by_text("Thank you").is_visible()
        page.get_by_label("What happened?").fill("   ")
        page.get_by_label("How can we").fill('<b>"ana"</b>')
        page.get_by_role("button", name="Send the report").click()
        assert "What happened?" in page.get_by_role("alert").inner_text()
        assert page.get_by_label("How can we").input_value() == '<b>"ana"</b>'
        page.get_by_label("What happened?").fill("\nI was told <b>rates</b>\nand nothing else")
        page.get_by_role("button", name="Send the report").click()
        token = page.locator("#token").inner_text()
        (report,) = fw.reports()
        assert (report.what, report.interaction_id) == ("I was told <b>rates</b>\nand nothing else", "answer-1")
        page.get_by_role("button", name="Show the state").click()
        assert "It has arrived" in page.locator("#line").inner_text()
        page.goto(f"http://127.0.0.1:{port}/report-form")  # on another day
        page.get_by_label("Your token").fill(token)
        page.get_by_role("button", name="Show the state").click()
        assert "It has arrived" in page.locator("#line").inner_text()
        scripted = browser.new_context().new_page()
        scripted.goto(f"http://127.0.0.1:{port}/report-form?interaction=answer-1")
        scripted.get_by_label("What happened?").fill("sent by the script")
        scripted.get_by_role("button", name="Send the report").click()
        scripted.locator("#token", has_text="rp_").wait_for()
        assert scripted.locator("input").count() == 2  # what is for others is not there
        assert len(fw.reports()) == 2
        browser.close()
        server.should_exit = True
        thread.join(10)
