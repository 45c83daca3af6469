"""Worlds with one known cause a mode, for `bench/causes.py`: real data, real champions, and something done to them.

Two worlds are made of a data set, a size and a seed. In one, a sound champion meets

- scarcity      a class (or a class within a slice) that was hardly taught: 0 to 5 % of its examples are left
- noise         traffic that is broken on its way: typing, cuts, blur, lost fields; half of the time from one device
- label noise   a class (or slice) half or more of whose examples have another's label, or people who judge wrongly
- nothing       what a champion taught with everything, and another kind of learner, get wrong as well: unknown

In the other, the champion itself is flawed (sees only part of the input, cannot say a class, is too simple), and the
mode is what it gets wrong of one or two classes. Modes hold what was done and what goes wrong anyway, and a few false
alarms; 15, 50 or 100 % of the failures have a label.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import ComplementNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler
from sklearn.tree import DecisionTreeClassifier

from flywheel.ports import Predictions
from flywheel.records import Evidence, Example, Failure

AT = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = {
    "clinc150": "text", "banking77": "text", "bank_marketing": "tabular", "adult": "tabular",
    "german_credit": "tabular", "digits": "image", "mnist": "image",
}  # fmt: skip


# --- data ------------------------------------------------------------------------------------------------------------


def load(name: str, folder: Path) -> tuple[list[Any], list[Any]]:
    """Inputs and labels of a data set."""
    return {
        "clinc150": _clinc, "banking77": _banking, "bank_marketing": _marketing, "adult": _adult,
        "german_credit": _german, "digits": _digits, "mnist": _mnist,
    }[name](folder)  # fmt: skip


def _clinc(folder: Path):
    with gzip.open(folder / "clinc150" / "data_full.json.gz", "rt", encoding="utf-8") as file:
        parts = json.load(file)
    rows = [row for part in ("train", "val", "test") for row in parts[part]]
    return [row[0] for row in rows], [row[1] for row in rows]


def _banking(folder: Path):
    rows = []
    for part in ("train.csv", "test.csv"):
        with (folder / "banking77" / part).open(encoding="utf-8", newline="") as file:
            rows += list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["category"] for row in rows]


def _number(value: str) -> Any:
    try:
        return float(value)
    except ValueError:
        return value


def _marketing(folder: Path):
    with gzip.open(folder / "bank_marketing" / "bank-additional-full.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    return [{k: _number(v) for k, v in row.items() if k not in ("y", "duration")} for row in rows], [
        row["y"] for row in rows
    ]


def _adult(folder: Path):
    names = [
        "age", "workclass", "fnlwgt", "education", "education_num", "marital", "occupation", "relationship", "race",
        "sex", "gain", "loss", "hours", "country", "income",
    ]  # fmt: skip
    with gzip.open(folder / "adult" / "adult.data.gz", "rt", encoding="utf-8") as file:
        rows = [[cell.strip() for cell in line] for line in csv.reader(file) if len(line) == len(names)]
    records = [dict(zip(names, row, strict=True)) for row in rows]
    inputs = [
        {k: None if v == "?" else _number(v) for k, v in one.items() if k not in ("income", "fnlwgt")}
        for one in records
    ]
    return inputs, [one["income"].rstrip(".") for one in records]


def _german(folder: Path):
    with (folder / "german_credit" / "credit-g.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    target = "class" if "class" in rows[0] else list(rows[0])[-1]
    return [{k: _number(v) for k, v in row.items() if k != target} for row in rows], [row[target] for row in rows]


def _pixels(path: Path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [line for line in csv.reader(file) if line]
    if any(not re.fullmatch(r"-?[\d.]+", cell) for cell in rows[0]):
        rows = rows[1:]
    table = np.array(rows, dtype=float)
    return [row.tolist() for row in table[:, :-1]], [int(label) for label in table[:, -1]]


def _digits(folder: Path):
    return _pixels(folder / "images_digits" / "sklearn_digits_8x8.csv.gz")


def _mnist(folder: Path):
    inputs, labels = _pixels(folder / "images_digits" / "mnist_5k.csv.gz")
    # Halved in each direction (14 × 14): what is measured stays the same, and the benchmark ends sooner.
    small = np.array(inputs).reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(len(inputs), -1)
    return small.round(1).tolist(), labels


# --- champions -------------------------------------------------------------------------------------------------------


def _records(rows: list[Any]) -> list[dict[str, Any]]:
    return [{k: (str(v) if isinstance(v, str) else float(v)) for k, v in row.items() if v is not None} for row in rows]


def _table() -> Any:
    return make_pipeline(FunctionTransformer(_records), DictVectorizer(sparse=True), MaxAbsScaler())


def _dense_table() -> Any:
    return make_pipeline(FunctionTransformer(_records), DictVectorizer(sparse=False))


SOUND: dict[str, list[Any]] = {
    "text": [
        lambda: make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            RidgeClassifier(alpha=0.5, solver="sparse_cg", tol=1e-2),
        ),
        lambda: make_pipeline(TfidfVectorizer(sublinear_tf=True), ComplementNB(alpha=0.3)),
    ],
    "tabular": [
        lambda: make_pipeline(_dense_table(), HistGradientBoostingClassifier(max_iter=60, random_state=0)),
        lambda: make_pipeline(_table(), LogisticRegression(max_iter=300)),
    ],
    "image": [
        lambda: make_pipeline(FunctionTransformer(np.asarray), KNeighborsClassifier(3)),
        lambda: make_pipeline(FunctionTransformer(np.asarray), ExtraTreesClassifier(80, random_state=0)),
    ],
}


class First:
    """Shows a learner only the first words."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, rows):  # noqa: D102
        return [" ".join(row.split()[: self.n]) for row in rows]


class Short:
    """Shows a learner only the short words."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, rows):  # noqa: D102
        return [" ".join(w for w in row.split() if len(w) <= self.n) for row in rows]


class Columns:
    """Shows a learner only some fields."""

    def __init__(self, names) -> None:
        self.names = set(names)

    def __call__(self, rows):  # noqa: D102
        return [{k: v for k, v in row.items() if k in self.names} for row in rows]


class Pooled:
    """Shows a learner a picture in large squares, or half of it."""

    def __init__(self, parts: int, half: bool = False) -> None:
        self.parts, self.half = parts, half

    def __call__(self, rows):  # noqa: D102
        x = np.asarray(rows, dtype=float)
        side = int(np.sqrt(x.shape[1]))
        x = x.reshape(-1, side, side)
        if self.half:
            return x[:, :, : side // 2].reshape(len(x), -1)
        cut = [np.stack([c.mean(axis=(1, 2)) for c in np.array_split(row, self.parts, axis=2)], axis=1)
               for row in np.array_split(x, self.parts, axis=1)]  # fmt: skip
        return np.stack(cut, axis=1).reshape(len(x), -1)


def _seeing(view: Any, learner: Any) -> Any:
    return make_pipeline(FunctionTransformer(view), learner)


def flawed(kind: str, variant: str, fields: list[str], rng: np.random.Generator) -> Any:
    """A champion with a flaw."""
    if kind == "text":
        words = make_pipeline(TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b"), RidgeClassifier())
        return {
            "first words": lambda: _seeing(First(3), words),
            "short words": lambda: _seeing(Short(4), words),
            "letters": lambda: make_pipeline(TfidfVectorizer(analyzer="char"), RidgeClassifier(alpha=0.1)),
            "stump": lambda: make_pipeline(
                TfidfVectorizer(max_features=300), DecisionTreeClassifier(max_depth=12, random_state=0)
            ),
        }[variant]
    if kind == "tabular":
        kept = rng.choice(sorted(fields), 3, replace=False).tolist()
        return {
            "few fields": lambda: _seeing(Columns(kept), SOUND["tabular"][0]()),
            "stump": lambda: make_pipeline(_dense_table(), DecisionTreeClassifier(max_depth=1)),
            "threshold": lambda: Threshold(SOUND["tabular"][0]()),
            "few fields, linear": lambda: _seeing(Columns(kept), SOUND["tabular"][1]()),
        }[variant]
    array = FunctionTransformer(np.asarray)
    return {
        "half": lambda: _seeing(Pooled(0, half=True), KNeighborsClassifier(3)),
        "coarse": lambda: _seeing(Pooled(3), KNeighborsClassifier(3)),
        "stump": lambda: make_pipeline(array, DecisionTreeClassifier(max_depth=4, random_state=0)),
        "one mean a class": lambda: make_pipeline(FunctionTransformer(Pooled(2)), RidgeClassifier()),
    }[variant]


class Threshold:
    """A classifier whose threshold was set for another decade: the rarer class is hardly ever said."""

    def __init__(self, learner: Any) -> None:
        self.learner = learner

    def fit(self, x, y):  # noqa: D102
        self.learner.fit(x, y)
        self.rare = int(np.argmin([np.sum(np.asarray(y) == c) for c in self.learner.classes_]))
        return self

    def predict(self, x):  # noqa: D102
        p = self.learner.predict_proba(x)[:, self.rare]
        classes = self.learner.classes_
        return np.where(p > 0.93, classes[self.rare], classes[1 - self.rare])


class Merged:
    """A champion that cannot say one class: it says another one in its place."""

    def __init__(self, learner: Any, lost: Any, instead: Any) -> None:
        self.learner, self.lost, self.instead = learner, lost, instead

    def fit(self, x, y):  # noqa: D102
        self.learner.fit(x, y)
        return self

    def predict(self, x):  # noqa: D102
        said = self.learner.predict(x)
        return np.array([self.instead if one == self.lost else one for one in said], dtype=said.dtype)


FLAWS = {
    "text": ["first words", "short words", "letters", "stump", "merged"],
    "tabular": ["few fields", "stump", "threshold", "few fields, linear"],
    "image": ["half", "coarse", "stump", "one mean a class", "merged"],
}


@dataclass
class Own:
    """The champion's own learner as a trainer."""

    make: Any
    name: str = "own"

    def fit(self, dataset, base=None, seed=0):  # noqa: D102
        learner = self.make().fit([e.input for e in dataset.examples], [e.label for e in dataset.examples])
        return Answering(learner)

    def save(self, model, folder):  # noqa: D102
        raise NotImplementedError("these models live as long as the benchmark")

    def load(self, folder):  # noqa: D102
        raise NotImplementedError("these models live as long as the benchmark")


@dataclass
class Answering:
    """A learner as a model."""

    learner: Any

    def predict(self, inputs):  # noqa: D102
        return Predictions(plain(self.learner.predict(list(inputs))))


def plain(values: Any) -> list[Any]:
    return [one.item() if hasattr(one, "item") else one for one in values]


# --- what breaks on its way -------------------------------------------------------------------------------------------


BREAKS = {
    "text": ["typos", "cut", "lost letters", "mojibake", "run together"],
    "tabular": ["lost fields", "wrong unit", "defaults", "shifted fields"],
    "image": ["blur", "grain", "dark", "covered", "inverted"],
}


def broken(kind: str, variant: str, one: Any, rng: np.random.Generator) -> Any:
    """One input, broken."""
    return {"text": _broken_text, "tabular": _broken_record, "image": _broken_image}[kind](variant, one, rng)


def _broken_text(variant: str, text: str, rng: np.random.Generator) -> str:
    letters = list(text)
    if variant == "typos":
        for _ in range(max(3, len(letters) // 6)):
            i = int(rng.integers(len(letters)))
            letters[i] = chr(97 + int(rng.integers(26)))
        return "".join(letters)
    if variant == "cut":
        return text[: max(6, int(len(text) * 0.3))]
    if variant == "lost letters":
        return "".join(c for c in letters if rng.random() > 0.3 or c == " ")
    if variant == "mojibake":
        return "".join("Ã©" if c == "e" else "â€" if c == "a" else "Ã¼" if c == "o" else c for c in text)
    return text.replace(" ", "")


def _broken_record(variant: str, row: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    out = dict(row)
    names = sorted(out)
    if variant == "lost fields":
        for name in rng.choice(names, len(names) // 2, replace=False):
            out[str(name)] = None
    elif variant == "wrong unit":
        for name in names:
            if isinstance(out[name], float):
                out[name] = out[name] * 100.0 + 1000.0
    elif variant == "defaults":
        for name in rng.choice(names, 2 * len(names) // 3, replace=False):
            out[str(name)] = 0.0 if isinstance(out[str(name)], float) else "unknown"
    else:
        values = [out[name] for name in names]
        out = dict(zip(names, values[1:] + values[:1], strict=True))
    return out


def _broken_image(variant: str, row: list[float], rng: np.random.Generator) -> list[float]:
    x = np.asarray(row)
    side = int(np.sqrt(len(x)))
    x, top = x.reshape(side, side), float(x.max())
    if variant == "blur":
        from scipy.ndimage import gaussian_filter

        x = gaussian_filter(x, side / 8)
    elif variant == "grain":
        x = np.clip(x + rng.normal(0, 0.6 * top, x.shape), 0, top)
    elif variant == "dark":
        x = x * 0.15
    elif variant == "covered":
        x = x.copy()
        at = int(rng.integers(side // 3))
        x[at : at + side // 2, :] = 0
    else:
        x = top - x
    return x.round(1).ravel().tolist()


# --- worlds ----------------------------------------------------------------------------------------------------------


@dataclass
class Injected:
    """A mode whose cause is known."""

    cause: str
    variant: str
    failures: list[Failure]
    device: bool = False


@dataclass
class World:
    """Examples, modes with known causes, the champion's trainer and its out-of-fold answers."""

    examples: list[Example]
    modes: list[Injected]
    trainer: Own
    answers: dict[str, list[Any]]
    shares: dict[str, float] = field(default_factory=dict)


class Maker:
    """Makes the two worlds of a data set, a size and a seed."""

    def __init__(self, name: str, inputs: list[Any], labels: list[Any], size: int, seed: int) -> None:
        self.kind, self.size = KINDS[name], size
        self.rng = np.random.default_rng([seed, size, len(name)])
        order = self.rng.permutation(len(inputs))
        self.inputs, self.labels = [inputs[i] for i in order], [labels[i] for i in order]
        self.size = min(size, int(0.7 * len(order)))
        self.pool = list(range(self.size))
        self.rest = list(range(self.size, len(order)))
        self.told = float(self.rng.choice([0.15, 0.5, 1.0]))
        self.places = np.random.default_rng([seed, size, len(name), 5])
        self.count = 0

    def region(self, used: set[Any]) -> tuple[Any, Any]:
        """A class, or a class within a slice where there are few classes: a test of (input, label), and its name."""
        counts = Counter(self.labels[i] for i in self.pool)
        if self.kind != "tabular":
            rich = [c for c, n in counts.items() if c not in used and n >= 4]
            chosen = sorted(rich, key=str)[int(self.rng.integers(len(rich)))]
            used.add(chosen)
            return (lambda one, label: label == chosen), chosen
        words = Counter(
            (k, v, self.labels[i]) for i in self.pool for k, v in self.inputs[i].items() if isinstance(v, str)
        )
        least, most = 0.03 * self.size, 0.3 * self.size
        rich = sorted((one for one, n in words.items() if least <= n <= most and one[:2] not in used), key=str)
        key, value, label = rich[int(self.rng.integers(len(rich)))]
        used.add((key, value))
        return (lambda one, said: one.get(key) == value and said == label), (key, value, label)

    def example(self, i: int, label: Any) -> Example:
        """Row i as an example with this label."""
        return Example(id=f"e{i}", input=self.inputs[i], label=label, group=f"g{i}")

    def failure(self, one: Any, output: Any, label: Any, device: str) -> Failure:
        """A logged answer that is taken for wrong; by chance with the label that people give."""
        self.count += 1
        told = self.rng.random() < self.told
        return Failure(
            interaction_id=f"f{self.count}", at=AT, probability=0.9, input=one, output=output,
            label=label if told else None, context={"device": device}, evidence=(Evidence("negative_rating", ""),),
        )  # fmt: skip

    def failures(self, rows: list[tuple[Any, Any, Any]], lean: float | None = None) -> list[Failure]:
        """Wrong answers (input, output, label), at most 60, with one false alarm in fifteen.

        `lean` is the share from device B. Where it is not given, one mode in five comes from there nearly whole: what
        fails for another reason may also come from one place.
        """
        if lean is None:
            lean = 0.9 if self.places.random() < 0.2 else 0.1
        wrong = [row for row in rows if row[1] != row[2]]
        right = [row for row in rows if row[1] == row[2]]
        some = [wrong[i] for i in self.rng.permutation(len(wrong))[:60]]
        alarms = [right[i] for i in self.rng.permutation(len(right))[: len(some) // 15]]
        device = ["B" if self.rng.random() < lean else "A" for _ in range(len(some) + len(alarms))]
        found = [self.failure(*row, device[i]) for i, row in enumerate(some)]
        calls = [self.failure(one, out, None, device[len(some) + i]) for i, (one, out, _) in enumerate(alarms)]
        return found + calls

    def fitted(self, make: Any, rows: list[int], labels: dict[int, Any]) -> Any:
        """A learner taught with these rows."""
        return make().fit([self.inputs[i] for i in rows], [labels[i] for i in rows])

    def cross(self, make: Any, rows: list[int], labels: dict[int, Any]) -> dict[str, list[Any]]:
        """The champion's out-of-fold answers, on at most 1,000 examples (three parts)."""
        rows = rows[:1000]
        out: dict[str, list[Any]] = {}
        for part in range(3):
            inside = [i for k, i in enumerate(rows) if k % 3 != part]
            away = [i for k, i in enumerate(rows) if k % 3 == part]
            said = plain(self.fitted(make, inside, labels).predict([self.inputs[i] for i in away]))
            out |= {f"e{i}": [one, None] for i, one in zip(away, said, strict=True)}
        return out

    def sound(self) -> World:
        """A sound champion: scarcity, noise, two kinds of label noise, and what is nobody's fault."""
        kind, rng, used = self.kind, self.rng, set()
        scarce, _ = self.region(used)
        doubted, named = self.region(used)
        misjudged, _ = self.region(used)
        left = float(rng.choice([0.0, 0.02, 0.05]))
        kept = [
            i for i in self.pool if not scarce(self.inputs[i], self.labels[i]) or rng.random() < left
        ]  # fmt: skip
        labels = {i: self.labels[i] for i in range(len(self.labels))}
        classes = sorted(set(self.labels), key=str)
        wrong_share, one_way = float(rng.uniform(0.5, 0.8)), bool(rng.random() < 0.5)
        mine = named[2] if kind == "tabular" else named
        others = [c for c in classes if c != mine]
        fixed = others[int(rng.integers(len(others)))]
        for i in kept:
            if doubted(self.inputs[i], self.labels[i]) and rng.random() < wrong_share:
                labels[i] = fixed if one_way else others[int(rng.integers(len(others)))]
        make = SOUND[kind][int(rng.integers(len(SOUND[kind])))]
        champion = self.fitted(make, kept, labels)

        def rows_of(test: Any, most: int = 150) -> list[int]:
            return [i for i in self.rest if test(self.inputs[i], self.labels[i])][:most]

        def answered(rows: list[int]) -> list[tuple[Any, Any, Any]]:
            said = plain(champion.predict([self.inputs[i] for i in rows])) if rows else []
            return [(self.inputs[i], one, self.labels[i]) for i, one in zip(rows, said, strict=True)]

        modes = [
            Injected("data scarcity", f"{left:.0%} left", self.failures(answered(rows_of(scarce)))),
            Injected("label noise", "taught one way" if one_way else "taught any way",
                     self.failures(answered(rows_of(doubted)))),
        ]  # fmt: skip
        judged = [
            (one, out, others_than(out, classes, rng) if out == label else label)
            for one, out, label in answered(rows_of(misjudged, 60))
        ]
        modes.append(Injected("label noise", "judged wrongly", self.failures(judged)))
        clean = [
            i for i in self.rest
            if not any(test(self.inputs[i], self.labels[i]) for test in (scarce, doubted, misjudged))
        ]  # fmt: skip
        variant = BREAKS[kind][int(rng.integers(len(BREAKS[kind])))]
        device = bool(rng.random() < 0.5)
        hit = self.some_classes(clean, 200)
        spoiled = [broken(kind, variant, self.inputs[i], rng) for i in hit]
        said = plain(champion.predict(spoiled))
        rows = [(one, out, self.labels[i]) for one, out, i in zip(spoiled, said, hit, strict=True)]
        before = plain(champion.predict([self.inputs[i] for i in hit]))
        # What was wrong before it was broken is not the noise's fault; some of it stays among the failures.
        caused = [row for row, b in zip(rows, before, strict=True) if b == row[2] or rng.random() < 0.3]
        modes.append(Injected("external noise", variant, self.failures(caused, 0.9 if device else 0.1), device))
        away = set(hit)
        rest = [i for i in clean if i not in away][:2000]
        modes.append(Injected("unknown", "nothing done", self.natural(champion, rest)))
        return World(
            [self.example(i, labels[i]) for i in kept], [m for m in modes if len(m.failures) >= 5], Own(make),
            self.cross(make, kept, labels), {"device=A": 0.9, "device=B": 0.1},
        )  # fmt: skip

    def some_classes(self, rows: list[int], most: int) -> list[int]:
        """So many rows: in half of the worlds of one to three classes only, for a mode may hold one or many."""
        if self.rng.random() < 0.5:
            return rows[:most]
        counts = Counter(self.labels[i] for i in rows)
        names = sorted(counts, key=str)
        chosen = {names[int(i)] for i in self.rng.permutation(len(names))[: int(self.rng.integers(1, 4))]}
        return [i for i in rows if self.labels[i] in chosen][:most]

    def natural(self, champion: Any, clean: list[int]) -> list[Failure]:
        """What the champion gets wrong, and so do two kinds of learner that were taught with everything else."""
        if len(clean) < 50:
            return []
        said = plain(champion.predict([self.inputs[i] for i in clean]))
        wrong = [(i, one) for i, one in zip(clean, said, strict=True) if one != self.labels[i]]
        away = set(clean)
        taught = [i for i in range(len(self.labels)) if i not in away][:4_000]
        truth = dict(enumerate(self.labels))
        both = [self.fitted(other, taught, truth) for other in SOUND[self.kind]]
        if not wrong:
            return []
        again = [plain(one.predict([self.inputs[i] for i, _ in wrong])) for one in both]
        kept = [
            (self.inputs[i], one, self.labels[i])
            for k, (i, one) in enumerate(wrong)
            if all(said[k] != self.labels[i] for said in again)
        ]
        if self.rng.random() < 0.5:  # a mode of one kind, as grouping would make it
            common = Counter(label for _, _, label in kept).most_common(int(self.rng.integers(1, 4)))
            kept = [row for row in kept if row[2] in {label for label, _ in common}]
        return self.failures(kept)

    def flawed(self) -> World:
        """A champion with a flaw, taught with clean examples."""
        kind, rng = self.kind, self.rng
        labels = dict(enumerate(self.labels))
        variant = FLAWS[kind][int(rng.integers(len(FLAWS[kind])))]
        fields = sorted(self.inputs[0]) if kind == "tabular" else []
        counts = Counter(self.labels[i] for i in self.pool)
        rich = sorted((c for c, n in counts.items() if n >= 4), key=str)
        lost, instead = (rich[int(i)] for i in rng.choice(len(rich), 2, replace=False))
        sound = SOUND[kind][int(rng.integers(2))]
        make = (lambda: Merged(sound(), lost, instead)) if variant == "merged" else flawed(kind, variant, fields, rng)
        champion = self.fitted(make, self.pool, labels)
        best = self.fitted(sound, self.pool, labels)
        rows = self.rest[:3000]
        said = plain(champion.predict([self.inputs[i] for i in rows]))
        could = plain(best.predict([self.inputs[i] for i in rows]))
        its_own = Counter(self.labels[i] for i, a, b in zip(rows, said, could, strict=True) if a != self.labels[i] == b)
        most = lost if variant == "merged" else (its_own.most_common(1) or [(None, 0)])[0][0]
        also = {c for c, _ in its_own.most_common(int(rng.integers(1, 4)))} if variant != "merged" else set()
        mode = [
            (self.inputs[i], a, self.labels[i])
            for i, a, b in zip(rows, said, could, strict=True)
            if self.labels[i] in {most, *also} and (b == self.labels[i] or rng.random() < 0.4)
        ]
        modes = [Injected("algorithmic flaw", variant, self.failures(mode))]
        return World(
            [self.example(i, labels[i]) for i in self.pool], [m for m in modes if len(m.failures) >= 5], Own(make),
            self.cross(make, self.pool, labels), {"device=A": 0.9, "device=B": 0.1},
        )  # fmt: skip


def others_than(output: Any, classes: list[Any], rng: np.random.Generator) -> Any:
    rest = [c for c in classes if c != output]
    return rest[int(rng.integers(len(rest)))]
