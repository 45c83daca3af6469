"""Small made logs with things planted in them, whose right answers are therefore known."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
QUESTIONS = ("where is my card", "i lost my card", "what is the rate", "close my account", "change my address")
PLANTED = {
    "email": "zoe.planted@example.org",
    "card": "4111 1111 1111 1111",
    "secret": "sk-planted0123456789abcdefXYZ",
}


def busy(hour: int) -> float:
    """A product that sleeps at night."""
    return 0.1 if hour < 7 else 4.0 if hour < 20 else 1.5


def support_bot(
    weeks: int = 6, seed: int = 1, *, gap: tuple[datetime, datetime] | None = None
) -> Iterator[dict[str, Any]]:
    """A chatbot's log as drafts: weekly rhythm, users, errors, confidences, feedback of its own, in order of time."""
    draw = random.Random(seed)
    number = 0
    for hour in range(weeks * 7 * 24):
        begin = START + timedelta(hours=hour)
        if gap and gap[0] <= begin < gap[1]:
            continue
        rate = busy(begin.hour) * (0.4 if begin.weekday() > 4 else 1.0)
        count = sum(draw.random() < rate / 12 for _ in range(12))
        for at in sorted(begin + timedelta(seconds=draw.randrange(3600)) for _ in range(count)):
            number += 1
            yield from _call(draw, number, at)


def _call(draw: random.Random, number: int, at: datetime) -> Iterator[dict[str, Any]]:
    confidence = min(0.999, max(0.01, draw.betavariate(5, 2)))
    device = draw.choices(("ios", "android", "web", "kiosk"), (50, 30, 19, 1))[0]
    language = "de" if device == "kiosk" or draw.random() < 0.3 else draw.choice(("en", "fr"))
    failed = draw.random() < 0.04
    known = f"req-{number:06}"
    yield {
        "kind": "interaction",
        "id": known,
        "at": at.isoformat(),
        "input": f"{draw.choice(QUESTIONS)} {draw.randrange(4000)}",
        "output": None if failed else draw.choice(("card_arrival", "lost_card", "exchange_rate")),
        "error": draw.choice(("Timeout: no answer after 30 s", f"ValueError: bad token {number}")) if failed else None,
        "confidence": None if failed else round(confidence, 3),
        "latency_ms": round(draw.lognormvariate(5.5, 0.8), 1),
        "user": f"u{draw.randrange(400)}",
        "session": f"s{number // 3}",
        "model": "v1" if at < START + timedelta(days=21) else "v2",
        "context": {"device": device, "language": language, "app": "bank"},
        "extra": {"received_at": (at + timedelta(seconds=2)).isoformat()},
    }
    if draw.random() < 0.08:
        later = (at + timedelta(minutes=draw.randrange(1, 600))).isoformat()
        yield {"kind": "feedback", "interaction_id": known, "at": later, "rating": draw.choice((1, 1, -1))}
    if draw.random() < 0.02:
        later = (at + timedelta(days=1)).isoformat()
        yield {
            "kind": "feedback",
            "interaction_id": known,
            "at": later,
            "label": draw.choice(("card_arrival", "lost_card")),
        }


def plain(number: int, **more: Any) -> dict[str, Any]:
    """One unremarkable interaction, a minute after the one before it."""
    return {
        "kind": "interaction",
        "id": f"i{number}",
        "at": (START + timedelta(minutes=number)).isoformat(),
        "input": f"question {number}",
        "output": "answer",
        **more,
    }
