"""What a spin costs as the log grows: every step but training and replay, at 10 thousand, 100 thousand and 1 million.

`make bench-spin` logs that many interactions (texts with context, some feedback), runs one spin in a process of its
own, and prints seconds a step, the growth from one size to the next (10 means in proportion), and peak memory.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
LEARNING = ("train", "replay")


def fill(folder: Path, size: int) -> float:
    """Log `size` support requests with feedback on a twentieth of them; returns the seconds that took."""
    import numpy as np

    import flywheel

    rng = np.random.default_rng(0)
    things = ["card", "transfer", "refund", "pin", "limit", "account", "loan", "fee", "atm", "cheque"]
    asks = ["where is my", "cancel the", "why was the", "how do i change my", "i lost my", "please block the"]
    fillers = ["today", "again", "please", "since monday", "abroad", "online", "twice", "for my son", "at night", ""]
    started = time.perf_counter()
    with flywheel.open(folder, task="classification", release={"registry": "folder"}) as fw:
        seeds = [
            (f"{ask} {thing} {filler}".strip(), thing) for ask in asks for thing in things[:8] for filler in fillers
        ]
        fw.seed([text for text, _ in seeds], [label for _, label in seeds])
        for start in range(0, size, 50_000):
            count = min(50_000, size - start)
            thing, ask, filler = (rng.integers(len(words), size=count) for words in (things, asks, fillers))
            sure, slow = rng.beta(6, 2, count), rng.gamma(4, 12, count)
            texts = [
                f"{asks[a]} {things[t]} {fillers[f]} ref {start + i}"
                for i, (a, t, f) in enumerate(zip(ask, thing, filler, strict=True))
            ]
            ids = fw.log_many(
                {
                    "input": text,
                    "output": things[t % 8],
                    "confidence": float(p),
                    "latency_ms": float(ms),
                    "user": f"u{i % 5000}",
                    "context": {"device": ("ios", "android", "web")[i % 3], "network": ("4g", "wifi")[i % 2]},
                }
                for i, (text, t, p, ms) in enumerate(zip(texts, thing, sure, slow, strict=True))
            )
            fw.feedback_many({"interaction_id": id, "rating": -1} for id in ids[::20])
    return time.perf_counter() - started


def spin(folder: Path) -> None:
    """Run one spin and print its seconds by step and the process's peak memory as JSON."""
    import flywheel

    with flywheel.open(folder, release={"registry": "folder"}) as fw:
        started = time.perf_counter()
        done = fw.spin(budget=100, labeler=lambda item: str(item.input).split(" ref ")[0].split()[-1] or "card")
        total = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"steps": done.seconds, "total": total, "peak_mb": round(peak), "state": done.state}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--spin", type=Path)
    options = parser.parse_args()
    if options.spin:
        spin(options.spin)
        return
    rows = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            logged = fill(folder, size)
            answer = subprocess.run(
                [sys.executable, __file__, "--spin", str(folder)], capture_output=True, text=True, check=False
            )
            if answer.returncode:
                sys.exit(answer.stderr)
            row = json.loads(answer.stdout.splitlines()[-1])
        row |= {"size": size, "log_seconds": round(logged, 1)}
        row["seconds"] = round(sum(s for step, s in row["steps"].items() if step not in LEARNING), 2)
        rows.append(row)
        print(f"{size:>9,} interactions: {row['seconds']:6.1f} s and {row['peak_mb']:,} MB without training and replay")
    print(f"\n{'step':<10}" + "".join(f"{row['size']:>12,}" for row in rows) + "   growth for ten times the log")
    for step in rows[-1]["steps"]:
        seconds = [row["steps"].get(step, 0.0) for row in rows]
        growth = "  ".join(f"{b / a:5.1f}x" if a >= 0.05 else "     -" for a, b in pairwise(seconds))
        print(f"{step:<10}" + "".join(f"{s:>11.2f}s" for s in seconds) + f"   {growth}")
    RESULTS.mkdir(exist_ok=True)
    report = {"rows": rows, "machine": f"{platform.machine()}, {platform.python_version()}"}
    (RESULTS / "spin.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
