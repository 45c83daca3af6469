"""Failures are whole records with evidence in words; more than the limit are sampled, always the same ones."""

from collections import Counter

import pytest
from diagnose_window import WindowOf as window_of

from flywheel.config import DetectSettings
from flywheel.diagnose import detect, failures, signs


class Exact:
    name = "classification"

    def correct(self, output, truth):
        return output == truth


def found_in(window, **options):
    return failures(window, detect(signs(window, DetectSettings())), **options)


def test_evidence_says_why_strongest_first():
    window = window_of(
        [
            {"input": "where is my card", "output": "a", "confidence": 0.4, "context": {"device": "ios"}},
            {"output": "a"},
        ],
        [
            {"of": "i1", "kind": "rating", "value": -1},
            {"of": "i1", "kind": "label", "value": "b", "source": "reviewer"},
        ],
    )
    (failure,) = found_in(window)
    assert failure.interaction_id == "i1"
    assert (failure.input, failure.output, failure.label) == ("where is my card", "a", "b")
    assert failure.context == {"device": "ios"}
    assert [e.kind for e in failure.evidence] == ["label_wrong", "negative_rating", "doubt"]
    assert "40% confident" in failure.evidence[2].detail
    assert failure.evidence[0].weight > failure.evidence[1].weight > failure.evidence[2].weight > 0


@pytest.mark.parametrize("order", [("reviewer", "judge"), ("judge", "reviewer")])
def test_what_a_person_says_is_shown_before_what_a_judge_says(order):
    said = {"reviewer": "b", "judge": "c"}
    labels = [{"of": "i1", "kind": "label", "value": said[source], "source": source} for source in order]
    (failure,) = found_in(window_of([{"output": "a"}, {"output": "a"}], labels))
    assert failure.label == "b"


def test_a_sample_is_deterministic_moves_with_the_seed_and_is_uniform():
    window = window_of([{"error": "boom", "confidence": 0.2} for _ in range(400)])
    one, again, other = ({f.interaction_id for f in found_in(window, limit=100, seed=seed)} for seed in (1, 1, 2))
    assert one == again
    assert len(one) == len(other) == 100
    assert one != other


@pytest.mark.slow
def test_the_sample_is_uniform():
    """Each interaction is drawn about as often as any other when the seed changes."""
    window = window_of([{"error": "boom", "confidence": 0.2} for _ in range(60)])
    detected = detect(signs(window, DetectSettings()))
    drawn = Counter(f.interaction_id for s in range(60) for f in failures(window, detected, limit=20, seed=s))
    assert len(drawn) == 60
    assert min(drawn.values()) >= 8
    assert max(drawn.values()) <= 32


def test_labels_decide_whatever_the_signs_say():
    window = window_of(
        [{"output": "a", "confidence": 0.99}, {"output": "a", "error": "x"}, {"output": "a", "confidence": 0.99}]
    )
    found = found_in(window, labels={"i1": "b", "i2": "a", "gone": "b"}, task=Exact())
    assert [(f.interaction_id, f.label, f.probability) for f in found] == [("i1", "b", 0.99)]


def test_the_likeliest_come_first_and_none_is_below_the_threshold():
    window = window_of([{"confidence": c / 100} for c in range(1, 100, 7)])
    found = found_in(window, threshold=0.3)
    p = [f.probability for f in found]
    assert p == sorted(p, reverse=True)
    assert 0.3 <= p[-1] < 0.4
