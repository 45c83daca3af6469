"""Texts that moved are told by word, length, alphabet, language and manner; texts that did not are left alone."""

import gzip
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import ibis
import numpy as np
import pyarrow as pa
import pytest

from flywheel.observe.drift import text_drift
from flywheel.observe.drift.words import _language, _script

MONDAY = datetime(2026, 1, 5, tzinfo=UTC).timestamp()
ASKS = ["where is my", "cancel the", "why was the", "how do i change my", "please block the", "i lost my"]
THINGS = ["card", "transfer", "refund", "pin", "limit", "account", "loan", "fee"]
ENDS = ["today", "again", "please", "since monday", "abroad", "online", ""]


def window(texts, *, first=0, days=8, seed=0):
    n = len(texts)
    at = MONDAY + first * 86400 + (np.arange(n) + 0.5) * days * 86400 / max(n, 1)
    table = pa.table(
        {
            "seq": np.arange(n),
            "id": [str(k) for k in range(n)],
            "at": pa.array((at * 1e6).astype(np.int64), pa.timestamp("us", "UTC")),
            "rand": np.random.default_rng(seed).random(n),
            "input_text": pa.array(texts, pa.string()),
        }
    )
    told = ibis.memtable(pa.table({"seq": pa.array([], pa.int64())}))
    return SimpleNamespace(interactions=ibis.memtable(table), feedback=told)


def asked(seed, n=1500):
    rng = np.random.default_rng(seed)
    return [
        f"{ASKS[a]} {THINGS[t]} {ENDS[e]}".strip()
        for a, t, e in zip(rng.integers(6, size=n), rng.integers(8, size=n), rng.integers(7, size=n), strict=True)
    ]


def by_name(found):
    return {one.name: one for one in found}


def test_the_same_manner_of_asking_says_nothing():
    for seed in range(2):
        assert text_drift(window(asked(seed + 20), first=8), window(asked(seed))) == []


def test_a_new_topic_is_named_by_its_words():
    rng = np.random.default_rng(1)
    moved = [f"{text} after the outage" if rng.random() < 0.2 else text for text in asked(1)]
    found = by_name(text_drift(window(moved, first=8), window(asked(0))))
    words = found["text.words"]
    assert {"outage", "the outage"} <= set(words.chart["x"])
    assert not set(words.chart["x"]) & set(THINGS)
    assert words.effect == pytest.approx(0.2, abs=0.03)
    assert "text.script" not in found
    assert not any(one.alarm for one in found.values())


@pytest.mark.slow
def test_longer_texts_and_another_alphabet():
    twice = [f"{a} {b}" for a, b in zip(asked(1), asked(2), strict=True)]
    assert "text.length" in by_name(text_drift(window(twice, first=8), window(asked(0))))
    mixed = [("где моя карта" if k % 4 == 0 else text) for k, text in enumerate(asked(3))]
    found = by_name(text_drift(window(mixed, first=8), window(asked(0))))
    assert found["text.script"].effect == pytest.approx(0.25, abs=0.03)
    assert any("cyrillic 0.0% → 25.0%" in line for line in found["text.script"].evidence)
    assert found["text.unknown"].effect > 0.1


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("wie ist das wetter für die woche", "de"),
        ("what is the weather for this week", "en"),
        ("isch es nöd z chalt am morge", "gsw"),
        ("pizza", "unsure"),
    ],
    ids=["German", "English", "Swiss German", "no small word"],
)
def test_small_words_suggest_a_language(text, language):
    assert _language(text.split()) == language


def test_the_alphabet_of_most_letters():
    assert [_script(t) for t in ("abc д", "где a", "123", "你好")] == ["latin", "cyrillic", "none", "cjk"]


def test_few_texts_or_none_say_nothing():
    assert text_drift(window(asked(0, 20)), window(asked(1))) == []
    bare = SimpleNamespace(interactions=window(asked(0)).interactions.drop("input_text"), feedback=None)
    assert text_drift(bare, bare) == []


def spoken(variety, part):
    folder = os.environ.get("FLYWHEEL_DATA")
    if not folder:
        pytest.skip("set FLYWHEEL_DATA to the folder that holds xsid")
    (path,) = [p for p in Path(folder, "xsid").rglob("*") if p.name.split(".conll")[0] == f"{variety}.{part}"]
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    return re.findall(r"^# text ?[:=] ?(.+)$", text, re.MULTILINE)


@pytest.mark.slow
def test_swiss_users_beside_german_ones_are_seen_by_their_words():
    german = spoken("de", "test") + spoken("de", "valid")
    swiss = spoken("gsw", "test") + spoken("gsw", "valid")

    def traffic(seed, share, n=2400):
        rng = np.random.default_rng(seed)
        return [(swiss if rng.random() < share else german)[k] for k in rng.integers(len(german), size=n)]

    before = window(traffic(0, 0.0))
    found = by_name(text_drift(window(traffic(1, 0.4), first=8), before))
    assert found["text.unknown"].effect > 0.1
    assert any(line.startswith("gsw") for line in found["text.language"].evidence)
    assert set(found["text.words"].chart["x"]) & {"em", "du", "e", "hüt", "uf", "mini"}
    assert found["text.manner"].value > 0.6
    assert text_drift(window(traffic(2, 0.0), first=8), before) == []
