"""CSV: no cell is run by a spreadsheet, numbers stay numbers, and reading gives back what was written."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flywheel.capture.cells import guarded, read_cell, unguarded, write_cell
from flywheel.capture.sinks import Csv
from flywheel.curate import exchange

SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"
UNSEEN = st.sampled_from([" ", "\t", "\r", "\n", "\u00a0", "\u3000", "\u200b", "\ufeff", "\x00", "\x1f", "'", ""])
FORMULAS = st.builds(
    lambda before, sign, after: "".join(before) + sign + after,
    st.lists(UNSEEN, max_size=4), st.sampled_from([*list(SIGNS), "\t", "\r", "\n"]), st.text(),
)  # fmt: skip
TEXTS = st.one_of(st.text(), FORMULAS)


def starts(cell: str) -> str:
    """The first sign that a spreadsheet would look at: white space and what nobody sees left out."""
    for sign in cell:
        if not sign.isspace() and unicodedata.category(sign) not in ("Cc", "Cf", "Zs", "Zl", "Zp"):
            return unicodedata.normalize("NFKC", sign)
    return ""


@settings(deadline=None)
@given(cell=TEXTS)
@example(cell="=HYPERLINK(1)")
@example(cell=" \t=cmd|'/C calc'!A0")
@example(cell="\uff1d1+1")
@example(cell="''-1")
@example(cell="\x7f=")
@example(cell="\ufe62cmd")
def test_no_cell_begins_as_a_formula_and_each_comes_back(cell: str) -> None:
    safe = guarded(cell)
    is_number = safe == cell and isinstance(read_cell(cell), int | float)
    assert is_number or starts(safe) not in {"=", "+", "-", "@"}
    assert is_number or safe[:1] not in ("\t", "\r", "\n")
    assert unguarded(safe) == cell


@given(number=st.one_of(st.integers(-(10**15), 10**15), st.floats(-1e9, 1e9)))
def test_numbers_stay_numbers(number: float) -> None:
    cell = write_cell(number)
    assert guarded(cell) == cell
    assert read_cell(unguarded(guarded(cell))) == number


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**50), 2**50), st.floats(-1e9, 1e9), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.dictionaries(st.text(min_size=1), JSON, min_size=1, max_size=4), min_size=1, max_size=4))
def test_rows_come_back_from_a_file_as_they_were(tmp_path_factory: pytest.TempPathFactory, rows: Any) -> None:
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    clean = [{_storable(name): _deep(value) for name, value in row.items()} for row in rows]
    Csv().write(clean, str(path))
    with path.open(encoding="utf-8", newline="") as file:
        head, *lines = list(csv.reader(file))
    names = [unguarded(name) for name in head]
    read = [{name: read_cell(unguarded(cell)) for name, cell in zip(names, line, strict=True)} for line in lines]
    assert read == [{name: row.get(name) for name in names} for row in clean]


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _deep(value: Any) -> Any:
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, list):
        return [_deep(one) for one in value]
    return {_storable(name): _deep(one) for name, one in value.items()} if isinstance(value, dict) else value


@settings(max_examples=60, deadline=None)
@given(text=TEXTS.map(_storable))
def test_labels_that_look_like_formulas_come_back_from_a_labeling_file(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    from flywheel.records import ReviewItem

    item = ReviewItem(id="q1", interaction_id="i1", input=text, output=text, suggestions=(text,))
    path: Path = tmp_path_factory.mktemp("labels") / "q.csv"
    exchange.write_items([item], path, "csv")
    with io.StringIO(path.read_bytes().decode(), newline="") as file:
        [row] = list(csv.DictReader(file))
    assert exchange.typed(row["output"], item) == text
