"""Each kind of task goes through every step: seed, traffic, labels, training, the gate, a release, a receipt."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import flywheel
from flywheel.loop import STEPS

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def go_round(folder, task, first, later, *, wrong_when, budget=60):
    """Seed with `first`, answer `later`, complain where `wrong_when` says so, and spin with the true labels."""
    truth = {repr(x): y for x, y in [*first, *later]}
    with flywheel.open(folder, task=task, release={"registry": "folder"}) as fw:
        fw.seed([x for x, _ in first], [y for _, y in first], at=AT)
        opening = fw.spin(budget=0, at=AT)
        assert opening.verdict.decision == "promote", [c.line for c in opening.verdict.checks]
        answers = fw.predict(
            [x for x, _ in later], at=AT + timedelta(hours=1), ids=[f"r{i}" for i in range(len(later))]
        )
        before = sum(fw.task.correct(a.output, y) for a, (_, y) in zip(answers, later, strict=True))
        fw.feedback_many(
            {"interaction_id": a.id, "rating": -1, "at": AT + timedelta(hours=2)}
            for a, (_, y) in zip(answers, later, strict=True)
            if wrong_when(fw.task.correct(a.output, y))
        )
        spin = fw.spin(budget=budget, at=AT + timedelta(hours=5), labeler=lambda item: truth[repr(item.input)])
        assert spin.state == "done"
        assert set(spin.seconds) == set(STEPS)
        assert spin.labels == budget
        assert spin.receipt.line
        assert spin.verdict.decision == "promote", [
            (c.outcome, c.line) for c in spin.verdict.checks if c.outcome != "pass"
        ]
        again = fw.predict([x for x, _ in later], log=False)
        after = sum(fw.task.correct(a.output, y) for a, (_, y) in zip(again, later, strict=True))
        assert after > before
        return spin


@pytest.mark.slow
def test_regression_on_records(tmp_path):
    rng = np.random.default_rng(0)

    def house(city):
        size = round(float(rng.uniform(30, 200)), 1)
        price = size * {"north": 2.0, "south": 3.0, "coast": 7.0}[city] + 20
        return {"size": size, "city": city, "garden": bool(rng.integers(2))}, round(price, 1)

    first = [house(str(rng.choice(["north", "south"]))) for _ in range(300)]
    later = [house(str(rng.choice(["north", "south", "coast"], p=[0.3, 0.3, 0.4]))) for _ in range(300)]
    spin = go_round(
        tmp_path / "prices",
        "regression",
        first,
        later,
        wrong_when=lambda right: not right and rng.random() < 0.4,
        budget=90,  # 60 fix as much, and leave the gate unsure of a loss of 2 points on the suite
    )
    assert spin.modes


QUESTIONS = {
    "opening hours": ("we open at nine and close at six", ["when do you open", "opening times", "are you open now"]),
    "returns": ("send it back within thirty days", ["how do i return this", "send back my order", "return policy"]),
    "shipping": ("shipping takes three working days", ["how long is shipping", "when will it arrive", "delivery time"]),
}
FILLERS = ["please", "today", "hello", "thanks", "quickly", "for my order", "in berlin", "on sunday", "online", "again"]


def conversations(topics):
    return [(f"{ask} {filler}", QUESTIONS[t][0]) for t in topics for ask in QUESTIONS[t][1] for filler in FILLERS]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["generation", "ranking"])
def test_generation_and_ranking(tmp_path, task):
    rng = np.random.default_rng(1)
    known, everything = conversations(["opening hours", "returns"]), conversations(QUESTIONS)
    if task == "ranking":
        known = [(x, y.split()[:4]) for x, y in known]
        everything = [(x, y.split()[:4]) for x, y in everything]
    later = [(f"{x} no {i}", y) for i, (x, y) in enumerate(everything * 3)]
    go_round(tmp_path / task, task, known, later, wrong_when=lambda right: not right and rng.random() < 0.4)


@pytest.mark.slow
def test_a_model_that_was_adopted_is_what_candidates_must_beat(tmp_path):
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    images, digits = load_digits(return_X_y=True)
    known = digits[:400] < 8
    mine = LogisticRegression(max_iter=2000).fit(images[:400][known], digits[:400][known])
    with flywheel.open(tmp_path / "adopted", task="classification", release={"registry": "folder"}) as fw:
        release = fw.adopt(mine, at=AT)
        assert release.role == "champion"
        fw.seed(images[:400][known].tolist(), [int(y) for y in digits[:400][known]], at=AT)
        answers = fw.predict(images[600:1000].tolist(), at=AT, ids=[f"r{i}" for i in range(400)])
        assert answers[0].version == release.version
        truth = {tuple(x): int(y) for x, y in zip(images.tolist(), digits, strict=True)}
        spin = fw.spin(budget=100, at=AT + timedelta(hours=5), labeler=lambda item: truth[tuple(item.input)])
        assert spin.state == "done"
        assert spin.verdict.failures > 10
        assert spin.verdict.fixed > spin.verdict.broke
        names = {check.name: check for check in spin.verdict.checks}
        assert "audit" in names["superiority"].line, "without a placebo only random labels are fair"


@pytest.mark.slow
def test_a_log_without_a_champion_is_beaten_or_not_by_what_it_logged(tmp_path):
    rng = np.random.default_rng(2)
    first, later = conversations(["opening hours", "returns"]), conversations(QUESTIONS) * 3
    truth = {}
    with flywheel.open(tmp_path / "logged", task="classification", release={"registry": "folder"}) as fw:
        fw.seed([x for x, _ in first], [y for _, y in first], at=AT)
        for start in range(0, len(later), 90):
            rows = [(f"{x} no {start + i}", y) for i, (x, y) in enumerate(later[start : start + 90])]
            truth |= dict(rows)
            outputs = [y if rng.random() < 0.3 else "please call us" for _, y in rows]
            fw.log_many(
                {"id": f"r{x}", "input": x, "output": o, "at": AT} for (x, _), o in zip(rows, outputs, strict=True)
            )
        spin = fw.spin(budget=100, at=AT, labeler=lambda item: truth[item.input])
        assert spin.verdict.decision == "promote", [
            (c.outcome, c.line) for c in spin.verdict.checks if c.outcome != "pass"
        ]
        assert fw.predict(["when do you open please"], log=False)[0].output == QUESTIONS["opening hours"][0]
