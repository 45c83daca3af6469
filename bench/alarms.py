"""Are people left alone when nothing that matters happened, and told soon when it did?

`make bench-alarms` (data of `FLYWHEEL_DATA`, NannyML in `.bench-venv-observe`):

- acs      US census, real scores of a real model: learnt on 2015, watched 2016 to 2018, when accuracy hardly moved
           (.825 to .829). Accuracy estimated without labels by year, by sex and by chunks of 5,000 rows, beside
           NannyML's CBPE on the same chunks; alarms of the monitor on all truth and on 2 % audit labels. Rows shuffled
           within a year, over seeds; and in serial order, where people in group quarters come in blocks.
- bank     calls of a bank from 2008 to 2010 in their order, through a crisis: a model of the first fifth is watched.
- null     streams made by shuffling time: false alarms per 1,000 windows at alpha = 0.001, beside a z-test that is read
           after every window.
- power    how many answers it takes to find a rise of 0.5, 1, 2 and 5 points, from a reference of 68,785 answers; power
           at 10^3 to 10^6 answers after the rise. The rise begins after 50,000 quiet answers. Shifts at or under the
           tolerance are not to be found, and are shown.

Intervals are exact (Clopper and Pearson), 95 %. Writes results/alarms.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import stats
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from flywheel.observe.bets import BETS, Tally
from flywheel.observe.monitor import RiskMonitor, _nodes
from flywheel.observe.performance import PerformanceEstimator, estimate
from flywheel.observe.risk import watch

HERE = Path(__file__).parent
PEER = HERE.parent / ".bench-venv-observe" / "bin" / "python"
CHUNK, BATCH, ALPHA = 5000, 500, 0.001
FEATURES = [
    *("AGEP", "SCHL", "MAR", "RELP", "DIS", "ESP", "CIT", "MIG", "MIL", "ANC", "NATIVITY"),
    *("DEAR", "DEYE", "DREM", "SEX", "RAC1P"),
]


def exact(hits: int, n: int) -> list[float]:
    """Clopper and Pearson's interval."""
    found = stats.binomtest(hits, n).proportion_ci(method="exact")
    return [float(found.low), float(found.high)]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def census(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reference (2015) and the three years after, with `right`, `wrong` and the confidence in the answer given."""
    place = folder / "acs_employment_predictions"
    before = pd.read_parquet(place / "employment_MA_reference.pq")
    now = pd.read_parquet(place / "employment_MA_analysis.pq")
    now = now.merge(pd.read_parquet(place / "employment_MA_analysis_target.pq"), on="id")
    for part in (before, now):
        for name in (*FEATURES, "prediction", "employed", "year"):
            part[name] = part[name].astype(int)
        part["confidence"] = np.where(part.prediction == 1, part.predicted_probability, 1 - part.predicted_probability)
        part["right"] = (part.prediction == part.employed).astype(float)
        part["wrong"] = 1 - part.right
    return before, now


def shuffled(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The years in order, the rows within each at random."""
    order = np.random.default_rng(seed).random(len(rows))
    return rows.iloc[np.lexsort([order, rows.year])].reset_index(drop=True)


def nannyml(before: pd.DataFrame, now: pd.DataFrame, size: int) -> dict[str, Any]:
    """What CBPE says of each chunk."""
    names = {"prediction": "y_pred", "predicted_probability": "y_pred_proba", "employed": "y_true"}
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder, "before.pq"), Path(folder, "now.pq")
        before[list(names)].rename(columns=names).to_parquet(one)
        now[list(names)[:2]].rename(columns=names).to_parquet(two)
        command = [str(PEER), str(HERE / "alarms_nannyml.py"), str(one), str(two), str(size)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def errors_by_chunk(before: pd.DataFrame, now: pd.DataFrame, peer: bool) -> dict[str, Any]:
    """Mean absolute error of accuracy by chunks of 5,000, ours and NannyML's on the same rows."""
    known = PerformanceEstimator.fit(before.confidence, before.right)
    their = nannyml(before, now, CHUNK) if peer else None
    starts = their["start"] if their else list(range(0, len(now), CHUNK))
    ends = [end + 1 for end in their["end"]] if their else [*starts[1:], len(now)]
    ours, inside, real, alarms = [], 0, [], 0
    for start, end in zip(starts, ends, strict=True):
        part = now.iloc[start:end]
        found = known.assess(part.confidence)
        real.append(float(part.right.mean()))
        ours.append(found.expected.estimate)
        inside += found.expected.low <= real[-1] <= found.expected.high
        base = np.sqrt(known.accuracy * (1 - known.accuracy) / found.effective)
        alarms += found.expected.estimate - known.accuracy + 3.29 * np.hypot(found.error, base) < -0.005
    gaps = np.abs(np.array(ours) - real)
    report: dict[str, Any] = {
        "chunks": len(starts),
        "ours": float(gaps.mean()),
        "ours_interval": [float(v) for v in gaps.mean() + np.array([-1.96, 1.96]) * gaps.std() / len(gaps) ** 0.5],
        "covered": inside / len(starts),
        "alarms_without_labels": int(alarms),
    }
    if their:
        theirs = np.abs(np.array(their["accuracy"]) - real)
        reach = np.array([-1.96, 1.96]) * theirs.std() / len(theirs) ** 0.5
        report |= {
            "nannyml": float(theirs.mean()),
            "nannyml_interval": [float(v) for v in theirs.mean() + reach],
            "nannyml_alarms": sum(their["alarm"]),
            "nannyml_version": their["version"],
        }
    return report


def watched(before: pd.DataFrame, now: pd.DataFrame, *, share: float = 1.0, seed: int = 0) -> dict[str, Any]:
    """Feed the monitor with truth (a share of it, drawn at random) in batches of 500 rows; how often it alarms."""
    rng = np.random.default_rng(seed)
    old = before.wrong.to_numpy()[rng.random(len(before)) < share]
    reference = Tally.of(old, np.ones(old.size))
    monitor, alarms = RiskMonitor(reference, alpha=ALPHA), []
    for start in range(0, len(now), BATCH):
        rows = now.wrong.to_numpy()[start : start + BATCH]
        monitor.update(rows[rng.random(rows.size) < share], at=start)
        if monitor.alarm:
            since = int(monitor.since)
            alarms.append({"row": start + BATCH, "since": since, "rate": monitor.recent().estimate})
            monitor = RiskMonitor(reference, alpha=ALPHA)
    return {"windows": -(-len(now) // BATCH), "alarms": len(alarms), "which": alarms[:5]}


def seen(rows: pd.DataFrame, start: str, *, share: float, seed: int = 0) -> Any:
    """The rows as a window of the tables, a minute apart; `share` of them with labels drawn at random."""
    n = len(rows)
    told = np.flatnonzero(np.random.default_rng(seed).random(n) < share)
    ids = [f"{start}-{k}" for k in range(n)]
    at = pd.date_range(start, periods=n, freq="min", tz="UTC")
    text = rows.prediction.astype(str).tolist()
    interactions = {
        "seq": np.arange(1, n + 1),
        "id": ids,
        "at": pa.array(at, pa.timestamp("us", "UTC")),
        "output": text,
        "confidence": rows.confidence.to_numpy(),
        "rand": np.random.default_rng(seed + 1).random(n),
        "context.sex": np.where(rows.SEX == 1, "male", "female"),
    }
    interactions |= {f"input.{name}": rows[name].to_numpy(dtype=float) for name in FEATURES if name != "SEX"}
    truth = rows.employed.astype(str).to_numpy()
    feedback = {
        "seq": np.arange(n + 1, n + 1 + told.size),
        "interaction_id": [ids[k] for k in told],
        "kind": ["label"] * told.size,
        "value": truth[told].tolist(),
        "source": ["reviewer"] * told.size,
        "propensity": np.full(told.size, share),
    }
    return SimpleNamespace(
        interactions=ibis.memtable(pa.table(interactions)), feedback=ibis.memtable(pa.table(feedback))
    )


def bench_acs(folder: Path, seeds: int, peer: bool) -> dict[str, Any]:
    before, now = census(folder)
    before = shuffled(before, 0)
    report: dict[str, Any] = {"years": [], "chunks": [], "monitor": [], "seeds": seeds}
    window = seen(before, "2015-01-01", share=1.0)
    for year in (2016, 2017, 2018):
        rows = shuffled(now[now.year == year], year)
        current = seen(rows, f"{year}-01-01", share=0.0)
        start = time.perf_counter()
        found = estimate(current, window, by=["sex"], seed=0)
        took = time.perf_counter() - start
        told = estimate(seen(rows, f"{year}-01-01", share=0.02), window, by=["sex"], seed=0)
        for one, two in zip(found, told, strict=True):
            who = str(one.where) if one.where else "all"
            part = rows if who == "all" else rows[(rows.SEX == 1) == (who == "sex=male")]
            real = float(part.right.mean())
            base = before if who == "all" else before[(before.SEX == 1) == (who == "sex=male")]
            theirs = float("nan")
            if peer:
                said = nannyml(base, part, len(part))
                theirs = said["accuracy"][0]
            report["years"].append(
                {
                    "year": year,
                    "who": who,
                    "n": len(part),
                    "real": real,
                    "estimate": one.value,
                    "error": None if one.value is None else one.value - real,
                    "nannyml": theirs,
                    "nannyml_error": theirs - real,
                    "alarm": one.alarm,
                    "valid": one.chart["valid"],
                    "with_2%_labels": two.value,
                    "alarm_with_labels": two.alarm,
                    "valid_with_labels": two.chart["valid"],
                    "seconds_all_three": round(took, 1),
                }
            )
            line = report["years"][-1]
            say(
                f"acs {year} {who:11} real {real:.4f}  ours {one.value:.4f} ({line['error']:+.4f})  "
                f"NannyML {theirs:.4f} ({theirs - real:+.4f})  alarm {one.alarm}  valid {line['valid']}  "
                f"with 2 % labels {two.value:.4f} alarm {two.alarm} valid {line['valid_with_labels']}"
            )
        (watching,) = watch(seen(rows, f"{year}-01-01", share=0.02), window, every="day")
        report["monitor"].append({"year": year, "watch": watching.line, "alarm": watching.alarm})
        say(f"acs {year} watch: {watching.line}")
    for seed in range(seeds):
        rows = shuffled(now, seed)
        report["chunks"].append({"order": f"shuffled {seed}", **errors_by_chunk(before, rows, peer)})
        for who, part, base in (
            ("all", rows, before),
            ("male", rows[rows.SEX == 1], before[before.SEX == 1]),
            ("female", rows[rows.SEX == 2], before[before.SEX == 2]),
        ):
            for share in (1.0, 0.02):
                found_alarms = watched(base, part, share=share, seed=seed)
                report["monitor"].append({"order": f"shuffled {seed}", "who": who, "labels": share, **found_alarms})
    report["chunks"].append({"order": "serial", **errors_by_chunk(before, now, peer)})
    for share in (1.0, 0.02):
        report["monitor"].append(
            {"order": "serial", "who": "all", "labels": share, **watched(before, now, share=share)}
        )
    quarters = now[now.RELP.isin([16, 17])]
    known = PerformanceEstimator.fit(before.confidence, before.right, before[[*FEATURES, "prediction"]])
    told = known.assess(quarters.confidence, quarters[[*FEATURES, "prediction"]])
    report["group_quarters"] = {
        "n": len(quarters),
        "real": float(quarters.right.mean()),
        "by_confidence": known.estimate(quarters.confidence).estimate,
        "weighted": told.expected.estimate,
        "weighted_interval": [told.expected.low, told.expected.high],
        "monitor": watched(before, quarters),
    }
    for line in report["chunks"]:
        say(
            f"acs chunks of 5,000, {line['order']:11} mean error ours {line['ours']:.4f}, "
            f"NannyML {line.get('nannyml', float('nan')):.4f}; covered {line['covered']:.0%}; alarms without labels "
            f"{line['alarms_without_labels']}, NannyML {line.get('nannyml_alarms', '-')} of {line['chunks']}"
        )
    for name in ("shuffled", "serial"):
        for share in (1.0, 0.02):
            lines = [m for m in report["monitor"] if m.get("order", "").startswith(name) and m["labels"] == share]
            windows, alarms = sum(m["windows"] for m in lines), sum(m["alarms"] for m in lines)
            say(f"acs monitor, {name}, {share:.0%} of truth: {alarms} alarms in {windows:,} windows of {BATCH}")
    say(f"acs group quarters alone: {report['group_quarters']}")
    return report


def bench_bank(folder: Path) -> dict[str, Any]:
    """A model of the first fifth, watched through the rest in order."""
    rows = pd.read_csv(folder / "bank_marketing" / "bank-additional-full.csv.gz", sep=None, engine="python")
    truth = (rows.pop("y") == "yes").to_numpy().astype(int)
    rows = rows.drop(columns="duration")
    words = [name for name in rows if not pd.api.types.is_numeric_dtype(rows[name])]
    coded = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), words), remainder="passthrough"
    )
    model = make_pipeline(coded, HistGradientBoostingClassifier(max_iter=80, learning_rate=0.05, random_state=0))
    fifth = len(rows) // 5
    chance = np.empty(len(rows))
    chance[:fifth] = cross_val_predict(model, rows[:fifth], truth[:fifth], method="predict_proba", cv=5)[:, 1]
    chance[fifth:] = model.fit(rows[:fifth], truth[:fifth]).predict_proba(rows[fifth:])[:, 1]
    answer = (chance > 0.5).astype(int)
    wrong = (answer != truth).astype(float)
    confidence = np.maximum(chance, 1 - chance)
    fifths = [float(wrong[k * fifth : (k + 1) * fifth].mean()) for k in range(5)]
    features = coded.fit(rows).transform(rows).astype(float)
    report: dict[str, Any] = {"failure_rate_by_fifth": fifths, "monitor": [], "without_labels": []}
    say(f"bank failure rate by fifth: {[round(v, 3) for v in fifths]}")
    for share in (1.0, 0.2, 0.05):
        for seed in range(1 if share == 1 else 10):
            rng = np.random.default_rng(seed)
            reference = Tally.of(wrong[:fifth], np.ones(fifth))
            monitor, found = RiskMonitor(reference, alpha=ALPHA), None
            for start in range(fifth, len(rows), BATCH):
                part = wrong[start : start + BATCH]
                monitor.update(part[rng.random(part.size) < share], at=start)
                if monitor.alarm:
                    row = min(start + BATCH, len(rows))
                    found = {"row": row, "fifth": (row - 1) // fifth + 1, "since": int(monitor.since)}
                    break
            report["monitor"].append({"labels": share, "seed": seed, "alarm": found})
        found_all = [m["alarm"] for m in report["monitor"] if m["labels"] == share]
        say(
            f"bank, {share:.0%} of truth: alarm in fifths {[m and m['fifth'] for m in found_all]}, first {found_all[0]}"
        )
    known = PerformanceEstimator.fit(confidence[:fifth], 1 - wrong[:fifth], features[:fifth])
    for k in range(1, 5):
        part = slice(k * fifth, (k + 1) * fifth)
        told = known.assess(confidence[part], features[part])
        audit = np.random.default_rng(k).random(fifth) < 0.05
        labels = (confidence[part][audit], 1 - wrong[part][audit], np.full(int(audit.sum()), 20.0))
        seen_labels = known.assess(confidence[part], labelled=labels)
        report["without_labels"].append(
            {
                "fifth": k + 1,
                "real": 1 - fifths[k],
                "estimate": told.expected.estimate,
                "valid": told.valid,
                "reasons": list(told.reasons),
                "effective": told.effective,
                "valid_with_5%_labels": seen_labels.valid,
                "with_5%_labels": seen_labels.accuracy.estimate,
                "with_5%_labels_interval": [seen_labels.accuracy.low, seen_labels.accuracy.high],
            }
        )
        say(
            f"bank fifth {k + 1}: real accuracy {1 - fifths[k]:.3f}, without labels {told.expected.estimate:.3f} "
            f"valid {told.valid} {told.reasons[:1]}; 5 % labels {seen_labels.accuracy.estimate:.3f} "
            f"valid {seen_labels.valid}"
        )
    return report


def bench_null(folder: Path, windows: int) -> dict[str, Any]:
    """False alarms in streams whose time was shuffled: windows of 100 answers, the monitor made anew after an alarm."""
    before, now = census(folder)
    wrong = np.concatenate([before.wrong, now.wrong])
    doubt = np.concatenate([before.confidence, now.confidence]) < 0.7
    n, size = len(before), 100
    many, length = -(-windows // ((wrong.size - n) // size)), (wrong.size - n) // size
    told, hits = np.empty(many), np.empty((many, length))
    for seed in range(many):
        order = wrong[np.random.default_rng(seed).permutation(wrong.size)]
        told[seed], hits[seed] = order[:n].sum(), order[n : n + length * size].reshape(length, size).sum(axis=1)
    report = {}
    for tolerance in (0.0, 0.005):
        alarms = quiet_at_once(told, n, hits, size, tolerance)
        slow = one_by_one(told[0], n, hits[0], size, tolerance)
        if not np.array_equal(alarms[0], slow):
            raise SystemExit("streams at once and RiskMonitor disagree")
        seen = np.arange(1, length + 1) * size
        total = hits.cumsum(axis=1)
        pooled = (total + told[:, None]) / (seen + n)
        error = np.sqrt(pooled * (1 - pooled) * (1 / seen + 1 / n))
        read = total / seen - told[:, None] / n - tolerance > stats.norm.isf(ALPHA) * error
        report[f"all truth, tolerance {tolerance:g}"] = tell_null(alarms, read, f"all truth, tolerance {tolerance:g}")
    alarms = aimed(wrong, doubt, n, size, many // 8 + 1)
    name = "labels aimed at doubt (50 % against 10 %), tolerance 0"
    report[name] = tell_null(alarms, None, name)
    return report


def tell_null(alarms: np.ndarray, read: np.ndarray | None, name: str) -> dict[str, Any]:
    """Alarms (streams, windows) per 1,000 windows, beside those of a z-test read after every window."""
    hits, done = int(alarms.sum()), int(alarms.size)
    low, high = exact(hits, done)
    line = {
        "windows": done,
        "streams": len(alarms),
        "false_alarms": hits,
        "per_1000": 1000 * hits / done,
        "per_1000_interval": [1000 * low, 1000 * high],
        "streams_with_any": int(alarms.any(axis=1).sum()),
        "z_test_per_1000": None if read is None else 1000 * float(read.mean()),
        "z_test_streams_with_any": None if read is None else int(read.any(axis=1).sum()),
    }
    say(
        f"null, {name}: {hits} false alarms in {done:,} windows = {line['per_1000']:.3f} per 1,000 "
        f"[{1000 * low:.3f}, {1000 * high:.3f}], target 1; in {line['streams_with_any']} of {len(alarms)} streams; "
        f"a z-test read each time: {line['z_test_per_1000']} per 1,000, in {line['z_test_streams_with_any']} streams"
    )
    return line


def quiet_at_once(told: np.ndarray, n: int, hits: np.ndarray, size: int, tolerance: float) -> np.ndarray:
    """Which windows alarm, (streams, windows), as RiskMonitor would, for all streams together."""
    win, lose, known = together([_tally(int(k), n) for k in told], tolerance)
    wealth, alarms = np.full(win.shape, -np.inf), np.zeros(hits.shape, dtype=bool)
    for place in range(hits.shape[1]):
        lost = hits[:, place][:, None, None]
        wealth = np.logaddexp(wealth, 0.0) + lost * win + (size - lost) * lose
        alarms[:, place] = evidence(wealth, known) >= -np.log(ALPHA)
        wealth[alarms[:, place]] = -np.inf
    return alarms


def one_by_one(told: float, n: int, hits: np.ndarray, size: int, tolerance: float) -> np.ndarray:
    """Which windows of one stream alarm, by RiskMonitor itself."""
    reference, found = _tally(int(told), n), []
    monitor = RiskMonitor(reference, tolerance=tolerance, alpha=ALPHA)
    for lost in hits:
        monitor.take(_tally(int(lost), size))
        found.append(monitor.alarm)
        if monitor.alarm:
            monitor = RiskMonitor(reference, tolerance=tolerance, alpha=ALPHA)
    return np.array(found)


def aimed(wrong: np.ndarray, doubt: np.ndarray, n: int, size: int, many: int) -> np.ndarray:
    """Which windows alarm when answers in doubt are asked about with chance 0.5, others with 0.1."""
    length, found = (wrong.size - n) // size, []
    for seed in range(many):
        rng = np.random.default_rng(seed)
        order = rng.permutation(wrong.size)
        chance = np.where(doubt[order], 0.5, 0.1)
        kept = np.flatnonzero(rng.random(wrong.size) < chance)
        losses, weight = wrong[order][kept], 1 / chance[kept]
        reference = Tally.of(losses[kept < n], weight[kept < n] / 10)
        monitor = RiskMonitor(reference, tolerance=0.0, alpha=ALPHA, heaviest=10)
        ends = np.searchsorted(kept, n + size * np.arange(length + 1))
        for first, last in itertools.pairwise(ends):
            monitor.update(losses[first:last], weight[first:last])
            found.append(monitor.alarm)
            if monitor.alarm:
                monitor = RiskMonitor(reference, tolerance=0.0, alpha=ALPHA, heaviest=10)
    return np.array(found).reshape(many, length)


def together(references: list[Tally], tolerance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a failure and a right answer add to each bet's log wealth, and what the references say; by stream."""
    nodes = [_nodes(one, tolerance, ALPHA) for one in references]
    width = max(rates.size for rates, _ in nodes)
    rates = np.array([np.pad(r, (0, width - r.size), mode="edge") for r, _ in nodes])[:, :, None]
    known = np.array([np.pad(k, (0, width - k.size), mode="edge") for _, k in nodes])
    return np.log1p(BETS / rates * (1 - rates)), np.log1p(-BETS * np.ones_like(rates)), known


def evidence(wealth: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The log evidence of each stream."""
    top = wealth.max(axis=2)
    return (top + np.log(np.exp(wealth - top[:, :, None]).mean(axis=2)) + known).min(axis=1)


def quiet_estimates(folder: Path, streams: int) -> dict[str, Any]:
    """False alarms of the estimate without labels: chunks of 5,000 of a shuffled stream."""
    before, now = census(folder)
    every = pd.concat([before, now])[["confidence", "right"]].to_numpy()
    alarms = done = inside = 0
    for seed in range(streams):
        rows = every[np.random.default_rng(seed).permutation(len(every))]
        known = PerformanceEstimator.fit(rows[: len(before), 0], rows[: len(before), 1], seed=seed)
        for start in range(len(before), len(rows) - CHUNK + 1, CHUNK):
            found = known.assess(rows[start : start + CHUNK, 0])
            base = np.sqrt(known.accuracy * (1 - known.accuracy) / found.effective)
            alarms += found.expected.estimate - known.accuracy + 3.29 * np.hypot(found.error, base) < -0.005
            inside += found.expected.low <= rows[start : start + CHUNK, 1].mean() <= found.expected.high
            done += 1
    low, high = exact(int(alarms), done)
    say(f"null, estimate without labels: {alarms} alarms in {done:,} chunks; 95 % intervals cover {inside / done:.1%}")
    return {"chunks": done, "alarms": int(alarms), "interval": [low, high], "covered": inside / done}


def streams_at_once(shift: float, tolerance: float, many: int, most: int, seed: int) -> np.ndarray:
    """When each of `many` streams alarms after its rise, in answers; infinite if never. As RiskMonitor does."""
    rng = np.random.default_rng(seed)
    base, n = 0.175, 68_785
    win, lose, known = together([_tally(int(k), n) for k in rng.binomial(n, base, many)], tolerance)
    wealth = np.full(win.shape, -np.inf)
    alarm, live, quiet = np.full(many, np.inf), np.arange(many), 100
    for batch in range(quiet + most // BATCH):
        hits = rng.binomial(BATCH, base + (shift if batch >= quiet else 0.0), live.size)[:, None, None]
        wealth = np.logaddexp(wealth, 0.0) + hits * win + (BATCH - hits) * lose
        over = evidence(wealth, known) >= -np.log(ALPHA)
        if over.any():
            alarm[live[over]] = (batch - quiet + 1) * BATCH
            live, wealth, win, lose, known = live[~over], wealth[~over], win[~over], lose[~over], known[~over]
            if not live.size:
                break
    return alarm


def _tally(hits: int, n: int) -> Tally:
    return Tally.of(np.array([1.0, 0.0]), np.ones(2), np.array([hits, n - hits], dtype=float))


def one_look(shift: float, tolerance: float, n: int, base: float = 0.175, before: int = 68_785) -> float:
    """Power of a z-test that knows when the rise begins and looks once, after n answers.

    It spends alpha once, the monitor once in 1 / alpha windows: so late it can fall behind.
    """
    error = np.sqrt(base * (1 - base) / before + (base + shift) * (1 - base - shift) / n)
    return float(stats.norm.sf(stats.norm.isf(ALPHA) - (shift - tolerance) / error))


def bench_power(many: int) -> list[dict[str, Any]]:
    report = []
    for tolerance in (0.0, 0.005):
        for shift in (0.005, 0.01, 0.02, 0.05):
            most = 1_000_000 if shift > tolerance else 200_000
            delay = streams_at_once(shift, tolerance, many, most, seed=int(1000 * shift))
            early = int((delay <= 0).sum())
            after = delay[delay > 0]
            line: dict[str, Any] = {
                "tolerance": tolerance,
                "shift": shift,
                "streams": many,
                "alarms_before": early,
                "delay_quantiles": {
                    q: None if np.isinf(v) else int(v)
                    for q, v in ((f"{p:.0%}", np.quantile(after, p, method="inverted_cdf")) for p in (0.1, 0.5, 0.9))
                },
                "power": {},
                "one_look": {},
            }
            for n in (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000):
                if n <= most:
                    hits = int((after <= n).sum())
                    line["power"][str(n)] = [hits / after.size, *exact(hits, after.size)]
                    line["one_look"][str(n)] = one_look(shift, tolerance, n)
            report.append(line)
            text = "  ".join(f"{int(n):,}: {p[0]:.0%}" for n, p in line["power"].items())
            say(
                f"power, tolerance {tolerance * 100:g} points, rise {shift * 100:g} points: {text}; "
                f"delay {line['delay_quantiles']}; early {early}"
            )
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="shuffles of the census")
    parser.add_argument(
        "--windows", type=int, default=100_000, help="windows of null streams; an eighth with aimed labels"
    )
    parser.add_argument("--streams", type=int, default=150, help="streams for each point of power")
    parser.add_argument("--only", choices=["acs", "bank", "null", "power"], help="one part; keeps the others' figures")
    options = parser.parse_args()
    folder = Path(os.environ.get("FLYWHEEL_DATA", ""))
    if not (folder / "acs_employment_predictions").is_dir():
        sys.exit("Set FLYWHEEL_DATA to the folder that holds acs_employment_predictions and bank_marketing")
    peer = PEER.exists()
    if not peer:
        say("NannyML is not in .bench-venv-observe: its columns are left empty")
    place = HERE / "results" / "alarms.json"
    report: dict[str, Any] = json.loads(place.read_text()) if options.only and place.exists() else {}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    report |= {
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()} {platform.system()}",
        "python": platform.python_version(),
        "alpha": ALPHA,
    }
    if options.only in (None, "acs"):
        report["acs"] = bench_acs(folder, options.seeds, peer)
    if options.only in (None, "bank"):
        report["bank"] = bench_bank(folder)
    if options.only in (None, "null"):
        report["null"] = bench_null(folder, options.windows)
        report["null_estimates"] = quiet_estimates(folder, 20)
    if options.only in (None, "power"):
        report["power"] = bench_power(options.streams)
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
