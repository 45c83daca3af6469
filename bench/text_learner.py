"""How good is the text learner without a downloaded encoder, and how much time does a spin's training take?

`make bench-text-learner` reads CLINC150 and BANKING77 (found under `FLYWHEEL_DATA`). Four parts, each by `--only`:

- `few`: 105 intents of CLINC150, and BANKING77, 20 utterances each; the official tests, clean and with typos (6 % of
  letters). The learner that ships beside others on the same texts, paired by seed: the one before it (TF-IDF of words
  1-2 and characters 2-4, linear support vector machines), logistic regression, centroids, ridge on the same n-grams.
- `outside`: 150 intents × 20, and 0, 10, 50 or 100 labelled cases of `oos`; in-scope accuracy, out-of-scope recall,
  area under the curve, recall at 90 % in-scope, expected calibration error (15 bins) before and after its fit. Beside:
  `oos` as one class more.
- `full`: 15,000 texts of 150 intents and 100 of `oos`, beside what was published on the same (Larson et al. 2019).
- `speed`: fit, cross-fit and placebo of one spin at 3,000 texts × 120 classes, beside the learner before.

Settings were tuned on seeds 0 and 1 of `few`; seeds from 5 on are reported.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse, stats
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import roc_auc_score
from sklearn.svm import LinearSVC

from flywheel.ports import Predictions
from flywheel.prove import crossfit, placebo
from flywheel.records import Dataset, Example
from flywheel.train import text, text_machine
from flywheel.train.confidence import fit_confidence
from flywheel.train.ngrams import Ngrams
from flywheel.train.targets import held_out, targets_of
from flywheel.train.threads import threads

RESULTS = Path(__file__).parent / "results" / "text_learner.json"
Array = np.ndarray[Any, Any]
Row = tuple[str, str]
PUBLISHED = {
    "SVM": {"in_scope": 0.910, "outside_recall": 0.145},
    "MLP on a pretrained encoder": {"in_scope": 0.935, "outside_recall": 0.474},
    "BERT": {"in_scope": 0.969, "outside_recall": 0.403},
}


def clinc(folder: Path) -> dict[str, list[Row]]:
    """Splits of CLINC150's full set."""
    with gzip.open(folder / "clinc150" / "data_full.json.gz") as file:
        return {name: [(t, label) for t, label in rows] for name, rows in json.load(file).items()}


def banking(folder: Path, split: str) -> list[Row]:
    """A split of BANKING77."""
    with (folder / "banking77" / f"{split}.csv").open(encoding="utf-8") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


def few(rows: Sequence[Row], each: int, seed: int, classes: int | None = None) -> list[Row]:
    """So many of each class, and so many classes, drawn by the seed."""
    rng = np.random.default_rng([seed, each])
    by: dict[str, list[str]] = {}
    for said, label in rows:
        by.setdefault(label, []).append(said)
    names = sorted(by)
    if classes:
        names = sorted(rng.choice(names, classes, replace=False).tolist())
    return [(by[name][i], name) for name in names for i in rng.permutation(len(by[name]))[:each]]


def mistyped(said: str, rng: np.random.Generator, rate: float = 0.06) -> str:
    """The text with letters left out, replaced, added or exchanged."""
    out: list[str] = []
    for letter in said:
        if letter.isalpha() and rng.random() < rate:
            slip, other = rng.integers(4), chr(97 + rng.integers(26))
            if slip == 0:
                continue
            if slip == 1:
                out.append(other)
                continue
            if slip == 2:
                out += [letter, other]
                continue
            if out:
                out.insert(-1, letter)
                continue
        out.append(letter)
    return "".join(out)


def data(rows: Sequence[Row]) -> Dataset:
    """A dataset of five folds."""
    made = (Example(id=f"e{i}", input=t, label=c, group=f"g{i}", fold=i % 5) for i, (t, c) in enumerate(rows))
    return Dataset(hash=f"{len(rows)} rows", examples=tuple(made))


class Before:
    """The text learner that this one replaced; calibrated by three further fits."""

    name = "before"

    def fit(self, dataset: Dataset, base: Any = None, seed: int = 0) -> Before:
        """Fit 1 + 3 machines (1 + 1 from 3,000 texts on)."""
        targets = targets_of(dataset, "classification")
        self.labels = targets.labels
        self.parts, x = tfidf([e.input for e in dataset.examples])
        machine = LinearSVC(C=0.5, tol=0.03, random_state=seed).fit(x, targets.y)
        self.machine = machine
        scores, rows = [], []
        for turn in range(3 if len(targets.y) < 3000 else 1):
            away = held_out(targets.groups, 5, turn)
            looser = LinearSVC(C=0.5, tol=0.3, random_state=seed).fit(x[~away], targets.y[~away])
            scores.append(looser.decision_function(x[away]))
            rows.append(np.flatnonzero(away))
        at = np.concatenate(rows)
        self.confidence = fit_confidence(np.vstack(scores), targets.y[at], targets.weights[at], expected=4.0)
        return self

    def predict(self, inputs: Sequence[str]) -> Predictions:
        """Answers."""
        raw = self.machine.decision_function(sparse.hstack([p.transform(inputs) for p in self.parts], format="csr"))
        return self.confidence.answer(self.confidence.shares(raw), self.labels)

    def save(self, model: Any, folder: Path) -> None:
        """Not kept."""

    def load(self, folder: Path) -> Any:
        """Not kept."""


def tfidf(texts: Sequence[str]) -> tuple[list[TfidfVectorizer], Any]:
    """Words 1-2 and characters 2-4, each half of length 1."""
    parts = [
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
    ]
    return parts, sparse.hstack([part.fit_transform(texts) for part in parts], format="csr")


def arms(rows: Sequence[Row], asked: Sequence[str]) -> dict[str, Array]:
    """What each learner answers: class numbers in sorted order."""
    names = sorted({label for _, label in rows})
    y = np.array([names.index(label) for _, label in rows])
    texts = [said for said, _ in rows]
    aims = (y[:, None] == np.arange(len(names))).astype(float)
    parts, x = tfidf(texts)
    z = sparse.hstack([part.transform(asked) for part in parts], format="csr")
    found = {"before": LinearSVC(C=0.5, tol=0.03, random_state=0).fit(x, y).predict(z)}
    found["logistic"] = SGDClassifier("log_loss", alpha=1e-5, random_state=0).fit(x, y).predict(z)
    centroids = sparse.csr_matrix(aims.T) @ x
    lengths = np.sqrt(np.asarray(centroids.multiply(centroids).sum(axis=1)).ravel())
    found["centroids"] = ((z @ centroids.T).toarray() / lengths).argmax(axis=1)
    ngrams, own = Ngrams().learn(texts)
    landmarks = text_machine.Landmarks(ngrams, own)
    cube, other = landmarks.kernel(own), landmarks.kernel(ngrams.transform(asked))
    for name, kernel, new, penalty in (
        ("ridge, TF-IDF", (x @ x.T).toarray() / 2, (z @ x.T).toarray() / 2, 0.3),
        ("ridge, hashed", (np.cbrt(cube) - 0.3) / 0.7, (np.cbrt(other) - 0.3) / 0.7, 0.3),
        ("exponential kernel", np.exp(2 * (np.cbrt(cube) - 1) / 0.7), np.exp(2 * (np.cbrt(other) - 1) / 0.7), 0.1),
        ("ours", cube, other, text_machine.PENALTY),
    ):
        ridge = kernel.astype(float) + penalty * np.eye(len(y))
        scores = new @ np.linalg.solve(ridge, aims)
        found[name] = scores.argmax(axis=1)
        if name == "ours":
            near = other @ (aims / aims.sum(axis=0))
            found["ours with centroids"] = (scores + 0.5 * near).argmax(axis=1)
    return {name: np.array(names)[said] for name, said in found.items()}


def part_few(folder: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Accuracy, and the difference from the learner before: mean and 95 % interval over seeds."""
    full = clinc(folder)
    found: dict[str, Any] = {}
    streams = {
        "clinc150, 105 × 20": (full["train"], full["test"], 105),
        "banking77, 77 × 20": (banking(folder, "train"), banking(folder, "test"), None),
    }
    for stream, (train, test, classes) in streams.items():
        hits: dict[str, list[tuple[float, float]]] = {}
        for seed in seeds:
            rows = few(train, 20, seed, classes)
            known = {label for _, label in rows}
            asked = [row for row in test if row[1] in known]
            rng = np.random.default_rng([seed, 99])
            texts = [t for t, _ in asked] + [mistyped(t, rng) for t, _ in asked]
            truth = np.array([label for _, label in asked])
            for name, said in arms(rows, texts).items():
                right = said[: len(truth)] == truth, said[len(truth) :] == truth
                hits.setdefault(name, []).append((float(right[0].mean()), float(right[1].mean())))
            print(stream, seed, {name: values[-1] for name, values in hits.items()}, flush=True)
        before = np.array(hits["before"])
        found[stream] = {name: beside(np.array(values), before) for name, values in hits.items()}
    return found


def beside(values: Array, before: Array) -> dict[str, Any]:
    """Means, and paired differences with their 95 % intervals."""
    out: dict[str, Any] = {}
    for column, name in enumerate(("clean", "typos")):
        away = values[:, column] - before[:, column]
        half = (
            stats.t.ppf(0.975, max(len(away) - 1, 1)) * away.std(ddof=1) / np.sqrt(len(away)) if len(away) > 1 else 0.0
        )
        out[name] = {
            "accuracy": round(float(values[:, column].mean()), 4),
            "more_than_before": [round(float(away.mean() + side * half), 4) for side in (-1, 0, 1)],
        }
    return out


def calibration_error(sure: Array, right: Array, bins: int = 15) -> float:
    """Expected calibration error over bins of equal number."""
    order = np.array_split(np.argsort(sure, kind="stable"), bins)
    return float(sum(len(b) * abs(sure[b].mean() - right[b].mean()) for b in order if len(b)) / len(sure))


def part_outside(folder: Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Ours, and `oos` as one class more, for each number of labelled cases; means over seeds."""
    full = clinc(folder)
    out = []
    for labelled in (0, 10, 50, 100):
        made = []
        for seed in seeds:
            cases = [full["oos_train"][i] for i in np.random.default_rng(seed).permutation(100)[:labelled]]
            made.append(outside_once(few(full["train"], 20, seed) + cases, full))
            print(labelled, seed, made[-1], flush=True)
        means = {key: round(float(np.mean([one[key] for one in made])), 4) for key in made[0]}
        out.append({"labelled": labelled, **means})
    return out


def outside_once(rows: list[Row], full: dict[str, list[Row]]) -> dict[str, float]:
    """One model, asked the official test."""
    model = text.make_trainer().fit(data(rows))
    texts = [t for t, _ in full["test"]] + [t for t, _ in full["oos_test"]]
    strange = np.arange(len(texts)) >= len(full["test"])
    truth = np.array([label for _, label in full["test"] + full["oos_test"]])
    with threads(1):
        scores = model.machine.scores(texts)
    said = model.certainty.answer(scores, model.labels)
    assert said.confidence is not None
    right = np.array(said.outputs) == truth
    column = model.certainty.outside.column
    if column >= 0:
        unlike, plain = model.certainty.shares(scores)[:, column], np.array(model.labels)[scores.argmax(axis=1)]
    else:
        unlike, plain = 1 - said.confidence, np.array(said.outputs)
    shares = np.exp(20 * scores) / np.exp(20 * scores).sum(axis=1, keepdims=True)
    return {
        "in_scope": float(right[~strange].mean()),
        "outside_recall": float(right[strange].mean()),
        "area_under_curve": float(roc_auc_score(strange, unlike)),
        "recall_at_90_in_scope": float((unlike[strange] > np.quantile(unlike[~strange], 0.9)).mean()),
        "as_a_class_in_scope": float((plain == truth)[~strange].mean()),
        "as_a_class_recall": float((plain == truth)[strange].mean()),
        "calibration_error_in_scope": calibration_error(said.confidence[~strange], right[~strange]),
        "calibration_error_in_scope_unfitted": calibration_error(
            shares.max(axis=1)[~strange], (np.array(model.labels)[scores.argmax(axis=1)] == truth)[~strange]
        ),
        "calibration_error_all": calibration_error(said.confidence, right),
    }


def part_full(folder: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """15,000 texts, with and without the 100 cases of `oos`."""
    full = clinc(folder)
    out: dict[str, Any] = {"published (Larson et al. 2019)": PUBLISHED}
    for name, rows in (("without oos", full["train"]), ("with 100 oos", full["train"] + full["oos_train"])):
        start = time.process_time()
        model = text.make_trainer().fit(data(rows), seed=seeds[0])
        seconds = time.process_time() - start
        right, sure = {}, {}
        for split in ("test", "oos_test"):
            said = model.predict([t for t, _ in full[split]])
            assert said.confidence is not None
            right[split] = np.array([a == b for a, (_, b) in zip(said.outputs, full[split], strict=True)])
            sure[split] = said.confidence
        out[name] = {
            "in_scope": round(float(right["test"].mean()), 4),
            "outside_recall": round(float(right["oos_test"].mean()), 4),
            "calibration_error_in_scope": round(calibration_error(sure["test"], right["test"]), 4),
            "fit_processor_seconds": round(seconds, 1),
        }
        print(name, out[name], flush=True)
    return out


def part_speed(folder: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Seconds of one spin's training."""
    rows = few(clinc(folder)["train"], 27, seeds[0], 120)
    order = np.random.default_rng(0).permutation(len(rows))
    old = [rows[i] for i in order[:3000]]
    examples = data([rows[i] for i in order[:3100]])
    fresh = examples.examples[3000:]
    out = {}
    for name, make in (("ours", text.make_trainer), ("before", Before)):
        trainer: Any = make()
        out[name] = spin(trainer, examples, data(old), fresh)
        print(name, out[name], flush=True)
    return out


def spin(trainer: Any, dataset: Dataset, old: Dataset, fresh: Sequence[Example]) -> dict[str, float]:
    """Fit, cross-fit, placebo, and 1,000 answers."""

    def timed(work: Callable[[], Any]) -> tuple[float, Any]:
        used = time.process_time()  # of the processor: other work on the machine does not count
        found = work()
        return time.process_time() - used, found

    fit, model = timed(lambda: trainer.fit(dataset, None, 0))
    thousand = [e.input for e in dataset.examples[:1000]]
    cross, _ = timed(lambda: crossfit(trainer, dataset, seed=0))
    control, _ = timed(lambda: placebo(trainer, old, fresh, seed=1))
    answers, _ = timed(lambda: model.predict(thousand))
    seconds = {"fit": fit, "crossfit": cross, "placebo": control, "all": fit + cross + control, "answers_1000": answers}
    return {key: round(value, 2) for key, value in seconds.items()}


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 5 on")
    parser.add_argument("--only", choices=("few", "outside", "full", "speed"))
    given = parser.parse_args()
    where = os.environ.get("FLYWHEEL_DATA")
    if not where:
        sys.exit("set FLYWHEEL_DATA to a folder with clinc150 and banking77")
    seeds = list(range(5, 5 + given.seeds))
    kept: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    parts = {"few": part_few, "outside": part_outside, "full": part_full, "speed": part_speed}
    for name, part in parts.items():
        if given.only in (None, name):
            with threads(1):
                kept[name] = part(Path(where), seeds)
            kept.setdefault("seeds", {})[name] = seeds
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    kept |= {
        "commit": commit.stdout.strip(), "machine": f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }  # fmt: skip
    RESULTS.write_text(json.dumps(kept, indent=2) + "\n")
    print(json.dumps(kept, indent=2))


if __name__ == "__main__":
    main()
