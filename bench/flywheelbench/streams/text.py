"""The texts behind the streams: CLINC150, BANKING77 and xSID, read once a process, and which of their labels are alike.

Files come from the folder that `FLYWHEEL_DATA` names, else they are downloaded; both ways a SHA-256 is checked, so that
two people who run a seed run the same seed.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Texts", "alike", "among", "banking77", "clinc150", "plain", "xsid"]

Said = tuple[str, str]
"""A sentence and its intent."""

_CLINC = "https://raw.githubusercontent.com/clinc/oos-eval/master/data/{name}"
_BANKING = "https://raw.githubusercontent.com/PolyAI-LDN/task-specific-datasets/master/banking_data/{name}"
_XSID = "https://raw.githubusercontent.com/mainlp/xsid/761d926c3f2e9f6bea13192d2f39cec1d04d9777/data/xSID-0.7/{name}"
_SHA256 = {
    "clinc150/data_oos_plus.json": "bfcca9ae515623541dc1983c94c4ed7cae9d26b42ae47d74b972e51bb6f7a21f",
    "clinc150/domains.json": "b947b579d3b8e74b06f93b01083d8efaff2888b43a3e362533bd88a6e1211b3a",
    "banking77/train.csv": "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b",
    "banking77/test.csv": "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d",
    "xsid/de.valid.conll": "36fa82c92a5da4b53330d38f5f0c4b80b9cdafe8b0a320d4baab6e2de8f63ef8",
    "xsid/de.test.conll": "3940bd10101babf1c29ae238d2c788a91e4b25b9dbd5b7a162de52cab552354b",
    "xsid/gsw.valid.conll": "8d9c3a482e02bd0e0fbf8c56f774624b277dda322b8e4ca9b2d1306fb68708e5",
    "xsid/gsw.test.conll": "e4c0b6a30cd79e5249d73b56cdb2ffb6bd7cd0385be69dd5c60fb7a34c664e7b",
    "xsid/de-st.valid.conll": "38114cb90ff8efc7ac2c65166058f0847d4a33692f38192f7ff8feea1a1a7ad0",
    "xsid/de-st.test.conll": "6815aa88dd2457fd4cb3eaf6042b5d814c748fccf7f4a4500e08b169f95c1482",
}

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
    raw = json.loads(_read("clinc150", "data_oos_plus.json", _CLINC))
    domains = json.loads(_read("clinc150", "domains.json", _CLINC))
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
        lines = csv.DictReader(io.StringIO(_read("banking77", f"{part}.csv", _BANKING).decode("utf-8"), newline=""))
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
        f"{variety}.{part}": _sentences(_read("xsid", f"{variety}.{part}.conll", _XSID).decode("utf-8"))
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


def _read(folder: str, name: str, source: str) -> bytes:
    """The bytes of a file, whichever way it came, after its SHA-256 was compared."""
    digest = _SHA256[f"{folder}/{name}"]
    local = os.environ.get("FLYWHEEL_DATA")
    for path in (Path(local) / folder / name, Path(local) / folder / f"{name}.gz") if local else ():
        if path.exists():
            found = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            if (seen := hashlib.sha256(found).hexdigest()) != digest:
                raise SystemExit(
                    f"{path} has the SHA-256 {seen}, and this benchmark was made for {digest}: figures would not be "
                    f"comparable. Fetch {source.format(name=name)} again"
                )
            return found
    import pooch

    try:
        return Path(pooch.retrieve(source.format(name=name), f"sha256:{digest}")).read_bytes()
    except OSError as problem:
        raise SystemExit(
            f"{source.format(name=name)} could not be downloaded: {problem}. Fetch it by hand, and set FLYWHEEL_DATA "
            f"to the folder that holds it as {folder}/{name}"
        ) from problem
