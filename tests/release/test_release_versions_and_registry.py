"""One champion at every moment; the registry follows; the way back is always open."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flywheel.config import Config
from flywheel.errors import CorruptStore, InvalidRecord, NotFound, StoreUnavailable
from flywheel.records import Candidate
from flywheel.release import FolderRegistry, MlflowRegistry, Releases
from flywheel.store import Store

AT = datetime(2026, 1, 1, tzinfo=UTC)


def candidate(n: int) -> Candidate:
    return Candidate(version=f"v{n}", dataset=f"d{n}", trainer="text", folder=f"models/v{n}", spin=n)


@pytest.fixture
def store(tmp_path):
    opened = Store.open(tmp_path, Config())
    yield opened
    opened.close()


@pytest.fixture
def releases(store):
    return Releases(store.state, FolderRegistry(store.folder))


def _roles(releases):
    return {release.version: release.role for release in releases.history()}


def test_nothing_at_first(releases):
    assert releases.champion() is None
    assert releases.champion_version() is None
    assert releases.challenger() is None
    assert releases.history() == []
    with pytest.raises(NotFound, match="no champion"):
        releases.rollback(AT, "ana")


def test_promotion_and_two_rollbacks(releases, store):
    for n in (1, 2, 3):
        released = releases.promote(candidate(n), AT + timedelta(days=n))
        assert (released.version, released.role, released.at) == (f"v{n}", "champion", AT + timedelta(days=n))
    assert releases.champion().replaced == "v2"
    assert _roles(releases) == {"v1": "retired", "v2": "retired", "v3": "champion"}

    assert releases.rollback(AT, "ana").version == "v2"
    assert releases.rollback(AT, "ana").version == "v1"
    assert _roles(releases) == {"v1": "champion", "v2": "retired", "v3": "retired"}
    assert FolderRegistry(store.folder).resolve("champion") == "v1"
    with pytest.raises(NotFound, match="v1 is the first release"):
        releases.rollback(AT, "ana")
    assert releases.champion_version() == "v1"

    releases.promote(candidate(4), AT)
    assert releases.champion().replaced == "v1"
    assert releases.rollback(AT, "ana").version == "v1"


def test_promoting_twice_is_promoting_once(releases):
    releases.promote(candidate(1), AT)
    first = releases.promote(candidate(2), AT)
    assert releases.promote(candidate(2), AT + timedelta(days=9)) == first
    assert first.replaced == "v1"
    assert len(releases.history()) == 2


def test_challenger(releases, store):
    releases.promote(candidate(1), AT)
    releases.challenge(candidate(2), AT)
    releases.challenge(candidate(3), AT)
    assert releases.challenger().version == "v3"
    assert _roles(releases) == {"v1": "champion", "v2": "retired", "v3": "challenger"}
    registry = FolderRegistry(store.folder)
    assert (registry.resolve("champion"), registry.resolve("challenger")) == ("v1", "v3")
    releases.promote(candidate(3), AT)
    assert releases.challenger() is None
    assert (registry.resolve("champion"), registry.resolve("challenger")) == ("v3", None)
    with pytest.raises(NotFound, match="champion already"):
        releases.challenge(candidate(3), AT)


def test_adopted_model(releases):
    adopted = releases.adopt("models/theirs", "theirs", AT)
    assert (adopted.role, adopted.trainer, adopted.folder) == ("champion", "adopted", "models/theirs")
    assert releases.champion() == adopted


def test_naive_time(releases):
    with pytest.raises(InvalidRecord, match="time zone"):
        releases.promote(candidate(1), datetime(2026, 1, 1))  # noqa: DTZ001
    assert releases.champion() is None


class Cut(BaseException):
    """Stands for a kill: nothing may catch it."""


class Cutting:
    """Lets through so many writes to what it stands for, then dies."""

    def __init__(self, inner, writes, names):
        self._inner, self._left, self._names = inner, writes, names

    def __getattr__(self, name):
        method = getattr(self._inner, name)
        if name not in self._names:
            return method

        def cutting(*args, **kwargs):
            if self._left[0] == 0:
                raise Cut
            self._left[0] -= 1
            return method(*args, **kwargs)

        return cutting


@pytest.mark.parametrize("verb", ["promote", "rollback", "challenge"])
@pytest.mark.parametrize("writes", range(7))
def test_a_change_cut_off_anywhere_leaves_one_champion_and_heals(verb, writes, store):
    registry = FolderRegistry(store.folder)
    whole = Releases(store.state, registry)
    whole.promote(candidate(1), AT)
    whole.promote(candidate(2), AT)
    left = [writes]
    cut = Releases(Cutting(store.state, left, {"set", "save_release"}), Cutting(registry, left, {"register", "alias"}))

    def change(releases):
        if verb == "rollback":
            return releases.rollback(AT, "ana")
        return getattr(releases, verb)(candidate(3), AT)

    try:
        change(cut)
    except Cut:
        champion = whole.champion()
        assert champion.version in ("v1", "v2", "v3")
        assert list(_roles(whole).values()).count("champion") == 1
        if verb == "rollback":
            whole.settle()
        else:
            change(whole)
    assert registry.resolve("champion") == whole.champion_version()
    expected = {"promote": ("v3",), "rollback": ("v1", "v2"), "challenge": ("v2",)}[verb]
    assert whole.champion_version() in expected
    assert not whole.settle()  # nothing is left to finish
    if verb == "promote":
        assert whole.champion().replaced == "v2"
        assert _roles(whole) == {"v1": "retired", "v2": "retired", "v3": "champion"}
    if verb == "challenge":
        assert registry.resolve("challenger") == "v3"


@pytest.mark.fault
def test_a_kill_between_the_state_and_the_alias_heals(store):
    program = (
        "import os, pathlib, signal, datetime\n"
        "from flywheel.config import Config\nfrom flywheel.records import Candidate\nfrom flywheel.store import Store\n"
        "from flywheel.release import FolderRegistry, Releases\n"
        "class Killed(FolderRegistry):\n"
        "    def alias(self, alias, version):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        f"store = Store.open(pathlib.Path({str(store.folder)!r}), Config())\n"
        "Releases(store.state, Killed(store.folder)).promote("
        "Candidate(version='v1', dataset='d1', trainer='text', folder='m', spin=1), "
        "datetime.datetime.now(datetime.UTC))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == -signal.SIGKILL
    registry = FolderRegistry(store.folder)
    releases = Releases(store.state, registry)
    assert releases.champion_version() == "v1"
    assert registry.resolve("champion") is None
    assert releases.promote(candidate(1), AT).version == "v1"
    assert registry.resolve("champion") == "v1"


def test_a_registry_that_does_not_answer_is_caught_up_later(store):
    registry = FolderRegistry(store.folder)

    class Down:
        def __getattr__(self, name):
            raise StoreUnavailable("down")

    with pytest.raises(StoreUnavailable):
        Releases(store.state, Down()).promote(candidate(1), AT)
    later = Releases(store.state, registry)
    assert later.champion_version() == "v1"  # the release stands
    later.promote(candidate(2), AT)
    assert registry.versions() == ["v1", "v2"]
    assert registry.resolve("champion") == "v2"


@pytest.fixture(params=["folder", pytest.param("mlflow", marks=pytest.mark.slow)])
def registry(request, tmp_path):
    return {"folder": FolderRegistry, "mlflow": MlflowRegistry}[request.param](tmp_path)


def test_registry_contract(registry, tmp_path, capfd, caplog):
    with caplog.at_level(logging.INFO):
        assert registry.versions() == []
        assert registry.resolve("champion") is None
        registry.alias("champion", None)
        for _ in range(2):
            registry.register("b", Path("models/b"), {"spin": "1"})
        registry.register("a", tmp_path / "models/a", {})
        assert registry.versions() == ["b", "a"]
        registry.alias("champion", "b")
        registry.alias("challenger", "a")
        registry.alias("champion", "a")
        assert (registry.resolve("champion"), registry.resolve("challenger")) == ("a", "a")
        registry.alias("challenger", None)
        registry.alias("challenger", None)
        assert registry.resolve("challenger") is None
        with pytest.raises(NotFound, match="'z' is not registered"):
            registry.alias("champion", "z")
        again = type(registry)(tmp_path)
        assert (again.versions(), again.resolve("champion")) == (["b", "a"], "a")
    out, err = capfd.readouterr()
    assert out == ""
    assert "INFO" not in err
    assert not [line for line in caplog.records if line.name.startswith(("mlflow", "alembic"))]


def test_registry_with_many_writers(registry):
    registry.register("first", Path("m"), {})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: registry.register(f"v{n % 5}", Path("m"), {}), range(20)))
    assert sorted(registry.versions()) == ["first", "v0", "v1", "v2", "v3", "v4"]


def test_a_broken_registry_file_is_named(tmp_path):
    registry = FolderRegistry(tmp_path)
    registry.register("a", Path("m"), {})
    path = tmp_path / "registry" / "versions.json"
    for bad in ("{", json.dumps([1])):
        path.write_text(bad)
        with pytest.raises(CorruptStore, match=r"versions\.json"):
            registry.versions()


@pytest.mark.slow
def test_others_see_the_champion_in_mlflow(tmp_path):
    registry = MlflowRegistry(tmp_path, name="bot: a/b's")
    registry.register("v1", Path("models/v1"), {"trainer": "text"})
    registry.alias("champion", "v1")
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'registry' / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    seen = client.get_model_version_by_alias("bot- a-b-s", "champion")
    assert seen.tags == {"trainer": "text", "flywheel.version": "v1"}
    assert seen.source == (tmp_path / "models" / "v1").as_uri()


@pytest.mark.slow
def test_an_mlflow_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(StoreUnavailable, match="nowhere"):
        MlflowRegistry(tmp_path, uri="nowhere://x").versions()


def test_asking_for_the_champion_never_loads_mlflow(tmp_path):
    program = (
        "import sys, pathlib\n"
        "from flywheel.config import Config\nfrom flywheel.store import Store\n"
        "from flywheel.release import MlflowRegistry, Predictor, Releases\n"
        f"store = Store.open(pathlib.Path({str(tmp_path)!r}), Config())\n"
        "releases = Releases(store.state, MlflowRegistry(store.folder))\n"
        "assert releases.champion() is None and releases.history() == []\n"
        "assert 'mlflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
