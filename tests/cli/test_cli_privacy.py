"""erase, retention, pseudonyms and audit-trail from the command line."""

from __future__ import annotations

import json

import pytest

import flywheel


@pytest.fixture
def bot(tmp_path):
    folder = tmp_path / "bot"
    with flywheel.open(folder, task="classification") as fw:
        for n in range(4):
            i = fw.log(input=f"question {n}", output="a", user=("ana@example.org", "bea@example.org")[n % 2])
            fw.feedback(i, rating=-1)
    return folder


@pytest.mark.slow
def test_a_user_is_erased_with_a_receipt_that_can_be_verified(bot, tmp_path, run, answer):
    planned = answer("erase", "--user", "ana@example.org", "--dry-run", "-f", bot)
    assert planned["erased"]["interactions"] == 2
    assert answer("status", "-f", bot)["interactions"] == 4
    paper = tmp_path / "receipt.json"
    receipt = answer("erase", "--user", "ana@example.org", "--yes", "--receipt", paper, "--by", "dpo", "-f", bot)
    assert receipt["clean"]
    assert json.loads(paper.read_text()) == receipt
    assert answer("status", "-f", bot)["interactions"] == 2
    checked = answer("erase", "--verify", paper, "--user", "ana@example.org", "-f", bot)
    assert checked == {"valid": True, "ours": True, "in_trail": True, "about": True}
    run("erase", "--verify", paper, "--user", "bea@example.org", "-f", bot, code=1)
    paper.write_text(paper.read_text().replace('"clean": true', '"clean": false'))
    assert "signature" in run("erase", "--verify", paper, "-f", bot, code=1).stderr
    paper.write_text("no JSON")
    run("erase", "--verify", paper, "-f", bot, code=1)


def test_the_name_can_come_by_standard_input(bot, run):
    shown = run("erase", "--user", "-", "--yes", "-f", bot, input="ana@example.org\n").stdout
    assert "Nothing is left" in shown
    assert "ana@example.org" not in shown


def test_nobody_is_erased_without_a_yes(bot, run, answer):
    assert "--yes" in run("erase", "--user", "ana@example.org", "-f", bot, code=1).stderr
    run("erase", "-f", bot, code=1)
    assert answer("status", "-f", bot)["interactions"] == 4


def test_what_is_left_is_shown_and_ends_with_exit_code_1(bot, run):
    (bot / "copies").mkdir()
    with flywheel.open(bot) as fw:
        key = next(row.id for row in fw._store.log.read(0))
    (bot / "copies" / "notes.bin").write_text(f"see {key}")
    shown = run("erase", "--user", "ana@example.org", "-y", "-f", bot, code=1).stdout
    assert "Something is left" in shown
    assert "copies/notes.bin" in shown


def test_erasures_that_were_cut_off_are_finished(bot, run, answer):
    with flywheel.open(bot) as fw, pytest.raises(ZeroDivisionError):
        fw.erase("ana@example.org", on_step=lambda step, moment: 1 / (step != "tables"))
    assert "flywheel erase --resume" in run("doctor", "-f", bot, code=1).stdout
    assert [receipt["clean"] for receipt in answer("erase", "--resume", "-f", bot)] == [True]
    run("doctor", "-f", bot)
    assert "0 erasures finished" in run("erase", "--resume", "-f", bot).stdout


def test_retention_is_shown_and_applied(bot, run, answer):
    (bot / "flywheel.toml").write_text((bot / "flywheel.toml").read_text() + "\n[retention]\ninteractions_days = 30\n")
    later = "2040-01-01T00:00:00Z"
    rows = {row["kind"]: row for row in answer("retention", "--at", later, "-f", bot)}
    assert rows["interactions"] == {"kind": "interactions", "days": 30.0, "due": 4}
    assert "30 days" in run("retention", "-f", bot).stdout
    assert answer("retention", "--apply", "--at", later, "-f", bot)["interactions"] == 4
    assert "nothing was due" in run("retention", "--apply", "--at", later, "-f", bot).stdout


def test_keys_of_pseudonyms_are_rotated_and_forgotten(bot, run, answer):
    first = (bot / "pseudonym.key").read_bytes()
    assert len(answer("pseudonyms", "rotate", "-f", bot)["fingerprint"]) == 32
    assert (bot / "pseudonym.key").read_bytes() != first
    assert "0 keys destroyed" in run("pseudonyms", "forget", "--older-than", "1d", "-f", bot).stdout
    assert len(answer("pseudonyms", "forget", "--older-than", "0h", "-f", bot)["forgotten"]) == 1
    run("pseudonyms", "forget", "-f", bot, code=1)


def test_the_trail_is_verified_and_a_broken_line_named(bot, run, answer):
    run("pseudonyms", "rotate", "-f", bot)
    run("erase", "--user", "ana@example.org", "-y", "-f", bot)
    head = answer("audit-trail", "verify", "-f", bot)
    assert head["lines"] == 2
    run("audit-trail", "verify", "--head", head["head"], "-f", bot)
    assert "no line with the hash" in run("audit-trail", "verify", "--head", "0" * 63 + "1", "-f", bot, code=1).stderr
    assert [line["action"] for line in answer("audit-trail", "-f", bot)] == ["rotate pseudonyms", "erase"]
    with flywheel.open(bot) as fw:
        fw._store.eraser.change_docs("trail", lambda line: {**line, "by": "nobody"} if line["number"] == 2 else line)
    assert "line 2 of the audit trail" in run("audit-trail", "verify", "-f", bot, code=1).stderr
