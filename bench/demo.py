"""How often the flywheel beats random labels, and random labels a frozen model: the demo over many seeds.

`make bench-demo` runs the seeds and writes a row a seed to `bench/results/demo.csv` and the summary to `demo.json`.
Baseline: the same learner with the same number of labels drawn at random, on the same traffic, in the same run.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import resource
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"


def one(arguments: tuple[int, int]) -> dict[str, float]:
    from flywheel.demo import run

    seed, spins = arguments
    with tempfile.TemporaryDirectory() as folder:
        result = run(Path(folder), spins=spins, seed=seed)
    decisions = [line["verdict"] for line in result["spins"]]
    return {
        "seed": seed,
        **result["accuracy"],
        "labels": result["labels"]["flywheel"],
        "promoted": decisions.count("promote"),
        "rejected": decisions.count("reject"),
        "uplift": result["uplift"]["estimate"],
        "uplift_low": result["uplift"]["low"],
        "uplift_high": result["uplift"]["high"],
        "seconds": result["seconds"],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def interval(differences: list[float], rng: np.random.Generator) -> list[float]:
    means = rng.choice(differences, (10_000, len(differences))).mean(axis=1)
    return [round(float(edge), 4) for edge in np.quantile(means, [0.025, 0.975])]


def commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--spins", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    rows = []
    with ProcessPoolExecutor(options.workers, max_tasks_per_child=1) as pool:
        for row in pool.map(one, [(seed, options.spins) for seed in range(options.seeds)]):
            rows.append(row)
            line = "  ".join(f"{lane} {row[lane]:.3f}" for lane in ("frozen", "random", "flywheel"))
            print(f"seed {row['seed']:>2}  {line}  {row['promoted']} promoted  {row['seconds']:.0f} s", flush=True)
    gains = [row["flywheel"] - row["random"] for row in rows]
    ordered = sum(row["flywheel"] > row["random"] > row["frozen"] for row in rows)
    rng = np.random.default_rng(0)
    summary = {
        "ordered": ordered,
        "seeds": len(rows),
        "mean": {lane: round(float(np.mean([r[lane] for r in rows])), 4) for lane in ("frozen", "random", "flywheel")},
        "flywheel_minus_random": round(float(np.mean(gains)), 4),
        "flywheel_minus_random_95": interval(gains, rng),
        "uplift_interval_excludes_zero": sum(row["uplift_low"] > 0 for row in rows),
        "seconds_median": float(np.median([row["seconds"] for row in rows])),
        "peak_mb": max(row["peak_mb"] for row in rows),
        "commit": commit(),
        "machine": f"{platform.machine()}, {platform.python_version()}",
    }
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "demo.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (RESULTS / "demo.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary, indent=2))
    sys.exit(0 if ordered >= 0.9 * len(rows) else 1)


if __name__ == "__main__":
    main()
