"""What recording a call costs the caller: the recorder beside the MLflow, Langfuse and OpenTelemetry SDKs.

`make bench-recorder` runs each in a process of its own, pinned to one core, while what it exports to runs on the
others: a real Flywheel server for ours, a loopback server that answers 200 for OpenTelemetry and Langfuse, MLflow's own
default (SQLite in the working folder) for MLflow. Each SDK is at its own defaults. The same call is recorded by all: a
text of 80 characters, an output, a confidence, a latency and four context fields. Two ways of calling: one after the
other ("burst"), and with a pause between calls ("paced"), as in a product that does something else in between.
Targets for ours: p50 <= 10 µs, p99 <= 50 µs.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PEERS = HERE.parent / ".bench-venv" / "bin" / "python"
SUBJECTS = HERE / "recorder_subjects.py"
TARGETS_US = {"p50_us": 10.0, "p99_us": 50.0}
WAYS = {"burst": 0.0, "paced": 0.001}
SERVER = """
import sys
from pathlib import Path
from flywheel.server import serve
serve([Path(sys.argv[1])], port=0, started=lambda url, wheels: print(url, flush=True))
"""


@contextmanager
def running(command: list[str]) -> Iterator[str]:
    """A server on every core but the first; its address."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        if len(cores) > 1:
            os.sched_setaffinity(process.pid, cores - {0})
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(30)


def measured(
    python: str, subject: str, way: str, options: argparse.Namespace, url: str, key: str = "", spool: str = ""
) -> dict[str, Any]:
    """One subject's figures, or why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--url", url, "--key", key, "--pause", str(WAYS[way]), "--spool", spool and f"{folder}/spool"]
        arguments += ["--calls", str(options.calls), "--rounds", str(options.rounds)]
        done = subprocess.run(
            [python, str(SUBJECTS), subject, *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
    if done.returncode:
        return {"skipped": (done.stderr.strip().splitlines() or ["no reason given"])[-1][:300]}
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def spans_at(url: str) -> int:
    with urllib.request.urlopen(url) as answer:
        return int(answer.read())


def ours(way: str, options: argparse.Namespace, *, spool: bool) -> dict[str, Any]:
    """The recorder against a real server with a key."""
    import flywheel

    with tempfile.TemporaryDirectory() as folder:
        with flywheel.open(folder, task="classification") as fw:
            key, _ = fw.keys.create("bench", scopes=["ingest"])
        with running([sys.executable, "-c", SERVER, folder]) as url:
            found = measured(sys.executable, "flywheel", way, options, url, key, "yes" if spool else "")
        with flywheel.open(folder) as fw:
            found["stored"] = fw.status()["interactions"]
    return found


def peer(subject: str, way: str, options: argparse.Namespace) -> dict[str, Any]:
    if not PEERS.exists():
        return {"skipped": "not installed: make bench-recorder installs it into .bench-venv"}
    with running([str(PEERS), str(SUBJECTS), "sink"]) as url:
        found = measured(str(PEERS), subject, way, options, url)
        if "skipped" not in found and found["stored"] is None:
            found["stored"] = spans_at(url)
    return found


def versions() -> dict[str, str]:
    """What was measured, by version."""
    names = ("mlflow", "langfuse", "opentelemetry-sdk")
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {names!r}}}))"
    done = (
        subprocess.run([str(PEERS), "-c", code], capture_output=True, text=True, check=False)
        if PEERS.exists()
        else None
    )
    known: dict[str, str] = json.loads(done.stdout) if done is not None and done.returncode == 0 else {}
    return {"dataflywheel": importlib.metadata.version("dataflywheel"), **known}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2000, help="calls a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for way in WAYS:
        found[way] = {
            "nothing (the timer itself)": measured(sys.executable, "nothing", way, options, ""),
            "flywheel": ours(way, options, spool=False),
            "flywheel, spooled": ours(way, options, spool=True),
            **{subject: peer(subject, way, options) for subject in ("opentelemetry", "langfuse", "mlflow")},
        }
        show(way, found[way])
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    report = {
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores",
        "load_at_the_end": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "seed": "none: nothing is random",
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions(),
        "calls_a_round": options.calls,
        "rounds": options.rounds,
        "pause_s": WAYS,
        **found,
        "times_flywheel": {way: ratios(each) for way, each in found.items()},
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "recorder.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    missed = [
        f"{way} {name} {one[name]} > {limit}"
        for way, each in found.items()
        for one in [each["flywheel"]]
        for name, limit in TARGETS_US.items()
        if one.get(name, limit + 1) > limit
    ]
    if missed:
        sys.exit(f"over its target: {'; '.join(missed)}")


def ratios(each: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """How many times ours each peer takes."""
    mine = each["flywheel"]
    return {
        subject: {name: round(one[name] / mine[name], 1) for name in ("p50_us", "p99_us")}
        for subject, one in each.items()
        if "skipped" not in one and "skipped" not in mine and not subject.startswith(("flywheel", "nothing"))
    }


def show(way: str, each: dict[str, dict[str, Any]]) -> None:
    """Print the figures as a table."""
    sys.stdout.write(f"\n{way:28} {'p50 µs':>9} {'p99 µs':>9} {'p99.9':>9} {'mean':>9}   times ours   stored of sent\n")
    times = ratios(each)
    for subject, one in each.items():
        if "skipped" in one:
            sys.stdout.write(f"{subject:28} skipped: {one['skipped']}\n")
            continue
        beside = times.get(subject)
        shown = f"{beside['p50_us']:5.1f} {beside['p99_us']:5.1f}" if beside else " " * 11
        sys.stdout.write(
            f"{subject:28} {one['p50_us']:9.1f} {one['p99_us']:9.1f} {one['p999_us']:9.1f} {one['mean_us']:9.1f}"
            f"   {shown}   {one['stored'] if one['stored'] is not None else '-'} of {one['sent']}\n"
        )


if __name__ == "__main__":
    main()
