"""Slices: is the search exact, how fast and how large is it, does it find what is there, and nothing where nothing is?

- search   our `top_slices` beside the library `sliceline` (with its numba kernels), each in its own process, on the
           same codes and losses: seconds of the search, and peak memory of the process with all its imports and data.
           Adult (numbers in ten quantiles, losses of a logistic regression), and made-up tables. Equal is: the same
           scores to 1e-9 in the same order and the same slices, ties apart. Where they differ, both lists are held
           against a count of every slice.
- power    made-up windows of 20,000 interactions, 12 columns (8 categories of 2 to 12 values, 4 numbers), half of them
           with 2,000 users: one conjunction of 1 to 3 conditions over 2 to 15 % of the traffic fails 10, 15 or 20
           points more often than the 8 % of the rest. Found is: among the first ten told, the same conjunction, or one
           whose rows agree with it to a Jaccard index of 0.8 (both are counted apart).
- quiet    the same windows with nothing injected; in half of them failures come in bursts of time and differ by user.
- census   `acs_employment_predictions` in serial order, where the people in group quarters come in a block.

Rows to standard output, all figures with intervals to slices.json. `python bench/slices.py --trials 200`
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats

from flywheel.observe.slices import slices

HERE = Path(__file__).parent
PEER = HERE.parent / ".bench-venv-observe" / "bin" / "python"
EMPTY = pa.table({"seq": pa.array([], pa.int64()), "interaction_id": pa.array([], pa.string())})

OURS = """
import json, sys, time
import numpy as np
from flywheel.observe.slices import top_slices
def peak():  # since this program began: getrusage would count the one that started it
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
given = np.load(sys.argv[1]); ask = json.loads(sys.argv[2])
began = time.perf_counter()
found = top_slices(given["codes"], given["losses"], k=ask["k"], alpha=ask["alpha"], max_level=ask["level"],
                   min_support=ask["support"])
took = time.perf_counter() - began
print(json.dumps({"seconds": took, "megabytes": peak(),
    "found": [[[[int(n), v] for n, v in one.conditions], one.score, one.size] for one in found]}))
"""
THEIRS = """
import json, sys, time
import numpy as np
from sliceline.slicefinder import NUMBA_AVAILABLE, Slicefinder
def peak():  # since this program began: getrusage would count the one that started it
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
given = np.load(sys.argv[1]); ask = json.loads(sys.argv[2])
def finder():
    return Slicefinder(alpha=ask["alpha"], k=ask["k"], max_l=ask["level"], min_sup=ask["support"], verbose=False)
if NUMBA_AVAILABLE:  # compile before the clock starts
    finder().fit(given["codes"][:200], given["losses"][:200])
one = finder()
began = time.perf_counter()
one.fit(given["codes"], given["losses"])
took = time.perf_counter() - began
print(json.dumps({"seconds": took, "megabytes": peak(),
    "numba": NUMBA_AVAILABLE,
    "found": [[[[n, int(v)] for n, v in enumerate(s) if v is not None], t["slice_score"], t["slice_size"]]
              for s, t in zip(one.top_slices_, one.top_slices_statistics_)]}))
"""


def made_up(n: int, d: int, values: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Uniform codes; two conjunctions fail more."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, values, (n, d)).astype(np.int16)
    risk = np.full(n, 0.1)
    risk[(codes[:, 3] == 2) & (codes[:, 7] == 1)] = 0.5
    risk[(codes[:, 0] == 1) & (codes[:, 5] == 0) & (codes[:, 8] == 1)] = 0.6
    return codes, (rng.random(n) < risk).astype(float)


def adult(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """14 columns of census data as codes, and 0/1 losses of a logistic regression on them."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import OneHotEncoder

    text = gzip.decompress((folder / "adult" / "adult.data.gz").read_bytes()).decode()
    rows = [line.split(", ") for line in text.splitlines() if line.count(",") == 14]
    columns = []
    for values in list(zip(*rows, strict=True))[:14]:
        try:
            numbers = np.array([float(v) for v in values])
            cuts = np.unique(np.quantile(numbers, np.arange(1, 10) / 10))
            columns.append(np.searchsorted(cuts, numbers, side="right"))
        except ValueError:
            columns.append(np.unique(values, return_inverse=True)[1])
    codes = np.column_stack(columns).astype(np.int16)
    truth = np.array([row[14].startswith(">") for row in rows])
    hot = OneHotEncoder().fit_transform(codes)
    model = LogisticRegression(max_iter=300, C=0.1).fit(hot, truth)
    return codes, (model.predict(hot) != truth).astype(float)


def run(python: Path, script: str, data: Path, ask: dict[str, Any], timeout: float) -> dict[str, Any] | None:
    """A search in a process of its own; None where it did not end in time or memory."""
    call = [str(python), "-c", script, str(data), json.dumps(ask)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(call, capture_output=True, text=True, timeout=timeout, env=env, check=False)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        sys.stderr.write(done.stderr[-500:] + "\n")
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def alike(ours: dict[str, Any], theirs: dict[str, Any], k: int) -> dict[str, Any]:
    """Whether scores are the same in order, and slices the same, those that tie with the last one apart."""
    a, b = ours["found"][:k], theirs["found"]
    scores = len(a) == min(k, len(b)) and all(abs(x[1] - y[1]) < 1e-9 for x, y in zip(a, b, strict=False))
    edge = a[-1][1] if len(a) == k else -np.inf
    sets = [{tuple(map(tuple, one[0])) for one in many if one[1] > edge + 1e-9} for many in (a, b)]
    return {"scores_equal": bool(scores), "slices_equal": sets[0] == sets[1]}


def count_every(codes: np.ndarray, losses: np.ndarray, ask: dict[str, Any]) -> list[float]:
    """The k best scores by counting every conjunction, column set by column set, with no bound and no pruning."""
    n, mean = len(losses), losses.mean()
    best: list[float] = []
    for level in range(1, ask["level"] + 1):
        for columns in combinations(range(codes.shape[1]), level):
            key = np.zeros(n, dtype=np.int64)
            for c in columns:
                key = key * (int(codes[:, c].max()) + 1) + codes[:, c]
            size, loss = np.bincount(key), np.bincount(key, losses)
            ok = (size >= ask["support"]) & (loss > 0)
            size, loss = size[ok], loss[ok]
            score = ask["alpha"] * (loss / size / mean - 1) - (1 - ask["alpha"]) * (n / size - 1)
            best = sorted([*best, *score[score > 0].tolist()], reverse=True)[: ask["k"]]
    return best


def searches(folder: Path, only: str) -> Iterator[dict[str, Any]]:
    """Every search, ours beside theirs, one after the other."""
    cases: list[tuple[str, Any, dict[str, Any], bool]] = []
    if (folder / "adult").is_dir():
        for level in (2, 3):
            ask = {"k": 10, "alpha": 0.95, "level": level, "support": 326}
            cases.append((f"adult 32,561 x 14, level {level}", lambda: adult(folder), ask, True))
    ask = {"k": 10, "alpha": 0.95, "level": 3, "support": 50}
    cases.append(("made up 5,000 x 9 of 4 values, level 3", lambda: made_up(5000, 9, 4, 1), ask, True))
    for level, peer in ((2, True), (3, False)):
        for values, support in ((4, 500), (10, 50)):
            ask = {"k": 10, "alpha": 0.99, "level": level, "support": support}
            name = f"made up 50,000 x 30 of {values} values, level {level}"
            cases.append((name, lambda v=values: made_up(50_000, 30, v, 2), ask, peer))
    ask = {"k": 10, "alpha": 0.99, "level": 3, "support": 5_000}
    cases.append(("made up 1,000,000 x 10 of 10 values, level 3", lambda: made_up(1_000_000, 10, 10, 3), ask, False))
    ask = {"k": 10, "alpha": 0.999, "level": 3, "support": 500}
    cases.append(("the same, smallest slices", lambda: made_up(1_000_000, 10, 10, 3), ask, False))
    for name, make, ask, peer in cases:
        if only and only not in name:
            continue
        codes, losses = make()
        with tempfile.TemporaryDirectory() as place:
            data = Path(place) / "data.npz"
            np.savez(data, codes=codes, losses=losses)
            ours = run(Path(sys.executable), OURS, data, ask, 600)
            theirs = run(PEER, THEIRS, data, ask, 240) if peer and PEER.exists() else None
        line: dict[str, Any] = {"case": name, **ask, "ours": figures(ours), "sliceline": figures(theirs)}
        if ours and theirs:
            line |= alike(ours, theirs, ask["k"])
            line |= {
                "times_faster": round(theirs["seconds"] / ours["seconds"], 1),
                "memory_share": round(ours["megabytes"] / theirs["megabytes"], 4),
                "numba": theirs["numba"],
            }
        if ours and len(losses) <= 50_000:
            exact = count_every(codes, losses, ask)
            line["ours_exact"] = close(exact, [one[1] for one in ours["found"]])
            if theirs:
                line["sliceline_exact"] = close(exact, [one[1] for one in theirs["found"][: ask["k"]]])
        print(json.dumps(line), flush=True)
        yield line


def close(a: list[float], b: list[float]) -> bool:
    return len(a) == len(b) and bool(np.allclose(a, b, rtol=1e-9, atol=1e-9))


def figures(one: dict[str, Any] | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {"seconds": round(one["seconds"], 3), "megabytes": round(one["megabytes"]), "found": len(one["found"])}


def window(rng: np.random.Generator, n: int, users: int) -> dict[str, Any]:
    """12 columns: 8 categories of 2 to 12 values, unevenly spread, and 4 numbers."""
    columns: dict[str, Any] = {}
    for place, values in enumerate((2, 3, 3, 4, 5, 6, 8, 12)):
        shares = rng.dirichlet(np.full(values, 3.0))
        columns[f"context.c{place}"] = rng.choice([f"v{v}" for v in range(values)], n, p=shares)
    columns |= {f"input.x{place}": rng.gamma(2.0, 30.0, n) for place in range(4)}
    start = datetime(2026, 1, 5, tzinfo=UTC)
    return {
        "seq": np.arange(1, n + 1),
        "id": [f"i{row}" for row in range(n)],
        "at": pa.array([start + timedelta(minutes=row) for row in range(n)], pa.timestamp("us", "UTC")),
        "output": rng.choice(['"yes"', '"no"'], n),
        "model": ["m1"] * n,
        "user": pa.array([f"u{u}" for u in rng.integers(0, users, n)] if users else [None] * n, pa.string()),
        "session": pa.array([None] * n, pa.string()),
        "rand": rng.random(n),
        **columns,
    }


def inject(rng: np.random.Generator, columns: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray]:
    """A conjunction of 1 to 3 conditions (numbers: a fifth to a third of the range) over 2 to 15 % of the rows."""
    names = [name for name in columns if name.startswith(("context.", "input."))]
    while True:
        chosen = rng.choice(names, int(rng.integers(1, 4)), replace=False)
        inside = np.ones(len(columns["id"]), dtype=bool)
        where: dict[str, Any] = {}
        for name in sorted(chosen):
            values = columns[name]
            if name.startswith("context."):
                value = rng.choice(np.unique(values))
                inside &= values == value
                where[name] = str(value)
            else:
                low = rng.integers(0, 8) / 10
                a, b = np.quantile(values, [low, low + rng.choice([0.2, 0.3])])
                inside &= (values >= a) & (values < b)
                where[name] = [float(a), float(b)]
        if 0.02 <= inside.mean() <= 0.15:
            return where, inside


def rows_of(one: Any, columns: dict[str, Any]) -> np.ndarray:
    """The rows of a slice that was told, by its name."""
    inside = np.ones(len(columns["id"]), dtype=bool)
    for name, value in one.where.conditions:
        whole = next((c for c in columns if c == name or c.partition(".")[2] == name), name)
        if whole == "hour of day":
            values = np.array([one.hour for one in columns["at"].to_pylist()])
        else:
            values = np.asarray(columns[whole])
        if not whole.startswith("input.") and whole != "hour of day":
            held = f'"{value}"' if whole == "output" else value
            inside &= values == held
        elif value.startswith("below "):
            inside &= values < float(value[6:])
        elif value.endswith(" and more"):
            inside &= values >= float(value[:-9])
        else:
            low, high = value.split(" to ")
            inside &= (values >= float(low)) & (values < float(high))
    return inside


def trial(seed: int, n: int, injected: bool) -> dict[str, Any]:
    rng = np.random.default_rng([seed, int(injected)])
    columns = window(rng, n, 2000 if seed % 2 else 0)
    risk = np.full(n, 0.08)
    where: dict[str, Any] = {}
    inside, effect = np.zeros(n, dtype=bool), 0.0
    if injected:
        where, inside = inject(rng, columns)
        effect = (0.10, 0.15, 0.20)[seed % 3]
        risk[inside] += effect
    elif seed % 4 >= 2:  # bursts of time, and users who differ: nothing that a column explains
        for start in rng.integers(0, n - 300, 5):
            risk[start : start + 300] = 0.4
        if seed % 2:
            own = rng.beta(0.8, 9.2, 2000)
            risk = np.maximum(risk, own[[int(u[1:]) for u in columns["user"].to_pylist()]])
    loss = (rng.random(n) < risk).astype(float)
    seen = SimpleNamespace(interactions=ibis.memtable(pa.table(columns)), feedback=ibis.memtable(EMPTY))
    found = slices(seen, ibis.memtable({"id": columns["id"], "loss": loss}), seed=seed)
    names = [tuple(sorted(c for c, _ in one.where.conditions)) for one in found]
    overlap = [float((r & inside).sum() / max((r | inside).sum(), 1)) for r in (rows_of(o, columns) for o in found)]
    wanted = tuple(sorted(name.partition(".")[2] for name in where))
    same = [a == wanted and o >= 0.5 for a, o in zip(names, overlap, strict=True)]
    covers = bool(found) and any(one.interval.low <= effect <= one.interval.high
                                 for one, o in zip(found, overlap, strict=True) if o >= 0.8)  # fmt: skip
    return {
        "seed": seed, "conditions": len(where), "share": round(float(inside.mean()), 4), "effect": effect,
        "told": len(found), "same_columns": any(same), "jaccard": round(max(overlap, default=0.0), 3),
        "interval_covers": covers, "lines": [one.line for one in found],
    }  # fmt: skip


def share(hits: int, n: int) -> dict[str, Any]:
    """A share with its exact 95 % interval (Clopper and Pearson 1934)."""
    low = float(stats.beta.ppf(0.025, hits, n - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(0.975, hits + 1, n - hits)) if hits < n else 1.0
    return {"hits": hits, "of": n, "share": round(hits / max(n, 1), 4), "interval": [round(low, 4), round(high, 4)]}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    exact = [row["same_columns"] for row in rows]
    near = [row["jaccard"] >= 0.8 for row in rows]
    found = [a or b for a, b in zip(exact, near, strict=True)]
    out = {
        "found": share(sum(found), len(rows)),
        "same_columns": share(sum(exact), len(rows)),
        "rows_agree": share(sum(near), len(rows)),
        "interval_covers_where_rows_agree": share(
            sum(row["interval_covers"] for row in rows if row["jaccard"] >= 0.8), sum(near)
        ),
        "more_told_than_one": share(sum(row["told"] > 1 for row in rows), len(rows)),
    }
    for effect in sorted({row["effect"] for row in rows}):
        own = [f for f, row in zip(found, rows, strict=True) if row["effect"] == effect]
        out[f"found_at_{effect * 100:.0f}_points"] = share(sum(own), len(own))
    for length in (1, 2, 3):
        own = [f for f, row in zip(found, rows, strict=True) if row["conditions"] == length]
        out[f"found_with_{length}_conditions"] = share(sum(own), len(own))
    return out


def quiet(rows: list[dict[str, Any]]) -> dict[str, Any]:
    bursts = [row for row in rows if row["seed"] % 4 >= 2]
    return {
        "any_told": share(sum(row["told"] > 0 for row in rows), len(rows)),
        "any_told_in_bursts": share(sum(row["told"] > 0 for row in bursts), len(bursts)),
    }


def census(folder: Path) -> dict[str, Any]:
    """The census of 2017 in serial order: one row a minute, no users."""
    base = folder / "acs_employment_predictions"
    table = pq.read_table(base / "employment_MA_analysis.pq")
    truth = pq.read_table(base / "employment_MA_analysis_target.pq")["employed"].to_numpy()
    wrong = (table["prediction"].to_numpy() != truth).astype(float)
    rows = np.flatnonzero(table["year"].to_numpy() == 2017)
    table, n = table.take(rows), len(rows)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    columns: dict[str, Any] = {
        "seq": np.arange(1, n + 1),
        "id": [f"p{one}" for one in table["id"].to_pylist()],
        "at": pa.array([start + timedelta(minutes=row) for row in range(n)], pa.timestamp("us", "UTC")),
        "output": [str(one) for one in table["prediction"].to_pylist()],
        "model": ["m1"] * n,
        "user": pa.array([None] * n, pa.string()),
        "session": pa.array([None] * n, pa.string()),
        "rand": np.random.default_rng(0).random(n),
    }
    for name in table.column_names:
        if name not in ("id", "year", "prediction", "predicted_probability", "employed"):
            values = table[name]
            columns[f"input.{name}"] = values.cast(pa.string()) if pa.types.is_dictionary(values.type) else values
    seen = SimpleNamespace(interactions=ibis.memtable(pa.table(columns)), feedback=ibis.memtable(EMPTY))
    began = time.perf_counter()
    found = slices(seen, ibis.memtable({"id": columns["id"], "loss": wrong[rows]}))
    took = time.perf_counter() - began
    named = [one for one in found if ("RELP", "17") in one.where.conditions]
    return {
        "rows": n, "seconds": round(took, 1), "told": [one.line for one in found],
        "group_quarters_named": bool(named), "rank": found.index(named[0]) + 1 if named else None,
        "said_to_come_in_a_block": bool(named and any("block" in line for line in named[0].evidence)),
        "evidence": list(named[0].evidence) if named else [],
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="the seed of the first trial")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rows", type=int, default=20_000, help="interactions in a trial's window")
    parser.add_argument("--parts", default="search,power,quiet,census", help="which of them to run")
    parser.add_argument("--only", default="", help="only searches whose name holds this")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "slices.json")
    given = parser.parse_args()
    folder, parts = Path(os.environ.get("FLYWHEEL_DATA", "")), given.parts.split(",")
    facts = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    asked = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    facts["commit"] = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    facts["machine"] = {"python": platform.python_version(), "system": platform.machine(), "cores": os.cpu_count()}
    if "search" in parts:
        for line in searches(folder, given.only):
            facts["search"] = [one for one in facts.get("search", []) if one["case"] != line["case"]] + [line]
            save(facts, given.out)
    for part, injected in (("power", True), ("quiet", False)):
        if part not in parts:
            continue
        seeds = range(given.first, given.first + given.trials)
        rows = {row["seed"]: row for row in facts.get(f"{part}_trials", []) if row["seed"] not in seeds}
        with ProcessPoolExecutor(given.workers) as workers:
            for done, row in enumerate(workers.map(partial(trial, n=given.rows, injected=injected), seeds), 1):
                rows[row["seed"]] = row
                if done % 20 == 0 or done == given.trials:
                    sys.stderr.write(f"{part}: {done} of {given.trials}\n")
                    every = [rows[seed] for seed in sorted(rows)]
                    facts[f"{part}_trials"], facts[part] = every, summary(every) if injected else quiet(every)
                    save(facts, given.out)
        print(json.dumps(facts[part], indent=1), flush=True)
    if "census" in parts:
        if (folder / "acs_employment_predictions").is_dir():
            facts["census"] = census(folder)
            print(json.dumps(facts["census"], indent=1))
        else:
            print("census: set FLYWHEEL_DATA to the folder that holds acs_employment_predictions")
    save(facts, given.out)
    return 0


def save(facts: dict[str, Any], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
