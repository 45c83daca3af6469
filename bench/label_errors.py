"""Which labels are wrong: our confident learning beside cleanlab's, judged by people and by noise that was put in.

- judged by people: CIFAR-10 and MNIST test labels with a model's out-of-fold probabilities, and the verdicts of five
  people on the labels that looked worst (275 and 100). A label is an error when fewer than three of the five chose it.
  The reviewed ones were picked by cleanlab in the first place, so only the ranking among them is measured.
- put in: symmetric (any other class) and pairwise (the next class) noise at 5 to 40 % in digits, MNIST and banking77,
  (2,000 pictures, 4,000 texts), with five-fold cross-fitted probabilities of a logistic regression (digits, MNIST) or
  naive Bayes (banking77).

Every method sees the same probabilities in the same run. Rankings by AUROC, average precision and precision at k, flags
by F1; differences to cleanlab's are paired, with bootstrap intervals. `python bench/label_errors.py --seeds 5`
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import cleanlab
import numpy as np
from causes import commit
from causes_worlds import load
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import MultinomialNB
from sklearn.preprocessing import MaxAbsScaler

from flywheel.diagnose.doubts import doubts

HOME = Path(__file__).parent
RANKINGS = ("ours", "cleanlab self-confidence", "cleanlab normalised margin", "cleanlab confidence-weighted entropy")
FLAGS = ("ours", "cleanlab by noise rate", "cleanlab both", "cleanlab confident learning")
RATES = (0.05, 0.1, 0.2, 0.4)


def rankings(labels, chances) -> dict[str, Any]:
    """Scores, higher for more doubtful labels."""
    ways = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
    theirs = [1 - get_label_quality_scores(labels, chances, method=way) for way in ways]
    return dict(zip(RANKINGS, [doubts(labels, chances).score, *theirs], strict=True))


def flags(labels, chances) -> dict[str, Any]:
    ways = ("prune_by_noise_rate", "both", "confident_learning")
    theirs = [find_label_issues(labels, chances, filter_by=way, n_jobs=1) for way in ways]
    return dict(zip(FLAGS, [doubts(labels, chances).flagged, *theirs], strict=True))


def f1(flagged, wrong) -> float:
    return float(2 * np.sum(flagged & wrong) / max(np.sum(flagged) + np.sum(wrong), 1))


def interval(values) -> list[float]:
    return [round(float(v), 4) for v in np.nanquantile(values, [0.025, 0.975])]


# --- judged by people ------------------------------------------------------------------------------------------------


def people(name: str, folder: Path, draws: int) -> dict[str, Any]:
    """Rank the reviewed labels; intervals over a bootstrap of the reviewed ones, the same draws for every method."""
    home = folder / "label_errors_mturk"
    chances = np.load(home / f"{name}_test_set_pred_probs.npy").astype(float)
    labels = np.load(home / f"{name}_test_set_original_labels.npy").astype(int)
    reviewed = json.loads((home / f"{name}_mturk.json").read_text())
    rows = np.array([one["id"] for one in reviewed])
    wrong = np.array([one["mturk"]["given"] < 3 for one in reviewed])
    start = time.perf_counter()
    doubts(labels, chances)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    find_label_issues(labels, chances, n_jobs=1)
    theirs = time.perf_counter() - start
    scores = {way: score[rows] for way, score in rankings(labels, chances).items()}
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(rows), size=len(rows)) for _ in range(draws)]
    drawn = [d for d in drawn if 0 < wrong[d].sum() < len(d)]
    facts: dict[str, Any] = {
        "labels": len(labels), "reviewed": len(rows), "errors": int(wrong.sum()), "ours_seconds": round(seconds, 3),
        "cleanlab_seconds": round(theirs, 3), "ranking": {}, "flagged": {},
    }  # fmt: skip
    print(f"\n{name}: {len(rows)} of {len(labels)} labels reviewed, {wrong.sum()} errors by people")
    ks = (10, 25, 50, 100)
    base = [(roc_auc_score(wrong[d], scores[RANKINGS[1]][d]), average_precision_score(wrong[d], scores[RANKINGS[1]][d]))
            for d in drawn]  # fmt: skip
    for way, score in scores.items():
        order = np.argsort(-score, kind="stable")
        each = [(roc_auc_score(wrong[d], score[d]), average_precision_score(wrong[d], score[d])) for d in drawn]
        one = {
            "auroc": round(float(roc_auc_score(wrong, score)), 4), "auroc_interval": interval([a for a, _ in each]),
            "average_precision": round(float(average_precision_score(wrong, score)), 4),
            "average_precision_interval": interval([b for _, b in each]),
            "auroc_minus_self_confidence": interval([a - c for (a, _), (c, _) in zip(each, base, strict=True)]),
            "precision_at": {k: round(float(wrong[order[:k]].mean()), 3) for k in ks if k <= len(rows)},
        }  # fmt: skip
        facts["ranking"][way] = one
        at = "  ".join(f"@{k} {v:.2f}" for k, v in one["precision_at"].items())
        print(f"  {way:38} AUROC {one['auroc']:.3f} {one['auroc_interval']}  AP {one['average_precision']:.3f}  {at}")
    for way, flagged in flags(labels, chances).items():
        mine = flagged[rows]
        facts["flagged"][way] = one = {
            "flagged_of_all": int(flagged.sum()), "of_reviewed": int(mine.sum()),
            "precision": round(float(wrong[mine].mean()) if mine.any() else float("nan"), 3),
            "recall": round(float(mine[wrong].mean()), 3), "f1": round(f1(mine, wrong), 3),
        }  # fmt: skip
        print(f"  {way:38} flags {one['flagged_of_all']:>4} of all, {one['of_reviewed']:>3} reviewed: precision "
              f"{one['precision']:.2f}, recall {one['recall']:.2f}, F1 {one['f1']:.3f}")  # fmt: skip
    return facts


# --- put in ----------------------------------------------------------------------------------------------------------


def features(name: str, folder: Path) -> tuple[Any, Any]:
    inputs, labels = load(name, folder)
    names = sorted(set(labels), key=str)
    y = np.array([names.index(label) for label in labels])
    if name == "banking77":
        order = np.random.default_rng(0).permutation(len(y))[:4000]
        texts = [inputs[i] for i in order]
        return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2).fit_transform(texts), y[order]
    order = np.random.default_rng(0).permutation(len(y))[:2000]
    return MaxAbsScaler().fit_transform(np.array(inputs))[order], y[order]


def spoiled(y, way: str, rate: float, rng) -> Any:
    """Labels with so many replaced: by any other class, or always by the next."""
    k, out = int(y.max()) + 1, y.copy()
    hit = rng.choice(len(y), round(rate * len(y)), replace=False)
    step = rng.integers(1, k, size=len(hit)) if way == "symmetric" else np.ones(len(hit), dtype=int)
    out[hit] = (y[hit] + step) % k
    return out


def injected(name: str, folder: Path, seeds: int) -> list[dict[str, Any]]:
    x, y = features(name, folder)
    learner: Any = MultinomialNB(alpha=0.1) if name == "banking77" else LogisticRegression(max_iter=80, tol=1e-3)
    table = []
    for way in ("symmetric", "pairwise"):
        for rate in RATES:
            rows = []
            for seed in range(1, seeds + 1):  # the method was settled while looking at seed 0
                given = spoiled(y, way, rate, np.random.default_rng([seed, int(100 * rate)]))
                folds = StratifiedKFold(5, shuffle=True, random_state=seed)
                chances = cross_val_predict(learner, x, given, cv=folds, method="predict_proba")
                wrong = given != y
                row = {("auroc", m): roc_auc_score(wrong, s) for m, s in rankings(given, chances).items()}
                row |= {("ap", m): average_precision_score(wrong, s) for m, s in rankings(given, chances).items()}
                row |= {("f1", m): f1(f, wrong) for m, f in flags(given, chances).items()}
                rows.append(row)
            line: dict[str, Any] = {"set": name, "noise": way, "rate": rate, "n": len(y), "seeds": seeds}
            for measure, ways in (("auroc", RANKINGS), ("ap", RANKINGS), ("f1", FLAGS)):
                line[measure] = {m: round(float(np.mean([r[measure, m] for r in rows])), 4) for m in ways}
                best = max(ways[1:], key=lambda m: line[measure][m])
                gaps = np.array([r[measure, "ours"] - r[measure, best] for r in rows])
                half = 2.0 * gaps.std(ddof=1) / np.sqrt(len(gaps)) if len(gaps) > 1 else float("nan")
                line[f"{measure}_minus_best_of_cleanlab"] = {
                    "best": best, "mean": round(float(gaps.mean()), 4), "half_width": round(float(half), 4)
                }  # fmt: skip
            table.append(line)
            said = []
            for measure in ("auroc", "ap", "f1"):
                gap = line[f"{measure}_minus_best_of_cleanlab"]
                said.append(
                    f"{measure.upper():5} ours {line[measure]['ours']:.3f}, {gap['best']} "
                    f"{line[measure][gap['best']]:.3f} ({gap['mean']:+.3f} ± {gap['half_width']:.3f})"
                )
            print(f"  {name:10}{way:10}{rate:>5.0%}  " + "  ".join(said), flush=True)
    return table


def kept(given: argparse.Namespace) -> list[dict[str, Any]]:
    """With `--keep`, the lines of the other sets from the file that is there, made with as many seeds."""
    file = given.out / "label_errors.json"
    if not given.keep or not file.exists():
        return []
    lines = json.loads(file.read_text(encoding="utf-8"))["injected"]
    return [line for line in lines if line["set"] not in given.sets and line["seeds"] == given.seeds]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--sets", nargs="*", default=["digits", "mnist", "banking77"])
    parser.add_argument("--keep", action="store_true", help="keep other sets' lines of an earlier run")
    parser.add_argument("--out", type=Path, default=HOME / "results")
    given = parser.parse_args()
    folder = os.environ.get("FLYWHEEL_DATA")
    if not folder:
        print("set FLYWHEEL_DATA to the folder of data sets")
        return 2
    start = time.perf_counter()
    facts: dict[str, Any] = {
        "commit": commit(), "cleanlab": cleanlab.__version__, "seeds": given.seeds,
        "machine": {"python": platform.python_version(), "system": platform.machine(), "cores": os.cpu_count()},
        "people": {name: people(name, Path(folder), given.draws) for name in ("cifar10", "mnist")},
    }  # fmt: skip
    print("\nput in: mean over seeds, beside the best of cleanlab's ways (difference ± 2 standard errors)")
    facts["injected"] = kept(given) + [
        line for name in given.sets for line in injected(name, Path(folder), given.seeds)
    ]
    for measure in ("auroc", "ap", "f1"):
        gaps = [line[f"{measure}_minus_best_of_cleanlab"] for line in facts["injected"]]
        won = sum(g["mean"] > g["half_width"] for g in gaps)
        lost = sum(g["mean"] < -g["half_width"] for g in gaps)
        facts[f"{measure}_settings"] = {"won": won, "lost": lost, "even": len(gaps) - won - lost}
        print(f"{measure.upper()}: against the best of cleanlab's ways in each setting, won {won}, lost {lost}, "
              f"even {len(gaps) - won - lost} of {len(gaps)}")  # fmt: skip
    facts["seconds"] = round(time.perf_counter() - start, 1)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "label_errors.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
