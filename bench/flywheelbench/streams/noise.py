"""What a thumb does to a sentence: neighbouring keys, swapped, dropped and doubled letters, and messages cut off."""

from __future__ import annotations

import numpy as np

__all__ = ["CUT", "FEWEST_WORDS", "damage"]

CUT = 0.15
"""The share of damaged requests that are also cut off at about half their length."""

FEWEST_WORDS = 3
"""A request that was cut to fewer words than this is beyond use: nobody could say what was asked."""

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _neighbours() -> dict[str, str]:
    """Keys that touch on a QWERTY keyboard: beside it, and above and below it in rows that are set in by half a key."""
    places = {key: (row, column + 0.5 * row) for row, keys in enumerate(_ROWS) for column, key in enumerate(keys)}
    return {
        key: "".join(
            other
            for other, (row, column) in places.items()
            if other != key and abs(row - at[0]) <= 1 and abs(column - at[1]) <= 1
        )
        for key, at in places.items()
    }


_NEAR = _neighbours()


def damage(text: str, rng: np.random.Generator) -> tuple[str, bool]:
    """Put one to three slips into a text, and cut 15 % of texts off at 40 to 60 % of their characters.

    Each slip falls on a letter drawn evenly, and is with equal probability a neighbouring key, a swap with the letter
    that follows, a letter dropped, or a letter doubled. Returns the text, and whether it was cut to fewer than
    three words: then it is beyond use. A text without letters only can be cut.

    >>> damage("what is my balance", np.random.default_rng(2))
    ('whay is mky balance', False)
    """
    letters = list(text)
    for _ in range(int(rng.integers(1, 4))):
        _slip(letters, rng)
    slipped = "".join(letters)
    if rng.random() >= CUT:
        return slipped, False
    kept = slipped[: max(1, round(len(slipped) * float(rng.uniform(0.4, 0.6))))].rstrip()
    return kept or slipped, len(kept.split()) < FEWEST_WORDS


def _slip(letters: list[str], rng: np.random.Generator) -> None:
    """One slip, in place."""
    places = [place for place, letter in enumerate(letters) if letter.lower() in _NEAR]
    if len(places) < 2:
        return
    place, way = places[int(rng.integers(len(places)))], int(rng.integers(4))
    letter = letters[place]
    if way == 0:
        near = _NEAR[letter.lower()]
        letters[place] = near[int(rng.integers(len(near)))]
    elif way == 1 and place + 1 < len(letters):
        letters[place], letters[place + 1] = letters[place + 1], letter
    elif way == 3:
        letters.insert(place, letter)
    else:
        del letters[place]
