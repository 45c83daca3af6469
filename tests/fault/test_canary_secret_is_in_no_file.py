"""Secrets in prompts, answers, errors, comments and names: after a full run no file holds one of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import flywheel
from planted_users import chunks_of

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
SECRETS = {
    "e-mail": "canary.zebra77@secret-mail.example.org",
    "card": "4929 1234 5678 9015",
    "key": "sk-proj-Canary9x8y7z6w5v4u3t2s1r0qPONMLKJIHGFEDCBA",
    "aws": "AKIACANARYZEBRA7Q2XW",
    "iban": "DE89 3704 0044 0532 0130 00",
    "phone": "+49 30 90182077",
    "url": "https://canaryuser:zebra-pass-77@internal.example.org/path",
    "ip": "203.0.113.177",
}
CANARIES = [
    *("canary.zebra77", "4929 1234", "4929123456789015", "Canary9x8y7z", "CANARYZEBRA7Q2XW", "0532 0130", "90182077"),
    *("zebra-pass-77", "203.0.113.177"),
]
USER = "canary.person@users.example.org"
EVERYTHING = "; ".join(SECRETS.values())
KNOWN = ["card", "pin", "rate"]


def _run(folder: Path, outside: Path) -> None:
    with flywheel.open(folder, task="classification", release={"registry": "folder"}) as fw:
        fw.seed([f"{word} {n} please" for word in KNOWN for n in range(8)], [w for w in KNOWN for _ in range(8)], at=AT)
        fw.spin(budget=0, at=AT)
        for n, (kind, secret) in enumerate(SECRETS.items()):
            at = AT + timedelta(minutes=n)
            i = fw.log(
                input=f"my card {kind} is {secret} thanks",
                output=f"your card: {secret}",
                error=f"Failed for {secret}",
                user=USER,
                session=SECRETS["e-mail"],
                context={"note": secret, "device": "ios"},
                at=at,
                raw={"headers": [{"x": secret}]},
            )
            fw.feedback(i, rating=-1, comment=f"wrong, {secret}", report=f"leaked {secret}", by=USER, at=at)
            fw.log(input=[{"role": "user", "content": secret}, {"role": "assistant", "content": secret}], at=at)
            fw.log(input={"question": secret, "nested": {"deep": [secret]}}, output={"said": secret}, at=at)

        @fw.watch
        def answer(question: str) -> str:
            if "fail" in question:
                raise ValueError(f"cannot answer {question}")
            return f"echo {question}"

        answer(EVERYTHING)
        with pytest.raises(ValueError, match="cannot"):
            answer(f"fail {EVERYTHING}")
        incoming = outside / "incoming.jsonl"
        incoming.parent.mkdir(exist_ok=True)
        lines = [
            {"input": f"imported card {secret}", "output": "card", "user": USER, "at": AT.isoformat()}
            for secret in SECRETS.values()
        ]
        bad = {"input": f"bad {EVERYTHING}", "confidence": EVERYTHING, "user": USER, "at": AT.isoformat()}
        incoming.write_text("".join(json.dumps(line) + "\n" for line in [*lines, bad]))
        fw.import_(incoming)
        fw.intake.take([{"kind": "interaction", "confidence": EVERYTHING, "user": USER}], source=f"from {EVERYTHING}")
        fw.intake.take(
            [{"kind": "unreadable", "place": "line 1", "problem": EVERYTHING, "body": EVERYTHING}], source="t"
        )
        fw.intake.refuse_body(f"{{broken {EVERYTHING}".encode(), f"no JSON: {EVERYTHING}", source="test")
        fw.predict([f"my card {secret}" for secret in SECRETS.values()], users=[USER] * len(SECRETS), at=AT)
        spin = fw.spin(budget=40, at=AT + timedelta(hours=1), labeler=lambda item: "card")
        assert spin.state == "done"
        waiting = fw.spin(budget=10, at=AT + timedelta(hours=2))
        assert waiting.state in ("waiting", "done")
        for what in ("interactions", "feedback", "failures", "modes", "dead-letters"):
            fw.export(what, folder / "exports" / f"{what}.jsonl")
            fw.export(what, folder / "exports" / f"{what}.parquet")
        fw.export_queue(folder / "exports" / "queue.csv", "csv")
        fw.status()
        fw.doctor()
        assert fw.books()["dead_lettered"] >= 3
        (folder / "reports").mkdir()
        flywheel.audit(incoming, html=folder / "reports" / "audit.html")


@pytest.mark.slow
@pytest.mark.fault
def test_no_file_of_a_full_run_holds_a_planted_secret(tmp_path):
    folder = tmp_path / "bot"
    _run(folder, tmp_path / "elsewhere")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert {"flywheel.db", "audit.html", "interactions.parquet", "queue.csv"} <= {path.name for path in files}
    for path in files:
        for chunk in chunks_of(path.read_bytes()):
            held = [canary for canary in [*CANARIES, "canary.person"] if canary.encode() in chunk]
            assert not held, f"{path.relative_to(folder)} holds {held}"
    # The search bites: what was said around the secrets is there.
    assert any(b"imported card" in chunk for path in files for chunk in chunks_of(path.read_bytes()))
