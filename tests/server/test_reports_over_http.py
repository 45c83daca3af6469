"""Reports over HTTP: filed with a key that reads nothing, asked about with a token; the form runs only its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import balanced, served

from flywheel.records import Mode
from flywheel.server.form import form_headers, form_page, snippet


def test_a_report_is_filed_and_asked_about(tmp_path: Path) -> None:
    with served(tmp_path / "a") as (client, (fw,)):
        i = fw.log(input="where is my card", output="rates")
        body = {
            "what": "got rates, mail me at ana@example.org",
            "interaction_id": i,
            "expected": "card",
            "contact": "ana",
        }
        filed = client.post("/v1/reports", json=body)
        assert filed.status_code == 200
        assert set(filed.json()) == {"id", "token", "state", "line"}
        (report,) = client.get("/v1/reports").json()["items"]
        assert report["what"] == "got rates, mail me at [email]"
        assert (report["state"], report["interaction_id"], report["by"]) == ("joined", i, None)
        assert "contact" not in report
        balanced(fw)
        told = client.get(f"/v1/reports/{filed.json()['token']}")
        assert (told.json()["state"], told.headers["cache-control"]) == ("received", "no-store")
        assert i not in told.text
        assert "rates" not in told.text
        assert client.get("/v1/reports/rp_wrong").status_code == 404
        assert client.post(f"/v1/reports/{report['id']}/acknowledge").json()["state"] == "acknowledged"
        assert client.get("/v1/report-figures").json()["reports"] == 1
        assert client.get("/v1/reports", params={"state": "fixed"}).json()["items"] == []


def test_a_key_that_may_only_write_learns_nothing_of_the_log(tmp_path: Path) -> None:
    """Whether a guess at a session or at words met an interaction must not show."""
    with served(tmp_path / "a") as (client, (fw,)):
        fw.log(input="my secret diagnosis", output="x", session="s-77", user="ana")
        key = {"X-API-Key": fw.keys.create("form", ["ingest"])[0]}
        shown = []
        for guess in (
            {"near": "my secret diagnosis", "session": "s-77"},
            {"near": "nothing like it", "session": "s-1"},
        ):
            filed = client.post("/v1/reports", json={"what": "wrong", **guess}, headers=key).json()
            state = client.get(f"/v1/reports/{filed['token']}").json()
            shown.append(({**filed, "id": "", "token": ""}, {**state, "id": "", "at": ""}))
        assert [report.state for report in fw.reports()] == ["joined", "received"]
        assert shown[0] == shown[1]
        assert client.get("/v1/reports", headers=key).status_code == 403
        assert client.post("/v1/reports", json={"what": "x"}).status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422), ({"what": ""}, 422), ({"what": 7}, 422), ({"what": "x", "who": "bo"}, 422), ([], 422),
        ({"what": "x\x00"}, 422), ({"what": "x", "when": "soon"}, 422),
        ({"what": "x", "when": "2026-01-01T00:00"}, 422),
        ({"what": "x" * 10_001}, 422), ({"what": "x", "session": ""}, 422), ({"what": "x" * 70_000}, 413),
    ],
    ids=["none", "empty", "number", "who", "list", "nul", "when", "no zone", "long", "no session", "huge"],
)  # fmt: skip
def test_what_is_no_report_is_refused_and_leaves_nothing(tmp_path: Path, body: object, status: int) -> None:
    with served(tmp_path / "a") as (client, (fw,)):
        answer = client.post("/v1/reports", json=body)
        assert (answer.status_code, "message" in answer.json()["error"]) == (status, True)
        assert client.post("/v1/reports", content=b"{", headers={"content-type": "application/json"}).status_code == 400
        assert client.post("/v1/reports", data={"what": "x"}).status_code == 415
        assert fw.reports() == []


def test_a_token_belongs_to_one_flywheel(tmp_path: Path) -> None:
    with served(tmp_path / "a", tmp_path / "b") as (client, (a, _)):
        token = a.report("wrong").token
        assert client.get(f"/v1/reports/{token}").status_code == 200
        assert client.get(f"/flywheels/a/v1/reports/{token}").status_code == 200
        for other in ("b", "c"):
            assert client.get(f"/flywheels/{other}/v1/reports/{token}").status_code == 404


def test_a_budget_holds_for_reports(tmp_path: Path) -> None:
    with served(tmp_path / "a", server={"records_per_second": 0.05}) as (client, _):
        answers = [client.post("/v1/reports", json={"what": f"wrong {n}"}) for n in range(3)]
        assert [answer.status_code for answer in answers] == [200, 429, 429]
        assert int(answers[1].headers["retry-after"]) >= 1


def test_a_chain_of_whys_is_read_and_answered(tmp_path: Path) -> None:
    with served(tmp_path / "a") as (client, (fw,)):
        fw.log(input="q", output="a")
        fw._store.state.save_modes([Mode(id="m1", name="cards", last_spin=1)])
        (asked,) = client.get("/v1/modes/m1/whys").json()["whys"]
        assert asked["kind"] == "open"
        said = client.post("/v1/modes/m1/whys/1", json={"answer": "Ask ana@example.org"})
        assert said.json()["whys"][0]["answer"] == "Ask [email]"
        assert said.json()["whys"][0]["by"] == "this machine"
        assert client.post("/v1/modes/m1/whys/5", json={"answer": "x"}).status_code == 404
        assert client.post("/v1/modes/m1/whys/1", json={"answer": "  "}).status_code == 422
        assert client.get("/v1/modes/m9/whys").status_code == 404


# --- the form ---


def test_the_form_is_the_same_for_everybody_and_brings_everything_along(tmp_path: Path) -> None:
    shop = {"embed_on": ["https://shop.example"]}
    with served(tmp_path / "a", reports=shop) as (client, _):
        hostile = '"><script>alert(1)</script>'
        pages = [
            client.get(path, params={"interaction": hostile}) for path in ("/report-form", "/flywheels/a/report-form")
        ]
        assert all(page.content == form_page() for page in pages)
        assert hostile not in pages[0].text
        rules = dict(rule.split(" ", 1) for rule in pages[0].headers["content-security-policy"].split("; "))
        assert rules["default-src"] == "'none'"
        assert rules["frame-ancestors"] == "'self' https://shop.example"
        assert rules["connect-src"] == "'self'"
        assert "unsafe" not in str(rules)
        assert not re.search(r"(?:src|href)=\"(?!\")|url\(|@import|https?:", pages[0].text)


def test_nobody_but_the_server_itself_may_frame_it_unless_told() -> None:
    assert form_headers()["Content-Security-Policy"].endswith("frame-ancestors 'self'")


def test_the_hashes_are_those_of_the_style_and_the_script() -> None:
    import base64
    import hashlib

    page, rules = form_page().decode(), form_headers()["Content-Security-Policy"]
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in rules


def test_every_field_has_a_label_and_problems_are_announced() -> None:
    page = form_page().decode()
    fields = re.findall(r'<(?:textarea|input) id="(\w+)"', page)
    assert fields == ["what", "expected", "contact", "held"]
    assert all(f'<label for="{field}">' in page for field in fields)
    assert 'role="alert"' in page
    assert '<html lang="en">' in page


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_snippet_holds_no_markup_of_others(address: str, key: str) -> None:
    from html.parser import HTMLParser

    found: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Reader().feed(snippet(address, key))
    ((tag, attributes),) = found
    assert tag == "iframe"
    assert set(attributes) == {"src", "title", "loading", "referrerpolicy", "style"}
