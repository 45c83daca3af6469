"""After an erasure one spin trains whatever else is new, and its candidate may free a champion that learnt too much."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

import flywheel
from flywheel.loop.decide import step_release
from flywheel.loop.learn import _retraining
from flywheel.records import Candidate, Check, Release, Verdict, to_dict

AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def fw(tmp_path):
    with flywheel.open(tmp_path / "bot", release={"registry": "folder"}) as opened:
        yield opened


def _turn(fw, spin, decision="need labels", candidate="v2"):
    verdict = Verdict(decision=decision, checks=(Check("x", "unsure", "line"),))
    docs = {"gate": {"verdict": to_dict(verdict)}, "train": {"candidate": candidate}, "sync": {"champion": "v1"}}
    shop = SimpleNamespace(store=fw._store, releases=fw._releases, trail=fw._trail, config=fw.config)
    return SimpleNamespace(
        shop=shop, docs=docs, spin=SimpleNamespace(number=spin, started_at=AT), at=AT, incumbent=None
    )


def _champion(fw, version):
    for name in ("v1", "v2"):
        (fw.folder / "models" / name).mkdir(parents=True, exist_ok=True)
        candidate = Candidate(version=name, dataset="d", trainer="text", folder=f"models/{name}")
        fw._store.state.save_candidate(candidate, {"answers": {}, "placebo": None})
        if name == version:
            fw._releases.promote(candidate, AT)


def test_one_spin_trains_and_no_other(fw):
    assert not _retraining(_turn(fw, 4))
    fw._store.state.set("retrain", {"versions": ["v1"], "since": "", "spin": None})
    assert _retraining(_turn(fw, 5))
    assert _retraining(_turn(fw, 5))  # the same spin, killed and resumed
    assert not _retraining(_turn(fw, 6))


@pytest.mark.parametrize(
    ("decision", "learnt", "trained_in", "waits"),
    [
        ("need labels", ["v1"], 5, True),
        ("reject", ["v1"], 5, False),
        ("need labels", ["v0"], 5, False),  # the champion has learnt from nobody who was erased
        ("need labels", ["v1"], 4, False),  # another spin's candidate
    ],
)
def test_a_candidate_that_frees_the_champion_waits_for_a_person(fw, decision, learnt, trained_in, waits):
    _champion(fw, "v1")
    fw._store.state.set("retrain", {"versions": learnt, "since": "", "spin": trained_in})
    told = step_release(_turn(fw, 5, decision))
    assert told == ({"released": None, "challenger": "v2"} if waits else {"released": None})
    assert step_release(_turn(fw, 5, decision)) == told
    roles = {release.version: release.role for release in fw.releases()}
    assert roles == ({"v1": "champion", "v2": "challenger"} if waits else {"v1": "champion"})
    if waits:
        assert fw.promote(by="ana", at=AT).version == "v2"


def test_the_doctor_says_so_until_another_is_champion(fw):
    _champion(fw, "v1")
    fw._store.state.set("retrain", {"versions": ["v1"], "since": "", "spin": None})
    report = {check["name"]: check for check in fw.doctor()}
    assert not report["erasures"]["ok"]
    assert "v1 is champion" in report["erasures"]["line"]
    _champion(fw, "v2")
    assert {check["name"]: check["ok"] for check in fw.doctor()}["erasures"]
    assert isinstance(fw.releases()[-1], Release)
