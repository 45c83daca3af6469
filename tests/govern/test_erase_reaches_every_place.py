"""Users planted everywhere: an erasure takes away theirs, leaves others' whole, names the models, and proves it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

import flywheel
from flywheel.errors import CorruptStore, InvalidRecord
from flywheel.govern import unfinished
from planted_users import mark, marks_in_database, marks_in_files, name, plant

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
OPTIONS = {"task": "classification", "release": {"registry": "folder"}}
USERS, GONE = 24, (0, 10)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def erased(tmp_path_factory):
    """A product whose 24 users are planted everywhere; two are erased."""
    folder = tmp_path_factory.mktemp("erased") / "bank"
    with flywheel.open(folder, **OPTIONS) as fw:
        plant(fw, folder, USERS, budget=2 * USERS)  # everybody is learnt from
        before = {"files": marks_in_files([folder, folder.parent / "outside"]), "old": fw.datasets()[-1].hash}
        before["cells"] = marks_in_database(fw._store._database.engine)
        before["releases"] = [(release.version, release.dataset) for release in fw.releases()]
        planned = fw.erase(name(0), dry_run=True)
        receipts = [fw.erase(name(n), by="dpo", at=AT) for n in GONE]
        yield fw, folder, before, planned, receipts


def test_no_byte_of_theirs_is_left_and_every_byte_of_others_is(erased):
    fw, folder, before, _, receipts = erased
    assert all(receipt["clean"] for receipt in receipts)
    gone, others = {mark(n) for n in GONE}, {mark(n) for n in range(USERS) if n not in GONE}
    after = marks_in_files([folder, folder.parent / "outside"]), marks_in_database(fw._store._database.engine)
    for places in after:
        assert {place: found & gone for place, found in places.items() if found & gone} == {}
    for place, found in before["cells"].items():
        assert found & others <= after[1][place], place
    for place in ("bank/exports", "bank/spool", "outside/failures.csv", "bank/tables"):
        assert before["files"][place] & gone, f"nobody was planted in {place}"
        assert before["files"][place] & others <= after[0][place], place


def test_the_plan_counted_what_was_erased(erased):
    _, _, _, planned, receipts = erased
    counted = {**receipts[0]["erased"], "files": 0}
    assert planned == {"dry_run": True, "erased": counted, "models": [m["version"] for m in receipts[0]["models"]]}
    assert counted["interactions"] == 2
    assert counted["feedback"] >= 4
    assert counted["dead_letters"] == counted["conflicts"] == 1


def test_a_dataset_gets_a_new_version_and_the_old_one_a_tombstone(erased):
    fw, _, before, _, receipts = erased
    changed = {row["hash"]: row["replaced_by"] for receipt in receipts for row in receipt["datasets"]}
    assert before["old"] in changed
    stone = fw.dataset(before["old"])
    assert stone.examples == ()
    assert stone.notes["tombstone"]["why"] == "erasure of a user"
    successor = fw._store.state.living_dataset(before["old"])
    assert successor.hash not in changed
    assert successor.examples
    assert all(mark(n) not in json.dumps([e.input for e in successor.examples]) for n in GONE)
    assert [(release.version, release.dataset) for release in fw.releases()] == before["releases"]
    other = next(e.interaction_id for e in successor.examples if e.interaction_id)
    assert {before["old"], successor.hash} <= set(fw.lineage(other)["datasets"])


def test_models_that_learnt_from_them_are_named_and_the_next_spin_trains_without(erased):
    fw, folder, _, _, receipts = erased
    versions = {entry["version"] for receipt in receipts for entry in receipt["models"]}
    assert versions == {"v2"}
    assert [receipt["retraining"] for receipt in receipts] == [
        "queued" if receipt["models"] else "not needed" for receipt in receipts
    ]
    assert (folder / "models" / "v2").is_dir()
    spin = fw.spin(budget=0, at=AT + timedelta(days=1))
    assert spin.candidate == "v3"  # though there is no new label
    dataset = fw.dataset(fw._store.state.candidate("v3")[0].dataset)
    assert dataset.examples
    assert all(mark(n) not in json.dumps([e.input for e in dataset.examples]) for n in GONE)
    assert fw.spin(budget=0, at=AT + timedelta(days=2)).candidate is None  # once is enough


def test_the_receipt_is_signed_and_holds_no_name(erased):
    fw, folder, _, _, receipts = erased
    receipt = receipts[0]
    assert name(0) not in json.dumps(receipt)
    assert mark(0) not in json.dumps(receipt)
    assert fw.verify_receipt(receipt, name(0)) == {"valid": True, "ours": True, "in_trail": True, "about": True}
    assert not fw.verify_receipt(receipt, name(1))["about"]
    assert json.loads((folder / "receipts" / f"{receipt['id']}.json").read_text()) == receipt
    assert (folder / "receipts.key").stat().st_mode & 0o777 == 0o600
    for change in ({"clean": False}, {"erased": {}}, {"public_key": receipts[0]["signature"][:44]}):
        with pytest.raises((CorruptStore, InvalidRecord)):
            fw.verify_receipt({**receipt, **change})
    lines = [line for line in fw.trail() if line["action"] == "erase"]
    assert [line["subject"] for line in lines] == [receipt["id"] for receipt in receipts]
    assert lines[0]["detail"]["erased"] == receipt["erased"]
    assert lines[0]["hash"] == receipt["trail"]["hash"]
    fw.verify_trail(receipts[-1]["trail"]["hash"])


def test_nothing_of_the_request_stays(erased):
    fw, folder, *_ = erased
    assert unfinished(folder, fw._store.state) == []
    assert not list((folder / "erasures").iterdir())
    assert fw.resume_erasures() == []


def test_erasing_again_finds_nothing(erased):
    fw, *_ = erased
    again = fw.erase(name(0))
    assert again["clean"]
    assert not any(again["erased"].values())


def test_files_of_models_that_are_not_in_use_can_be_removed(tmp_path):
    folder = tmp_path / "bank"
    with flywheel.open(folder, **OPTIONS) as fw:
        plant(fw, folder, 12)
        learnt = next(n for n in range(12) if fw.erase(name(n), dry_run=True)["models"])
        version = fw.spins()[-1].candidate
        fw._store.state.set("release.champion", {"version": "v1", "at": AT.isoformat(), "by": "ana"})
        receipt = fw.erase(name(learnt), models=True)
        assert [(entry["version"], entry["files"]) for entry in receipt["models"]] == [(version, "removed")]
        assert not (folder / "models" / version).exists()
        assert (folder / "models" / "v1").is_dir()
        assert all(release.replaced != version for release in fw.releases())
