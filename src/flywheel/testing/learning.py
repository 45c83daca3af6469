"""Checks for what learns or rates: trainers with their models, embedders, and sentiment."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from flywheel.ports import Embedder, Model, Predictions, Sentiment, Trainer
from flywheel.records import Dataset, Example
from flywheel.testing.contract import check_json, check_port

__all__ = ["check_embedder", "check_sentiment", "check_trainer"]

_PICKLES = (".pkl", ".pickle", ".joblib", ".dill")


def check_trainer(
    trainer: Trainer,
    inputs: Sequence[Any] | None = None,
    labels: Sequence[Any] | None = None,
    *,
    base: bool = True,
) -> None:
    """Check that a trainer learns, repeats itself, and brings its models back from disk without pickle.

    `inputs` and `labels` are at least ten examples of the kind it is for; by default short texts of two classes.
    With `base=False` it is not asked to go on from an earlier model. Where it offers `crossfit`, that is held against
    training again, and must not let a label that was left out show through.
    """
    called = check_port(trainer, Trainer, ("fit", "save", "load"))
    inputs = _texts() if inputs is None else list(inputs)
    labels = ["lost" if i % 2 else "found" for i in range(len(inputs))] if labels is None else list(labels)
    assert len(inputs) == len(labels) >= 10, f"check_trainer needs ten examples or more, not {len(inputs)}"
    dataset = _dataset(inputs, labels)
    model = trainer.fit(dataset, None, 7)
    assert callable(getattr(model, "predict", None)), f"{called}.fit returned {model!r}, which has no predict"
    answers = _answers(model, inputs, f"the model of {called}")
    _learnt(answers, labels, called)
    assert _same(answers, _answers(model, inputs, called)), f"the model of {called} answers the same inputs differently"
    alone = [model.predict([value]).outputs[0] for value in inputs[:3]]
    assert alone == answers.outputs[:3], (
        f"the model of {called} answers {alone} alone but {answers.outputs[:3]} in a batch"
    )
    empty = model.predict([])
    assert len(empty.outputs) == 0, f"the model of {called} answers no inputs with {len(empty.outputs)} outputs"
    again = _answers(trainer.fit(dataset, None, 7), inputs, called)
    assert _same(answers, again), f"{called}.fit with the same dataset and seed gave a model with other answers"
    _kept(trainer, model, answers, inputs, called)
    if callable(getattr(trainer, "crossfit", None)):
        _crossfits(trainer, dataset, called)
    if base:
        _answers(trainer.fit(dataset, model, 7), inputs, f"the model {called} made from a base")
    one = _dataset(inputs, [labels[0]] * len(labels))
    outputs = _answers(trainer.fit(one, None, 7), inputs[:2], f"the single-class model of {called}").outputs
    if not isinstance(labels[0], float):
        assert outputs == [labels[0]] * 2, f"{called}, taught nothing but {labels[0]!r}, answers {outputs}"


def _crossfits(trainer: Any, dataset: Dataset, called: str) -> None:
    """`crossfit` against plain fits, and against itself with the left-out labels changed."""
    examples = dataset.examples
    turns: list[tuple[frozenset[str], Sequence[Example]]] = [
        (frozenset(e.id for e in examples if e.fold == fold), examples[fold::5]) for fold in range(5)
    ]
    turns += [
        (frozenset({examples[0].id}), examples[:3]),
        (frozenset(), [replace(e, id=f"new {e.id}") for e in examples]),
    ]
    said = trainer.crossfit(dataset, turns, seed=7)
    if said is None:
        return
    assert len(said) == len(turns), f"{called}.crossfit gave {len(said)} answers to {len(turns)} turns"
    ours, theirs = [], []
    for (gone, asked), answers in zip(turns, said, strict=True):
        rest = replace(dataset, hash="rest", examples=tuple(e for e in examples if e.id not in gone))
        assert len(answers.outputs) == len(asked), (
            f"{called}.crossfit gave {len(answers.outputs)} outputs to a turn that asks about {len(asked)} examples"
        )
        ours.append(answers)
        theirs.append(_answers(trainer.fit(rest, None, 7), [e.input for e in asked], called))
    _agree(ours, theirs, [e.label for e in examples], called)
    gone, asked = turns[0]
    others = {e.label if isinstance(e.label, str | float | int) else repr(e.label): e.label for e in examples}
    moved = list(others.values())[::-1]
    lied = tuple(replace(e, label=moved[i % len(moved)]) if e.id in gone else e for i, e in enumerate(examples))
    (again,) = trainer.crossfit(replace(dataset, hash="lied", examples=lied), [(gone, asked)], seed=7)
    assert _same(said[0], again), (
        f"{called}.crossfit answers otherwise when only labels that were left out change: it has seen them"
    )


def _agree(ours: Sequence[Predictions], theirs: Sequence[Predictions], labels: Sequence[Any], called: str) -> None:
    """Hardly an output differs; the confidence is the same but for a little."""
    pairs = [
        (a, b) for one, two in zip(ours, theirs, strict=True) for a, b in zip(one.outputs, two.outputs, strict=True)
    ]
    if all(isinstance(label, float) for label in labels):
        error = float(np.mean([(a - b) ** 2 for a, b in pairs]))
        limit = 0.01 * float(np.var(labels))
        assert error <= limit, (
            f"{called}.crossfit is a squared error of {error} away from fits without the examples; at most {limit}"
        )
        return
    differ = sum(a != b for a, b in pairs)
    assert differ <= 0.1 * len(pairs), (
        f"{called}.crossfit gives other outputs than fits without the examples in {differ} of {len(pairs)} cases"
    )
    sure = [(one.confidence, two.confidence) for one, two in zip(ours, theirs, strict=True)]
    if all(a is not None and b is not None for a, b in sure):
        away = float(np.mean(np.abs(np.concatenate([np.asarray(a) - np.asarray(b) for a, b in sure]))))
        assert away <= 0.1, (
            f"{called}.crossfit is {away:.2f} away in confidence from fits without the examples; at most 0.1 on average"
        )


def _texts() -> list[Any]:
    return [
        f"{'my card was stolen' if i % 2 else 'there it is again, all good'} {word}"
        for i, word in enumerate(
            ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
        )
    ]


def _dataset(inputs: Sequence[Any], labels: Sequence[Any]) -> Dataset:
    examples = tuple(
        Example(id=f"e{i:04d}", input=value, label=label, group=f"g{i}", fold=i % 5)
        for i, (value, label) in enumerate(zip(inputs, labels, strict=True))
    )
    return Dataset(hash=hashlib.sha256(repr(examples).encode()).hexdigest(), examples=examples)


def _answers(model: Model, inputs: Sequence[Any], called: str) -> Predictions:
    answers = model.predict(inputs)
    assert isinstance(answers, Predictions), (
        f"{called} returned a {type(answers).__name__}, not flywheel.ports.Predictions"
    )
    n = len(inputs)
    assert len(answers.outputs) == n, f"{called} gave {len(answers.outputs)} outputs for {n} inputs"
    for output in answers.outputs:
        check_json(output, f"an output of {called}")
    if answers.confidence is not None:
        confidence = np.asarray(answers.confidence, dtype=float)
        assert confidence.shape == (n,), f"{called} gave confidence of shape {confidence.shape} for {n} inputs"
        inside = np.isfinite(confidence).all() and (confidence >= 0).all() and (confidence <= 1).all()
        assert inside, f"{called} gave confidence outside 0 to 1: {confidence}"
    if answers.scores is not None:
        wanted = (n, len(answers.labels))
        assert np.shape(answers.scores) == wanted, (
            f"{called} gave scores of shape {np.shape(answers.scores)}, not {wanted}"
        )
    return answers


def _learnt(answers: Predictions, labels: Sequence[Any], called: str) -> None:
    if all(isinstance(label, float) for label in labels):
        error = float(np.mean((np.asarray(answers.outputs, dtype=float) - np.asarray(labels)) ** 2))
        spread = float(np.var(labels))
        assert error < spread, (
            f"{called} is no nearer to its own training labels than their mean is ({error} to {spread})"
        )
        return
    right = sum(output == label for output, label in zip(answers.outputs, labels, strict=True))
    most = max(sum(label == other for other in labels) for label in labels)
    assert right > most or right == len(labels), (
        f"{called} gets {right} of its own {len(labels)} training examples right; always the same answer gets {most}"
    )


def _same(first: Predictions, second: Predictions) -> bool:
    if first.outputs != second.outputs or (first.confidence is None) != (second.confidence is None):
        return False
    if first.confidence is None or second.confidence is None:
        return True
    return bool(np.allclose(first.confidence, second.confidence, rtol=0, atol=1e-9))


def _kept(trainer: Trainer, model: Model, answers: Predictions, inputs: Sequence[Any], called: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        folder.mkdir()
        trainer.save(model, folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        assert files, f"{called}.save wrote no file"
        for path in files:
            pickled = path.suffix in _PICKLES or path.read_bytes()[:2] in (b"\x80\x04", b"\x80\x05", b"\x80\x03")
            assert not pickled, f"{called}.save wrote a pickle, {path.name}; use skops, ONNX, safetensors or JSON"
        loaded = _answers(trainer.load(folder), inputs, f"the loaded model of {called}")
        assert _same(answers, loaded), f"{called}.load gave a model with other answers than the one saved"


def check_embedder(embedder: Embedder, inputs: Sequence[Any] | None = None) -> None:
    """Check that an embedder gives one finite vector an input, the same every time, and places equal inputs together.

    `inputs` are at least six different inputs of the kind it is for; by default short texts.
    """
    called = check_port(embedder, Embedder, ("embed",))
    inputs = _texts() if inputs is None else list(inputs)
    assert len(inputs) >= 6, f"check_embedder needs six inputs or more, not {len(inputs)}"
    vectors = np.asarray(embedder.embed(inputs))
    assert vectors.ndim == 2, (
        f"{called}.embed returned an array of shape {vectors.shape}; it must be inputs × dimensions"
    )
    assert len(vectors) == len(inputs), f"{called}.embed gave {len(vectors)} vectors for {len(inputs)} inputs"
    assert np.issubdtype(vectors.dtype, np.floating), f"{called}.embed returned {vectors.dtype}, not floats"
    assert np.isfinite(vectors).all(), f"{called}.embed returned NaN or infinity"
    again = np.asarray(embedder.embed(inputs))
    assert np.allclose(vectors, again), f"{called}.embed gave other vectors the second time"
    twice = np.asarray(embedder.embed([inputs[0], *inputs]))
    assert np.allclose(twice[0], twice[1]), f"{called}.embed placed one input, given twice in a batch, in two places"
    assert len(np.unique(np.round(vectors, 9), axis=0)) > 1, f"{called}.embed placed all inputs in one point"


def check_sentiment(
    rater: Sentiment,
    good: Sequence[str] = ("great, thank you, I love it", "this is wonderful, very helpful"),
    bad: Sequence[str] = ("terrible, I hate it", "this is awful and useless"),
) -> None:
    """Check that sentiment is one number from -1 to 1 a text, the same every time, and that good texts beat bad ones.

    `good` and `bad` are texts in the language it is for; by default English.
    """
    called = check_port(rater, Sentiment, ("score",))
    texts = [*good, *bad, "", "7", "\n", "ü🙂" * 3]
    scores = np.asarray(rater.score(texts))
    assert scores.shape == (len(texts),), f"{called}.score gave shape {scores.shape} for {len(texts)} texts"
    assert np.issubdtype(scores.dtype, np.floating), f"{called}.score returned {scores.dtype}, not floats"
    assert np.isfinite(scores).all(), f"{called}.score returned NaN or infinity"
    assert (np.abs(scores) <= 1).all(), f"{called}.score returned {np.abs(scores).max()}, beyond -1 to 1"
    assert np.array_equal(scores, np.asarray(rater.score(texts))), f"{called}.score changed its mind"
    alone = np.asarray(rater.score(texts[:1]))
    assert np.allclose(alone, scores[:1]), f"{called}.score of a text depends on the texts beside it"
    worst, best = scores[: len(good)].min(), scores[len(good) : len(good) + len(bad)].max()
    assert worst > best, f"{called} scores a good text {worst:.2f} and a bad one {best:.2f}"
