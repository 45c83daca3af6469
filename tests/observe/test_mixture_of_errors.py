"""Groups of alike texts and vectors that fail: the mixture's answers, findings with names, and quiet."""

import numpy as np
import pytest
from slice_window import failing, window

from flywheel.errors import InvalidConfig
from flywheel.observe.slices import error_mixture, vector_slices

TOPICS = (
    ("card", "lost", "stolen"),
    ("loan", "rate", "interest"),
    ("transfer", "abroad", "fee"),
    ("login", "password", "reset"),
    ("grüezi", "merci", "znüni"),
)


def talk(n, seed=0, rate=0.4):
    """Texts on five topics, their vectors, and losses: the last and smallest topic fails at `rate`."""
    rng = np.random.default_rng([seed, 3])
    topic = rng.choice(5, n, p=[0.3, 0.25, 0.2, 0.17, 0.08])
    vectors = rng.normal(0, 1, (5, 12))[topic] + rng.normal(0, 0.5, (n, 12))
    texts = [f"{' '.join(rng.choice(TOPICS[t], 2))} please {rng.choice(['help', 'now', 'thanks'])}" for t in topic]
    loss = (rng.random(n) < np.where(topic == 4, rate, 0.08)).astype(float)
    return topic, [f"i{row}" for row in range(n)], vectors, texts, loss


def test_the_failing_topic_is_found_and_named_by_its_words():
    topic, ids, vectors, texts, loss = talk(3000)
    seen = window({"context.device": ["ios"] * 3000}, texts=texts)
    (one,) = vector_slices(seen, failing(loss), (ids, vectors))
    ((about, words),) = one.where.conditions
    assert about == "about"
    assert set(words.split(", ")) == set(TOPICS[4])
    assert one.value == pytest.approx(0.4, abs=0.12)
    assert one.interval.low < 0.32 < one.interval.high
    typical = one.evidence[-1].rpartition("typical: ")[2].split(", ")
    assert {topic[int(i[1:])] for i in typical} == {4}
    assert "SELECT" in one.query


def test_without_words_a_group_is_named_by_its_most_typical():
    topic, ids, vectors, _, loss = talk(3000)
    (one,) = vector_slices(
        window({"context.device": ["ios"] * 3000}), failing(loss), dict(zip(ids, vectors, strict=True))
    )
    ((like, typical),) = one.where.conditions
    assert like == "like"
    assert topic[int(typical[1:])] == 4


def test_losses_part_what_vectors_alone_do_not():
    """One cloud, whose right side fails: with losses the components split there, whatever the vectors say."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 1, (2000, 2))
    loss = (rng.random(2000) < np.where(vectors[:, 0] > 1, 0.9, 0.05)).astype(float)
    aware, blind = (error_mixture(vectors, loss, k=2, gamma=gamma).failing for gamma in (2.0, 0.0))
    assert aware[0] - aware[1] > 0.7
    assert aware[0] - aware[1] > blind[0] - blind[1] + 0.2


def test_memberships_are_shares_and_the_worst_comes_first():
    _, _, vectors, _, loss = talk(800)
    found = error_mixture(vectors, loss, ["a", "b"] * 400, k=6, seed=3)
    assert np.allclose(found.membership.sum(axis=1), 1)
    assert found.share.sum() == pytest.approx(1)
    assert (np.diff(found.failing) <= 1e-9).all()
    assert found.answers.shape == (6, 3)
    again = error_mixture(vectors, loss, ["a", "b"] * 400, k=6, seed=3)
    assert (found.membership == again.membership).all()


def test_new_rows_are_placed_without_a_look_at_their_losses():
    topic, _, vectors, _, loss = talk(2000)
    found = error_mixture(vectors[:1000], loss[:1000], k=10)
    placed = found.place(vectors[1000:])
    assert placed.shape == (1000, 10)
    rates = np.array([loss[1000:][placed.argmax(axis=1) == c].mean() for c in np.unique(placed.argmax(axis=1))])
    assert rates.max() > 0.25
    assert set(topic[1000:][placed.argmax(axis=1) == np.unique(placed.argmax(axis=1))[rates.argmax()]]) == {4}


def test_what_does_not_fit_is_named():
    with pytest.raises(InvalidConfig, match="3 outputs and 2 losses"):
        error_mixture(np.zeros((2, 2)), [0, 1], ["a", "b", "c"])
    with pytest.raises(InvalidConfig, match="between 0 and 7"):
        error_mixture(np.zeros((2, 2)), [0, 7])
    with pytest.raises(InvalidConfig, match="for 1 ids"):
        vector_slices(window({"context.a": ["x"]}), failing([1.0]), (["i0"], np.zeros((2, 2))))


def test_too_few_vectors_say_nothing():
    _, ids, vectors, _, loss = talk(60)
    assert vector_slices(window({"context.a": ["x"] * 60}), failing(loss), (ids, vectors)) == []


@pytest.mark.slow
def test_quiet_and_power():
    """20 windows where the topic fails like the others, 20 where it fails 32 points more often."""
    told = hits = 0
    for seed in range(20):
        for rate in (0.08, 0.4):
            _, ids, vectors, texts, loss = talk(2500, seed, rate)
            seen = window({"context.device": ["ios"] * 2500}, texts=texts, seed=seed)
            found = vector_slices(seen, failing(loss), (ids, vectors), seed=seed)
            told += bool(found) and rate == 0.08
            hits += any(set(one.where.conditions[0][1].split(", ")) == set(TOPICS[4]) for one in found)
    assert told <= 2
    assert hits >= 18
