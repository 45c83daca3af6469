"""How often does `anomalies` cry wolf on quiet streams, and what does it find on streams with something in them?

Hourly streams of several kinds are made up, `--trials` of each. On quiet ones the share with any finding is the false
alarm rate per stream. On the others one thing is put in after 70 % of the stream, and it counts as found when a finding
begins within 30 hours after it. Deviations are those of the noise. `python bench/anomaly_streams.py --trials 100`
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from flywheel.observe.anomaly import anomalies

RESULTS = Path(__file__).parent / "results"
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
LENGTHS = (336, 1500)
WITHIN = 30
QUIET = ("white", "correlated", "season", "counts", "week", "rare counts", "log-normal")
PUT_IN = ("spike of 6", "spike of 8", "shift of 3", "shift of 5", "burst of 5", "flat line")


def stream(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """A quiet hourly stream."""
    hours = np.arange(n)
    day = np.sin(2 * np.pi * hours / 24)
    if kind == "white":
        return rng.normal(size=n)
    if kind == "correlated":
        x = rng.normal(size=n)
        for place in range(1, n):
            x[place] += 0.8 * x[place - 1]
        return x
    if kind == "season":
        return 100 + 30 * day + rng.normal(0, 5, n)
    if kind == "counts":
        return rng.poisson(5 + 4 * day).astype(float)
    if kind == "week":
        return rng.poisson(100 * (1 + 0.5 * day) * np.where(hours // 24 % 7 > 4, 0.5, 1)).astype(float)
    if kind == "rare counts":
        return rng.poisson(0.05, n).astype(float)
    return np.exp(rng.normal(0, 1, n))


def put_in(what: str, x: np.ndarray, at: int, deviation: float, rng: np.random.Generator) -> None:
    """Change a stream from one place on."""
    if what == "flat line":
        x[at : at + 24] = x[at]
        return
    name, size = what.split(" of ")
    if name == "spike":
        x[at] += float(size) * deviation
    elif name == "shift":
        x[at:] += float(size) * deviation
    else:
        x[at : at + 24] += rng.normal(0, float(size) * deviation, 24)


def begins(x: np.ndarray) -> list[int]:
    """The hours at which findings begin."""
    points = [(BEGIN + timedelta(hours=hour), float(value)) for hour, value in enumerate(x)]
    return [round((one.since - BEGIN) / timedelta(hours=1)) for one in anomalies(points, "metric") if one.since]


def wilson(hits: int, n: int) -> list[float]:
    """A 95 % interval of a share."""
    z, p = 1.96, hits / n
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [float(max(0, (middle - half) / (1 + z * z / n))), float(min(1, (middle + half) / (1 + z * z / n)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="hours; the rest of the result stays")
    parser.add_argument("--parts", nargs="+", default=("quiet", "found"), choices=("quiet", "found"))
    options = parser.parse_args()
    trials = options.trials
    report: dict[str, Any] = {"quiet": {}, "found": {}}
    result = RESULTS / "anomaly_streams.json"
    if result.is_file() and (options.lengths != LENGTHS or len(options.parts) < 2):
        report = json.loads(result.read_text(encoding="utf-8"))
    report |= {"seed": options.seed}
    for n in options.lengths:
        for kind in QUIET if "quiet" in options.parts else ():
            rng = np.random.default_rng([options.seed, n, QUIET.index(kind)])
            hits = sum(bool(begins(stream(kind, n, rng))) for _ in range(trials))
            report["quiet"][f"{kind}, {n} hours"] = {
                "share": hits / trials,
                "interval": wilson(hits, trials),
                "trials": trials,
            }
            sys.stdout.write(f"quiet  {kind:12} {n:5} hours  {hits:3} of {trials} streams with a finding\n")
        for kind, deviation in (("white", 1.0), ("season", 5.0)) if "found" in options.parts else ():
            for what in PUT_IN:
                rng = np.random.default_rng([options.seed, n, PUT_IN.index(what), int(deviation)])
                hits, at = 0, int(0.7 * n)
                for _ in range(trials):
                    x = stream(kind, n, rng)
                    put_in(what, x, at, deviation, rng)
                    hits += any(at <= begin <= at + WITHIN for begin in begins(x))
                report["found"][f"{what}, {kind}, {n} hours"] = {
                    "share": hits / trials,
                    "interval": wilson(hits, trials),
                    "trials": trials,
                }
                sys.stdout.write(f"found  {kind:12} {n:5} hours  {what:12} {hits:3} of {trials}\n")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    head = {
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()} {platform.system()}",
        "python": platform.python_version(),
    }
    RESULTS.mkdir(exist_ok=True)
    result.write_text(json.dumps({**report, **head}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
