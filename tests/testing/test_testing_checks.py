"""The conformance checks accept what ships and refuse what breaks the contract, each for its own reason."""

import csv
import json
from pathlib import Path

import ibis
import numpy as np
import pytest

from flywheel import plugins
from flywheel.errors import NotFound
from flywheel.ports import Predictions
from flywheel.testing import (
    check_detector,
    check_embedder,
    check_labeler,
    check_redactor,
    check_registry,
    check_sink,
    check_source,
    check_task,
    check_trainer,
)


def broken(make, **methods):
    """A copy of a class's object with some attributes replaced."""
    return type("Broken", (make,), methods)()


# --- a small good one of each port ---


class Majority:
    """Answers by the first word, else the most frequent label."""

    name = "majority"

    def fit(self, dataset, base=None, seed=0):
        words = {str(e.input).split()[0]: e.label for e in dataset.examples}
        labels = [e.label for e in dataset.examples]
        return Words(words, max(sorted(set(labels)), key=labels.count))

    def save(self, model, folder):
        (folder / "model.json").write_text(json.dumps([model.words, model.otherwise]))

    def load(self, folder):
        return Words(*json.loads((folder / "model.json").read_text()))


class Words:
    def __init__(self, words, otherwise):
        self.words, self.otherwise = words, otherwise

    def predict(self, inputs):
        return Predictions(
            [self.words.get(str(x).split()[0], self.otherwise) for x in inputs], np.full(len(inputs), 0.5)
        )


def test_a_good_trainer_passes():
    check_trainer(Majority())


class Drunk(Words):
    turn = 0

    def predict(self, inputs):
        Drunk.turn += 1
        return Predictions(["lost", "found"][Drunk.turn % 2 :][:1] * len(inputs))


class Batchy(Words):
    def predict(self, inputs):
        return super().predict(inputs) if len(inputs) != 1 else Predictions(["alone"], np.array([0.5]))


def fitting(kind, *args):
    return lambda self, dataset, base=None, seed=0: kind(*(args or ({"my": "lost", "there": "found"}, "lost")))


def pickled(self, model, folder):
    Majority.save(self, model, folder)
    (folder / "more.pkl").write_bytes(b"x")


@pytest.mark.parametrize(
    ("methods", "reason"),
    [
        ({"name": ""}, "name"),
        ({"save": None}, "no method save"),
        ({"fit": fitting(object().__class__)}, "no predict|takes no arguments"),
        ({"fit": fitting(Words, {}, "lost")}, "always the same answer"),
        ({"fit": fitting(Drunk)}, "right|differently"),
        ({"fit": fitting(Batchy)}, "alone"),
        ({"fit": fitting(Words)}, "taught nothing but"),
        ({"save": pickled}, "pickle"),
        ({"save": lambda self, model, folder: None}, "no file"),
        ({"load": lambda self, folder: Words({}, "found")}, "other answers than the one saved"),
    ],
)
def test_a_trainer_that_breaks_the_contract_is_refused(methods, reason):
    with pytest.raises((AssertionError, TypeError), match=reason):
        check_trainer(broken(Majority, **methods))


@pytest.mark.parametrize(
    ("confidence", "reason"),
    [(np.array([2.0]), "shape|0 to 1"), (np.full(12, 1.5), "0 to 1"), (np.full(12, np.nan), "0 to 1")],
)
def test_confidence_has_a_shape_and_a_range(confidence, reason):
    class Sure(Words):
        def predict(self, inputs):
            return Predictions(super().predict(inputs).outputs, confidence)

    with pytest.raises(AssertionError, match=reason):
        check_trainer(broken(Majority, fit=fitting(Sure)))


class Letters:
    name = "letters"

    def embed(self, inputs):
        return np.array([[float(str(x).count(c)) for c in "aeiou"] for x in inputs])


@pytest.mark.parametrize(
    ("embed", "reason"),
    [
        (lambda self, inputs: np.zeros((len(inputs), 2)), "one point"),
        (lambda self, inputs: np.zeros(len(inputs)), "dimensions"),
        (lambda self, inputs: np.full((len(inputs), 2), np.nan), "NaN"),
        (lambda self, inputs: np.arange(2.0 * len(inputs)).reshape(-1, 2), "two places"),
        (lambda self, inputs: np.random.default_rng().normal(size=(len(inputs), 2)), "second time"),
        (lambda self, inputs: np.ones((len(inputs) + 1, 2)), "vectors for"),
        (lambda self, inputs: np.ones((len(inputs), 2), dtype=int), "floats"),
    ],
)
def test_embedders(embed, reason):
    check_embedder(Letters())
    with pytest.raises(AssertionError, match=reason):
        check_embedder(broken(Letters, embed=embed))


class Exact:
    name = "exact"

    def correct(self, output, truth):
        return output == truth

    def score(self, output, truth):
        return float(output == truth)

    def severity(self, output, truth):
        return 1.0 - self.score(output, truth)


@pytest.mark.parametrize(
    ("methods", "reason"),
    [
        ({"correct": lambda self, o, t: True}, "wrong"),
        ({"correct": lambda self, o, t: False}, "right"),
        ({"correct": lambda self, o, t: int(o == t)}, "True or False"),
        ({"score": lambda self, o, t: 7}, "0 to 1"),
        ({"score": lambda self, o, t: float(o != t)}, "scores a right answer"),
        ({"severity": lambda self, o, t: -1}, "severity"),
        ({"correct": lambda self, o, t: o is None or o == t}, "no answer"),
    ],
)
def test_tasks(methods, reason):
    check_task(Exact())
    with pytest.raises(AssertionError, match=reason):
        check_task(broken(Exact, **methods))


class Ones:
    name = "ones"

    def label(self, items):
        yield from ((item.id, 1, self.name) for item in items[:2])


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (lambda self, items: iter([("stranger", 1, "x")]), "not among"),
        (lambda self, items: iter([("q0", 1, "x"), ("q0", 1, "x")]), "twice"),
        (lambda self, items: iter([("q0", None, "x")]), "None"),
        (lambda self, items: iter([("q0", {1}, "x")]), "not JSON"),
        (lambda self, items: iter([("q0", 1)]), "2 values"),
        (lambda self, items: iter([("q0", 1, "")]), "who"),
    ],
)
def test_labelers(label, reason):
    check_labeler(Ones())
    with pytest.raises(AssertionError, match=reason):
        check_labeler(broken(Ones, label=label))


def test_the_labelers_that_ship():
    check_labeler(plugins.create("labelers", "function", function=lambda item: "x"))
    check_labeler(plugins.create("labelers", "truth", feedback_of=lambda ids: []))


class Shelf:
    name = "shelf"

    def __init__(self):
        self.kept, self.aliases = [], {}

    def register(self, version, folder, tags):
        if version not in self.kept:
            self.kept.append(version)

    def alias(self, alias, version):
        if version is None:
            self.aliases.pop(alias, None)
        elif version not in self.kept:
            raise NotFound(version)
        else:
            self.aliases[alias] = version

    def resolve(self, alias):
        return self.aliases.get(alias)

    def versions(self):
        return list(self.kept)


@pytest.mark.parametrize(
    ("methods", "reason"),
    [
        ({"register": lambda self, v, f, t: self.kept.append(v)}, "oldest first"),
        ({"versions": lambda self: self.kept[::-1]}, "oldest first"),
        ({"alias": lambda self, a, v: self.aliases.update({a: v})}, "never registered"),
        ({"resolve": lambda self, a: next(iter(self.aliases.values()), None)}, "mixes"),
        ({"alias": lambda self, a, v: None}, "pointed at"),
    ],
)
def test_registries(methods, reason):
    shelf = Shelf()
    check_registry(shelf, reopen=lambda: shelf)
    with pytest.raises(AssertionError, match="opened again"):
        check_registry(Shelf(), reopen=Shelf)
    with pytest.raises(AssertionError, match="must be empty"):
        check_registry(shelf)
    with pytest.raises(AssertionError, match=reason):
        check_registry(broken(Shelf, **methods))


class Slowpokes:
    name = "slowpokes"

    def evidence(self, interactions, feedback):
        late = interactions.filter(interactions.latency_ms > 100)
        return late.select("id", strength=ibis.literal(1.0), detail=ibis.literal("late"))


def tables():
    interactions = ibis.memtable({"id": ["a", "b", "c"], "latency_ms": [1.0, 500.0, 900.0]})
    return interactions, ibis.memtable({"interaction_id": ["a"], "kind": ["rating"]})


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (lambda self, i, f: [], "Ibis table"),
        (lambda self, i, f: i.select("id"), "no column detail, strength"),
        (lambda self, i, f: i.select("id", strength=ibis.literal(2.0), detail=ibis.literal("x")), "0 to 1"),
        (
            lambda self, i, f: i.select(id=i.id + "x", strength=ibis.literal(1.0), detail=ibis.literal("x")),
            "not in the",
        ),
        (lambda self, i, f: i.union(i).select("id", strength=ibis.literal(1.0), detail=ibis.literal("x")), "two rows"),
        (lambda self, i, f: i.limit(0).select("id", strength=ibis.literal(1.0), detail=ibis.literal("x")), "not find"),
    ],
)
def test_detectors(evidence, reason):
    check_detector(Slowpokes(), *tables(), expect=["b", "c"])
    with pytest.raises(AssertionError, match=reason):
        check_detector(broken(Slowpokes, evidence=evidence), *tables(), expect=["b", "c"])


class Black:
    """Blacks out one word."""

    name = "black"

    def redact(self, value):
        if isinstance(value, str):
            return value.replace("hush", "█"), {"word": value.count("hush")} if "hush" in value else {}
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        done = [self.redact(part) for part in parts]
        counts = {"word": sum(found.get("word", 0) for _, found in done)}
        if isinstance(value, dict):
            return dict(zip(value, [part for part, _ in done], strict=True)), counts
        return ([part for part, _ in done] if isinstance(value, list) else value), counts


@pytest.mark.parametrize(
    ("redact", "reason"),
    [
        (lambda self, v: (v, {}), "left"),
        (lambda self, v: (str(v), {}), "another type"),
        (lambda self, v: (Black().redact(v)[0], {}), "counted nothing"),
        (lambda self, v: (Black().redact(v)[0] if not isinstance(v, dict) else v, {"x": 1}), "left"),
        (lambda self, v: (v + "!" if isinstance(v, str) else v, {}), "counted nothing"),
    ],
)
def test_redactors(redact, reason):
    check_redactor(Black(), secrets=["hush"])
    with pytest.raises(AssertionError, match=reason):
        check_redactor(broken(Black, redact=redact), secrets=["hush"])


class Lines:
    name = "lines"

    def read(self, location, mapping=None):
        with open(location, encoding="utf-8") as file:
            yield from map(json.loads, file)

    def write(self, rows, location):
        text = [json.dumps(row) + "\n" for row in rows]
        Path(location).write_text("".join(text), encoding="utf-8")
        return len(text)


def careless(self, rows, location):
    written = 0
    with open(location, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
            written += 1
    return written


def read_lines(location):
    return [json.loads(line) for line in Path(location).read_text("utf-8").splitlines()]


def test_sources(tmp_path):
    path = tmp_path / "log.jsonl"
    rows = [{"kind": "interaction", "input": "x"}, {"kind": "feedback", "interaction_id": "i", "value": 1}]
    path.write_text("\n".join(map(json.dumps, rows)))
    check_source(Lines(), str(path), expected=2)
    for read, reason in (
        (lambda self, location, mapping=None: rows, "not an iterator"),
        (lambda self, location, mapping=None: iter([{"kind": "row"}]), "kind 'row'"),
        (lambda self, location, mapping=None: iter([{"kind": "feedback"}]), "without interaction_id"),
        (lambda self, location, mapping=None: iter(rows), "says nothing"),
        (lambda self, location, mapping=None: iter(rows[:1]), "says nothing|not 2"),
    ):
        with pytest.raises(AssertionError, match=reason):
            check_source(broken(Lines, read=read), str(path), expected=2)


def test_sinks():
    check_sink(Lines(), read_back=read_lines)
    for methods, reason in (
        ({"write": careless}, "half of a file"),
        ({"write": lambda self, rows, location: 2}, "behind"),
        ({"write": lambda self, rows, location: Lines().write(list(rows)[:1], location)}, "not 2"),
        ({"write": lambda self, rows, location: Lines().write([{}, {}], location)}, "came back"),
    ):
        with pytest.raises(AssertionError, match=reason):
            check_sink(broken(Lines, **methods), read_back=read_lines)


# --- what ships ---


@pytest.mark.parametrize("name", ["text", "tabular", "vector"])
def test_the_trainers_that_ship(name):
    generator = np.random.default_rng(0)
    inputs = {
        "text": None,
        "vector": generator.normal(size=(40, 5)).tolist(),
        "tabular": [{"age": float(x), "city": "ab"[k % 2]} for k, x in enumerate(generator.normal(size=60))],
    }[name]
    labels = (
        None if inputs is None else ["up" if (x[0] if name == "vector" else x["age"]) > 0 else "down" for x in inputs]
    )
    check_trainer(plugins.create("trainers", name), inputs, labels)


@pytest.mark.parametrize("name", ["text", "features"])
def test_the_embedders_that_ship(name):
    inputs = None if name == "text" else np.random.default_rng(0).normal(size=(30, 6)).tolist()
    check_embedder(plugins.create("embedders", name), inputs)


def test_the_registries_that_ship(tmp_path):
    check_registry(
        plugins.create("registries", "folder", folder=tmp_path),
        reopen=lambda: plugins.create("registries", "folder", folder=tmp_path),
    )


def test_the_redactors_that_ship():
    check_redactor(plugins.create("redactors", "patterns"), secrets=["ana@example.org", "4111111111111111"])
    check_redactor(plugins.create("redactors", "none"))


@pytest.mark.parametrize("name", ["jsonl", "csv", "parquet"])
def test_the_sinks_that_ship(name):
    check_sink(plugins.create("sinks", name), f"rows.{name}")


def test_the_sources_that_ship(tmp_path):
    (tmp_path / "log.csv").write_text("input,output\nhello,greeting\nbye,farewell\n")
    mapping = {"input": "input", "output": "output"}
    check_source(plugins.create("sources", "csv"), str(tmp_path / "log.csv"), expected=2, mapping=mapping)
    with (tmp_path / "log.csv").open(newline="") as file:
        lines = [json.dumps({"kind": "interaction", **row}) for row in csv.DictReader(file)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n")
    check_source(plugins.create("sources", "jsonl"), str(tmp_path / "log.jsonl"), expected=2)


def test_a_task_that_ships():
    check_task(plugins.create("tasks", "classification"))
