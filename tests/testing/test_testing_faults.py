"""Crash points kill where they are told to, and nowhere else."""

import os
import signal
import subprocess
import sys

import pytest

from flywheel.testing.faults import VARIABLE, crash_point, crashing, kill_after, run_until_crash

PROGRAM = """
import sys
from flywheel.testing.faults import crash_point, crashing
def work(k):
    print("did", k, flush=True)
for k in range(4):
    crash_point("turn")
    crashing(work, "work")(k)
"""
COMMAND = [sys.executable, "-c", PROGRAM]


@pytest.mark.fault
@pytest.mark.parametrize(
    ("at", "lines"), [("turn", 0), ("turn:3", 2), ("work begins", 0), ("work ends", 1), ("work ends:4", 4)]
)
def test_the_process_dies_at_the_named_pass(at, lines):
    done = run_until_crash(COMMAND, at)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.count("did") == lines


@pytest.mark.fault
def test_a_point_that_is_never_reached_is_reported():
    with pytest.raises(AssertionError, match="never came to the crash point 'turn:9'"):
        run_until_crash(COMMAND, "turn:9")


@pytest.mark.fault
def test_without_the_variable_nothing_happens(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    crash_point("turn")
    assert crashing(len, "work")([1, 2]) == 2
    done = subprocess.run(COMMAND, capture_output=True, text=True, env={**os.environ}, check=True)
    assert done.stdout.count("did") == 4


@pytest.mark.fault
def test_a_kill_at_a_random_moment():
    forever = [sys.executable, "-u", "-c", "import time\nprint('begun')\ntime.sleep(60)"]
    done = kill_after(forever, (1.0, 1.2), seed=3)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "begun\n")
    assert kill_after([sys.executable, "-c", "print(1)"], (20.0, 21.0), seed=3).returncode == 0


def test_the_house_does_not_know_the_checks():
    code = "import sys, flywheel, flywheel.curate, flywheel.store; print('flywheel.testing' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
