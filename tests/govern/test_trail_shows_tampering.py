"""The audit trail is whole, or says which line is not."""

from __future__ import annotations

import hashlib
import multiprocessing
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.config import Config
from flywheel.errors import CorruptStore, InvalidRecord
from flywheel.govern import Trail
from flywheel.store import Store

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Page:
    """A state with nothing but a trail, which a test can write on."""

    def __init__(self):
        self.entries = []

    def append_trail(self, following):
        self.entries.append(following(self.entries[-1] if self.entries else None))

    def trail(self):
        return [dict(entry) for entry in self.entries]


def _filled(n=5):
    page = Page()
    for i in range(n):
        Trail(page).record("promote", f"v{i}", by="gate", at=AT, detail={"spin": i})
    return page


def test_recorded_lines_are_whole_after_reopening(tmp_path):
    store = Store.open(tmp_path, Config())
    trail = Trail(store.state)
    trail.verify()
    first = trail.record("promote", "v1", by="gate", at=AT, detail={"verdict": "promote", "é": [1, None]})
    trail.record("rollback", "v1", by="ana", at=AT)
    store.close()
    store = Store.open(tmp_path, Config())
    trail = Trail(store.state)
    assert [line["action"] for line in trail.lines()] == ["promote", "rollback"]
    assert trail.lines()[0] == first
    trail.verify(head=first["hash"])
    trail.verify(head=trail.head())
    store.close()


def test_known_hash():
    """The chain's form must not change: trails that exist have to stay provable."""
    line = Trail(_filled(0)).record("promote", "v1", by="gate", at=AT, detail={"a": 1})
    text = (
        '{"action":"promote","at":"2026-01-01T00:00:00Z","by":"gate","detail":{"a":1},"number":1,'
        '"previous":"0000000000000000000000000000000000000000000000000000000000000000","subject":"v1"}'
    )
    assert line["hash"] == hashlib.sha256(text.encode()).hexdigest()


@given(st.integers(0, 4), st.sampled_from(["number", "at", "action", "subject", "by", "detail", "previous", "hash"]))
def test_any_changed_field_is_found(place, field):
    page = _filled()
    page.entries[place][field] = {"number": 9, "detail": {"spin": 9}}.get(field, "changed")
    with pytest.raises(CorruptStore, match=f"line {place + 1} "):
        Trail(page).verify()


@given(st.integers(0, 4))
def test_a_missing_line_is_found(place):
    page = _filled()
    head = Trail(page).head()
    del page.entries[place]
    if place < 4:
        with pytest.raises(CorruptStore, match=f"line {place + 1} "):
            Trail(page).verify()
    else:  # at the end only the head that was kept elsewhere tells
        Trail(page).verify()
        with pytest.raises(CorruptStore, match="missing at its end"):
            Trail(page).verify(head)


def test_swapped_and_stripped_lines_are_found():
    page = _filled()
    page.entries[1], page.entries[2] = page.entries[2], page.entries[1]
    with pytest.raises(CorruptStore, match="line 2 "):
        Trail(page).verify()
    page = _filled()
    del page.entries[3]["by"]
    with pytest.raises(CorruptStore, match="line 4 of the audit trail has no by"):
        Trail(page).verify()


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("action", {"action": ""}),
        ("by", {"by": None}),
        ("at", {"at": datetime(2026, 1, 1)}),  # noqa: DTZ001
        ("detail", {"detail": {"a": object()}}),
        ("detail", {"detail": {"a": float("nan")}}),
    ],
)
def test_bad_lines_are_refused(field, values):
    page = Page()
    with pytest.raises(InvalidRecord) as refused:
        Trail(page).record(**{"action": "promote", "subject": "v1", "by": "ana", "at": AT, **values})
    assert refused.value.field == field
    assert page.entries == []


def _write(folder):
    store = Store.open(folder, Config())
    for n in range(20):
        Trail(store.state).record("label", str(n), by="ana", at=AT)
    store.close()


@pytest.mark.fault
def test_processes_write_one_chain(tmp_path):
    Store.open(tmp_path, Config()).close()
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(_write, [tmp_path] * 3)
    store = Store.open(tmp_path, Config())
    Trail(store.state).verify()
    assert len(Trail(store.state).lines()) == 60
    store.close()
