"""Rows into figures: the endpoint, what it cost, whom it harmed, and what each part is worth.

`python bench/flywheelbench/report.py` reads `bench/results/flywheelbench.csv`, prints the tables and writes
`flywheelbench.json` and `flywheelbench.md` beside it. Every interval is a bootstrap over seeds (10,000 draws); p-values
are exact or sampled sign-flip tests of the paired differences, with Holm's correction over arms.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from flywheelbench.run import ROWS, numbers, read_rows

__all__ = ["ablations", "gap_closed", "holm", "interval", "main", "rows_of", "sign_flip"]

GAINS = ("intents", "banking", "dialect", "images")
FREE = ("frozen", "oracle", "feedback as labels")
Rows = Mapping[tuple[str, int, str, int], Mapping[str, Any]]


def interval(values: Sequence[float], draws: int = 10_000) -> tuple[float, float, float]:
    """Mean and 95 % bootstrap interval over seeds."""
    data = np.asarray(values, dtype=float)
    if len(data) == 0:
        return (float("nan"),) * 3
    means = np.random.default_rng(0).choice(data, (draws, len(data))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    if len(data) < 3:  # two seeds draw no interval
        low = high = float("nan")
    return float(data.mean()), float(low), float(high)


def sign_flip(differences: Sequence[float], draws: int = 100_000) -> float:
    """One-sided p-value that the mean of paired differences is above zero; exact up to 16 seeds.

    >>> sign_flip([1.0, 2.0, 1.5])
    0.125
    """
    data = np.asarray(differences, dtype=float)
    if len(data) <= 16:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(data))))
        return float((signs @ data >= data.sum() - 1e-12).mean())
    signs = np.random.default_rng(0).choice((1.0, -1.0), (draws, len(data)))
    return float(((signs @ data >= data.sum() - 1e-12).sum() + 1) / (draws + 1))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Holm's correction (1979).

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'c': 0.06, 'b': 0.06}
    """
    found: dict[str, float] = {}
    most = 0.0
    for rank, name in enumerate(sorted(p, key=lambda name: p[name])):
        most = max(most, min(1.0, p[name] * (len(p) - rank)))
        found[name] = most
    return found


def gap_closed(rows: Rows, stream: str, seed: int, arm: str, budget: int) -> float | None:
    """Share of the way from frozen to oracle, by the area under the live accuracy; None where a run is missing."""
    low, high = rows.get((stream, seed, "frozen", 100)), rows.get((stream, seed, "oracle", 100))
    own = rows.get((stream, seed, arm, 100 if arm in FREE else budget))
    if low is None or high is None or own is None:
        return None
    return float((own["preq"] - low["preq"]) / (high["preq"] - low["preq"]))


def endpoint(rows: Rows, seeds: Sequence[int], arms: Sequence[str], budget: int = 100) -> dict[str, Any]:
    """Gap closed by arm: on each stream, on their mean, and the paired lead of the flywheel."""
    found: dict[str, Any] = {}
    played = [s for s in GAINS if any((s, n, "frozen", 100) in rows for n in seeds)]
    for arm in arms:
        by_seed: dict[int, float] = {}
        streams: dict[str, Any] = {}
        cells = {s: {n: gap_closed(rows, s, n, arm, budget) for n in seeds} for s in GAINS}
        for stream in GAINS:
            values = [v for v in cells[stream].values() if v is not None]
            if values:
                streams[stream] = interval(values)
        for seed in seeds:
            row = [cells[s][seed] for s in played]  # a mean over fewer streams would be another mean
            if row and all(v is not None for v in row):
                by_seed[seed] = float(np.mean([v for v in row if v is not None]))
        found[arm] = {"streams": streams, "mean": interval(list(by_seed.values())), "by_seed": by_seed}
    lead = found.get("flywheel", {}).get("by_seed", {})
    tested = {}
    for arm in arms:
        if arm in ("flywheel", "oracle", "frozen"):
            continue
        both = [lead[n] - found[arm]["by_seed"][n] for n in lead if n in found[arm]["by_seed"]]
        if both:
            found[arm]["lead"] = interval(both)
            tested[arm] = sign_flip(both)
    for arm, p in holm(tested).items():
        found[arm]["p"] = p
    return found


def leads(rows: Rows, seeds: Sequence[int], arms: Sequence[str]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """By arm and stream: the gap the flywheel closes less the gap the arm closes, paired over the seeds both played."""
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for arm in arms:
        for stream in GAINS:
            pairs = [[gap_closed(rows, stream, n, a, 100) for a in ("flywheel", arm)] for n in seeds]
            both = [own - other for own, other in pairs if own is not None and other is not None]
            if both:
                found.setdefault(arm, {})[stream] = interval(both)
    return found


def by_budget(rows: Rows, seeds: Sequence[int]) -> dict[str, dict[int, tuple[float, float, float]]]:
    """By arm and budget: the gap closed, mean over streams, on the seeds that were played at every such budget.

    Only arms with more than one budget are there, and for all of them the seeds are the same.
    """
    budgets: dict[str, set[int]] = {}
    for stream, _, arm, budget in rows:
        if stream in GAINS and arm not in FREE:
            budgets.setdefault(arm, set()).add(budget)
    several = {arm: sorted(own) for arm, own in budgets.items() if len(own) > 1}
    cells = {
        (arm, budget, seed): [gap_closed(rows, stream, seed, arm, budget) for stream in GAINS]
        for arm, own in several.items() for budget in own for seed in seeds
    }  # fmt: skip
    whole = [n for n in seeds if all(v is not None for (_, _, m), row in cells.items() if m == n for v in row)]
    return {
        arm: {b: interval([float(np.mean([v or 0.0 for v in cells[arm, b, n]])) for n in whole]) for b in own}
        for arm, own in several.items()
        if whole
    }


def labels_needed(rows: Rows, stream: str, seeds: Sequence[int], arm: str = "flywheel") -> list[float]:
    """Share of random's labels with which an arm ends where random ends, between budgets on a straight line.

    Scores are those of the last champion on the last population. 1 where it needs as many; below the least budget
    that was played, that budget's share.
    """
    shares = []
    for seed in seeds:
        aim = rows.get((stream, seed, "random", 100))
        known = sorted(
            (budget, row["final"], row["labels"]) for (s, n, a, budget), row in rows.items()
            if (s, n, a) == (stream, seed, arm)
        )  # fmt: skip
        if aim is None or len(known) < 2:
            continue
        points = [(labels, final) for _, final, labels in known]
        share = 1.0
        if points[0][1] >= aim["final"]:
            share = points[0][0] / aim["labels"]
        else:
            for (n0, f0), (n1, f1) in itertools.pairwise(points):
                if f0 < aim["final"] <= f1:
                    share = (n0 + (n1 - n0) * (aim["final"] - f0) / (f1 - f0)) / aim["labels"]
                    break
        shares.append(share)
    return shares


def harms(rows: Rows, arm: str, streams: Sequence[str], budget: int = 100) -> dict[str, Any]:
    """Promotions let through that harm, and good candidates refused, over all runs of an arm."""
    own = [row for (s, _, a, b), row in rows.items() if a == arm and s in streams and b == budget]
    shipped, harmful = sum(r["promoted"] for r in own), sum(r["harmful"] for r in own)
    good, refused = sum(r["good"] for r in own), sum(r["refused_good"] for r in own)
    return {
        "runs": len(own), "promoted": shipped, "harmful": harmful, "harmful_share": _wilson(harmful, shipped),
        "good": good, "refused": refused, "refused_share": _wilson(refused, good),
    }  # fmt: skip


def _wilson(hits: int, n: int) -> tuple[float, float, float]:
    if n == 0:
        return (float("nan"),) * 3
    p, z = hits / n, 1.96
    middle, spread = p + z * z / (2 * n), z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return p, (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)


def means(rows: Rows, arm: str, stream: str, names: Sequence[str], budget: int = 100) -> dict[str, float]:
    """Other figures of an arm on a stream, the mean over seeds."""
    own = [row for (s, _, a, b), row in rows.items() if (s, a, b) == (stream, arm, 100 if arm in FREE else budget)]
    return {n: float(np.mean(v)) for n in names if (v := [x for r in own if (x := _figure(r, n)) is not None])}


def _figure(row: Mapping[str, Any], name: str) -> float | None:
    """A number of a row; `own_seconds` is what a spin takes beside training, replay and gate."""
    if name == "own_seconds":
        share, whole = _figure(row, "own_share"), _figure(row, "spin_seconds")
        return None if share is None or whole is None else share * whole
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else None


def group_gap(rows: Rows, stream: str, seeds: Sequence[int], arm: str = "flywheel") -> list[float]:
    """How much more of its own gap the usual group's users got closed than the half-reporting group's, by seed."""
    gaps = []
    for seed in seeds:
        low, high, own = (rows.get((stream, seed, a, 100)) for a in ("frozen", "oracle", arm))
        if low is None or high is None or own is None:
            continue
        lost = {g: (high[f"live_{g}"] - own[f"live_{g}"]) for g in ("quiet", "usual")}
        gaps.append(float(lost["quiet"] - lost["usual"]))
    return gaps


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * len(head),
        *("| " + " | ".join(r) + " |" for r in body),
        "",
    ]


def _share(triple: Sequence[float], digits: int = 1) -> str:
    mean, low, high = (100 * v for v in triple)
    if np.isnan(mean):
        return "—"
    return f"{mean:.{digits}f}" + ("" if np.isnan(low) else f" ({low:.{digits}f} to {high:.{digits}f})")


def compose(rows: Rows, seeds: Sequence[int]) -> tuple[dict[str, Any], str]:
    """Everything there is to say, as data and as Markdown."""
    arms = sorted({arm for _, _, arm, _ in rows if " without " not in arm})
    parts = sorted({arm for _, _, arm, _ in rows if " without " in arm})
    streams = sorted({s for s, _, _, _ in rows})
    ends = endpoint(rows, seeds, arms)
    order = sorted(arms, key=lambda arm: -np.nan_to_num(ends[arm]["mean"][0], nan=-9))
    lines = ["## Share of the gap closed, % (prequential; 95 % interval over seeds)", ""]
    lines += _table(
        ["arm", "seeds", "mean", *GAINS, "flywheel leads by", "p (Holm)"],
        [
            [
                arm, str(len(ends[arm]["by_seed"])), _share(ends[arm]["mean"]),
                *(f"{100 * ends[arm]['streams'][s][0]:.1f}" if s in ends[arm]["streams"] else "—" for s in GAINS),
                _share(ends[arm]["lead"]) if "lead" in ends[arm] else "",
                f"{ends[arm]['p']:.4f}" if "p" in ends[arm] else "",
            ]
            for arm in order
        ],
    )  # fmt: skip
    data: dict[str, Any] = {"seeds": list(seeds), "endpoint": ends}
    data["leads"] = leads(rows, seeds, [a for a in order if a not in ("flywheel", "oracle", "frozen")])
    lines += ["## Points of the gap by which the flywheel leads on each stream", ""]
    lines += _table(
        ["arm", *GAINS],
        [[arm, *(_share(own[s]) if s in own else "—" for s in GAINS)] for arm, own in data["leads"].items()],
    )
    lines += ["## Promotions", ""]
    where = {"with something to gain": GAINS, "bank": ("bank",), "acs": ("acs",),
             "null": tuple(s for s in streams if s.endswith("-null"))}  # fmt: skip
    body = []
    data["promotions"] = defaultdict(dict)
    for arm in order:
        for name, those in where.items():
            seen = harms(rows, arm, those)
            if not seen["runs"] or arm in ("frozen", "oracle"):
                continue
            data["promotions"][name][arm] = seen
            body.append(
                [arm, name, f"{seen['promoted']}", f"{seen['harmful']}", _share(seen["harmful_share"]),
                 f"{seen['refused']} of {seen['good']}", _share(seen["refused_share"])]
            )  # fmt: skip
    lines += _table(["arm", "streams", "shipped", "harmful", "%", "good ones refused", "%"], body)
    ways = [arm for arm in order if arm.startswith("flywheel")]
    data["labels_needed"] = {
        arm: {s: interval(v) for s in GAINS if (v := labels_needed(rows, s, seeds, arm))} for arm in ways
    }
    lines += ["## Labels with which it ends where random labels end, % of random's", ""]
    lines += _table(
        ["arm", *GAINS],
        [[a, *(_share(own[s]) if s in own else "—" for s in GAINS)] for a, own in data["labels_needed"].items() if own],
    )
    data["by_budget"] = by_budget(rows, seeds)
    if data["by_budget"]:
        sizes = sorted({b for own in data["by_budget"].values() for b in own})
        lines += [
            "## Share of the gap closed by labels a thousand requests, %, on the seeds with all of these budgets",
            "",
        ]
        lines += _table(
            ["arm", *map(str, sizes)],
            [[a, *(_share(own[b]) if b in own else "—" for b in sizes)] for a, own in data["by_budget"].items()],
        )
    data["group_gap"] = {s: {arm: interval(v) for arm in order if (v := group_gap(rows, s, seeds, arm))} for s in GAINS}
    lines += ["## The half-reporting group: points it stays behind its oracle more than the others do", ""]
    shown = [a for a in ("flywheel", "reported then margin", "failures only", "margin", "random") if a in arms]
    lines += _table(
        ["stream", *shown],
        [[s, *(_share(data["group_gap"][s][a]) if a in data["group_gap"][s] else "—" for a in shown)] for s in GAINS],
    )
    lines += _other_figures(data, rows, order, streams)
    lines += _what_parts_are_worth(data, rows, parts, seeds)
    return data, "\n".join(lines)


def _other_figures(data: dict[str, Any], rows: Rows, order: Sequence[str], streams: Sequence[str]) -> list[str]:
    lines: list[str] = []
    names = ("preq", "final", "labels", "old_classes", "worst_slice", "outside_at_90", "ece", "flips", "noise_share",
             "own_share", "own_seconds", "spin_seconds", "train_cpu", "capped", "cpu")  # fmt: skip
    data["others"] = {s: {arm: means(rows, arm, s, names) for arm in order} for s in streams}
    for stream in streams:
        lines += [f"## {stream}: the other figures (means over seeds)", ""]
        lines += _table(
            ["arm", *names],
            [
                [a, *(f"{m[n]:.3f}" if n in m else "—" for n in names)]
                for a in order
                if (m := data["others"][stream][a])
            ],
        )
    return lines


def _what_parts_are_worth(data: dict[str, Any], rows: Rows, parts: Sequence[str], seeds: Sequence[int]) -> list[str]:
    data["ablations"] = ablations(rows, parts, seeds)
    lines = ["## What each part is worth: gap closed with it minus without it, points", ""]
    body = []
    for part in parts:
        own = data["ablations"][part]
        cells = [
            "the same" if s in own["same"] else _share(own["streams"][s]) if s in own["streams"] else "—" for s in GAINS
        ]
        harm = " and ".join(f"{hits} of {shipped}" for hits, shipped in (own["with"], own["without"]))
        body.append([part, *cells, str(own["seeds"]), _share(own["mean"]), harm])
    lines += _table(["arm", *GAINS, "seeds", "mean of these", "harmful with it and without it"], body)
    lines += [
        "*seeds* are those that were played on all of a part's streams; the mean and the harm are over them, a cell "
        "of a stream over all seeds it has. *The same*: the part does nothing there.",
        "",
    ]
    return lines


def whole_of(part: str) -> str:
    """The arm that something was taken out of."""
    return part.partition(" without ")[0]


def ablations(rows: Rows, parts: Sequence[str], seeds: Sequence[int]) -> dict[str, dict[str, Any]]:
    """What is lost without each part, by stream and on the mean of the streams it was played on; and what both shipped.

    `seeds` of a part is the number with which it was played on all of its streams; only these enter its mean and the
    counts of harm. Streams on which every run is `same` with the part and without it enter neither.
    """
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        lost: dict[str, dict[int, float]] = {}
        for stream in GAINS:
            for seed in seeds:
                own, less = (gap_closed(rows, stream, seed, arm, 100) for arm in (whole_of(part), part))
                if own is not None and less is not None:
                    lost.setdefault(stream, {})[seed] = own - less
        same = [stream for stream, by_seed in lost.items() if not any(by_seed.values())]
        lost = {stream: by_seed for stream, by_seed in lost.items() if stream not in same}
        whole = sorted(set.intersection(*map(set, lost.values()))) if lost else []
        harm = {
            name: tuple(
                sum(rows[s, n, arm, 100][what] for s in lost for n in whole) for what in ("harmful", "promoted")
            )
            for name, arm in (("with", whole_of(part)), ("without", part))
        }
        found[part] = {
            "streams": {stream: interval(list(by_seed.values())) for stream, by_seed in lost.items()},
            "mean": interval([float(np.mean([lost[s][n] for s in lost])) for n in whole]),
            "seeds": len(whole),
            "same": same,
            **harm,
        }
    return found


def _plain(value: Any) -> Any:
    """What JSON can hold: nothing in place of what is no number."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def rows_of(path: Path, seeds: str) -> tuple[list[int], Rows]:
    """The seeds that `seeds` names ("5-24"), and their rows; says what to do, and ends, where there are none."""
    chosen = numbers(seeds)
    rows = {(r["stream"], r["seed"], r["arm"], r["budget"]): r for r in read_rows(path) if r["seed"] in chosen}
    if not rows:
        sys.exit(f"{path} holds no run with these seeds. Play some: python bench/flywheelbench/run.py")
    return chosen, rows


def main() -> None:
    """Print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--seeds", default="5-24")
    options = parser.parse_args()
    seeds, rows = rows_of(options.rows, options.seeds)
    data, text = compose(rows, seeds)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    data |= {"commit": commit.stdout.strip(), "machine": f"{platform.machine()}, Python {platform.python_version()}"}
    options.rows.with_suffix(".json").write_text(json.dumps(_plain(data), indent=1) + "\n")
    options.rows.with_suffix(".md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
