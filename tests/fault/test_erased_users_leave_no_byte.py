"""500 users planted everywhere, 50 erased: a search without a line of ours finds none of them, and all the others."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import sqlalchemy as sa

import flywheel
from planted_users import mark, marks_in_database, marks_in_files, name, plant

USERS, ERASED = 500, range(0, 500, 10)


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_fifty_of_five_hundred_leave_no_byte(kind, tmp_path, new_url):
    folder, url = tmp_path / "bank", new_url(kind)
    with flywheel.open(folder, task="classification", store={"url": url}, release={"registry": "folder"}) as fw:
        plant(fw, folder, USERS, spins=2)
        waiting = fw.spin(budget=100, at=fw.spins()[-1].started_at)  # a spin that waits: its queue is full
        assert waiting.state in ("waiting", "done")
        before = _everything(fw, folder)
        gone = {mark(n) for n in ERASED}
        for place in ("facts", "conflicts", "dead_letters", "items", "examples", "datasets", "bank/tables"):
            assert gone & before[place], f"the test planted nobody in {place}"
        assert gone <= before["facts"]
        assert gone <= before["bank/exports"]
        assert gone <= before["bank/spool"]

        receipts = [fw.erase(name(n)) for n in ERASED]

        assert all(receipt["clean"] for receipt in receipts), [r["search"] for r in receipts if not r["clean"]]
        assert sum(receipt["erased"]["interactions"] for receipt in receipts) == 2 * len(ERASED)
        after = _everything(fw, folder)
        assert {place: sorted(found & gone) for place, found in after.items() if found & gone} == {}
        others = {mark(n) for n in range(USERS)} - gone
        for place, found in before.items():
            if place not in ("bank/reports", "bank/tmp", "outside/failures.csv"):
                # What held anybody before still holds every one of them who was not erased.
                assert found - gone <= after.get(place, set()) | _rebuilt(place, after), place
        assert others <= after["facts"]
        assert others <= after["bank/exports"]
        books = fw.books()
        parts = ("stored", "duplicates", "rejected", "dead_lettered")
        assert books["received"] == sum(books[part] for part in parts)
        fw.verify_trail()


def _rebuilt(place: str, after: dict[str, set[str]]) -> set[str]:
    """The database's file is looked at through its tables; raw it holds what they hold."""
    return set().union(*after.values()) if place.startswith(("bank/flywheel.db", "pg")) else set()


def _everything(fw: flywheel.Flywheel, folder: Path) -> dict[str, set[str]]:
    engine = fw._store._database.engine
    found = marks_in_database(engine)
    found.update(marks_in_files([folder, folder.parent / "outside"]))
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            data = Path(connection.scalar(sa.text("SELECT current_setting('data_directory')")))
            own = str(connection.scalar(sa.text("SELECT oid FROM pg_database WHERE datname = current_database()")))
        time.sleep(0.2)
        roots = [data / "base" / own, data / "pg_wal", data / "global", data / "pg_stat"]
        raw = marks_in_files([root for root in roots if root.is_dir()])
        found["pg"] = set().union(*raw.values())
    return found
