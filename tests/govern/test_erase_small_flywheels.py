"""One user, one place at a time: under which names they are found, what is theirs, and what is left is told."""

from __future__ import annotations

import json
import zipfile
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import flywheel
from flywheel.errors import InvalidRecord, NotFound
from flywheel.govern import unfinished

OPTIONS = {"task": "classification", "release": {"registry": "folder"}}


@pytest.fixture
def fw(tmp_path):
    with flywheel.open(tmp_path / "bot", **OPTIONS) as opened:
        yield opened


def test_books_balance_after_an_erasure(fw):
    for n in range(6):
        i = fw.log(input=f"q{n}", user=("ana-maria", "bea-luise")[n % 2])
        fw.feedback(i, rating=1)
    fw.erase("ana-maria")
    books = fw.books()
    assert books == {
        "received": 6,
        "stored": 6,
        "duplicates": 0,
        "rejected": 0,
        "dead_lettered": 0,
        "erased": 6,
    }
    assert fw.status()["interactions"] == 3
    assert fw._store.tables.snapshot().count() == 3


def test_a_reviewer_who_is_erased_loses_the_name_and_nobody_a_label(fw):
    fw.log(id="order-1000", input="q", user="somebody")
    fw.feedback("order-1000", label="card", source="reviewer", by="rita-reviewer")
    receipt = fw.erase("rita-reviewer")
    assert receipt["clean"]
    assert receipt["erased"]["labels_without_author"] == 1
    (kept,) = fw._store.log.feedback_of(["order-1000"])
    assert (kept.value, kept.by) == ("card", "erased")


def test_an_erasure_by_pseudonym(fw):
    i = fw.log(input="q", user="ana@example.org")
    pseudonym = fw._store.log.interactions([i])[i].user
    receipt = fw.erase(pseudonym)
    assert receipt["clean"]
    assert receipt["erased"]["interactions"] == 1
    assert not fw._store.log.interactions([i])


def test_a_user_stored_under_an_older_key_is_found(tmp_path):
    with flywheel.open(tmp_path / "bot", **OPTIONS) as fw:
        old = fw.log(input="before", user="ana@example.org")
        fw.rotate_pseudonyms()
        new = fw.log(input="after", user="ana@example.org")
        users = [record.user for record in fw._store.log.interactions([old, new]).values()]
        assert users[0] != users[1]
        assert fw.erase("ana@example.org")["erased"]["interactions"] == 2


@pytest.mark.slow
def test_users_without_pseudonyms_are_found(tmp_path):
    with flywheel.open(tmp_path / "bot", **OPTIONS, privacy={"pseudonyms": False}) as fw:
        for user in ("ana-maria", "ana@example.org", "ana-maria-2"):
            fw.log(input="q", user=user)
        assert fw.erase("ana-maria")["erased"]["interactions"] == 1
        assert fw.erase("ana@example.org")["erased"]["interactions"] == 1  # redacted to a digest of itself
        assert fw.status()["interactions"] == 1
        assert not (fw.folder / "pseudonym.key").exists()


def test_a_name_in_somebody_elses_words_is_found_and_told(fw):
    fw.log(input="q", user="marianne.huber")
    fw.log(input="please ask marianne.huber about it", user="other-user")
    receipt = fw.erase("marianne.huber")
    assert not receipt["clean"]
    assert receipt["erased"]["interactions"] == 1
    assert {"database: facts.body"} <= {row["place"] for row in receipt["search"]["left"]}
    assert fw.status()["interactions"] == 1


@pytest.mark.parametrize("form", ["plain", "parquet", "zlib", "zip", "cell", "name"])
def test_the_search_bites(fw, form):
    """A copy that no step of the erasure knows of is found."""
    i = fw.log(input="q", user="ana@example.org")
    pseudonym = fw._store.log.interactions([i])[i].user
    place = fw.folder / "copies"
    place.mkdir()
    if form == "plain":
        (place / "notes.bin").write_bytes(b"\x00\x01" + pseudonym.encode() + b"\x02")
    elif form == "parquet":
        pq.write_table(pa.table({"a": ["x" * 5000, i]}), place / "rows.bin", compression="zstd")
    elif form == "zlib":
        (place / "packed").write_bytes(zlib.compress(f"hello {i}".encode()))
    elif form == "zip":
        with zipfile.ZipFile(place / "archive.skops", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner", f"x {pseudonym}")
    elif form == "cell":
        fw._store.state.set("somebody-elses-setting", {"users": [pseudonym]})
    else:
        (place / f"{pseudonym}.bin").write_bytes(b"")
    receipt = fw.erase("ana@example.org")
    assert not receipt["clean"]
    assert receipt["search"]["left"]
    assert pseudonym not in json.dumps(receipt)


def test_an_unfinished_erasure_is_reported_and_resumed(fw):
    i = fw.log(input="q", user="ana@example.org")

    class Broken(Exception):
        pass

    def break_off(step, moment):
        if (step, moment) == ("tables", "begin"):
            raise Broken

    with pytest.raises(Broken):
        fw.erase("ana@example.org", on_step=break_off)
    report = {check["name"]: check for check in fw.doctor()}
    assert not report["erasures"]["ok"]
    assert "--resume" in report["erasures"]["line"]
    assert b"ana@example.org" not in b"".join(
        path.read_bytes() for path in fw.folder.rglob("*") if path.is_file() and path.parent.name != "erasures"
    )
    (receipt,) = fw.resume_erasures()
    assert receipt["clean"]
    assert receipt["erased"]["interactions"] == 1
    assert not fw._store.log.interactions([i])
    assert {check["name"]: check["ok"] for check in fw.doctor()}["erasures"]


def test_an_erasure_begun_in_another_copy_of_the_folder_needs_the_name(fw):
    fw.log(input="q", user="ana@example.org")
    with pytest.raises(ZeroDivisionError):
        fw.erase("ana@example.org", on_step=lambda step, moment: 1 / (step != "models"))
    for path in (fw.folder / "erasures").iterdir():
        path.unlink()
    with pytest.raises(NotFound, match="--user"):
        fw.resume_erasures()
    receipt = fw.erase("ana@example.org")
    assert receipt["clean"]
    assert unfinished(fw.folder, fw._store.state) == []


def test_exports_that_cannot_be_reached_are_named(fw, tmp_path):
    fw.log(input="q", user="ana@example.org")
    moved = tmp_path / "moved.jsonl"
    fw.export("interactions", moved)
    moved.rename(tmp_path / "elsewhere.jsonl")
    fw._note_export("https://cluster.example.org/index", "interactions")
    receipt = fw.erase("ana@example.org")
    assert receipt["files"] == {
        moved.as_posix(): "not there any more: if it was moved or copied, erase it there",
        "https://cluster.example.org/index": "out of reach: erase it there",
    }


def test_names_that_cannot_be_erased(fw):
    with pytest.raises(InvalidRecord, match="empty"):
        fw.erase("")


def test_tables_outside_the_folder_are_written_anew_and_searched(tmp_path, monkeypatch):
    """As in an object store: no path of the folder, only a URL."""
    outside = tmp_path / "bucket"
    with flywheel.open(tmp_path / "bot", **OPTIONS, store={"tables": outside.as_uri()}) as fw:
        ids = [fw.log(input="q", user=user) for user in ("ana@example.org", "bea@example.org")]
        fw._store.tables.sync(fw._store.log)
        fw.rebuild()  # an old generation is there too
        pseudonym = fw._store.log.interactions(ids)[ids[0]].user
        held = [path for path in outside.rglob("*.json") if pseudonym in path.read_text()]
        assert len(held) == 2  # in the statistics of both
        receipt = fw.erase("ana@example.org")
        assert receipt["clean"]
        files = [path for path in outside.rglob("*") if path.is_file()]
        assert files
        assert not any(pseudonym.encode() in path.read_bytes() for path in files)
        assert {path.relative_to(outside).parts[0] for path in files} == {"3"}
        assert fw._store.tables.snapshot().interactions.id.to_pyarrow().to_pylist() == ids[1:]

        monkeypatch.setattr(fw._store.tables, "rebuild", lambda log, at_once: 0)  # a step that does nothing
        receipt = fw.erase("bea@example.org")
        assert not receipt["clean"]
        assert any(row["place"].startswith("tables: 3/interactions") for row in receipt["search"]["left"])
