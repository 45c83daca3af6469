"""Adopting, rolling back and spinning on nothing new: what people decided stays decided."""

from datetime import UTC, datetime, timedelta

import pytest

import flywheel
from flywheel.errors import NothingToLearn

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
OPTIONS = {"release": {"registry": "folder"}}
WORDS = ["card", "loan", "refund", "pin"]
ASKS = ["where is my {}", "help with my {}", "i lost my {}", "new {} please", "cancel the {}", "about the {}"]


def topic(item):
    return next(word for word in WORDS if word in item.input)


@pytest.fixture
def bot(tmp_path):
    """A champion that has never heard of pins and refunds, and a day of traffic about everything."""
    with flywheel.open(tmp_path / "bot", task="classification", **OPTIONS) as fw:
        known = [(ask.format(word), word) for word in WORDS[:2] for ask in ASKS]
        fw.seed([x for x, _ in known], [y for _, y in known], at=AT)
        fw.spin(budget=0, at=AT)
        texts = [f"{ask.format(word)} {i}" for i in range(5) for word in WORDS for ask in ASKS]
        fw.predict(texts, at=AT, ids=[f"r{i}" for i in range(len(texts))])
        yield fw


@pytest.mark.slow
def test_a_rollback_is_not_undone_by_a_spin_without_new_labels(bot):
    assert bot.spin(budget=40, at=AT, labeler=topic).verdict.decision == "promote"
    assert bot.rollback(by="ana").version == "v1"
    spin = bot.spin(budget=0, at=AT + timedelta(hours=1))
    assert spin.verdict.decision == "need labels"
    assert "no new label" in spin.verdict.checks[0].line
    assert bot.status()["champion"]["version"] == "v1"


@pytest.mark.slow
def test_a_champion_adopted_meanwhile_is_not_replaced_by_a_candidate_that_never_met_it(bot):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    assert bot.spin(budget=40, at=AT).state == "waiting"
    texts = [ask.format(word) for word in WORDS for ask in ASKS]
    mine = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [w for w in WORDS for _ in ASKS])
    adopted = bot.adopt(mine, at=AT)
    for item in bot.review_queue():
        bot.label(item.id, topic(item), by="ana")
    assert bot.spin(at=AT).state == "done"
    assert bot.status()["champion"]["version"] == adopted.version


@pytest.mark.slow
def test_a_challenger_that_a_person_promotes_closes_its_modes(tmp_path, bot):
    with flywheel.open(bot.folder, release={"registry": "folder", "automatic": False}) as fw:
        spin = fw.spin(budget=40, at=AT, labeler=topic)
        assert spin.verdict.decision == "promote"
        assert fw.status()["champion"]["version"] == "v1"
        assert fw.promote(by="ana").version == "v2"
        fixed = {mode.id for mode in fw.modes("fixed")}
        assert fixed == set(spin.verdict.modes_fixed)
        assert fixed


@pytest.mark.slow
def test_the_receipt_says_what_changed_once_a_person_has_approved(bot):
    shipped = bot.spin(budget=40, at=AT, labeler=topic).receipt
    with flywheel.open(f"{bot.folder}-by-hand", task="classification", release={"automatic": False}) as fw:
        known = [(ask.format(word), word) for word in WORDS[:2] for ask in ASKS]
        fw.seed([x for x, _ in known], [y for _, y in known], at=AT)
        fw.spin(budget=0, at=AT)
        texts = [f"{ask.format(word)} {i}" for i in range(5) for word in WORDS for ask in ASKS]
        fw.predict(texts, at=AT, ids=[f"r{i}" for i in range(len(texts))])
        held = fw.spin(budget=40, at=AT, labeler=topic)
        assert "changed nothing in production" in held.receipt.line
        fw.promote(by="ana")
        after = fw.spins()[-1]
        assert (after.state, after.verdict) == ("done", held.verdict)
        assert after.receipt.uplift == shipped.uplift
        assert after.receipt.uplift.estimate > 0


@pytest.mark.slow
def test_a_folder_without_labels_is_told_what_to_do_and_is_not_stuck(tmp_path):
    with flywheel.open(tmp_path / "new", task="classification", **OPTIONS) as fw:
        with pytest.raises(NothingToLearn, match="no label yet"):
            fw.spin(budget=0, at=AT)
        fw.log_many({"input": f"{ask.format(w)} {i}", "at": AT} for i in range(3) for w in WORDS for ask in ASKS)
        spin = fw.spin(budget=40, at=AT, labeler=topic)
        assert spin.state == "done"
        assert spin.labels == 40


@pytest.mark.slow
def test_a_corrected_label_is_the_last_word_in_the_log(bot):
    bot.spin(budget=10, at=AT)
    item = bot.review_queue()[0]
    for minute, label in enumerate(["card", "loan", "card"]):
        bot.label(item.id, label, by="ana", at=AT + timedelta(minutes=minute))
    told = [fact.value for fact in bot._store.log.feedback_of([item.interaction_id]) if fact.kind == "label"]
    assert told == ["card", "loan", "card"]
