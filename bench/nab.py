"""How well does the anomaly detector of metric streams do on the Numenta Anomaly Benchmark?

NAB (Lavin & Ahmad 2015; https://github.com/numenta/NAB) is 58 series, 365,558 points, with 116 windows around known
anomalies. A detector gives every point a score; one threshold for the whole corpus, the best one, turns scores into
alarms. The best alarm in a window counts, the earlier the more; alarms outside cost, the further away the more; the
first 15 % of a series (750 points at most) are for learning. The sum is scaled so that silence has 0 and an alarm at
the very start of every window 100. Three profiles weigh false and missed alarms differently.

The scorer here is our own and is checked in the same run: NAB's windowed Gaussian detector is run again, and its score
on each of the 58 series held against the published one; so are the totals of all published detectors.

Our detector has one configuration for all series and sees one point at a time: no labels, no file names, no length, no
range of the series. The configuration was nevertheless chosen by people who looked at NAB, as everyone's is.
`--halves` says how much that is worth: the configuration and the threshold are chosen on a random half of the series
and scored on the other half, over seeds. `python bench/nab.py --halves 20`
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import os
import platform
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from flywheel.observe.anomaly import AnomalyDetector

RESULTS = Path(__file__).parent / "results"
PARTS = ("scorer", "rate", "score", "halves")
PROFILES = ("standard", "reward_low_FP_rate", "reward_low_FN_rate")
STEEP = 5.0
"""How fast a gain falls over a window, and a penalty rises after it."""
ENOUGH = 20_000
"""Points of the highest scores among which the best threshold is looked for first."""


@dataclass(frozen=True)
class Series:
    """One file of NAB: its points, its windows as (first, last) places, and where scoring begins."""

    name: str
    times: list[datetime]
    values: list[float]
    windows: list[tuple[int, int]]

    @property
    def begins(self) -> int:
        """The first place that is scored."""
        return min(math.floor(0.15 * len(self.values)), 750)

    @property
    def group(self) -> str:
        """The folder: what kind of series it is."""
        return self.name.split("/")[0]


def load(folder: Path) -> list[Series]:
    """Read the 58 series, in the order of their names."""
    windows = json.loads((folder / "combined_windows.json").read_text(encoding="utf-8"))
    out = []
    with tarfile.open(folder / "nab_data.tar.gz") as archive:
        for name in sorted(windows):
            member = archive.extractfile(f"data/{name}")
            if member is None:
                sys.exit(f"nab_data.tar.gz holds no file data/{name}; get the archive again")
            rows = list(csv.reader(io.TextIOWrapper(member, encoding="utf-8")))[1:]
            places: dict[str, int] = {}
            for place, row in enumerate(rows):
                places.setdefault(row[0].strip(), place)
            spans = [(places[low.split(".")[0]], places[high.split(".")[0]]) for low, high in windows[name]]
            times = [datetime.fromisoformat(row[0].strip()) for row in rows]
            out.append(Series(name, times, [float(row[1]) for row in rows], spans))
    return out


class Corpus:
    """The scored points of some series, each with its window and with what an alarm there is worth."""

    def __init__(self, series: list[Series]) -> None:
        self.series = series
        kept, windows, worth = [], [], []
        count = 0
        for one in series:
            n = len(one.values)
            window, gain = np.full(n, -1), np.full(n, -1.0)
            for number, (low, high) in enumerate(one.windows):
                width = high - low + 1
                inside = np.arange(low, high + 1)
                window[inside] = count + number
                gain[inside] = self._fall(-(high - inside + 1) / width) / self._fall(np.array(-1.0))
                until = one.windows[number + 1][0] if number + 1 < len(one.windows) else n
                after = np.arange(high + 1, until)
                past = (after - high) / (width - 1)
                gain[after] = np.where(past >= 3, -1.0, self._fall(np.minimum(past, 3)))
            count += len(one.windows)
            kept.append(np.arange(n) >= one.begins)
            windows.append(window)
            worth.append(gain)
        self.kept = np.concatenate(kept)
        self.window = np.concatenate(windows)[self.kept]
        self.worth = np.concatenate(worth)[self.kept]
        self.file = np.repeat(np.arange(len(series)), [len(s.values) for s in series])[self.kept]
        self.windows = len(np.unique(self.window[self.window >= 0]))

    @staticmethod
    def _fall(position: np.ndarray) -> np.ndarray:
        """1 far before, 0 at the right edge of the window, -1 far after it."""
        return 2 / (1 + np.exp(STEEP * position)) - 1

    def best(self, scores: np.ndarray, costs: dict[str, float]) -> tuple[float, float]:
        """The raw score at the threshold that does best, and that threshold; `scores` has every point of every series.

        Points are taken from the highest score down, each adds what it is worth. The first 20,000 are enough where
        perfect luck with the rest could not make up for the false alarms so far.
        """
        scores = scores[self.kept]
        few = np.arange(len(scores))
        if len(scores) > ENOUGH:
            few = np.flatnonzero(scores >= np.partition(scores, -ENOUGH)[-ENOUGH])
        total, threshold, false = self._best_of(scores, few, costs)
        if len(few) < len(scores) and false + self.windows * costs["tpWeight"] > total:
            total, threshold, _ = self._best_of(scores, np.arange(len(scores)), costs)
        return total, threshold

    def _best_of(self, scores: np.ndarray, some: np.ndarray, costs: dict[str, float]) -> tuple[float, float, float]:
        """The best total over thresholds, the threshold, and what all false alarms among `some` points cost."""
        order = some[np.argsort(-scores[some], kind="stable")]
        scores, window, worth = scores[order], self.window[order], self.worth[order]
        steps = np.where(window < 0, worth * costs["fpWeight"], 0.0)
        false = float(steps.sum())
        inside = np.flatnonzero(window >= 0)
        inside = inside[np.argsort(window[inside], kind="stable")]
        # Within a window only the best alarm so far counts: a running maximum, window by window.
        numbers, gains = window[inside], worth[inside] * costs["tpWeight"]
        apart = 10.0 * numbers
        running = np.maximum.accumulate(gains + apart) - apart
        before = np.concatenate(([0.0], running[:-1]))[: len(running)]
        before[np.concatenate(([True], numbers[1:] != numbers[:-1]))[: len(running)]] = -costs["fnWeight"]
        steps[inside] = running - before
        silence = -costs["fnWeight"] * self.windows
        totals = np.cumsum(steps) + silence
        totals[:-1][scores[1:] == scores[:-1]] = -np.inf
        top = int(np.argmax(totals))
        return (float(totals[top]), float(scores[top]), false) if totals[top] > silence else (silence, math.inf, false)

    def at(self, scores: np.ndarray, threshold: float, costs: dict[str, float]) -> list[dict[str, float]]:
        """The raw score of every series at one threshold, with its alarms inside and outside windows."""
        alarm = scores[self.kept] >= threshold
        out = []
        for number in range(len(self.series)):
            mine = self.file == number
            hit = mine & alarm
            false = hit & (self.window < 0)
            raw = float((self.worth[false]).sum()) * costs["fpWeight"]
            found = 0
            for window in np.unique(self.window[mine & (self.window >= 0)]):
                gains = self.worth[hit & (self.window == window)]
                found += len(gains) > 0
                raw += float(gains.max()) * costs["tpWeight"] if len(gains) else -costs["fnWeight"]
            windows = len(np.unique(self.window[mine & (self.window >= 0)]))
            out.append(
                {"score": raw, "windows": windows, "found": found, "alarms": int(hit.sum()), "false": int(false.sum())}
            )
        return out

    def scaled(self, raw: float, costs: dict[str, float]) -> float:
        """0 for silence, 100 for an alarm at the start of every window."""
        silence = -costs["fnWeight"] * self.windows
        return 100 * (raw - silence) / (self.windows * costs["tpWeight"] - silence)


# --- the scorer, checked against what is published --------------------------------------------------------------------


def windowed_gaussian(values: list[float], size: int = 6400, step: int = 100) -> np.ndarray:
    """NAB's windowed Gaussian detector: how improbable a value is under the mean and deviation of the last `size`.

    The published results were written with 12 digits, so every score above 1 - 5e-13 is 1 there, and here.
    """
    x = np.asarray(values)
    out = np.zeros(len(x))
    low, high, waiting, mean, deviation = 0, 0, 0, 0.0, 1.0
    for place, value in enumerate(x):
        if place:
            out[place] = 1 - 0.5 * math.erfc(abs(value - mean) / deviation / 1.4142)
        if place < size:
            high = place + 1
        else:
            waiting += 1
            if waiting < step:
                continue
            low, high, waiting = low + step, low + step + size, 0
        mean, deviation = float(x[low:high].mean()), float(x[low:high].std()) or 1e-6
    return np.round(out, 12)


def published(folder: Path) -> dict[str, dict[str, tuple[float, int, int]]]:
    """By detector and file: the published standard score, and the alarms inside and outside windows."""
    out: dict[str, dict[str, tuple[float, int, int]]] = {}
    with tarfile.open(folder / "nab_standard_scores.tar.gz") as archive:
        for member in archive.getmembers():
            opened = archive.extractfile(member) if member.name.endswith(".csv") else None
            if opened is None:
                continue
            for row in csv.reader(io.TextIOWrapper(opened, encoding="utf-8")):
                if len(row) > 7 and row[2].endswith(".csv"):
                    out.setdefault(row[0], {})[row[2]] = (float(row[4]), int(row[5]), int(row[7]))
    return out


def check(corpus: Corpus, folder: Path, profiles: dict[str, Any]) -> dict[str, Any]:
    """Hold our scorer against the published scores, file by file and in total."""
    truth, final = published(folder), json.loads((folder / "final_results.json").read_text(encoding="utf-8"))
    scores = np.concatenate([windowed_gaussian(one.values) for one in corpus.series])
    mine = corpus.at(scores, 1.0, profiles["standard"])
    gaps, counts = [], 0
    for one, got in zip(corpus.series, mine, strict=True):
        score, inside, outside = truth["windowedGaussian"][one.name]
        gaps.append(abs(score - got["score"]))
        counts += (inside, outside) == (got["alarms"] - got["false"], got["false"])
    optimised = {
        name: {
            "ours": corpus.scaled(corpus.best(scores, profiles[name])[0], profiles[name]),
            "published": final["windowedGaussian"][name],
        }
        for name in PROFILES
    }
    totals = {}
    for detector, files in sorted(truth.items()):
        if len(files) == len(corpus.series) and detector in final:
            raw = sum(score for score, _, _ in files.values())
            totals[detector] = {
                "from_per_file": corpus.scaled(raw, profiles["standard"]),
                "published": final[detector]["standard"],
            }
    silent = corpus.at(np.zeros(len(scores)), 0.5, profiles["standard"])
    return {
        "files_with_equal_alarm_counts": counts,
        "files_within_1e-9": int(sum(gap <= 1e-9 for gap in gaps)),
        "largest_gap": max(gaps),
        "windowed_gaussian_optimised": optimised,
        "scaled_totals": totals,
        "null_files_equal": sum(
            abs(truth["null"][one.name][0] - got["score"]) < 1e-12
            for one, got in zip(corpus.series, silent, strict=True)
        ),
    }


# --- our detector -----------------------------------------------------------------------------------------------------

VIEWS = ("hour", "run", "lately", "variation", "jumps", "drift")
CONFIGURATION: dict[str, Any] = {"views": tuple(range(len(VIEWS))), "power": 4, "quiet": 60, "quiet_share": 0.03}


class Watched(AnomalyDetector):
    """The shipped detector, which also hands out the surprise of each view."""

    def run(self, series: Series) -> tuple[np.ndarray, np.ndarray]:
        """The strength of every point, and (points, views) surprises in digits."""
        strengths, surprises = np.zeros(len(series.values)), np.zeros((len(series.values), len(VIEWS)))
        for place, (at, value) in enumerate(zip(series.times, series.values, strict=True)):
            self.update(at, value)
            strengths[place] = self.strength
            surprises[place] = self.surprises
        return strengths, surprises


def rate(series: list[Series]) -> dict[str, float]:
    """Points a second of processor time: the whole corpus, one point a call."""
    begun, points = time.process_time(), 0
    for one in series:
        update = AnomalyDetector().update
        for at, value in zip(one.times, one.values, strict=True):
            update(at, value)
        points += len(one.values)
    seconds = time.process_time() - begun
    return {"points": points, "seconds": round(seconds, 2), "points_per_second": round(points / seconds)}


def joined(surprises: list[np.ndarray], how: dict[str, Any], least: float = 0.0) -> list[np.ndarray]:
    """Scores of every series under another way to join the views, as the detector would give them.

    Only the points above the quantile `least` of all are exact; the others are held down, as points that are no news
    are. What is news does not depend on weaker points, so thresholds up there see the same alarms.
    """
    strengths = []
    for digits in surprises:
        strength = (digits[:, list(how["views"])] ** how["power"]).sum(axis=1) ** (1 / how["power"])
        strengths.append(strength / np.log10(np.minimum(np.arange(len(digits)), 1500) + 20))
    floor = float(np.quantile(np.concatenate(strengths), least)) if least else -1.0
    out = []
    for strength in strengths:
        score = 0.5 * strength
        stack: list[tuple[int, float]] = []  # places of falling strength: the first within reach is the strongest there
        first = 0
        for place in np.flatnonzero(strength >= floor).tolist():
            value = float(strength[place])
            reach = min(how["quiet"] + how["quiet_share"] * (place + 1), 600)
            while first < len(stack) and stack[first][0] < place - reach:
                first += 1
            if first >= len(stack) or value > stack[first][1]:
                score[place] = value
            while len(stack) > first and stack[-1][1] <= value:
                stack.pop()
            stack.append((place, value))
        out.append(score)
    return out


def choices() -> list[dict[str, Any]]:
    """The configurations that a half chooses from: sets of four or more views, powers, quiet times."""
    sets = [
        tuple(view for view in range(len(VIEWS)) if mask >> view & 1)
        for mask in range(1, 1 << len(VIEWS))
        if mask.bit_count() >= 4
    ]
    ways = [(2, 60, 0.03), (4, 60, 0.03), (8, 60, 0.03), (4, 100, 0.02), (4, 30, 0.01)]
    return [
        {"views": views, "power": power, "quiet": quiet, "quiet_share": share}
        for views in sets
        for power, quiet, share in ways
    ]


def halves(series: list[Series], surprises: list[np.ndarray], profile: dict[str, float], seeds: int) -> dict[str, Any]:
    """Choose configuration and threshold on one half of the series, score the other, over seeds."""
    splits = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(series))
        middle = len(series) // 2
        splits.append((sorted(order[:middle].tolist()), sorted(order[middle:].tolist())))
    parts = [[Corpus([series[place] for place in half]) for half in split] for split in splits]
    best: list[tuple[float, float, Any]] = [(-math.inf, 0.0, None)] * seeds
    fixed: list[tuple[float, float]] = []
    for number, how in enumerate(choices()):
        scores = joined(surprises, how, least=0.9)
        for seed, (chosen, other) in enumerate(splits):
            here = np.concatenate([scores[place] for place in chosen])
            raw, threshold = parts[seed][0].best(here, profile)
            if raw > best[seed][0]:
                there = np.concatenate([scores[place] for place in other])
                held = sum(one["score"] for one in parts[seed][1].at(there, threshold, profile))
                best[seed] = (raw, parts[seed][1].scaled(held, profile), how)
        sys.stderr.write(f"\rconfigurations tried on halves: {number + 1}")
    sys.stderr.write("\n")
    scores = joined(surprises, CONFIGURATION)
    for seed, (chosen, other) in enumerate(splits):
        raw, threshold = parts[seed][0].best(np.concatenate([scores[place] for place in chosen]), profile)
        there = np.concatenate([scores[place] for place in other])
        held = sum(one["score"] for one in parts[seed][1].at(there, threshold, profile))
        fixed.append((parts[seed][0].scaled(raw, profile), parts[seed][1].scaled(held, profile)))
    inside = [parts[seed][0].scaled(best[seed][0], profile) for seed in range(seeds)]
    outside = [best[seed][1] for seed in range(seeds)]
    return {
        "seeds": seeds,
        "configurations": len(choices()),
        "chosen_half": spread(inside),
        "other_half": spread(outside),
        "shipped_configuration_threshold_half": spread([one for one, _ in fixed]),
        "shipped_configuration_other_half": spread([one for _, one in fixed]),
        "chosen": [{**how, "views": [VIEWS[view] for view in how["views"]]} for _, _, how in best],
    }


def spread(figures: list[float]) -> dict[str, Any]:
    """Mean, its 95 % interval over seeds (normal), and all of them."""
    half = 1.96 * float(np.std(figures, ddof=1)) / math.sqrt(len(figures)) if len(figures) > 1 else 0.0
    mean = float(np.mean(figures))
    return {"mean": mean, "interval": [mean - half, mean + half], "all": figures}


def resampled(files: list[dict[str, float]], costs: dict[str, float], seed: int) -> list[float]:
    """A 95 % interval of the scaled score, were the series others of the same kinds: a bootstrap over files."""
    rng = np.random.default_rng(seed)
    raw = np.array([one["score"] for one in files])
    windows = np.array([one["windows"] for one in files], dtype=float)
    picks = rng.integers(0, len(files), (4000, len(files)))
    silence = -costs["fnWeight"] * windows[picks].sum(axis=1)
    whole = windows[picks].sum(axis=1) * costs["tpWeight"]
    scores = 100 * (raw[picks].sum(axis=1) - silence) / (whole - silence)
    return [float(edge) for edge in np.quantile(scores, (0.025, 0.975))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--halves", type=int, default=8, metavar="SEEDS", help="random halves")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap over series")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="the rest of the result stays")
    options = parser.parse_args()
    folder = Path(os.environ.get("FLYWHEEL_DATA", "")) / "nab"
    if not (folder / "nab_data.tar.gz").is_file():
        sys.exit("Set FLYWHEEL_DATA to the folder that holds nab, with nab_data.tar.gz and combined_windows.json")
    profiles = {
        name: one["CostMatrix"] for name, one in json.loads((folder / "profiles.json").read_text("utf-8")).items()
    }
    series = load(folder)
    corpus = Corpus(series)
    report: dict[str, Any] = {}
    if set(options.parts) < set(PARTS) and (RESULTS / "nab.json").is_file():
        report = json.loads((RESULTS / "nab.json").read_text(encoding="utf-8"))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    report |= {
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()} {platform.system()}",
        "python": platform.python_version(),
        "seed": options.seed,
    }
    if "scorer" in options.parts:
        report["scorer"] = check(corpus, folder, profiles)
    if "rate" in options.parts:
        report["rate"] = rate(series)
    if "score" in options.parts or "halves" in options.parts:
        strengths, surprises = [], []
        for number, one in enumerate(series):
            strength, digits = Watched().run(one)
            strengths.append(strength)
            surprises.append(digits)
            sys.stderr.write(f"\rseries {number + 1} of {len(series)}")
        sys.stderr.write("\n")
        if "score" in options.parts:
            scores = np.concatenate(strengths)
            report["joined_differs"] = float(np.abs(scores - np.concatenate(joined(surprises, CONFIGURATION))).max())
            report |= scored(corpus, scores, folder, profiles, options.seed)
        if "halves" in options.parts:
            report["halves"] = halves(series, surprises, profiles["standard"], options.halves)
    show(report)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "nab.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def scored(
    corpus: Corpus, scores: np.ndarray, folder: Path, profiles: dict[str, Any], seed: int
) -> dict[str, dict[str, Any]]:
    """Our detector under the three profiles, by kind of series and by series, beside what is published."""
    final = json.loads((folder / "final_results.json").read_text(encoding="utf-8"))
    out: dict[str, dict[str, Any]] = {"profiles": {}}
    for name in PROFILES:
        raw, threshold = corpus.best(scores, profiles[name])
        files = corpus.at(scores, threshold, profiles[name])
        out["profiles"][name] = {
            "score": corpus.scaled(raw, profiles[name]),
            "interval": resampled(files, profiles[name], seed),
            "raw": raw,
            "threshold": threshold,
            "likelihood": 1 - 10 ** (-3 * threshold),
            "windows_found": int(sum(one["found"] for one in files)),
            "windows": corpus.windows,
            "false_alarms": int(sum(one["false"] for one in files)),
            "published": {who: one[name] for who, one in sorted(final.items(), key=lambda kv: -kv[1][name])},
        }
        if name == "standard":
            truth = published(folder)["ARTime"]
            out["groups"] = grouped(corpus.series, files, profiles[name])
            out["files"] = {
                one.name: {**got, "ARTime": truth[one.name][0]} for one, got in zip(corpus.series, files, strict=True)
            }
    return out


def grouped(series: list[Series], files: list[dict[str, float]], costs: dict[str, float]) -> dict[str, Any]:
    """The standard score of each kind of series; without windows, only its false alarms."""
    out: dict[str, Any] = {}
    for group in sorted({one.group for one in series}):
        mine = [got for one, got in zip(series, files, strict=True) if one.group == group]
        windows = sum(one["windows"] for one in mine)
        silence = -costs["fnWeight"] * windows
        raw = sum(one["score"] for one in mine)
        out[group] = {
            "series": len(mine),
            "windows": windows,
            "found": sum(one["found"] for one in mine),
            "false": sum(one["false"] for one in mine),
            "score": 100 * (raw - silence) / (windows * costs["tpWeight"] - silence) if windows else None,
        }
    return out


def show(report: dict[str, Any]) -> None:
    """Print the figures as tables."""
    scorer = report.get("scorer")
    if scorer:
        sys.stdout.write(
            f"scorer: alarm counts equal on {scorer['files_with_equal_alarm_counts']} of 58 series, scores within 1e-9 "
            f"on {scorer['files_within_1e-9']}, largest gap {scorer['largest_gap']:.1e}\n"
        )
    for name, one in report.get("profiles", {}).items():
        low, high = one["interval"]
        rivals = ", ".join(f"{who} {score:.1f}" for who, score in list(one["published"].items())[:5])
        sys.stdout.write(
            f"{name:20} {one['score']:5.1f} [{low:.1f}, {high:.1f}]  windows {one['windows_found']} of "
            f"{one['windows']}, false alarms {one['false_alarms']}; published: {rivals}\n"
        )
    for group, one in report.get("groups", {}).items():
        score = "    -" if one["score"] is None else f"{one['score']:5.1f}"
        sys.stdout.write(
            f"  {group:22} {score}  series {one['series']:2}  windows {one['found']} of {one['windows']}"
            f"  false alarms {one['false']}\n"
        )
    worst = sorted(report.get("files", {}).items(), key=lambda kv: kv[1]["score"] - kv[1]["ARTime"])[:8]
    for name, one in worst:
        sys.stdout.write(f"  worst beside ARTime: {name:58} {one['score']:6.2f}, ARTime {one['ARTime']:6.2f}\n")
    for name, one in report.get("halves", {}).items():
        if isinstance(one, dict):
            sys.stdout.write(f"halves, {name}: {one['mean']:.1f} {[round(edge, 1) for edge in one['interval']]}\n")
    if "rate" in report:
        sys.stdout.write(f"{report['rate']['points_per_second']:,} points a second\n")


if __name__ == "__main__":
    main()
