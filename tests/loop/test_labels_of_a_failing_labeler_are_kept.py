"""A labeler that fails half-way has not worked in vain."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import flywheel

AT = datetime(2026, 3, 1, tzinfo=UTC)


def test_what_was_answered_before_a_labeler_failed_is_kept(tmp_path):
    words = ["card", "refund"]
    texts = [f"{ask} {word}" for word in words for ask in ("where is my", "help with my", "i lost my", "new")]
    with flywheel.open(tmp_path / "a", task="classification") as fw:
        fw.seed(texts, [text.split()[-1] for text in texts], at=AT)
        fw.spin(budget=0, at=AT)
        fw.predict([f"{text} please {n}" for n, text in enumerate(texts * 3)], at=AT)
        given = []

        def person(item):
            if len(given) == 4:
                raise RuntimeError("the screen went dark")
            given.append(item.id)
            return item.input.split()[-3]

        with pytest.raises(RuntimeError, match="dark"):
            fw.spin(budget=8, at=AT, labeler=person)
        answered = {item.id for item in fw._store.state.items(status="labelled")}
        assert answered == set(given)
        assert fw.spins()[-1].step == "label"
        assert fw.spin(at=AT, labeler=lambda item: item.input.split()[-3]).state == "done"
