"""FlywheelBench: does the loop beat every cheaper habit at the same label budget?

`make bench-flywheel` plays every arm on every stream for 20 seeds and writes a row a run to
`bench/results/flywheelbench.csv`; runs that are there already are not played again, so that it may be stopped and gone
on with. `report.py` turns the rows into tables. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import Manager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

from flywheelbench import product
from flywheelbench.compute import CAP
from flywheelbench.habits import HABITS
from flywheelbench.product import ABLATIONS, WAYS
from flywheelbench.streams import STREAMS

__all__ = ["ROWS", "append_row", "main", "numbers", "read_rows"]

ROWS = Path(__file__).parents[1] / "results" / "flywheelbench.csv"
ARMS = (*HABITS, *WAYS)
KEYS = ("stream", "seed", "arm", "budget")


def read_rows(path: Path = ROWS) -> list[dict[str, Any]]:
    """The rows of earlier runs, their values read back."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: _value(text) for name, text in row.items()} for row in csv.DictReader(file)]


def _value(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except ValueError:
        return text


def append_row(path: Path, row: dict[str, Any], names: Sequence[str]) -> None:
    """Write a run behind the others. Where these were written when there were fewer figures, their file is first given
    the columns of today, empty."""
    old: list[dict[str, Any]] = []
    known: list[str] = []
    if path.exists():
        with path.open(newline="") as file:
            known = next(csv.reader(file), [])
    columns = [*names, *(name for name in known if name not in names)]
    anew = known != columns
    if anew and known:
        with path.open(newline="") as file:
            old = list(csv.DictReader(file))
    made = path.with_suffix(".part") if anew else path
    with made.open("w" if anew else "a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=columns, extrasaction="ignore")
        if anew:
            writer.writeheader()
            writer.writerows(old)
        writer.writerow({n: v if isinstance(v, str) else json.dumps(v) for n, v in row.items()})
    made.replace(path)


NAMES = (
    *KEYS, "preq", "final", "live", "sealed", "spent", "labels", "candidates", "promoted", "harmful", "good",
    "refused_good", "flips", "old_classes", "quiet", "usual", "live_quiet", "live_usual", "ece", "worst_slice",
    "slices", "outside_at_90", "outside_right", "noise_share", "own_share", "spin_seconds", "train_seconds",
    "train_cpu", "train_cpu_most", "capped", "steps", "verdicts", "trials", "why", "cpu", "seconds",
)  # fmt: skip


def _unit(
    stream: str,
    seed: int,
    budgets: Sequence[int],
    arms: Sequence[str],
    done: set[Any],
    how: tuple[int, bool, float],
    queue: Any,
) -> int:
    """Play the arms of one world; each row is sent as soon as it is there."""
    from flywheelbench.habits import Shared
    from flywheelbench.play import play
    from flywheelbench.referee import Referee

    world, (spins, looks, cap) = STREAMS[stream](seed), how
    if spins < len(world.spins):
        world = replace(world, spins=world.spins[:spins], weights=world.weights[:spins])
    if looks:
        product.LOOKS = ()
    shared, referee = Shared(world, seed), Referee(world)
    played = 0
    for budget in budgets:
        for arm in arms:
            free = arm in ("frozen", "oracle", "feedback as labels")  # their labels are no budget's
            if (stream, seed, arm, budget) in done or (free and budget != budgets[0]):
                continue
            try:
                queue.put(play(world, arm, budget, shared, referee, cap))
            except Exception as problem:
                queue.put({"failed": f"{stream} {seed} {arm} {budget}: {problem}", "trace": traceback.format_exc()})
            played += 1
    return played


def numbers(text: str) -> list[int]:
    """Whole numbers and ranges of them.

    >>> numbers("1-3,7")
    [1, 2, 3, 7]
    """
    found: list[int] = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        found += range(int(low), int(high or low) + 1)
    return found


def _rows(queue: Any) -> Iterator[dict[str, Any]]:
    while not queue.empty():
        yield queue.get()


def main() -> None:
    """Play what was asked for and is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="intents,banking,dialect,images,acs,bank")
    parser.add_argument("--seeds", default="5-24", help="such as 5-24 or 0,3,7")
    parser.add_argument("--arms", default=",".join(ARMS), help="comma between them; `ablations` for all of those")
    parser.add_argument("--budgets", default="100")
    parser.add_argument("--spins", type=int, default=12, help="fewer for a quick look; such rows are no results")
    parser.add_argument("--all-looks", action="store_true", help="spins observe from all sides, as by default outside")
    parser.add_argument("--cap", type=float, default=CAP, help="processor seconds an arm may train in a spin")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", type=Path, default=ROWS)
    options = parser.parse_args()
    arms = [a.strip() for a in options.arms.split(",")]
    if "ablations" in arms:
        place = arms.index("ablations")
        arms[place : place + 1] = [f"flywheel without {part}" for part in ABLATIONS]
    taken_out = {f"{way} without {part}" for way in WAYS for part in ABLATIONS}
    unknown = [a for a in arms if a not in ARMS and a not in taken_out]
    if unknown:
        parser.error(f"no arm is called {unknown[0]!r}. There are: {', '.join(ARMS)}, ablations")
    budgets = numbers(options.budgets)
    done = {tuple(row[name] for name in KEYS) for row in read_rows(options.rows)}
    units = [(stream, seed) for seed in numbers(options.seeds) for stream in options.streams.split(",")]
    options.rows.parent.mkdir(parents=True, exist_ok=True)
    failed, count, started = 0, 0, time.perf_counter()
    with Manager() as manager, ProcessPoolExecutor(options.workers) as pool:
        queue = manager.Queue()
        how = (options.spins, options.all_looks, options.cap)
        waiting = {pool.submit(_unit, s, n, budgets, arms, done, how, queue) for s, n in units}
        while waiting:
            time.sleep(0.5)
            ready = {future for future in waiting if future.done()}
            waiting -= ready
            for future in ready:
                future.result()
            for row in _rows(queue):
                if "failed" in row:
                    failed += 1
                    print(row["failed"], row["trace"], file=sys.stderr, flush=True)
                    continue
                count += 1
                append_row(options.rows, row, NAMES)
                print(
                    f"{time.perf_counter() - started:6.0f} s  {row['stream']:<9} seed {row['seed']:>2}  "
                    f"{row['arm']:<32} live {row['preq']:.3f}  final {row['final']:.3f}  labels {row['labels']:>5}  "
                    f"{row['promoted']}/{row['candidates']} shipped, {row['harmful']} harmful  {row['cpu']:.0f} s",
                    flush=True,
                )
    print(f"{count} runs, {failed} failed, in {time.perf_counter() - started:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
