"""The recorder and processes: the end, forks, children, and a Python with nothing but its standard library."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from loopback import nowhere, serving

import flywheel

SOURCE = str(Path(flywheel.__file__).parent.parent)


def run(code, *args, isolated=False):
    command = [sys.executable, *(["-I", "-S"] if isolated else []), "-c", code, *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


BARE = """
import sys
sys.path.insert(0, sys.argv[1])
import flywheel
c = flywheel.connect(sys.argv[2], spool=sys.argv[3], redact=True, hash_users=b"k" * 16)
i = c.log(input="write to ana@example.org", user="ana")
c.feedback(i, rating=1)
c.watch(str.upper)("x")
assert c.flush(20), c.stats()
print(" ".join(sorted({name.split(".")[0] for name in sys.modules})))
"""


def test_it_needs_the_standard_library_alone(tmp_path):
    with serving() as server:
        done = run(BARE, SOURCE, server.url, str(tmp_path), isolated=True)
        assert done.returncode == 0, done.stderr
        assert len(server.stored) == 3
    assert not {"msgspec", "numpy", "sqlalchemy", "stdnum", "site"} & set(done.stdout.split())


def test_importing_it_loads_little():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import flywheel; flywheel.connect; print(*sys.modules)"
    done = run(code, SOURCE, isolated=True)
    loaded = set(done.stdout.split())
    assert "flywheel.capture.client" in loaded, done.stderr
    heavy = {"ssl", "http.client", "urllib.request", "logging", "dataclasses", "inspect", "asyncio", "email"}
    assert not loaded & (heavy | {"flywheel.records", "flywheel.capture.drafts", "flywheel.capture.recorder"})


def test_what_waits_is_delivered_at_exit():
    code = "import sys, flywheel; c = flywheel.connect(sys.argv[1]); [c.log(input=n) for n in range(500)]"
    with serving() as server:
        assert run(code, server.url).returncode == 0
        assert len(server.stored) == 500


def test_an_exit_without_a_server_is_bounded_and_says_what_was_lost():
    code = "import sys, flywheel; c = flywheel.connect(sys.argv[1], exit_timeout=0.1); c.log(input='secret words')"
    done = run(code, nowhere())
    assert done.returncode == 0
    assert "1 records could not be delivered" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("spooled", [False, True])
def test_after_a_fork_each_delivers_its_own(tmp_path, spooled):
    with serving() as server:
        c = flywheel.connect(server.url, spool=tmp_path / "s" if spooled else None, max_age=60, batch_records=10**6)
        for n in range(100):
            c.log(input=n, id=f"before-{n}")  # waits in the parent at the time of the fork
        child = os.fork()
        if not child:
            try:
                good = c.stats()["logged"] == 0
                for n in range(50):
                    c.log(input=n, id=f"child-{n}")
                good = c.flush(20) and good
                c.close()
            finally:
                os._exit(0 if good else 1)
        for n in range(50):
            c.log(input=n, id=f"parent-{n}")
        assert c.flush(20)
        assert os.waitpid(child, 0)[1] == 0
        c.close()
        expected = [
            f"{who}-{n}" for who, count in (("before", 100), ("child", 50), ("parent", 50)) for n in range(count)
        ]
        assert sorted(record["id"] for record in server.order) == sorted(expected)
        assert server.counts["duplicate"] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_ids_differ_after_a_fork():
    from flywheel.capture.lines import fresh_id

    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, "\n".join(fresh_id()[19:] for _ in range(100)).encode())
        os._exit(0)
    mine = {fresh_id()[19:] for _ in range(100)}
    os.waitpid(child, 0)
    assert not mine & set(os.read(reading, 100_000).decode().split("\n"))
    os.close(reading)
    os.close(writing)


CHILDREN = """
import multiprocessing, sys, flywheel
c = flywheel.connect(sys.argv[1])
def work(number):
    c.log(input=number, id=f"w{number}")
if __name__ == "__main__":
    c.log(input="parent", id="p")
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=(number,)) for number in range(3)]
    for child in children: child.start()
    for child in children: child.join()
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_children_of_multiprocessing_deliver_before_they_end(tmp_path):
    script = tmp_path / "children.py"
    script.write_text(CHILDREN)
    with serving() as server:
        done = subprocess.run(
            [sys.executable, script, server.url], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert sorted(record["id"] for record in server.order) == ["p", "w0", "w1", "w2"]
