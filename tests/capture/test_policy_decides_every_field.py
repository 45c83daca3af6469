"""`[privacy] keep`, `redact`, `hash` and `drop` hold on every way in, dead letters included."""

from __future__ import annotations

import json
from pathlib import Path

import flywheel

POLICY = {
    "keep": ["input.order"],
    "redact": ["input.name", "comment"],
    "hash": ["session", "context.customer"],
    "drop": ["input.note", "extra.raw*", "model"],
}
RECORD = {
    "input": {"order": "ana@shop.example", "name": "Ana Lovelace", "note": "marker-1", "mail": "ana@example.org"},
    "context": {"customer": "marker-2", "device": "ios"},
    "session": "marker-3",
    "model": "marker-4",
    "extra": {"raw_body": "marker-5", "kept": 1},
    "user": "ana",
}


def test_both_ways_in_and_the_dead_letters(tmp_path: Path) -> None:
    with flywheel.open(tmp_path / "a", privacy=POLICY) as fw:
        first = fw.log(**RECORD)
        body = json.dumps([{**RECORD, "id": "quick"}, {**RECORD, "id": "bad", "confidence": 7}]).encode()
        taken = fw.intake.take_body(body, kind="interaction", lines=False, source="t")
        assert taken.outcomes == ("stored", "dead-lettered")
        fw.feedback(first, comment="marker-6")
        for key in (first, "quick"):
            seen, _ = fw.interaction(key)
            assert seen.input == {"order": "ana@shop.example", "name": "[redacted]", "mail": "[email]"}
            assert seen.context["device"] == "ios"
            assert seen.context["customer"].startswith("h_")
            assert seen.session is not None
            assert seen.session.startswith("h_")
            assert seen.model is None
            assert seen.extra["kept"] == 1
            assert seen.extra["redacted"]["dropped"] >= 2
        one, other = (fw.interaction(key)[0] for key in (first, "quick"))
        assert (one.session, one.context, one.user) == (other.session, other.context, other.user)
        assert fw.interaction(first)[1][0].value == "[redacted]"
        assert len(fw.dead_letters()) == 1
    for path in (tmp_path / "a").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(f"marker-{n}".encode() in data for n in range(1, 7)), path
            assert b"Lovelace" not in data


def test_the_regions_of_telephone_numbers_are_the_operators(tmp_path: Path) -> None:
    for region, left in (("AT", False), ("US", True)):
        with flywheel.open(tmp_path / region, privacy={"phone_regions": [region]}) as fw:
            key = fw.log(input="ruf mich an: 0664 1234567, danke")
            assert ("0664" in str(fw.interaction(key)[0].input)) == left
