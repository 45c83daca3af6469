"""Sketches add up like the tables they were made of, survive JSON, and count what is there on every engine."""

from datetime import UTC, datetime, timedelta

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import InvalidConfig
from flywheel.observe.drift import Column, Sketch, columns_of, counting, sketch
from flywheel.observe.drift.sketch import Blocks

START = datetime(2026, 1, 5, tzinfo=UTC)
NUMBER = Column("input.x", "number", edges=(-1.0, 0.0, 2.5))
WORD = Column("context.w", "category", labels=("a", "", "b"))
HOURS = Blocks("time", 3600)

edgy = st.sampled_from([-1.0, 0.0, 2.5, float("inf"), float("-inf"), 1e300])
numbers = st.one_of(st.none(), st.floats(-5, 5, allow_nan=False), edgy)
texts = st.one_of(st.none(), st.sampled_from(["a", "b", "", "c", "d'; drop"]))
rows = st.lists(st.tuples(st.integers(0, 300), numbers, texts), max_size=30)


def table_of(found):
    return ibis.memtable(
        pa.table(
            {
                "seq": pa.array(range(len(found)), pa.int64()),
                "at": pa.array([START + timedelta(minutes=m) for m, _, _ in found], pa.timestamp("us", "UTC")),
                "input.x": pa.array([x for _, x, _ in found], pa.float64()),
                "context.w": pa.array([w for _, _, w in found], pa.string()),
            }
        )
    )


def made(found):
    return sketch(table_of(found), edges=[NUMBER, WORD], blocks=HOURS)


def by_hand(found):
    counts = {}
    for minute, x, w in found:
        block = int((START + timedelta(minutes=minute)).timestamp()) // 3600
        cell = 4 if x is None else int(np.searchsorted(NUMBER.edges, x))
        place = 4 if w is None else {"a": 0, "": 1, "b": 2}.get(w, 3)
        of = counts.setdefault(block, (np.zeros(5, int), np.zeros(5, int)))
        of[0][cell] += 1
        of[1][place] += 1
    return counts


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(rows, rows, rows)
def test_sketches_add_up_like_tables_in_any_order(one, two, three):
    a, b, c = made(one), made(two), made(three)
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert (a + b) + c == made(one + two + three)
    assert Sketch.from_dict((a + b).to_dict()) == a + b


@settings(max_examples=25, deadline=None)
@given(rows)
def test_counts_are_those_of_counting_by_hand(found):
    done, expected = made(found), by_hand(found)
    assert done.blocks.tolist() == sorted(expected)
    assert done.rows == len(found)
    for place, block in enumerate(done.blocks.tolist()):
        assert done.counts["input.x"][place].tolist() == expected[block][0].tolist()
        assert done.counts["context.w"][place].tolist() == expected[block][1].tolist()


def test_engines_without_histograms_count_the_same(monkeypatch):
    rng = np.random.default_rng(3)
    values = [None if u < 0.1 else float(v) for u, v in zip(rng.random(400), rng.normal(0, 2, 400), strict=True)]
    words = [None if u < 0.1 else "abcd"[int(u * 4)] for u in rng.random(400)]
    found = list(zip(range(400), values, words, strict=True))
    plain = made(found)
    monkeypatch.setattr(counting, "_plain", lambda table: False)
    assert made(found) == plain


def test_blocks_by_rows_of_the_log():
    found = [(0, 1.0, "a")] * 10
    done = sketch(table_of(found), edges=[NUMBER], blocks=Blocks("rows", 4))
    assert done.blocks.tolist() == [0, 1, 2]
    assert done.counts["input.x"].sum(axis=1).tolist() == [4, 4, 2]


def test_sketches_that_count_differently_are_not_added():
    seven = Column("input.x", "number", edges=(7.0,))
    other = Sketch(HOURS, (seven,), np.array([1]), {"input.x": np.zeros((1, 3), int)})
    with pytest.raises(InvalidConfig, match="like"):
        made([(0, 1.0, "a")]).only(["input.x"]) + other


def test_edges_are_quantiles_few_values_get_a_bin_each_and_ids_are_left_out():
    n = 2000
    rng = np.random.default_rng(0)
    table = ibis.memtable(
        pa.table(
            {
                "seq": pa.array(range(n), pa.int64()),
                "at": pa.array([START] * n, pa.timestamp("us", "UTC")),
                "input.smooth": rng.normal(size=n),
                "input.stars": rng.integers(1, 6, n).astype(float),
                "input.key": [f"k{k}" for k in range(n)],
                "context.flag": pa.array(rng.random(n) < 0.5),
                "output": [f'"{k % 3}"' for k in range(n)],
            }
        )
    )
    found = {column.name: column for column in columns_of(table)}
    assert set(found) == {"input.smooth", "input.stars", "context.flag", "output"}
    assert found["input.stars"].edges == (1.0, 2.0, 3.0, 4.0, 5.0)
    assert set(found["context.flag"].labels) == {"true", "false"}
    counts = sketch(table, edges=[found["input.smooth"]]).counts["input.smooth"].sum(axis=0)
    assert len(counts) == 64
    assert counts[:-1].min() >= n / 63 * 0.8
    assert counts[:-1].max() <= n / 63 * 1.2
    with pytest.raises(InvalidConfig, match=r"input\.nothing"):
        columns_of(table, ["input.nothing"])


def test_an_empty_table_has_an_empty_sketch():
    assert made([]).rows == 0
    assert (made([]) + made([(0, 1.0, "a")])) == made([(0, 1.0, "a")])
