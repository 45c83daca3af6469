"""Is the cause that diagnosis names the one that was put there?

Modes with a known cause are made from real data (see `causes_worlds.py`): each cause × text, tabular, image × sizes
× seeds. `--fit` learns the weights of `flywheel.diagnose.cause.weights` from clinc150, bank_marketing, german_credit
and scikit-learn's digits (seeds from 1,000 on). Without it the shipped weights are judged on banking77, adult and
MNIST, which they have never seen ("new sets"), and the method on the sets it learns from, each seed by weights from
the other seeds ("known sets"). Macro-F1 over the five causes with a bootstrap interval over worlds, its confusion
table, by kind, size, labels and variant; beside it two baselines in the same run: the rules of the version before, and
always the commonest cause. The penalty of the fit was chosen on the known sets.

    python bench/causes.py                 # judge
    python bench/causes.py --fit           # learn the weights again, and write them
    python bench/causes.py --rows rows.jsonl --until 200   # do what is missing in rows.jsonl, for at most 200 s
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from causes_worlds import KINDS as DATA_KINDS
from causes_worlds import Maker, load

from flywheel.diagnose.cause import likely as model
from flywheel.diagnose.cause.measure import measure
from flywheel.diagnose.embed import FeatureEmbedder, TextEmbedder
from flywheel.records import Mode

HOME = Path(__file__).parent
CAUSES = model.KINDS
SIZES = (500, 2000, 8000)
FIT = ("clinc150", "bank_marketing", "german_credit", "digits")
NEW = ("banking77", "adult", "mnist")
FIRST_FIT_SEED = 1000


def plan(part: str, seeds: int) -> list[tuple[str, int, int]]:
    """(data set, size, seed) of every pair of worlds of a part: `fit` or `new`."""
    first, names = (FIRST_FIT_SEED, FIT) if part == "fit" else (0, NEW)
    rooms = {"german_credit": (500,), "digits": (500, 1200), "mnist": (500, 2000, 3500)}
    return [(name, size, first + seed) for seed in range(seeds) for name in names for size in rooms.get(name, SIZES)]


def rows_of(name: str, size: int, seed: int, data: tuple[list[Any], list[Any]]) -> list[dict[str, Any]]:
    """Make both worlds and measure their modes: one row a mode."""
    maker = Maker(name, *data, size, seed)
    embedder = TextEmbedder() if DATA_KINDS[name] == "text" else FeatureEmbedder()
    out = []
    for world in (maker.sound(), maker.flawed()):
        modes = [Mode(id=f"m{i}", name="") for i in range(len(world.modes))]
        found = {mode.id: one.failures for mode, one in zip(modes, world.modes, strict=True)}
        # A loop knows the champion's out-of-fold answers and its trainer, or it does not: both are tried.
        informed = seed % 3 != 2
        start = time.perf_counter()
        measured = measure(
            modes, found, world.examples, embedder=embedder, shares=world.shares,
            trainer=world.trainer if informed else None, champion_answers=world.answers if informed else None,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        for mode, one in zip(modes, world.modes, strict=True):
            m = measured[mode.id]
            out.append({
                "set": name, "kind": DATA_KINDS[name], "size": size, "seed": seed, "cause": one.cause,
                "variant": one.variant, "device": one.device, "failures": m.failures, "labelled": m.labelled,
                "informed": informed, "seconds": round(seconds, 3), "modes": len(modes), "before": earlier(m),
                "numbers": {k: (None if np.isnan(v) else round(v, 5)) for k, v in m.numbers.items()},
            })  # fmt: skip
    return out


def earlier(m: Any) -> str:
    """What the rules of the version before would say of the same numbers (they knew counts, distance and context)."""
    few = 1.0 / (1.0 + (4.0 * m.of_label / max(m.usual, 4.0)) ** 1.5) if m.label is not None else 0.0
    far, lean = m.numbers.get("far", 0.0), m.numbers.get("lean", 0.0)
    scores = {
        "data scarcity": max(few, min(1.0, 1.2 * max(far - 0.1, 0.0)) * (0.6 if lean > 0.5 else 0.8)),
        "external noise": lean * (1.0 - 0.7 * few),
        "label noise": min(1.0, 2.0 * max(m.numbers.get("suspected", 0.0), 0.0)),
        "algorithmic flaw": 0.0,
    }
    if m.label is not None and m.labelled >= 3:
        scores["algorithmic flaw"] = (1.0 - few) * (1.0 - far) * (1.0 - max(scores.values()))
    best = max(scores, key=lambda kind: scores[kind])
    return best if scores[best] >= 0.3 else "unknown"


@cache
def data_of(name: str, folder: str) -> tuple[list[Any], list[Any]]:
    return load(name, Path(folder))


def pair_of_worlds(job: tuple[str, int, int, str]) -> list[dict[str, Any]]:
    name, size, seed, folder = job
    return rows_of(name, size, seed, data_of(name, folder))


def gather(part: str, seeds: int, given: argparse.Namespace, folder: str) -> list[dict[str, Any]]:
    """All rows of a part; those already in the file `--rows` are not made again. Stops after `--until` seconds."""
    start, file = time.perf_counter(), given.rows
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file is not None and file.exists() else []
    done = {(row["set"], row["size"], row["seed"]) for row in rows}
    todo = [one for one in plan(part, seeds) if one not in done]
    with ProcessPoolExecutor(given.workers) as workers:
        for first in range(0, len(todo), 2 * given.workers):
            if time.perf_counter() - start > given.until:
                print(f"stopped with {len(todo) - first} of {len(todo)} pairs of worlds to do", flush=True)
                raise SystemExit(3)
            some = [(*one, folder) for one in todo[first : first + 2 * given.workers]]
            fresh = [row for found in workers.map(pair_of_worlds, some) for row in found]
            rows += fresh
            if file is not None:
                with file.open("a", encoding="utf-8") as out:
                    out.writelines(json.dumps(row) + "\n" for row in fresh)
            at = f"{min(first + len(some), len(todo))} of {len(todo)}"
            print(f"\r{part}: {at} pairs of worlds, {time.perf_counter() - start:.0f} s", end="", flush=True)
    print()
    wanted = set(plan(part, seeds))
    return [row for row in rows if (row["set"], row["size"], row["seed"]) in wanted]


# --- learning the weights --------------------------------------------------------------------------------------------


def way_of(row: dict[str, Any]) -> int:
    """The number of a row's cause among `likely.WAYS`: judged wrongly is the second kind of label noise."""
    return len(CAUSES) if row["variant"] == "judged wrongly" else CAUSES.index(row["cause"])


def fitted(rows: list[dict[str, Any]], names: tuple[str, ...], strength: float) -> dict[str, Any]:
    """A multinomial logistic model, causes and kinds of data weighing alike."""
    from sklearn.linear_model import LogisticRegression

    x = np.array([[np.nan if row["numbers"].get(n) is None else row["numbers"][n] for n in names] for row in rows])
    y = np.array([way_of(row) for row in rows])
    cells = Counter((row["cause"], row["kind"]) for row in rows)
    weight = np.array([1.0 / cells[row["cause"], row["kind"]] for row in rows])
    weight *= len(rows) / weight.sum()
    mean, scale = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    z = np.nan_to_num(np.clip((x - mean) / scale, -3, 3))
    learned = LogisticRegression(C=strength, max_iter=5000).fit(z, y, sample_weight=weight)
    return {
        "names": list(names),
        "mean": mean.round(4).tolist(), "scale": scale.round(4).tolist(),
        "weights": learned.coef_.round(3).tolist(), "offset": learned.intercept_.round(3).tolist(),
    }  # fmt: skip


def write_weights(table: dict[str, Any], rows: list[dict[str, Any]], command: str) -> None:
    """Write the table as code, with what made it."""
    path = HOME.parent / "src" / "flywheel" / "diagnose" / "cause" / "weights.py"
    lines = [
        f'"""What the numbers weigh: written by `{command}`.',
        "",
        f"Learned from {len(rows)} modes with a known cause, made of {', '.join(FIT)},",
        f"seeds {FIRST_FIT_SEED} to {max(row['seed'] for row in rows)}. Rows of `weights` are in the order of",
        "`likely.WAYS`, columns in the order of `names`.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import Any",
        "",
        '__all__ = ["WEIGHTS"]',
        "",
        "# fmt: off",
        "WEIGHTS: dict[str, dict[str, Any]] = {",
    ]
    for name, part in table.items():
        lines.append(f'    "{name}": {{')
        for key, value in part.items():
            if key == "names":
                lines += ['        "names": [', *quoted(value), "        ],"]
            elif key == "weights":
                lines.append('        "weights": [')
                for row in value:
                    lines += ["            [", *wrapped(row, 16), "            ],"]
                lines.append("        ],")
            else:
                lines += [f'        "{key}": [', *wrapped(value, 12), "        ],"]
        lines.append("    },")
    lines += ["}", "# fmt: on", ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def quoted(names: list[str]) -> list[str]:
    return [" " * 12 + ", ".join(f'"{n}"' for n in names[i : i + 6]) + "," for i in range(0, len(names), 6)]


def wrapped(values: list[float], indent: int) -> list[str]:
    return [" " * indent + ", ".join(f"{v:g}" for v in values[i : i + 10]) + "," for i in range(0, len(values), 10)]


# --- judging ---------------------------------------------------------------------------------------------------------


def judged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What diagnosis says of each row's numbers."""
    for row in rows:
        numbers = {k: (float("nan") if v is None else v) for k, v in row["numbers"].items()}
        row["p"] = model.likely(numbers, row["labelled"])
        row["said"] = model.named(row["p"])
        row["commonest"] = "label noise"
    return rows


def tables(rows: list[dict[str, Any]], strength: float) -> dict[str, Any]:
    """Both models. The one that reads labels learns from the modes that have three."""
    told = [row for row in rows if row["labelled"] >= 3]
    return {"blind": fitted(rows, model.BLIND, strength), "told": fitted(told, model.TOLD, strength)}


def crossed(rows: list[dict[str, Any]], strength: float) -> list[dict[str, Any]]:
    """The sets that the weights are learned from: each seed's modes are judged with weights from the other seeds."""
    shipped, out = dict(model.WEIGHTS), []
    for seed in sorted({row["seed"] for row in rows}):
        model.WEIGHTS.update(tables([row for row in rows if row["seed"] != seed], strength))
        out += judged([row for row in rows if row["seed"] == seed])
    model.WEIGHTS.update(shipped)
    return out


def macro_f1(pairs: list[tuple[str, str]], causes: tuple[str, ...] = CAUSES) -> float:
    scores = []
    for cause in causes:
        hit = sum(a == b == cause for a, b in pairs)
        said, true = sum(b == cause for _, b in pairs), sum(a == cause for a, _ in pairs)
        if true:
            scores.append(2 * hit / (said + true))
    return float(np.mean(scores)) if scores else float("nan")


def with_interval(rows: list[dict[str, Any]], key: str, draws: int = 1000) -> dict[str, Any]:
    """Macro-F1 with its 95 % bootstrap interval; whole worlds are drawn, for their modes share a champion."""
    worlds: dict[tuple[Any, ...], list[tuple[str, str]]] = defaultdict(list)
    for row in rows:
        worlds[row["set"], row["size"], row["seed"]].append((row["cause"], row[key]))
    several, rng = list(worlds.values()), np.random.default_rng(0)
    values = []
    for _ in range(draws):
        drawn = rng.integers(len(several), size=len(several))
        values.append(macro_f1([pair for i in drawn for pair in several[i]]))
    low, high = np.nanquantile(values, [0.025, 0.975])
    every = [pair for one in several for pair in one]
    four = [pair for pair in every if pair[0] != "unknown"]
    return {
        "macro_f1": round(macro_f1(every), 4), "low": round(float(low), 4), "high": round(float(high), 4),
        "macro_f1_of_the_four": round(macro_f1(four, CAUSES[:4]), 4),
        "accuracy": round(float(np.mean([a == b for a, b in every])), 4), "modes": len(every), "worlds": len(several),
    }  # fmt: skip


def calibration(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How true the stated probability of the named cause is: by tenths, and the expected calibration error."""
    p = np.array([max(row["p"].values()) for row in rows])
    right = np.array([row["cause"] == row["said"] for row in rows], dtype=float)
    bins = np.clip((p * 10).astype(int), 0, 9)
    table = [
        {"stated": round(float(p[bins == b].mean()), 3), "true": round(float(right[bins == b].mean()), 3),
         "modes": int((bins == b).sum())}
        for b in range(10) if (bins == b).any()
    ]  # fmt: skip
    return {"ece": round(sum(abs(t["stated"] - t["true"]) * t["modes"] for t in table) / len(rows), 4), "bins": table}


def confusion(rows: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    return {a: {b: sum(r["cause"] == a and r["said"] == b for r in rows) for b in CAUSES} for a in CAUSES}


def report(rows: list[dict[str, Any]], title: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "ours": with_interval(rows, "said"), "before": with_interval(rows, "before"),
        "commonest": with_interval(rows, "commonest"), "confusion": confusion(rows), "calibration": calibration(rows),
        "seconds_a_window": round(float(np.median([row["seconds"] for row in rows])), 2),
    }  # fmt: skip
    print(f"\n{title}: {facts['ours']['modes']} modes in {facts['ours']['worlds']} pairs of worlds")
    for name in ("ours", "before", "commonest"):
        one = facts[name]
        print(f"  {name:10} macro-F1 {one['macro_f1']:.3f} [{one['low']:.3f}, {one['high']:.3f}]  "
              f"without unknown {one['macro_f1_of_the_four']:.3f}  right {one['accuracy']:.1%}")  # fmt: skip
    print(f"  stated probability against truth: ECE {facts['calibration']['ece']:.3f}")
    print("  put there \\ said  " + "".join(f"{c.split()[0]:>13}" for c in CAUSES))
    for a in CAUSES:
        print(f"  {a:18}" + "".join(f"{facts['confusion'][a][b]:>13}" for b in CAUSES))
    for by in ("set", "kind", "size", "informed"):
        facts[f"by_{by}"] = {}
        for value in sorted({row[by] for row in rows}):
            some = [row for row in rows if row[by] == value]
            facts[f"by_{by}"][str(value)] = one = with_interval(some, "said", 200)
            print(f"  {by} {value!s:16} macro-F1 {one['macro_f1']:.3f} [{one['low']:.3f}, {one['high']:.3f}]  "
                  f"right {one['accuracy']:.1%} of {one['modes']}")  # fmt: skip
    facts["by_kind_and_cause"] = {}
    for kind in sorted({row["kind"] for row in rows}):
        for cause in CAUSES:
            some = [row for row in rows if row["kind"] == kind and row["cause"] == cause]
            if some:
                facts["by_kind_and_cause"][f"{kind}, {cause}"] = share = round(
                    float(np.mean([r["said"] == cause for r in some])), 3
                )
                print(f"  {kind:8} {cause:18} found {share:.0%} of {len(some)}")
    facts["by_labels"] = {}
    for low, high in ((0, 5), (5, 15), (15, 40), (40, 100)):
        some = [row for row in rows if low <= row["labelled"] < high]
        if some:
            facts["by_labels"][f"{low} to {high - 1}"] = one = with_interval(some, "said", 200)
            print(f"  labelled {low:>2} to {high - 1:<4} macro-F1 {one['macro_f1']:.3f} right {one['accuracy']:.1%} "
                  f"of {one['modes']}")  # fmt: skip
    facts["by_variant"] = {}
    for key in sorted({(row["cause"], row["kind"], row["variant"]) for row in rows}):
        some = [row for row in rows if (row["cause"], row["kind"], row["variant"]) == key]
        facts["by_variant"][", ".join(key)] = {
            "found": round(float(np.mean([r["said"] == r["cause"] for r in some])), 3),
            "of": len(some),
        }
    losing = sorted(facts["by_variant"].items(), key=lambda item: item[1]["found"])[:8]
    print("  worst: " + "; ".join(f"{name} {one['found']:.0%} of {one['of']}" for name, one in losing))
    return facts


def commit() -> str:
    asked = ["git", "-C", str(HOME), "rev-parse", "HEAD"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", action="store_true", help="learn the weights and write them")
    parser.add_argument("--seeds", type=int, default=4, help="of the new sets")
    parser.add_argument("--fit-seeds", type=int, default=6, help="of the sets that weights are learned from")
    parser.add_argument("--strength", type=float, default=0.3, help="inverse penalty of the fit")
    parser.add_argument("--parts", nargs="*", choices=("new", "known"), default=["new", "known"])
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rows", type=Path, help="keep the rows here, and go on from what is there")
    parser.add_argument("--until", type=float, default=float("inf"), help="stop after so many seconds")
    parser.add_argument("--out", type=Path, default=HOME / "results")
    given = parser.parse_args()
    folder = os.environ.get("FLYWHEEL_DATA")
    if not folder:
        print("set FLYWHEEL_DATA to the folder of data sets")
        return 2
    if given.fit:
        rows = gather("fit", given.fit_seeds, given, folder)
        table = tables(rows, given.strength)
        write_weights(table, rows, f"python bench/causes.py --fit --fit-seeds {given.fit_seeds}")
        print(f"weights written from {len(rows)} modes")
        return 0
    start = time.perf_counter()
    facts: dict[str, Any] = {
        "commit": commit(), "seeds": given.seeds, "fit_seeds": given.fit_seeds, "sizes": SIZES,
        "machine": {"python": platform.python_version(), "system": platform.machine(), "cores": os.cpu_count()},
    }  # fmt: skip
    for part in given.parts:
        if part == "new":
            facts[part] = report(judged(gather(part, given.seeds, given, folder)), "new sets, shipped weights")
        else:
            facts[part] = report(
                crossed(gather("fit", given.fit_seeds, given, folder), given.strength), "known sets, other seeds"
            )
    facts["seconds"] = round(time.perf_counter() - start, 1)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "causes.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    for part in given.parts:
        f1 = facts[part]["ours"]["macro_f1"]
        print(f"\nmacro-F1, {part} sets, {f1:.3f}: the aim of 0.8 is {'met' if f1 >= 0.8 else 'NOT met'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
