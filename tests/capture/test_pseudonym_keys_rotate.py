"""Keys of pseudonyms: a new one, the old ones kept as long as they are needed, none lost by a kill."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from flywheel.capture import identity
from flywheel.capture.identity import (
    forget_pseudonyms,
    known_as,
    pseudonym,
    pseudonym_key,
    pseudonym_ring,
    rotate_pseudonyms,
)
from flywheel.errors import CorruptStore

AT = datetime(2026, 3, 1, tzinfo=UTC)


class State:
    """The settings of a flywheel, in memory."""

    def __init__(self):
        self.kept = {}
        self.writes_left = None

    def get(self, key, default=None):
        return self.kept.get(key, default)

    def set(self, key, value):
        if self.writes_left == 0:
            raise InterruptedError("killed")
        if self.writes_left is not None:
            self.writes_left -= 1
        self.kept[key] = value


def test_the_old_key_is_kept_in_the_ring(tmp_path):
    state = State()
    first = pseudonym_key(tmp_path, state)
    rotate_pseudonyms(tmp_path, state, AT)
    second = pseudonym_key(tmp_path, state)
    rotate_pseudonyms(tmp_path, state, AT + timedelta(days=1))
    third = pseudonym_key(tmp_path, state)
    assert len({first, second, third}) == 3
    assert pseudonym_ring(tmp_path, state) == [third, second, first]
    assert {pseudonym(key, "ana") for key in (first, second, third)} <= set(known_as("ana", [first, second, third]))
    for path in (tmp_path / "pseudonym.keys").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "pseudonym.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("writes", range(4))
def test_a_rotation_cut_off_between_any_two_writes_loses_no_key(tmp_path, writes):
    state = State()
    first = pseudonym_key(tmp_path, state)
    state.writes_left = writes
    with contextlib.suppress(InterruptedError):
        rotate_pseudonyms(tmp_path, state, AT)
    state.writes_left = None
    now = pseudonym_key(tmp_path, state)  # a process that opens the folder afterwards
    assert first in pseudonym_ring(tmp_path, state)
    assert now == first or len(pseudonym_ring(tmp_path, state)) == 2
    rotate_pseudonyms(tmp_path, state, AT + timedelta(days=1))
    assert {first, now} <= set(pseudonym_ring(tmp_path, state))


def test_a_foreign_key_is_still_noticed_after_a_rotation(tmp_path):
    state = State()
    rotate_pseudonyms(tmp_path, state, AT)
    (tmp_path / "pseudonym.key").write_bytes(b"x" * 32)
    with pytest.raises(CorruptStore, match="not the key"):
        pseudonym_key(tmp_path, state)


def test_a_key_missing_from_the_ring_is_told(tmp_path):
    state = State()
    rotate_pseudonyms(tmp_path, state, AT)
    (kept,) = (tmp_path / "pseudonym.keys").iterdir()
    kept.write_bytes(b"y" * 32)
    with pytest.raises(CorruptStore, match="forget --older-than"):
        pseudonym_ring(tmp_path, state)


def test_old_keys_can_be_destroyed(tmp_path):
    state = State()
    pseudonym_key(tmp_path, state)
    rotate_pseudonyms(tmp_path, state, AT)
    rotate_pseudonyms(tmp_path, state, AT + timedelta(days=10))
    assert len(forget_pseudonyms(tmp_path, state, AT + timedelta(days=5))) == 1
    assert len(pseudonym_ring(tmp_path, state)) == 2
    assert len(list((tmp_path / "pseudonym.keys").iterdir())) == 1
    assert forget_pseudonyms(tmp_path, state, AT + timedelta(days=5)) == []


def test_nothing_but_the_standard_library_is_needed():
    assert {name for name in vars(identity) if name in ("sqlalchemy", "msgspec", "pyarrow")} == set()
