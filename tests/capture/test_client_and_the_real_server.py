"""The recorder and a real server: what is logged is in the flywheel, what was dropped is in its books."""

from __future__ import annotations

import subprocess
import sys

import pytest

import flywheel
from flywheel.capture.delivery import Delivery

SERVER = """
import sys
from pathlib import Path
from flywheel.server import serve
serve([Path(sys.argv[1])], port=0, started=lambda url, wheels: print(url, flush=True))
"""

pytestmark = pytest.mark.slow  # a server in a process of its own


@pytest.fixture
def served(tmp_path):
    pytest.importorskip("uvicorn")
    folder = tmp_path / "shop"
    with flywheel.open(folder, task="classification") as fw:
        key, _ = fw.keys.create("recorder", scopes=["ingest"])
    running = subprocess.Popen([sys.executable, "-c", SERVER, str(folder)], stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        yield folder, running.stdout.readline().strip(), key
    finally:
        running.terminate()
        running.wait(20)
        running.stdout.close()


def test_records_feedback_and_drops_arrive(served, tmp_path):
    folder, url, key = served
    with flywheel.connect(url, key, spool=tmp_path / "spool", max_age=0.01, batch_records=50) as c:
        ids = [c.log(input=f"text {n}", output="card", confidence=0.5, user="ana", note=n) for n in range(200)]
        said = c.feedback(ids[0], rating=-1, comment="no")
        c.log(input=object())  # cannot be written: dropped, and told
        c.log(input="x", confidence=7)  # can be written, not stored: kept aside
        c.log(input="y", consent=False)
        assert c.flush(30)
        real, again = Delivery.post, []

        def twice(self, path, lines, dropped):
            again.append(real(self, path, lines, {}))
            return real(self, path, lines, dropped)

        c._courier._delivery.post = twice.__get__(c._courier._delivery)
        c.log(input="once", id="once")
        assert c.flush(30)
        stats = c.stats()
    assert stats["logged"] == 205
    assert stats["dropped"] == {"invalid": 1}
    assert stats["server"]["duplicate"] == 1
    assert stats["server"]["dead_lettered"] == 1
    assert stats["server"]["rejected"] == 1
    with flywheel.open(folder) as fw:
        books = fw.books()
        assert fw.status()["interactions"] == 201
        assert books["stored"] == 201 + len(said)
        assert books["received"] == sum(books[name] for name in ("stored", "duplicates", "rejected", "dead_lettered"))
        assert books["client_dropped"] == 1


def test_a_wrong_key_is_waited_out_and_said(served, caplog):
    _, url, _ = served
    with flywheel.connect(url, "fw_nobody_nothing", max_age=0.01, exit_timeout=0) as c:
        c.log(input=1)
        assert not c.flush(0.5)
        assert "401" in c.stats()["last_problem"]
