"""Ids sort by time and never repeat; pseudonyms are stable, keyed, and their key is safe."""

# ruff: noqa: F811  (fixtures are imported by name)

from __future__ import annotations

import hashlib
import hmac
import multiprocessing
import os
import stat
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from recorder_fixtures import recorder, store  # noqa: F401

from flywheel.capture import Recorder, new_id, pseudonym_key
from flywheel.capture.identity import pseudonym
from flywheel.capture.redact import Nothing, Patterns
from flywheel.errors import CorruptStore


def test_ids_are_version_7_and_rise():
    ids = [new_id() for _ in range(20_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    one = uuid.UUID(ids[0])
    assert (one.version, one.variant) == (7, uuid.RFC_4122)
    age = datetime.now(UTC) - datetime.fromtimestamp((one.int >> 80) / 1000, UTC)
    assert timedelta(0) <= age < timedelta(minutes=1)


def test_an_id_carries_the_moment_it_is_told():
    at = datetime(2020, 5, 17, 3, tzinfo=UTC)
    ids = [new_id(at) for _ in range(1000)]
    assert {uuid.UUID(key).int >> 80 for key in ids} == {int(at.timestamp() * 1000)}
    assert ids == sorted(set(ids))
    assert new_id(at - timedelta(days=1)) < ids[0] < new_id()


def test_threads_never_get_the_same_id():
    with ThreadPoolExecutor(8) as pool:
        ids = [key for part in pool.map(lambda _: [new_id() for _ in range(500)], range(16)) for key in part]
    assert len(set(ids)) == 8000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_go_on_where_its_parent_does():
    at = datetime(2020, 1, 1, tzinfo=UTC)
    new_id(at)
    children = []
    for _ in range(2):
        with multiprocessing.get_context("fork").Pool(1) as pool:
            children.append(pool.apply(_tails, [at]))
    tails = [uuid.UUID(new_id(at)).int & ((1 << 62) - 1), *children]
    # Counting on from a shared place would keep them within a few steps of 2**32 of each other.
    assert min(abs(a - b) for n, a in enumerate(tails) for b in tails[:n]) > 2**36


def _tails(at):
    return uuid.UUID(new_id(at)).int & ((1 << 62) - 1)


def test_pseudonym_is_the_hmac_of_the_name():
    key = bytes(range(32))
    expected = hmac.new(key, b"ana@example.org", hashlib.sha256).hexdigest()[:32]
    assert pseudonym(key, "ana@example.org") == f"u_{expected}"
    assert pseudonym(key, "bob") != pseudonym(key, "ana@example.org")
    assert pseudonym(bytes(32), "bob") != pseudonym(key, "bob")


def test_users_are_stored_as_pseudonyms_that_stay_the_same(recorder, store):
    a, b = recorder.log(input="x", user="ana"), recorder.log(input="y", user="ana")
    again = Recorder(
        store.log, redactor=Nothing(), pseudonym_key=pseudonym_key(store.folder, store.state), max_record_bytes=10_000
    )
    c, other = again.log(input="z", user="ana"), again.log(input="z", user="bob")
    seen = store.log.interactions([a, b, c, other])
    assert seen[a].user == seen[b].user == seen[c].user != seen[other].user
    assert "ana" not in seen[a].user


def test_another_product_gives_the_same_user_another_pseudonym(tmp_path):
    assert pseudonym(pseudonym_key(tmp_path / "a"), "ana") != pseudonym(pseudonym_key(tmp_path / "b"), "ana")


def test_without_pseudonyms_a_user_is_stored_as_given_unless_it_is_personal_data(store):
    plain = Recorder(store.log, redactor=Patterns(), pseudonym_key=None, max_record_bytes=10_000)
    a, b = plain.log(input="x", user="u1"), plain.log(input="x", user="ana@example.org")
    seen = store.log.interactions([a, b])
    assert seen[a].user == "u1"
    assert seen[b].user.startswith("id_")


def test_key_is_for_its_owner_alone(tmp_path):
    key = pseudonym_key(tmp_path)
    path = tmp_path / "pseudonym.key"
    assert path.read_bytes() == key
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert pseudonym_key(tmp_path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["pseudonym.key"]


def test_threads_that_begin_at_once_agree_on_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: pseudonym_key(tmp_path), range(32)))) == 1


def test_a_lost_a_swapped_and_a_broken_key_are_noticed(store):
    pseudonym_key(store.folder, store.state)
    path = store.folder / "pseudonym.key"
    good = path.read_bytes()
    path.write_bytes(bytes(32))
    with pytest.raises(CorruptStore, match="not the key"):
        pseudonym_key(store.folder, store.state)
    path.write_bytes(good[:5])
    with pytest.raises(CorruptStore, match="5 bytes"):
        pseudonym_key(store.folder, store.state)
    path.unlink()
    with pytest.raises(CorruptStore, match="missing"):
        pseudonym_key(store.folder, store.state)
    path.write_bytes(good)
    assert pseudonym_key(store.folder, store.state) == good
