"""Does the sentiment of texts agree with people? Correlation with the means of about 20 to 100 raters a tweet.

`make bench-sentiment` reads `vader/human_rated` (Hutto & Gilbert 2014, MIT; found under `FLYWHEEL_DATA`): 4,200 tweets
with mean ratings on -4..4 and the ratings themselves. The sentiment that ships is held beside `lexicon`, the sum of the
same lexicon's words drawn into -1..1, beside that sum as it is, and beside one rater held against the mean of the rest.
Pearson's r and Spearman's rho, and the share of clearly good or bad tweets (mean beyond ±0.5) given the wrong sign or
none; 95 % intervals by bootstrap over tweets. VADER's lexicon was made by the same authors, with raters of the same
kind, and the tweets are of 2012: other texts will agree less.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from flywheel.observe.sentiment import sentiment

RESULTS = Path(__file__).parent / "results"
RATERS = ("vader", "lexicon")
CLEAR, NEUTRAL = 0.5, 0.05


def tweets(folder: Path) -> tuple[list[str], np.ndarray[Any, Any], list[list[float]]]:
    """Texts, mean ratings, and the ratings one by one."""
    lines = (folder / "tweets_GroundTruth.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t", 2) for line in lines if line.strip()]
    raw = gzip.decompress((folder / "tweets_anonDataRatings.txt.gz").read_bytes()).decode()
    rated = {line.split("\t")[0]: json.loads(line.split("\t")[3]) for line in raw.splitlines() if line.strip()}
    return [row[2] for row in rows], np.array([float(row[1]) for row in rows]), [rated[row[0]] for row in rows]


def agreement(scores: np.ndarray[Any, Any], means: np.ndarray[Any, Any], draws: np.ndarray[Any, Any]) -> dict[str, Any]:
    """r, rho and the wrong signs, each with its interval."""
    clear = np.abs(means) > CLEAR

    def wrong(some: np.ndarray[Any, Any]) -> float:
        kept = some[clear[some]]
        return float(
            np.mean(np.where(np.abs(scores[kept]) < NEUTRAL, 0, np.sign(scores[kept])) != np.sign(means[kept]))
        )

    def of(some: np.ndarray[Any, Any]) -> tuple[float, float, float]:
        a, b = scores[some], means[some]
        ranks = stats.rankdata(a), stats.rankdata(b)
        return float(np.corrcoef(a, b)[0, 1]), float(np.corrcoef(*ranks)[0, 1]), wrong(some)

    whole = of(np.arange(len(means)))
    spread = np.quantile([of(draw) for draw in draws], [0.025, 0.975], axis=0)
    return {
        name: {"value": round(whole[k], 4), "interval": [round(float(v), 4) for v in spread[:, k]]}
        for k, name in enumerate(("pearson", "spearman", "wrong_or_no_sign"))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(os.environ.get("FLYWHEEL_DATA", ""), "vader", "human_rated")
    if not folder.is_dir():
        sys.exit("Set FLYWHEEL_DATA to the folder that holds vader")
    texts, means, rated = tweets(folder)
    rng = np.random.default_rng(options.seed)
    draws = rng.integers(0, len(texts), (options.draws, len(texts)))
    report: dict[str, Any] = {"tweets": len(texts), "raters_a_tweet": round(float(np.median([*map(len, rated)])), 1)}
    scores = {}
    for name in RATERS:
        begun = time.thread_time()
        scores[name] = sentiment(texts, by=name)
        took = time.thread_time() - begun
        report[name] = agreement(scores[name], means, draws) | {"texts_per_s": round(len(texts) / took)}
    bare = scores["lexicon"] * np.sqrt(15 / (1 - scores["lexicon"] ** 2))
    report["bare sum"] = agreement(bare, means, draws)
    one = np.array([row[int(rng.integers(len(row)))] for row in rated])
    others = np.array([(sum(row) - x) / (len(row) - 1) for row, x in zip(rated, one, strict=True)])
    report["one rater"] = agreement(one, others, draws)
    gains = [
        np.corrcoef(scores["vader"][draw], means[draw])[0, 1] - np.corrcoef(bare[draw], means[draw])[0, 1]
        for draw in draws
    ]
    report["pearson_gain_over_bare_sum"] = {
        "value": round(report["vader"]["pearson"]["value"] - report["bare sum"]["pearson"]["value"], 4),
        "interval": [round(float(q), 4) for q in np.quantile(gains, [0.025, 0.975])],
    }
    off = scores["vader"] * 4 - means
    worst = np.argsort(-np.abs(off))[:8]
    report["losing_cases"] = [
        {"text": texts[k][:120], "people": round(float(means[k]), 2), "vader": round(float(scores["vader"][k]), 2)}
        for k in worst
    ]
    show(report)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    report = {
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "seed": options.seed,
        **report,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "sentiment.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def show(report: dict[str, Any]) -> None:
    """Print the figures as a table."""
    write = sys.stdout.write
    write(f"{report['tweets']:,} tweets, {report['raters_a_tweet']:.0f} raters each\n")
    for name in (*RATERS, "bare sum", "one rater"):
        row = report[name]
        cells = [f"{key} {row[key]['value']:.3f} {row[key]['interval']}" for key in ("pearson", "spearman")]
        sign = row["wrong_or_no_sign"]
        rate = f"  {row['texts_per_s']:,} texts/s" if "texts_per_s" in row else ""
        write(f"{name:10} {'  '.join(cells)}  wrong or no sign {sign['value']:.1%} {sign['interval']}{rate}\n")
    gain = report["pearson_gain_over_bare_sum"]
    write(f"gain of the rules over the bare sum, Pearson: {gain['value']:+.3f} {gain['interval']}\n")
    write("furthest from people:\n")
    for row in report["losing_cases"]:
        write(f"  people {row['people']:+.1f} of 4, vader {row['vader']:+.2f} of 1: {row['text']}\n")


if __name__ == "__main__":
    main()
