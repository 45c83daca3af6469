"""Every sign of failure says what it claims, and nothing else."""

import pytest
from diagnose_window import WindowOf as window_of

from flywheel import diagnose
from flywheel.config import DetectSettings
from flywheel.diagnose.detectors import Repeated, Slow
from flywheel.diagnose.evidence import context_shares
from flywheel.errors import InvalidConfig


def rows_of(table):
    return {row["id"]: row for row in table.to_pyarrow().to_pylist()}


def test_each_kind_of_feedback_is_its_own_sign():
    window = window_of(
        [{"output": "a", "confidence": 0.8} for _ in range(9)],
        [
            {"of": "i1", "kind": "rating", "value": -1},
            {"of": "i2", "kind": "rating", "value": 1},
            {"of": "i3", "kind": "report", "value": "it invents a refund"},
            {"of": "i4", "kind": "comment", "value": "This is wrong."},
            {"of": "i5", "kind": "label", "value": "b", "source": "reviewer"},
            {"of": "i6", "kind": "label", "value": "a", "source": "system"},
            {"of": "i7", "kind": "label", "value": "b", "source": "user"},
            {"of": "elsewhere", "kind": "rating", "value": -1},
        ],
    )
    found = rows_of(diagnose.signs(window, DetectSettings(), []))
    assert len(found) == 9
    marked = {
        key: {s for s in row if s not in ("id", "seq", "rand", "at", "doubt") and row[s]} for key, row in found.items()
    }
    assert marked == {
        "i1": {"negative_rating"},
        "i2": {"positive_rating"},
        "i3": {"report"},
        "i4": {"negative_comment"},
        "i5": {"label_wrong"},
        "i6": {"label_right"},
        "i7": {"label_wrong"},
        "i8": set(),
        "i9": set(),
    }
    assert found["i5"]["label_wrong"] == 1.0
    assert found["i7"]["label_wrong"] == 0.8
    assert found["i8"]["doubt"] == pytest.approx(0.2)


def test_the_last_word_counts_and_a_reviewer_outweighs_a_user():
    window = window_of(
        [{"output": "a"}, {"output": "a"}, {"output": "a"}],
        [
            {"of": "i1", "kind": "rating", "value": -1},
            {"of": "i1", "kind": "rating", "value": 1},
            {"of": "i2", "kind": "label", "value": "b", "source": "reviewer"},
            {"of": "i2", "kind": "label", "value": "a", "source": "reviewer"},
            {"of": "i3", "kind": "label", "value": "a", "source": "reviewer"},
            {"of": "i3", "kind": "label", "value": "b", "source": "user"},
        ],
    )
    found = rows_of(diagnose.signs(window, DetectSettings()))
    assert found["i1"]["negative_rating"] == 0.0
    assert found["i2"]["label_right"] == 1.0
    assert found["i3"]["label_wrong"] == 0.0


def test_errors_and_slow_answers():
    window = window_of([{"error": "Timeout"}, {"error": ""}, {"latency_ms": 900.0}, {"latency_ms": 100.0}, {}])
    found = rows_of(diagnose.signs(window, DetectSettings(latency_ms=500.0)))
    assert [found[f"i{k}"]["error"] for k in range(1, 6)] == [1, 0, 0, 0, 0]
    assert [found[f"i{k}"]["slow"] for k in range(1, 6)] == [0, 0, 1, 0, 0]
    assert all(row["slow"] == 0 for row in rows_of(diagnose.signs(window, DetectSettings())).values())


@pytest.mark.parametrize(
    ("comment", "complains"),
    [
        ("That is wrong", True),
        ("not helpful at all", True),
        ("It doesn't understand me", True),
        ("it didn’t help", True),
        ("Das ist falsch", True),
        ("worst bot ever!", True),
        ("not bad!", False),
        ("no problem, thanks", False),
        ("nothing wrong here", False),
        ("great, thank you", False),
        ("what is the rate for badminton courts", False),
        ("I work at a bank", False),
    ],
)
def test_a_complaint_is_told_from_praise(comment, complains):
    window = window_of([{}], [{"of": "i1", "kind": "comment", "value": comment}])
    assert rows_of(diagnose.signs(window, DetectSettings()))["i1"]["negative_comment"] == float(complains)


class Near:
    """A regression task: right within a tolerance."""

    name = "regression"
    tolerance = 0.5

    def correct(self, output, truth):
        return abs(output - truth) <= self.tolerance


class AnyCase:
    """A task of its own that does not mind capitals."""

    name = "shouting"

    def correct(self, output, truth):
        return str(output).lower() == str(truth).lower()


def test_the_task_says_what_differs():
    label = {"kind": "label", "source": "system"}
    numbers = window_of(
        [{"output": 3.0}, {"output": 3}, {"output": 3}],
        [{"of": "i1", "value": 3, **label}, {"of": "i2", "value": 3.4, **label}, {"of": "i3", "value": 9, **label}],
    )
    assert [r["label_wrong"] for r in rows_of(diagnose.signs(numbers, DetectSettings(), task=Near())).values()] == [
        0,
        0,
        1,
    ]
    assert [r["label_wrong"] for r in rows_of(diagnose.signs(numbers, DetectSettings())).values()] == [0, 1, 1]
    words = window_of(
        [{"output": "A"}, {"output": "A"}], [{"of": "i1", "value": "a", **label}, {"of": "i2", "value": "b", **label}]
    )
    assert [r["label_wrong"] for r in rows_of(diagnose.signs(words, DetectSettings(), task=AnyCase())).values()] == [
        0,
        1,
    ]


def test_detector_plugins_add_a_column_each():
    asked = [
        {"input": "where is my card", "user": "u1", "latency_ms": 100.0},
        {"input": "where is my card?", "user": "u1", "latency_ms": 100.0},
        {"input": "where is my card", "user": "u2", "latency_ms": 2000.0},
        {"input": "top up failed", "user": "u2", "latency_ms": 100.0},
        {"input": "top up failed", "latency_ms": 100.0},
    ]
    found = rows_of(diagnose.signs(window_of(asked), DetectSettings(), [Repeated(), Slow()]))
    assert found["i1"]["repeated"] > 0.8
    assert [found[f"i{k}"]["repeated"] for k in (2, 3, 4, 5)] == [0, 0, 0, 0]
    assert [found[f"i{k}"]["slow"] for k in range(1, 6)] == [0, 0, 1, 0, 0]


def test_a_repetition_later_than_a_minute_is_a_new_question():
    from datetime import UTC, datetime, timedelta

    start = datetime(2026, 1, 1, tzinfo=UTC)
    asked = [{"input": [1, 2], "session": "s", "at": start + timedelta(seconds=s)} for s in (0, 50, 200)]
    found = rows_of(diagnose.signs(window_of(asked), DetectSettings(), [Repeated()]))
    assert [found[f"i{k}"]["repeated"] for k in (1, 2, 3)] == [1, 0, 0]


def test_a_detector_may_not_take_a_columns_name():
    detector = Slow()
    detector.name = "id"
    with pytest.raises(InvalidConfig, match="'id'"):
        diagnose.signs(window_of([{}]), DetectSettings(), [detector])


def test_an_empty_window_has_no_signs():
    assert diagnose.signs(window_of([]), DetectSettings()).count().to_pyarrow().as_py() == 0


def test_context_shares_count_words_and_flags():
    seen = [{"context": {"device": "ios", "beta": True, "age": 3}}] * 3 + [{"context": {"device": "web"}}]
    assert context_shares(window_of([dict(one) for one in seen])) == {
        "beta=true": 0.75,
        "device=ios": 0.75,
        "device=web": 0.25,
    }
