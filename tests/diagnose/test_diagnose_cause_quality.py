"""Signs of broken inputs: each breakage shows in the sign that is meant for it, and sound inputs show in none."""

import numpy as np
import pytest

from flywheel.diagnose.cause.quality import qualities

WORDS = [
    "please",
    "tell",
    "me",
    "where",
    "my",
    "new",
    "credit",
    "card",
    "went",
    "after",
    "the",
    "bank",
    "sent",
    "it",
    "last",
    "week",
    "because",
    "nobody",
    "at",
    "home",
    "has",
    "received",
    "anything",
    "from",
    "the",
    "postman",
]


def texts(rng, n):
    return [" ".join(rng.choice(WORDS, 8)) for _ in range(n)]


def mistyped(text, rng):
    letters = list(text)
    for i in rng.choice(len(letters), max(2, len(letters) // 8), replace=False):
        letters[i] = chr(97 + int(rng.integers(26)))
    return "".join(letters)


def pictures(rng, n, side=8):
    out = []
    for _ in range(n):
        x = np.zeros((side, side))
        a, b = rng.integers(1, side - 3, 2)
        x[a : a + 3, b : b + 3] = 10
        x[side // 2, :] += rng.integers(3, 6)
        out.append((x + rng.normal(0, 0.2, x.shape)).round(2))
    return out


def records(rng, n):
    return [
        {"age": float(rng.integers(20, 60)), "job": str(rng.choice(["cook", "smith", "clerk"])), "pay": 1.0 + k % 7}
        for k in range(n)
    ]


def shift_of(found, name):
    return abs(float(found.rank[:, found.names.index(name)].mean()))


@pytest.mark.parametrize(
    ("breakage", "sign"),
    [
        (lambda t, rng: mistyped(t, rng), "words never seen before"),
        (lambda t, rng: mistyped(t, rng), "misspelt words"),
        (lambda t, rng: t.replace("e", "Ã©§¤"), "odd characters"),
        (lambda t, rng: t[:9], "length"),
        (lambda t, rng: t.replace(" ", ""), "letters a word"),
        (lambda t, rng: t + "!!!!!!!!!!", "runs of one character"),
    ],
    ids=["typing", "typing, misspelt", "encoding", "cut", "run together", "runs"],
)
def test_broken_texts_show(breakage, sign):
    rng = np.random.default_rng(0)
    known, here = texts(rng, 200), texts(rng, 30)
    assert shift_of(qualities("text", known, [breakage(t, rng) for t in here]), sign) >= 0.5
    assert shift_of(qualities("text", known, here), sign) <= 0.4


@pytest.mark.parametrize(
    ("breakage", "sign"),
    [
        (lambda x, rng: x * 0.1, "contrast"),
        (lambda x, rng: x + rng.normal(0, 4, x.shape), "what the examples' main directions do not explain"),
        (lambda x, rng: np.where(np.arange(64).reshape(8, 8) < 24, np.nan, x), "missing numbers"),
        (lambda x, rng: (x + np.roll(x, 1, 0) + np.roll(x, 1, 1) + np.roll(x, -1, 0) + np.roll(x, -1, 1)) / 5,
         "sharpness"),
    ],
    ids=["dark", "grain", "gaps", "blur"],
)  # fmt: skip
def test_broken_pictures_show(breakage, sign):
    rng = np.random.default_rng(1)
    known, here = pictures(rng, 200), pictures(rng, 30)
    spoiled = [breakage(x, rng).ravel().tolist() for x in here]
    found = qualities("vector", [x.ravel().tolist() for x in known], spoiled)
    assert shift_of(found, sign) >= 0.5
    assert shift_of(qualities("vector", [x.ravel().tolist() for x in known], [x.ravel().tolist() for x in here]),
                    sign) <= 0.4  # fmt: skip


@pytest.mark.parametrize(
    ("breakage", "sign"),
    [
        (lambda r: r | {"age": None, "pay": None}, "missing fields"),
        (lambda r: r | {"age": r["age"] * 100}, "numbers out of range"),
        (lambda r: r | {"job": "unknown-7"}, "values never seen before"),
        (lambda r: r | {"age": "forty"}, "values of another type"),
        (lambda r: r | {"extra": 1}, "fields never seen before"),
    ],
    ids=["lost", "unit", "value", "type", "field"],
)
def test_broken_records_show(breakage, sign):
    rng = np.random.default_rng(2)
    known, here = records(rng, 200), records(rng, 30)
    assert shift_of(qualities("record", known, [breakage(r) for r in here]), sign) >= 0.5
    assert shift_of(qualities("record", known, here), sign) <= 0.3


def test_sound_inputs_are_hardly_ever_odd():
    """False alarms: fresh inputs of the same kind are odd about as often as the examples are."""
    rng = np.random.default_rng(3)
    for kind, make in (("text", texts), ("record", records)):
        found = qualities(kind, make(rng, 300), make(rng, 300))
        assert found.odd.any(axis=1).mean() <= found.usual + 0.06
