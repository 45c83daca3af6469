"""`flywheel report` and `flywheel why` from the command line."""

from __future__ import annotations

import pytest

import flywheel
from flywheel.records import Mode


@pytest.fixture
def bot(tmp_path):
    folder = tmp_path / "bot"
    with flywheel.open(folder, task="classification", product={"name": "bot"}) as fw:
        for n in range(40):
            fw.log(id=f"q-{n}", input=f"where is my card {n}", output="rates", context={"device": "ios"})
        fw._store.state.save_modes(
            [Mode(id="m1", name="cards [red]x[/red] \x1b[31m", last_spin=1, share=0.25, count=10)]
        )
        fw._store.state.save_step(1, "sync", {"after": 0, "upto": 40})
        fw._store.state.save_step(1, "diagnose", {"assignments": {f"q-{n}": "m1" for n in range(10)}})
    return folder


@pytest.mark.slow
def test_a_report_is_filed_listed_and_asked_about(bot, run, answer):
    filed = answer("report", "got rates", "--interaction", "q-3", "--expected", "card", "--by", "ana", "-f", bot)
    assert filed["interaction_id"] == "q-3"
    (listed,) = answer("report", "--list", "-f", bot)
    assert (listed["state"], listed["mode"]) == ("acknowledged", "m1") or listed["state"] == "joined"
    assert listed["by"].startswith("u_")
    assert answer("report", "--state", filed["token"], "-f", bot)["line"]
    assert answer("report", "--figures", "-f", bot)["reports"] == 1
    for command in (["--list"], ["--figures"], ["--state", filed["token"]], ["--tell"]):
        assert run("report", *command, "-f", bot).stdout.strip()
    shown = run("report", "it happened again", "--anonymous", "--by", "ana", "-f", bot).stdout
    assert "rp_" in shown
    assert answer("report", "--list", "-f", bot)[-1]["by"] is None


def test_reports_are_looked_after(bot, run, answer):
    one = answer("report", "unclear", "--when", "2020-01-01T00:00:00Z", "-f", bot)["id"]
    assert answer("report", "--join", one, "--interaction", "q-5", "--by", "rita", "-f", bot)["state"] == "joined"
    assert answer("report", "--acknowledge", one, "--mode", "m1", "-f", bot)["mode"] == "m1"
    assert answer("report", "--close", one, "not ours", "-f", bot)["closing"] == "not ours"
    assert "2020" not in run("report", "--list", "-f", bot).stdout
    assert answer("audit-trail", "-f", bot)[0]["by"] == "rita"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ([], "says nothing"),
        (["--list", "--figures"], "cannot go together"),
        (["text", "--list"], "cannot go together"),
        (["--state", "rp_x"], "no report with this token"),
        (["--join", "x"], "--interaction"),
        (["--told", "x"], "no report 'x'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_says_why(bot, run, command, said):
    assert said in run("report", *command, "-f", bot, code=1).stderr


def test_the_form_is_printed_to_be_embedded(bot, run, answer):
    html = answer("report", "--form", "https://f.example", "--key", "fw_x", "-f", bot)["html"]
    assert 'src="https://f.example/report-form?interaction=INTERACTION#key=fw_x"' in html
    shown = run("report", "--form", "https://f.example", "-f", bot)
    assert "<iframe" in shown.stdout
    assert "embed_on" in shown.stderr


@pytest.mark.slow
def test_a_chain_is_shown_answered_and_written(bot, run, answer, tmp_path):
    shown = run("why", "m1", "-f", bot).stdout
    assert "Asked of you" in shown
    assert "\x1b" not in shown
    number = len(answer("why", "m1", "-f", bot)["whys"])
    said = answer("why", "m1", "--answer", number, "Nobody looked", "--by", "ana", "-f", bot)
    assert (said["whys"][-1]["answer"], said["whys"][-1]["by"]) == ("Nobody looked", "ana")
    page = tmp_path / "m1.md"
    run("why", "m1", "--markdown", page, "-f", bot)
    assert "Said by ana" in page.read_text()
    assert r"\[red\]x\[/red\]" in page.read_text()
    assert "m9" in run("why", "m9", "-f", bot, code=1).stderr
    assert "no number 7" in run("why", "m1", "--answer", "7", "x", "-f", bot, code=1).stderr


@pytest.mark.slow
def test_the_modes_of_a_real_spin_have_chains_and_reports_go_into_them(product, run, answer):
    modes = answer("modes", "-f", product)
    assert modes
    for mode in modes:
        chain = answer("why", mode["id"], "-f", product)
        assert [why["kind"] for why in chain["whys"]][-1] == "open"
        assert all(why["interval"] and why["n"] and why["query"] for why in chain["whys"] if why["kind"] == "tested")
        shown = run("why", mode["id"], "-f", product).stdout
        assert "Asked of you" in shown
        assert "\x1b" not in shown
    failing = answer("failures", "--mode", modes[0]["id"], "-f", product)[0]["interaction_id"]
    filed = answer("report", "my pin is blocked, it said something else", "--interaction", failing, "-f", product)
    assert answer("report", "--list", "-f", product)[0]["mode"] == modes[0]["id"]
    assert answer("report", "--state", filed["token"], "-f", product)["state"] == "acknowledged"
