"""What users say the right answer was: believed where it is likely, half as heavy, and never part of a proof."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import flywheel

AT = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = ["card", "refund", "loan", "pin", "fee", "limit", "transfer", "cash"]
ASKS = ["where is my {}", "help with my {}", "i lost my {}", "new {} please", "cancel the {}", "my {} is late"]


def spun(folder, told, **settings):
    with flywheel.open(folder, task="classification", curate=settings) as fw:
        fw.seed([ask.format(w) for w in WORDS for ask in ASKS], [w for w in WORDS for _ in ASKS], at=AT)
        fw.spin(budget=0, at=AT)
        inputs = [f"the {a} and the {b}" for a in WORDS for b in WORDS if a != b]
        answers = fw.predict(inputs, at=AT + timedelta(hours=1), ids=[f"i{n}" for n in range(len(inputs))])
        fw.feedback_many(told(inputs, [answer.output for answer in answers]))
        fw.spin(budget=8, at=AT + timedelta(days=1), labeler=lambda item: item.input.split()[1])
        dataset = fw._store.state.living_dataset(fw.datasets()[-1].hash)
        candidate = fw._store.state.candidate(f"v{fw.spins()[-1].number}")
        return {e.interaction_id: e for e in dataset.examples if e.origin == "user"}, candidate


def told(inputs, outputs):
    """Whoever asked about two things and was answered one meant the other; some name what nobody asked about."""
    for n, (asked, output) in enumerate(zip(inputs, outputs, strict=True)):
        meant = next(word for word in (asked.split()[1], asked.split()[4]) if word != output)
        if n % 3 == 0:
            yield {"interaction_id": f"i{n}", "label": meant, "source": "user"}
        elif n % 3 == 1:
            yield {"interaction_id": f"i{n}", "label": "mortgage", "source": "user"}
        elif n % 6 == 2:
            yield {"interaction_id": f"i{n}", "label": output, "source": "user"}
        else:
            yield {"interaction_id": f"i{n}", "label": meant, "source": "user"}
            yield {"interaction_id": f"i{n}", "label": "mortgage", "source": "user"}


def test_a_likely_correction_is_learnt_from_and_others_are_not(tmp_path):
    believed, (_, extra) = spun(tmp_path / "a", told)
    assert len(believed) >= 10
    assert all(int(key[1:]) % 3 == 0 for key in believed), "unknown, confirmed and contradicted answers are no examples"
    assert {example.weight for example in believed.values()} <= {0.5} or all(e.weight < 0.5 for e in believed.values())
    assert not {example.id for example in believed.values()} & set(extra["answers"]), "they prove nothing"
    assert not {example.id for example in believed.values()} & set(extra["placebo"] or {})


@pytest.mark.slow
def test_a_reviewer_is_believed_instead(tmp_path):
    believed, _ = spun(tmp_path / "a", told)
    with flywheel.open(tmp_path / "a") as fw:
        reviewed = {item.interaction_id for item in fw._store.state.items() if item.status == "labelled"}
    assert not set(believed) & reviewed


@pytest.mark.slow
def test_it_can_be_switched_off(tmp_path):
    assert spun(tmp_path / "a", told, corrections=False)[0] == {}


@pytest.mark.slow
def test_the_same_corrections_make_the_same_dataset(tmp_path):
    assert spun(tmp_path / "a", told)[0] == spun(tmp_path / "b", told)[0]
