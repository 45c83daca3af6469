"""How long a person waits before anything happens: `import flywheel` and `flywheel --help`.

`make bench-startup` runs each in a fresh process many times and compares the median with that of an empty Python on the
same machine in the same run. Targets: 50 ms for the import, 300 ms for the help.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
COMMANDS = {
    "empty python": [sys.executable, "-c", ""],
    "import flywheel": [sys.executable, "-c", "import flywheel"],
    "flywheel --help": [sys.executable, "-c", "from flywheel.cli import main; main()", "--help"],
    "import mlflow (for comparison)": [sys.executable, "-c", "import mlflow"],
}
TARGETS_MS = {"import flywheel": 50.0, "flywheel --help": 300.0}


def median_ms(command: list[str], runs: int) -> float:
    took = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took[1:])  # the first run reads the files from disk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    found = {name: round(median_ms(command, runs), 1) for name, command in COMMANDS.items()}
    # What the interpreter itself takes is not ours; an import is measured beside it, a command with it.
    found["import flywheel, without the interpreter"] = round(found["import flywheel"] - found["empty python"], 1)
    for name, took in found.items():
        sys.stdout.write(f"{name:45} {took:8.1f} ms\n")
    RESULTS.mkdir(exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    report = {
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()} {platform.system()}",
        "python": platform.python_version(),
        "runs": runs,
        "median_ms": found,
    }
    (RESULTS / "startup.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if found["import flywheel, without the interpreter"] > TARGETS_MS["import flywheel"]:
        sys.exit("import flywheel is over its target of 50 ms")
    if found["flywheel --help"] > TARGETS_MS["flywheel --help"]:
        sys.exit("flywheel --help is over its target of 300 ms")


if __name__ == "__main__":
    main()
