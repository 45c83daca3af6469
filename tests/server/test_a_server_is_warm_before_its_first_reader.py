"""What pages are read with is loaded once the server listens, and never again walked by the collector of garbage."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

LOOKS = """
import gc, json, sys, tempfile
import flywheel
from flywheel.server.warming import warm

with flywheel.open(tempfile.mkdtemp()) as fw:
    for n in range(60):
        failed = "timeout" if n % 9 == 0 else None
        key = fw.log(input=f"where is my card {n}", output="card", confidence=0.9, error=failed)
        if n % 4 == 0:
            fw.feedback(key, label="card" if n % 8 else "pin")
    before = len(gc.get_objects())
    warm().join()
    frozen, known = gc.get_freeze_count(), set(sys.modules)
    fw.status(), fw.failure_history(), fw.usual("volume"), fw.usual("sentiment"), fw.arrivals(), fw.known_labels()
    fw.review_queue(), fw.report_figures(), fw.belief(key), fw.neighbours(key), fw.replays(key), fw.entered(key)
    fw.failures(limit=5)
    new = sorted(name for name in set(sys.modules) - known if name.split(".")[0] in ("flywheel", "sklearn", "duckdb"))
    print(json.dumps({"before": before, "frozen": frozen, "new": new}))
"""


@pytest.mark.slow
def test_first_looks_load_nothing_more_and_the_collector_passes_over_what_was_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(LOOKS)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["new"] == [], told["new"]
    assert told["frozen"] > told["before"] / 2
