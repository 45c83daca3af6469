"""An erasure killed with SIGKILL before, in or after any step is taken up, and ends as if nothing had happened."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import flywheel
from flywheel.govern import unfinished
from flywheel.govern.erasure import STEPS
from flywheel.testing.faults import kill_after
from planted_users import mark, marks_in_database, marks_in_files, name, plant

AT = datetime(2026, 3, 9, tzinfo=UTC)
OPTIONS = {"release": {"registry": "folder"}}
GONE = 3

RUN = """
import os, signal, sys
from datetime import datetime
import flywheel

folder, user, at, deadly = sys.argv[1:]

def on_step(step, moment):
    if f"{step}:{moment}" == deadly:
        os.kill(os.getpid(), signal.SIGKILL)

with flywheel.open(folder, release={"registry": "folder"}) as fw:
    fw.erase(user, by="dpo", at=datetime.fromisoformat(at), on_step=on_step)
"""


def _command(folder: Path, deadly: str) -> list[str]:
    return [sys.executable, "-c", RUN, str(folder), name(GONE), AT.isoformat(), deadly]


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ready") / "bank"
    with flywheel.open(folder, task="classification", **OPTIONS) as fw:
        plant(fw, folder, 20, budget=40)
        # Every copy of the folder would find the same file outside, and only the first would have to change it.
        inside = [entry for entry in fw._store.state.get("exports") if not Path(entry["path"]).is_absolute()]
        assert inside
        fw._store.state.set("exports", inside)
        assert fw.erase(name(GONE), dry_run=True)["models"], "nothing was learnt from the one who is erased"
    return folder


def outcome(folder: Path) -> dict:
    """Everything that an erasure leaves behind, its id, its moment and its keys apart."""
    with flywheel.open(folder, **OPTIONS) as fw:
        state = fw._store.state
        (receipt,) = [json.loads(path.read_text()) for path in (folder / "receipts").glob("*.json")]
        for varying in ("id", "subject", "finished_at", "trail", "public_key", "signature"):
            receipt.pop(varying)
        search = receipt.pop("search")
        tables = fw._store.tables.snapshot()
        cells = marks_in_database(fw._store._database.engine)
        files = marks_in_files([folder])
        assert not any(mark(GONE) in found for found in [*cells.values(), *files.values()])
        assert unfinished(folder, state) == []
        assert not list((folder / "erasures").iterdir())
        return {
            "receipt": receipt,
            "left": search["left"],
            "facts": [(row.seq, row.kind, row.id, row.body.decode()) for row in fw._store.log.read(0)],
            "rows": sorted(tables.interactions.id.to_pyarrow().to_pylist()),
            "generations": len(list((folder / "tables").iterdir())),
            "books": fw.books(),
            "letters": [letter["body"] for letter in fw.dead_letters()],
            "items": sorted(item.id for item in state.items()),
            "examples": [example.id for example in state.examples()],
            "datasets": [dataset.hash for dataset in fw.datasets()],
            "retrain": state.get("retrain"),
            "trail": [(line["action"], line["detail"]) for line in fw.trail()],
            "cells": {place: sorted(found) for place, found in cells.items()},
            "files": {place: sorted(found) for place, found in files.items() if "flywheel.db" not in place},
        }


@pytest.fixture(scope="module")
def undisturbed(ready, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "bank"
    shutil.copytree(ready, folder)
    subprocess.run(_command(folder, "never"), check=True)
    return outcome(folder)


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.parametrize("moment", [f"{step}:{moment}" for step in STEPS for moment in ("begin", "end")])
def test_an_erasure_killed_at_any_step_ends_the_same(ready, undisturbed, tmp_path, moment):
    folder = tmp_path / "bank"
    shutil.copytree(ready, folder)
    killed = subprocess.run(_command(folder, moment), check=False)
    assert killed.returncode == -9
    with flywheel.open(folder, **OPTIONS) as fw:
        begun = moment != "intend:begin"
        done = moment == "receipt:end"
        assert bool(unfinished(folder, fw._store.state)) == (begun and not done)
        if begun and not done:
            fw.resume_erasures()
    if not begun:
        subprocess.run(_command(folder, "never"), check=True)
    assert outcome(folder) == undisturbed


def _closed(folder: Path) -> bool:
    """Was all done, and only the process's own end cut off? The same call would then be a new erasure, of nobody."""
    with flywheel.open(folder, **OPTIONS) as fw:
        return bool(list((folder / "receipts").glob("*.json"))) and not unfinished(folder, fw._store.state)


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.parametrize("seed", range(10))
def test_an_erasure_killed_at_random_moments_ends_the_same(ready, undisturbed, tmp_path, seed):
    folder = tmp_path / "bank"
    shutil.copytree(ready, folder)
    for again in range(3):
        ended = kill_after(_command(folder, "never"), (0.3, 3.0), seed * 10 + again).returncode == 0
        if ended or _closed(folder):
            break
    else:
        subprocess.run(_command(folder, "never"), check=True)  # the same call takes it up
    assert outcome(folder) == undisturbed
