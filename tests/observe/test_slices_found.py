"""Slices are found where they are, told with honest figures, and not told where nothing is."""

from types import SimpleNamespace

import duckdb
import ibis
import numpy as np
import pyarrow as pa
import pytest
from slice_window import START, failing, phones, window

from flywheel.errors import InvalidConfig
from flywheel.observe.judged import judged
from flywheel.observe.slices import encode, slices
from flywheel.observe.slices.cases import cases
from flywheel.observe.slices.choose import choose
from flywheel.observe.slices.rows import as_rows


def broken(columns, rng, rate=0.3):
    """Old devices on 3g fail more."""
    inside = (columns["context.device"] == "old") & (columns["context.network"] == "3g")
    return inside, (rng.random(len(inside)) < np.where(inside, rate, 0.08)).astype(float)


def test_the_slice_is_named_and_its_figures_are_the_other_half():
    rng, columns = phones(8000)
    inside, loss = broken(columns, rng)
    (one,) = slices(window(columns), failing(loss))
    assert set(one.where.conditions) == {("network", "3g"), ("device", "old")}
    assert (
        one.line
        == f"fails {one.value * 100:.0f} % of {one.n:,} against {one.reference * 100:.1f} % elsewhere: {one.name}"
    )
    assert one.reference == pytest.approx(0.08, abs=0.015)
    assert one.interval.low < 0.22 < one.interval.high
    assert 0.4 * inside.sum() < one.n < 0.6 * inside.sum()
    assert not one.alarm
    assert one.chart["y"] == [pytest.approx(one.value, abs=1e-5), pytest.approx(one.reference, abs=1e-5)]


def test_the_same_seed_gives_the_same_findings_and_another_another_half():
    rng, columns = phones(6000)
    _, loss = broken(columns, rng)
    seen, losses = window(columns), failing(loss)
    assert slices(seen, losses) == slices(seen, losses)
    assert slices(seen, losses)[0].n != slices(seen, losses, seed=1)[0].n


def test_the_query_repeats_the_figures_on_the_labels():
    rng, columns = phones(6000)
    inside, loss = broken(columns, rng)
    seen = window(columns, outputs=np.where(loss > 0, '"no"', '"yes"'))
    ids = [f"i{row}" for row in range(6000)]
    told = pa.table(
        {
            "seq": np.arange(6001, 12001),
            "interaction_id": ids,
            "kind": ["label"] * 6000,
            "value": ['"yes"'] * 6000,
            "source": ["system"] * 6000,
            "propensity": pa.array([None] * 6000, pa.float64()),
        }
    )
    seen = SimpleNamespace(interactions=seen.interactions, feedback=ibis.memtable(told))
    found = slices(seen, judged, columns=["context.device", "context.network"])
    with duckdb.connect() as base:
        base.register("interactions", seen.interactions.to_pyarrow())
        base.register("feedback", told)
        outside, within = base.sql(found[0].query).fetchall()
    assert within[1] == inside.sum()
    assert within[2] == pytest.approx(loss[inside].mean())
    assert outside[2] == pytest.approx(loss[~inside].mean())


def test_weights_speak_for_the_traffic_they_were_drawn_from():
    rng, columns = phones(12000)
    _, loss = broken(columns, rng)
    chance = np.where(loss > 0, 0.8, 0.2)
    drawn = rng.random(12000) < chance
    losses = failing(loss, 1 / chance, drawn)
    found = slices(window(columns), losses)
    assert found[0].value == pytest.approx(0.3, abs=0.07)
    assert found[0].reference == pytest.approx(0.08, abs=0.02)


def test_neighbouring_bins_of_a_number_are_one_condition():
    rng, columns = phones(10000)
    amount = columns["input.amount"]
    low, high = np.quantile(amount, [0.4, 0.7])
    loss = (rng.random(10000) < np.where((amount >= low) & (amount < high), 0.3, 0.08)).astype(float)
    (one,) = slices(window(columns), failing(loss))
    ((name, value),) = one.where.conditions
    assert name == "amount"
    edges = [float(edge) for edge in value.split(" to ")]
    assert edges == [pytest.approx(low, rel=0.05), pytest.approx(high, rel=0.05)]


def test_what_only_the_choosing_half_shows_is_not_told():
    rng, columns = phones(8000)
    seen = window(columns)
    inside, loss = broken(columns, rng, 0.5)
    halved = cases(seen, failing(loss)).table.select("id", "second").to_pyarrow().to_pydict()
    second = dict(zip(halved["id"], halved["second"], strict=True))
    half = np.array([second[f"i{row}"] for row in range(8000)])
    assert 0.45 < half.mean() < 0.55
    calm = (rng.random(8000) < 0.08).astype(float)
    assert slices(seen, failing(np.where(inside & half, calm, loss))) == []
    assert slices(seen, failing(np.where(inside & ~half, calm, loss))) == []


def test_what_few_users_share_is_not_told():
    rng, columns = phones(8000)
    inside, loss = broken(columns, rng)
    people = np.array([f"u{k}" for k in rng.integers(0, 2000, 8000)], dtype=object)
    assert slices(window(columns, users=people.tolist()), failing(loss))
    people[inside] = [f"u{k % 6}" for k in range(inside.sum())]  # about three in each half
    assert not slices(window(columns, users=people.tolist()), failing(loss))


def test_one_bad_user_is_no_slice():
    """Ten users on one locale, one of whom always fails: the interactions are many, the users are not."""
    rng, columns = phones(6000, seed=2)
    people = np.array([f"u{k}" for k in rng.integers(0, 1500, 6000)], dtype=object)
    rare = columns["context.locale"] == "a"
    people[rare] = [f"a{k}" for k in rng.integers(0, 20, rare.sum())]
    bad = np.isin(people, ["a0", "a1"])
    loss = np.where(bad, 1.0, rng.random(6000) < 0.08).astype(float)
    found = slices(window(columns, users=people.tolist()), failing(loss), columns=["context.locale"])
    assert not found


def test_a_slice_that_comes_in_a_block_is_found_and_says_so():
    rng, columns = phones(12000)
    group = np.full(12000, "house", dtype=object)
    group[6000:7500] = "home"
    loss = (rng.random(12000) < np.where(group == "home", 0.22, 0.1)).astype(float)
    found = slices(window({**columns, "input.group": group.tolist()}), failing(loss))
    assert found[0].where.conditions == (("group", "home"),)
    assert found[0].since is not None
    assert found[0].since >= START
    assert any("in a block" in line for line in found[0].evidence)


def test_a_slice_within_another_is_left_out_unless_it_adds():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, (20000, 3))
    risk = np.where(codes[:, 0] == 1, 0.3, 0.08)
    rows, _ = as_rows(codes, rng.random(20000) < risk)
    assert [one.conditions for one in choose(rows, k=10, max_level=3, least=0.02, min_support=50)] == [((0, 1, 1),)]
    risk[(codes[:, 0] == 1) & (codes[:, 1] == 2)] = 0.7
    rows, _ = as_rows(codes, rng.random(20000) < risk)
    found = {one.conditions for one in choose(rows, k=10, max_level=3, least=0.02, min_support=50)}
    assert found == {((0, 1, 1),), ((0, 1, 1), (1, 2, 2))}


def test_coded_rows_stand_for_every_interaction():
    rng, columns = phones(5000)
    loss = rng.random(5000)
    seen = window(columns).interactions.mutate(place=ibis.row_number().over(order_by="seq"))
    table = ibis.memtable({**seen.to_pyarrow().to_pydict(), "loss": loss})
    coded = encode(table, ["context.device", "context.network", "input.amount"])
    assert coded.n == coded.used == coded.rows.weight.sum() == 5000
    assert coded.rows.loss.sum() == pytest.approx(loss.sum())
    device = coded.columns[0]
    old = coded.rows.codes[0] == device.levels.index("old") + 1
    assert coded.rows.weight[old].sum() == (columns["context.device"] == "old").sum()
    amount = coded.columns[2]
    for code in range(1, amount.width):
        inside = table.filter(amount.condition(table, code)).count().to_pyarrow().as_py()
        assert coded.rows.weight[coded.rows.codes[2] == code].sum() == inside


def test_missing_values_are_a_value_and_ids_are_no_column():
    device = [None if row % 4 == 0 else "ios" for row in range(4000)]
    columns = {"context.device": pa.array(device, pa.string()), "context.ticket": [f"t{row}" for row in range(4000)]}
    rng = np.random.default_rng(0)
    loss = (rng.random(4000) < np.where([one is None for one in device], 0.4, 0.05)).astype(float)
    (one,) = slices(window(columns), failing(loss))
    assert str(one.where) == "device=missing"


def test_texts_that_hardly_repeat_do_not_keep_rows_apart():
    rng, columns = phones(3000)
    subject = np.where(rng.random(3000) < 0.3, "none", [f"about {row}" for row in range(3000)])
    table = ibis.memtable({**window(columns).interactions.to_pyarrow().to_pydict(), "subject": subject, "loss": 0.0})
    coded = encode(table, ["context.device", "subject"])
    assert len(coded.rows.loss) == 4
    named = coded.rows.codes[1] == 1
    assert coded.columns[1].levels == ("none",)
    assert coded.rows.weight[named].sum() == (subject == "none").sum()
    assert set(coded.rows.codes[1].tolist()) == {1, -1}


def test_nothing_to_say_about_nothing():
    _, columns = phones(500)
    assert slices(window(columns), failing([0.0] * 500)) == []
    assert slices(window(columns), failing([0.0] * 500).limit(0)) == []
    with pytest.raises(InvalidConfig, match=r"context\.colour"):
        slices(window(columns), failing([0.0] * 500), columns=["context.colour"])
    with pytest.raises(InvalidConfig, match="needs id and loss"):
        slices(window(columns), ibis.memtable({"id": ["i0"], "cost": [1.0]}))


@pytest.mark.slow
def test_quiet_windows_tell_nothing():
    """False alarms: 40 windows whose failures nothing explains, half of them in bursts of time."""
    told = 0
    for seed in range(40):
        rng, columns = phones(6000, seed)
        risk = np.full(6000, 0.08)
        if seed % 2:
            for start in rng.integers(0, 5700, 4):
                risk[start : start + 300] = 0.4
        told += bool(slices(window(columns, seed=seed, minutes=4), failing(rng.random(6000) < risk), seed=seed))
    assert told <= 4


@pytest.mark.slow
def test_slices_are_found_in_most_windows():
    """Power: a slice of 5 % to 16 % that fails 15 points more often, in 20 windows of 8,000."""
    hits = 0
    for seed in range(20):
        rng, columns = phones(8000, seed)
        _, loss = broken(columns, rng, 0.23)
        names = [set(one.where.conditions) for one in slices(window(columns, seed=seed), failing(loss), seed=seed)]
        hits += {("network", "3g"), ("device", "old")} in names
    assert hits >= 17
