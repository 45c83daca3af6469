"""The texts behind the streams: CLINC150, BANKING77 and xSID, read once a process, and which of their labels are alike.

Where the files come from says `flywheelbench.streams.reading`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from flywheelbench.streams.reading import data_bytes

__all__ = ["Texts", "alike", "among", "banking77", "clinc150", "plain", "xsid"]

Said = tuple[str, str]
"""A sentence and its intent."""

ALIKE = 0.6
"""Intents whose centroids have at least this cosine are alike enough for people to mix them up."""


@dataclass(frozen=True, slots=True)
class Texts:
    """A data set of intents. `pool` is what may be learnt from, `sealed` the official test; no text is in both."""

    train: Mapping[str, Sequence[str]]
    """Intent → what was said, in the order of the file: the seed is drawn from these."""
    more: Mapping[str, Sequence[str]]
    """Intent → more of it that is no seed, only traffic."""
    beyond: Sequence[str]
    """Out of scope, for traffic."""
    sealed: Sequence[Said]
    sealed_beyond: Sequence[str]
    blocks: Mapping[str, Sequence[str]]
    """Domain → its intents; empty where the data knows none."""
    confusable: Mapping[str, tuple[str, ...]]
    every: frozenset[str]
    """All of these texts, as `plain` has them."""


def plain(text: str) -> str:
    """A text without regard to case and spacing: what makes two texts the same.

    >>> plain("What's  my Balance ")
    "what's my balance"
    """
    return " ".join(text.casefold().split())


@cache
def clinc150() -> Texts:
    """CLINC150 (Larson et al. 2019, EMNLP; CC BY 3.0), the variant with 250 out-of-scope texts for training.

    Seed from its train part, traffic from train and val; a text that is also in the test is left out of both (2 are).
    """
    raw = json.loads(data_bytes("clinc150", "data_oos_plus.json"))
    domains = json.loads(data_bytes("clinc150", "domains.json"))
    blocks = {name: sorted("_".join(intent.split()) for intent in intents) for name, intents in domains.items()}
    sealed = frozenset(plain(text) for part in ("test", "oos_test") for text, _ in raw[part])
    train, more = _by_intent(raw["train"], sealed), _by_intent(raw["val"], sealed)
    beyond = list(dict.fromkeys(text for text, _ in raw["oos_train"] + raw["oos_val"] if plain(text) not in sealed))
    return Texts(
        train=train,
        more=more,
        beyond=beyond,
        sealed=[(text, intent) for text, intent in raw["test"]],
        sealed_beyond=[text for text, _ in raw["oos_test"]],
        blocks=dict(sorted(blocks.items())),
        confusable=alike({intent: [*said, *more.get(intent, ())] for intent, said in train.items()}),
        every=sealed | _all(train, more) | {plain(text) for text in beyond},
    )


@cache
def banking77() -> Texts:
    """BANKING77 (Casanueva et al. 2020, NLP4ConvAI; CC BY 4.0). Seed and traffic from train, without the texts that
    are also in the test but for case and spacing."""
    rows = {}
    for part in ("train", "test"):
        lines = csv.DictReader(io.StringIO(data_bytes("banking77", f"{part}.csv").decode("utf-8"), newline=""))
        rows[part] = [(line["text"].strip(), line["category"]) for line in lines]
    sealed = frozenset(plain(text) for text, _ in rows["test"])
    train = _by_intent(rows["train"], sealed)
    return Texts(train, {}, [], rows["test"], [], {}, alike(train), sealed | _all(train))


@cache
def xsid() -> dict[str, list[Said]]:
    """xSID 0.7 in German, Swiss German and South Tyrolean (van der Goot et al. 2021; Aepli et al. 2023; Winkler et al.
    2024; CC BY-SA 4.0): `de.valid`, `gsw.test` and so on → its rows in order. Row `n` of a part is the same sentence
    in every variety."""
    return {
        f"{variety}.{part}": _sentences(data_bytes("xsid", f"{variety}.{part}.conll").decode("utf-8"))
        for variety in ("de", "gsw", "de-st")
        for part in ("valid", "test")
    }


def alike(said: Mapping[str, Sequence[str]], most: int = 2, least: float = ALIKE) -> dict[str, tuple[str, ...]]:
    """Which labels people mix up: for each the `most` nearest whose centroids have a cosine of at least `least`.

    Centroids are means of tf-idf vectors of words (sublinear, unit length). A label without one so near is left out.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    names = sorted(said)
    vectors = TfidfVectorizer(sublinear_tf=True).fit_transform([text for name in names for text in said[name]])
    ends = np.cumsum([len(said[name]) for name in names])
    means = np.vstack(
        [np.asarray(vectors[end - len(said[name]) : end].mean(axis=0)) for name, end in zip(names, ends, strict=True)]
    )
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    cosine = means @ means.T
    np.fill_diagonal(cosine, -1.0)
    found = {}
    for row, name in enumerate(names):
        nearest = [int(i) for i in np.argsort(-cosine[row], kind="stable")[:most] if cosine[row, i] >= least]
        if nearest:
            found[name] = tuple(names[i] for i in nearest)
    return found


def among(confusable: Mapping[str, Sequence[str]], classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Which of `classes` are mixed up with which of them."""
    there = set(classes)
    kept = {name: tuple(other for other in confusable.get(name, ()) if other in there) for name in classes}
    return {name: others for name, others in kept.items() if others}


def _by_intent(rows: Sequence[Any], without: frozenset[str]) -> dict[str, list[str]]:
    """Intent → its texts, each once."""
    found: dict[str, dict[str, str]] = {}
    for text, intent in rows:
        if plain(text) not in without:
            found.setdefault(intent, {}).setdefault(plain(text), text)
    return {intent: list(found[intent].values()) for intent in sorted(found)}


def _all(*parts: Mapping[str, Sequence[str]]) -> frozenset[str]:
    return frozenset(plain(text) for part in parts for said in part.values() for text in said)


def _sentences(conll: str) -> list[Said]:
    """The sentences of a file in xSID's CoNLL form, in order."""
    rows: list[Said] = []
    text = ""
    for line in conll.splitlines():
        if line.startswith("# text = "):
            text = line.removeprefix("# text = ").strip()
        elif line.startswith(("# intent = ", "# intent: ")):
            rows.append((text, line.split("=" if "=" in line else ":", 1)[1].strip()))
    return rows
