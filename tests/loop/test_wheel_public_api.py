"""The public calls, as the README shows them, on a real folder."""

from datetime import UTC, datetime, timedelta

import pytest

import flywheel
from flywheel.errors import InvalidConfig, InvalidRecord, NotFound

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
INTENTS = {
    "card_arrival": ["where is my card", "my card has not come", "when does the card arrive", "card still not here"],
    "lost_card": ["i lost my card", "my card is gone", "someone took my card", "card stolen yesterday"],
    "balance": ["how much money do i have", "show my balance", "what is on my account", "account balance please"],
}
FILLERS = ["", "please", "today", "again", "hello", "thanks"]


def labelled(intents=tuple(INTENTS)):
    rows = [(f"{text} {filler}".strip(), name) for name in intents for text in INTENTS[name] for filler in FILLERS]
    return [text for text, _ in rows], [name for _, name in rows]


@pytest.fixture
def bot(tmp_path):
    with flywheel.open(tmp_path / "bot", task="classification", release={"registry": "folder"}) as fw:
        yield fw


def test_the_first_spin_trains_on_the_seed_and_predict_logs_what_it_answers(bot):
    inputs, labels = labelled()
    assert bot.seed(inputs, labels, at=AT) == len(inputs)
    assert bot.seed(inputs, labels, at=AT) == 0
    spin = bot.spin(budget=0, at=AT)
    assert spin.state == "done"
    assert spin.verdict.decision == "promote", spin.verdict.checks
    (answer,) = bot.predict(["where is my card"], users=["u1"], contexts=[{"device": "ios"}], at=AT)
    assert answer.output == "card_arrival"
    assert 0 < answer.confidence <= 1
    assert bot.status()["interactions"] == 1
    assert bot.predict(["i lost my card"], log=False)[0].id is None
    assert bot.status()["interactions"] == 1


@pytest.mark.slow
def test_a_spin_waits_for_people_and_goes_on_when_they_have_answered(bot):
    inputs, labels = labelled(("card_arrival", "balance"))
    bot.seed(inputs, labels, at=AT)
    bot.spin(budget=0, at=AT)
    traffic, truth = labelled()
    traffic = [f"{text} now" for text in traffic]
    times = [AT + timedelta(minutes=i) for i in range(len(traffic))]
    answers = bot.predict(traffic, at=times, ids=[f"request-{i}" for i in range(len(traffic))])
    for answer, right in zip(answers, truth, strict=True):
        if answer.output != right:
            bot.feedback(answer.id, rating=-1, comment="that is not what i asked", at=AT + timedelta(hours=3))
    spin = bot.spin(budget=30, at=AT + timedelta(hours=4))
    assert spin.state == "waiting"
    assert spin.waiting_for == len(bot.review_queue()) == 30
    known = dict(zip(traffic, truth, strict=True))
    for item in bot.review_queue():
        assert item.suggestions
        assert item.why
        bot.label(item.id, known[item.input], by="ana", at=AT + timedelta(hours=5))
    spin = bot.spin(at=AT + timedelta(hours=6))
    assert spin.state == "done"
    assert spin.number == 2
    assert spin.labels == 30
    assert spin.modes, "the new intent is a failure mode"
    assert spin.verdict.decision == "promote", [check.line for check in spin.verdict.checks]
    assert spin.receipt.uplift.estimate > 0
    assert bot.predict(["my card is gone now"], log=False)[0].output == "lost_card"
    learned = next(e.interaction_id for e in bot.dataset(spin.dataset).examples if e.interaction_id)
    assert bot.lineage(learned)["releases"] == ["v2"]
    assert learned in bot.lineage(spin.dataset)["interactions"]
    back = bot.rollback(by="ana", at=AT + timedelta(hours=7))
    assert back.version == "v1"
    assert all(check["ok"] for check in bot.doctor()), bot.doctor()


def test_watch_logs_calls_of_any_function(bot):
    @bot.watch
    def answer(text):
        if not text:
            raise ValueError("nothing asked")
        return text.upper()

    assert answer("hello") == "HELLO"
    with pytest.raises(ValueError, match="nothing asked"):
        answer("")
    assert bot.status()["interactions"] == 2


def test_bad_calls_say_what_to_do(bot):
    with pytest.raises(InvalidRecord, match="confidence"):
        bot.log(input="x", confidence=1.7)
    with pytest.raises(NotFound, match="review_queue"):
        bot.label("nothing", "x")
    with pytest.raises(InvalidConfig, match="negative"):
        bot.spin(budget=-1)
    with pytest.raises(InvalidConfig, match="task"):
        flywheel.open(bot.folder, task="regression")
    assert bot.status()["interactions"] == 0


@pytest.mark.slow
def test_kept_metrics_are_what_a_scan_gives_and_forget_what_is_erased(tmp_path):
    from flywheel.observe.series import metrics

    with flywheel.open(tmp_path, task="classification") as fw:
        for n in range(60):
            at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=7 * n)
            i = fw.log(
                input=f"q {n}", output="a", confidence=0.5 + n / 200, latency_ms=100 + n, user=f"u{n % 3}", at=at
            )
            if n % 30 == 0:
                fw.metrics("hour")  # kept cells are added to from here on
            if n % 9 == 0:
                fw.feedback(i, rating=-1, at=at)
        kept = fw.metrics("hour")
        scanned = metrics(fw._snapshot_now(), "hour")
        assert [row["volume"] for row in kept] == [row["volume"] for row in scanned]
        assert [row["negative"] for row in kept] == pytest.approx([row["negative"] for row in scanned])
        assert [row["confidence"] for row in kept] == pytest.approx([row["confidence"] for row in scanned])
        assert [row["latency_p50"] for row in kept] == pytest.approx([row["latency_p50"] for row in scanned], rel=0.02)
        fw.erase("u1")
        assert sum(row["volume"] for row in fw.metrics("day")) == 40
