"""What moved, at five million rows of thirty columns, beside Evidently, whylogs and NannyML; and the overview.

`make bench-drift` makes Parquet files with six columns that move and twenty-four that do not (`drift_data.py`) and
writes results/drift.json. Parts (`--part`, all by default):

- report    ours at `--rows` for the window and as many for the reference, in a process of its own
- peers     every tool at `--peer-rows` for each side, ours too: seconds and memory per row as ratios of the same run
- flags     which columns each tool flags over seeds: precision and recall, with and without moves
- null      false alarms and power of ours where levels wander and days have a cycle, over `--seeds` seeds
- overview  ten million interactions: metrics by scan, cells by hour, an update of them, and the overview from cells

Seconds count from opening the files to knowing the flags; imports come before. Processor seconds stand beside them, for
machines that do something else too. Memory is the process's peak, whole, and less what the imports took. A row is a row
of either file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import drift_data
import numpy as np

HERE = Path(__file__).parent
OUT = HERE / "results" / "drift.json"
PEERS = HERE.parent / ".bench-venv-observe" / "bin" / "python"
TOOLS = ("evidently", "whylogs", "nannyml")
PARTS = ("report", "peers", "flags", "null", "overview")
QUIET = {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1", "WHYLOGS_NO_ANALYTICS": "True"}


def load():
    return round(os.getloadavg()[0], 1)


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def opened(*paths):
    """The files as the store gives its tables: one DuckDB with the store's memory limit."""
    import duckdb
    import ibis

    engine = ibis.duckdb.from_connection(duckdb.connect(":memory:", config={"memory_limit": "1GB"}))
    told = ibis.memtable({"seq": [0]})
    return [SimpleNamespace(interactions=engine.read_parquet(str(path)), feedback=told) for path in paths]


def ours(reference, window):
    """Run the drift report and print its figures."""
    import sklearn  # noqa: F401  (what a process of Flywheel has loaded anyway)

    from flywheel.observe.drift import compare, drift, sketch

    opened(reference)
    before, began, busy = peak(), time.perf_counter(), time.process_time()
    old, new = opened(reference, window)
    found = drift(new, old)
    seconds, cpu = time.perf_counter() - began, time.process_time() - busy
    flags = sorted(one.name for one in found)
    most = peak()
    kept = sketch(old.interactions)
    began = time.perf_counter()
    again = compare(sketch(new.interactions, like=kept), kept)
    with_kept = time.perf_counter() - began
    size = len(json.dumps(kept.to_dict()))
    effects = {move.column.name: round(move.effect.size, 4) for move in again}
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu_seconds": cpu,
                "seconds_with_kept_reference": with_kept,
                "kept_reference_bytes": size,
                "imports_mb": before,
                "peak_mb": most,
                "flags": flags,
                "effects": effects,
            }
        )
    )


def run(tool, reference, window):
    """One tool in a process of its own."""
    command = [sys.executable, __file__, "--ours"] if tool == "flywheel" else [PEERS, HERE / "drift_peers.py", tool]
    done = subprocess.run(
        [*map(str, command), str(reference), str(window)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **QUIET},
        timeout=900,
    )
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1][:300]}
    return json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])


def made(folder, n, seed, moved=True):
    reference, window = folder / f"r{n}-{seed}.parquet", folder / f"w{n}-{seed}-{moved}.parquet"
    if not reference.exists():
        drift_data.write(reference, n, days=28, first=0, seed=seed, moved=False)
    drift_data.write(window, n, days=7, first=28, seed=seed, moved=moved)
    return reference, window


def judged(found, moved=True):
    """How many flags are right, and how many of the six were flagged."""
    truth, flags = set(drift_data.SHIFTED) if moved else set(), set(found.get("flags", ()))
    return {"flagged": len(flags), "right": len(flags & truth), "wrong": sorted(flags - truth)}


def report(options, folder):
    say(f"making 2 × {options.rows:,} rows")
    reference, window = made(folder, options.rows, options.seed)
    found = run("flywheel", reference, window)
    found |= judged(found) | {"rows": 2 * options.rows, "columns": len(drift_data.names())}
    found["bytes_per_row"] = round((found["peak_mb"] - found["imports_mb"]) * 2**20 / found["rows"], 1)
    found["peak_bytes_per_row"] = round(found["peak_mb"] * 2**20 / found["rows"], 1)
    say(
        f"flywheel  {found['rows']:>10,} rows  {found['seconds']:7.1f} s  {found['peak_mb']:6.0f} MB  "
        f"flagged {found['flagged']}, right {found['right']}, wrong {found['wrong']}"
    )
    return found


def peers(options, folder):
    reference, window = made(folder, options.peer_rows, options.seed)
    rows, out = 2 * options.peer_rows, {}
    for tool in ("flywheel", *(options.tool or TOOLS)):
        out[tool] = run(tool, reference, window)
        if "error" in out[tool]:
            say(f"{tool:<10}{out[tool]['error']}")
            continue
        out[tool] |= judged(out[tool])
        one, mine = out[tool], out["flywheel"]
        one["us_per_row"] = round(one["seconds"] / rows * 1e6, 2)
        one["bytes_per_row"] = round((one["peak_mb"] - one["imports_mb"]) * 2**20 / rows, 1)
        one["times_our_seconds"] = round(one["seconds"] / mine["seconds"], 1)
        one["times_our_cpu"] = round(one["cpu_seconds"] / mine["cpu_seconds"], 1)
        one["times_our_memory"] = round(
            (one["peak_mb"] - one["imports_mb"]) / (mine["peak_mb"] - mine["imports_mb"]), 1
        )
        say(
            f"{tool:<10}{rows:>10,} rows  {one['seconds']:7.1f} s ({one['times_our_seconds']} × ours, "
            f"processor {one['times_our_cpu']} ×)  "
            f"{one['peak_mb']:6.0f} MB  flagged {one['flagged']}, right {one['right']}, wrong {one['wrong']}"
        )
    name = f"{rows} rows" + "".join(f", {tool}" for tool in options.tool or ())
    return {**options.before.get("peers", {}), name: {"columns": len(drift_data.names()), "load": load(), "tools": out}}


def flags(options, folder):
    out = {}
    for tool, seeds, n in [("flywheel", options.flag_seeds, 50_000), *((t, options.peer_seeds, 20_000) for t in TOOLS)]:
        for moved in (True, False):
            found = []
            for seed in range(seeds):
                pair = made(folder, n, 100 + seed, moved)
                found.append(run(tool, *pair) if tool != "flywheel" else {"flags": in_process(*pair)})
                pair[1].unlink()
            good = [one for one in found if "error" not in one]
            right = sum(judged(one, moved)["right"] for one in good)
            wrong = sum(len(judged(one, moved)["wrong"]) for one in good)
            line = {
                "seeds": len(good),
                "rows": 2 * n,
                "recall": round(right / (6 * len(good)), 3) if moved and good else None,
                "precision": round(right / (right + wrong), 3) if moved and right + wrong else None,
                "wrong_flags_a_report": round(wrong / len(good), 2) if good else None,
                "reports_with_a_wrong_flag": sum(bool(judged(one, moved)["wrong"]) for one in good),
            }
            out.setdefault(tool, {})["moved" if moved else "unmoved"] = line
            say(f"{tool:<10}{'six moved' if moved else 'none moved':<11}{line}")
    return out


def in_process(reference, window):
    from flywheel.observe.drift import compare, sketch

    old, new = opened(reference, window)
    kept = sketch(old.interactions)
    return [move.column.name for move in compare(sketch(new.interactions, like=kept), kept) if move.moved]


def counted(rng, rho, spread, per, shift, days=(28, 7), cycle=0.5):
    """Two sides of normal values, `per` an hour, around an hourly level that wanders and a daily cycle."""
    from scipy import stats

    from flywheel.observe.drift.effect import Side

    edges = stats.norm.ppf(np.arange(1, 63) / 63) * np.sqrt(1 + spread**2 + cycle**2 / 2)
    out, first = [], 0
    for moved, length in zip((0, 1), days, strict=True):
        hours = length * 24
        start = (first * 24 + np.arange(hours)) * 3600.0
        mean = cycle * np.cos(start / 86400 * 2 * np.pi) + moved * shift + drift_data.levels(rng, hours, rho, spread)
        values = rng.normal(size=(hours, per)) + mean[:, None]
        counts = np.zeros((hours, 64), np.int64)
        np.add.at(counts, (np.repeat(np.arange(hours), per), np.searchsorted(edges, values.ravel())), 1)
        out.append(Side(counts, start))
        first += length
    return out


def null(options, folder):
    from scipy import stats

    from flywheel.observe.drift import ebh
    from flywheel.observe.drift.effect import apart

    out = {"false_alarms": [], "power": []}
    columns = 4
    for rho, spread, per in (
        (0, 0, 2),
        (0, 0, 10),
        (0.5, 0.3, 5),
        (0.8, 0.3, 5),
        (0.9, 0.3, 5),
        (0.95, 0.3, 5),
        (0.99, 0.3, 5),
    ):
        rng = np.random.default_rng([options.seed, int(rho * 100), per])
        some, single, p_low = 0, 0, 0
        for _ in range(options.seeds):
            found = [apart(*counted(rng, rho, spread, per, 0.0), 0.05) for _ in range(columns)]
            some += bool(ebh([one.e for one in found], 0.05).any())
            single += sum(one.e >= 20 for one in found)
            p_low += sum(one.p < 0.05 for one in found)
        n = options.seeds * columns
        line = {
            "rho": rho, "spread": spread, "window_rows": per * 168, "reports": options.seeds, "columns": columns,
            "reports_with_a_false_alarm": round(some / options.seeds, 4),
            "interval": wilson(some, options.seeds),
            "columns_with_e_20": round(single / n, 4), "columns_with_p_05": round(p_low / n, 4),
        }  # fmt: skip
        out["false_alarms"].append(line)
        say(f"null  {line}")
    for per in (2, 6, 60):
        for shift in (0.2, 0.3, 0.5, 0.8):
            rng = np.random.default_rng([options.seed, per, int(shift * 10)])
            found = [apart(*counted(rng, 0.8, 0.1, per, shift), 0.05) for _ in range(40)]
            spread = np.sqrt(1 + 0.1**2)
            line = {
                "shift_sd": shift, "window_rows": per * 168,
                "true_distance": round(2 * stats.norm.cdf(shift / 2 / spread) - 1, 3),
                "mean_size": round(float(np.mean([one.size for one in found])), 3),
                "found_alone": round(float(np.mean([one.e >= 20 for one in found])), 3),
                "found_among_30": round(float(np.mean([one.e >= 600 for one in found])), 3),
            }  # fmt: skip
            out["power"].append(line)
            say(f"power {line}")
    return out


def wilson(k, n, z=1.96):
    p = k / n
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [
        round(float(max(0, middle - half) / (1 + z * z / n)), 4),
        round(float((middle + half) / (1 + z * z / n)), 4),
    ]


def logged(folder, n, seed, start=0, stop=None):
    """Interactions and feedback on one in twenty, as Parquet files with the store's columns."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from flywheel.store.projection import FEEDBACK_SCHEMA, INTERACTIONS_SCHEMA

    rng, step = np.random.default_rng([seed, start]), 500_000
    first, span = drift_data.START * 10**6, 90 * 86400 * 10**6
    answers = pa.array([f'"label-{k}"' for k in range(20)])
    for done in range(start, stop or n, step):
        m = min(step, n - done)
        number = np.arange(done, done + m)
        at = pa.array(first + (number * (span / n)).astype(np.int64), pa.timestamp("us", "UTC"))
        ids = pc.binary_join_element_wise(
            "0198c5f0-7d3a-7c2e-9b1f-", pc.cast(pa.array(number + 10**11), pa.string()), ""
        )
        known = {
            "seq": pa.array(number + 1), "id": ids, "at": at, "received_at": at,
            "output": answers.take(pa.array(rng.integers(0, 20, m))), "confidence": pa.array(rng.beta(6, 2, m)),
            "latency_ms": pa.array(np.exp(5 + 0.6 * rng.normal(size=m))), "rand": pa.array(rng.random(m)),
            "error": pa.array(np.full(m, "timeout"), mask=rng.random(m) > 0.01),
        }  # fmt: skip
        table = pa.table([known.get(f.name, pa.nulls(m, f.type)) for f in INTERACTIONS_SCHEMA], INTERACTIONS_SCHEMA)
        pq.write_table(table, folder / f"i{done:09}.parquet")
        k = m // 20
        rows = np.sort(rng.choice(m, k, replace=False))
        audit = rng.random(k) < 0.1
        told = {
            "seq": pa.array(n + 1 + done // 20 + np.arange(k)), "interaction_id": ids.take(pa.array(rows)),
            "at": at.take(pa.array(rows)), "kind": pa.array(np.where(audit, "label", "rating")),
            "value": pa.array(np.where(audit, '"label-1"', "-1")), "number": pa.array(np.full(k, -1.0), mask=audit),
            "source": pa.array(np.where(audit, "reviewer", "user")),
            "propensity": pa.array(np.full(k, 0.005), mask=~audit),
        }  # fmt: skip
        table = pa.table([told.get(f.name, pa.nulls(k, f.type)) for f in FEEDBACK_SCHEMA], FEEDBACK_SCHEMA)
        pq.write_table(table, folder / f"f{done:09}.parquet")


def overview(options, folder):
    import pyarrow.parquet as pq

    from flywheel.observe.rollup import merge, overview, rollup
    from flywheel.observe.series import metrics

    folder = options.folder or folder
    if not list(folder.glob("i*.parquet")):
        say(f"making {options.interactions:,} interactions")
        logged(folder, options.interactions, options.seed)
    import duckdb
    import ibis

    engine = ibis.duckdb.from_connection(duckdb.connect(":memory:", config={"memory_limit": "1GB"}))
    i, f = (engine.read_parquet(str(folder / f"{kind}*.parquet")) for kind in "if")
    late = 10_000
    seen = SimpleNamespace(interactions=i, feedback=f)
    out = {"interactions": options.interactions, "feedback": options.interactions // 20}

    def timed(name, work):
        began = time.perf_counter()
        done = work()
        out[name] = round(time.perf_counter() - began, 3)
        say(f"{name:<34}{out[name]:8.3f} s")
        return done

    cells = timed("all_cells", lambda: rollup(seen))
    pq.write_table(cells, folder / "cells.parquet")
    out["cells"], out["cells_bytes"] = cells.num_rows, (folder / "cells.parquet").stat().st_size
    for every in ("day", "hour"):
        told = timed(f"overview_{every}", lambda every=every: overview(pq.read_table(folder / "cells.parquet"), every))
        out[f"rows_{every}"] = len(told)
    fresh = SimpleNamespace(interactions=i, feedback=f.filter(f.seq <= options.interactions + late // 20))
    timed("update_10000_new_500_feedback", lambda: merge(cells, rollup(fresh, after=options.interactions - late)))
    told = overview(cells, "day")
    if not options.no_scan:
        scan = timed("metrics_day_by_scan", lambda: metrics(seen, "day"))
        out["same_volume_and_errors"] = all(
            a["volume"] == b["volume"] and abs(a["errors"] - b["errors"]) < 1e-9 and a["labels"] == b["labels"]
            for a, b in zip(scan, told, strict=True)
        )
        out["worst_latency_gap"] = round(
            max(abs(a["latency_p95"] / b["latency_p95"] - 1) for a, b in zip(scan, told, strict=True)), 4
        )
    out["peak_mb"] = round(peak())
    out["under_a_second"] = out["overview_day"] < 1 and out["overview_hour"] < 1
    return out


def say(line):
    print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; may be repeated")
    parser.add_argument("--overview", action="store_true", help="only the overview")
    parser.add_argument("--tool", choices=TOOLS, action="append", help="beside this peer only; may be repeated")
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--peer-rows", type=int, default=500_000)
    parser.add_argument("--interactions", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="for the overview: where its files are kept, or made")
    parser.add_argument("--no-scan", action="store_true", help="for the overview: leave the scan out")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--flag-seeds", type=int, default=20)
    parser.add_argument("--peer-seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ours", nargs=2, type=Path, metavar=("REFERENCE", "WINDOW"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        ours(*options.ours)
        return
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    facts = json.loads(OUT.read_text()) if OUT.exists() else {}
    facts["machine"] = {"python": platform.python_version(), "system": platform.machine(), "cores": os.cpu_count()}
    options.before = facts
    for part in options.part or (["overview"] if options.overview else PARTS):
        say(f"--- {part}")
        with tempfile.TemporaryDirectory() as name:
            began = time.perf_counter()
            facts[part] = globals()[part](options, Path(name))
            facts[part] |= {"commit": commit.stdout.strip(), "seed": options.seed, "load": load()}
            facts[part]["took"] = round(time.perf_counter() - began, 1)
        OUT.parent.mkdir(exist_ok=True)
        OUT.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
