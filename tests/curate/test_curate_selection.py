"""select(): exact propensities, an audit of at least a fifth, never more than asked for."""

from dataclasses import replace
from datetime import UTC, datetime

import ibis
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flywheel.config import CurateSettings
from flywheel.curate import select
from flywheel.curate.selection import audit_size
from flywheel.errors import InvalidConfig
from flywheel.records import Failure

AT = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = CurateSettings()


def window(n, seed=0, p=None):
    generator = np.random.default_rng(seed)
    p = generator.random(n) if p is None else p
    return ibis.memtable(
        {"id": [f"i{k:06d}" for k in range(n)], "rand": generator.random(n).tolist(), "p_failure": list(map(float, p))}
    )


def failures(positions, seed=1, modes=3, inputs=None):
    generator = np.random.default_rng(seed)
    return [
        Failure(
            interaction_id=f"i{k:06d}",
            at=AT,
            probability=float(generator.uniform(0.2, 1)),
            input=generator.normal(size=5).tolist() if inputs is None else inputs[j],
            output="a",
            mode=f"m{j % modes}" if j % (modes + 1) else None,
        )
        for j, k in enumerate(positions)
    ]


def pick(table, pool, budget, seed=0, spin=1, exclude=(), novelty=None, **kw):
    config = kw.pop("settings", SETTINGS)
    return select(
        table,
        budget=budget,
        pool=pool,
        novelty=novelty or {},
        exclude=exclude,
        settings=config,
        spin=spin,
        seed=seed,
        **kw,
    )


@pytest.mark.slow
def test_inclusion_probabilities_match_frequencies_over_seeds():
    n, draws = 60, 500
    table, pool = window(n), failures(range(5, 30))
    con = ibis.duckdb.connect()
    table = con.create_table("window", table)
    asked, audits = np.zeros(n), np.zeros(n)
    propensity: dict[str, float] = {}
    for seed in range(draws):
        chosen = pick(table, pool, 15, seed=seed)
        assert len(chosen) == 15
        for s in chosen:
            asked[int(s.interaction_id[1:])] += 1
            audits[int(s.interaction_id[1:])] += s.audit
            assert propensity.setdefault(s.interaction_id, s.propensity) == pytest.approx(s.propensity, abs=1e-12)
    assert len(propensity) == n
    known = np.array([propensity[f"i{k:06d}"] for k in range(n)])
    assert known.sum() == pytest.approx(15)  # the expected number of labels is the budget
    z = (asked / draws - known) / np.sqrt(known * (1 - known) / draws + 1e-12)
    assert np.abs(z).max() < 4.2
    assert (z**2).mean() < 1.6
    even = audit_size(15, 0.2) / n
    z = (audits / draws - even) / np.sqrt(even * (1 - even) / draws)
    assert np.abs(z).max() < 4.2
    assert known.max() > 3 * known.min()  # the check would be empty if everything had one probability


@pytest.mark.slow
def test_hajek_estimate_from_a_selection_is_unbiased_and_the_plain_mean_is_not():
    n = 400
    p = np.random.default_rng(3).beta(1, 6, n)
    truth = np.random.default_rng(4).random(n) < p
    con = ibis.duckdb.connect()
    table = con.create_table("window", window(n, p=p))
    order = np.argsort(-p)[:120]
    pool = [
        Failure(interaction_id=f"i{k:06d}", at=AT, probability=float(p[k]), input=[float(k), float(k % 7)], mode="m")
        for k in order
    ]
    weighted, plain, audited = [], [], []
    for seed in range(300):
        chosen = pick(table, pool, 60, seed=seed)
        wrong = np.array([truth[int(s.interaction_id[1:])] for s in chosen], float)
        weight = 1 / np.array([s.propensity for s in chosen])
        weighted.append((wrong * weight).sum() / weight.sum())
        plain.append(wrong.mean())
        audited.append(wrong[[s.audit for s in chosen]].mean())
    error = np.std(weighted) / np.sqrt(len(weighted))
    # Hájek's ratio is unbiased up to O(1/n) of a label budget.
    assert np.mean(weighted) == pytest.approx(truth.mean(), abs=4 * error + 0.005)
    assert np.mean(audited) == pytest.approx(truth.mean(), abs=4 * np.std(audited) / np.sqrt(len(audited)))
    assert abs(np.mean(plain) - truth.mean()) > 0.05


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    budget=st.integers(1, 90),
    share=st.floats(0, 1),
    n=st.integers(1, 120),
    pooled=st.integers(0, 120),
    barred=st.integers(0, 40),
    seed=st.integers(-(2**70), 2**70),
)
def test_audit_budget_exclusion_and_propensity_hold_for_any_budget(budget, share, n, pooled, barred, seed):
    exclude = [f"i{k:06d}" for k in range(0, barred * 2, 2)]
    chosen = pick(
        window(n),
        failures(range(min(pooled, n))),
        budget,
        seed=seed,
        exclude=exclude,
        settings=CurateSettings(audit_share=share),
    )
    ids = [s.interaction_id for s in chosen]
    free = n - len({i for i in exclude if int(i[1:]) < n})
    assert len(ids) == len(set(ids)) == min(budget, free)
    assert not set(ids) & set(exclude)
    assert 5 * sum(s.audit for s in chosen) >= len(chosen)
    assert sum(s.audit for s in chosen) >= min(free, audit_size(budget, share))
    assert all(0 < s.propensity <= 1 and s.why for s in chosen)


def test_a_selection_does_not_depend_on_the_order_of_pool_or_window_and_changes_with_seed_and_spin():
    table, pool = window(500), failures(range(100, 200))
    first = pick(table, pool, 40)
    assert first == pick(table.order_by("p_failure"), pool[::-1] + pool[:5], 40)
    assert first != pick(table, pool, 40, seed=1)
    assert first != pick(table, pool, 40, spin=2)


@pytest.mark.slow
def test_near_duplicates_are_asked_about_once_and_count_as_traffic():
    texts = ["my card has not arrived yet please help"] * 30 + [
        f"topic {chr(97 + k) * 9} number {k}" for k in range(25)
    ]
    pool = failures(range(55), inputs=texts, modes=1)
    twins = {f"i{k:06d}" for k in range(30)}
    for seed in range(5):
        chosen = [s for s in pick(window(5000), pool, 20, seed=seed) if not s.audit]
        assert len(twins & {s.interaction_id for s in chosen}) == 1
    # thirty alike are worth thirty: the first targeted one
    assert chosen[0].interaction_id in twins
    assert "30 alike" in chosen[0].why


def test_a_mode_whose_labels_are_worth_more_gets_more_of_them():
    pool = [replace(f, probability=0.8, mode="big" if j % 3 else "small") for j, f in enumerate(failures(range(300)))]
    even = [s.mode for s in pick(window(100_000), pool, 100) if not s.audit]
    assert len(even) == 80
    assert even.count("big") > 1.2 * even.count("small") > 0
    told = [s.mode for s in pick(window(100_000), pool, 100, worth={"small": 4.0}) if not s.audit]
    assert told.count("small") > 1.5 * even.count("small")


def test_likely_failures_come_first_and_novel_ones_where_novelty_has_paid():
    pool = failures(range(400), modes=1)
    novelty = {f"i{k:06d}": 1.0 if k < 200 else 0.0 for k in range(400)}

    def novel(learnt):
        chosen = [s for s in pick(window(50_000), pool, 50, novelty=novelty, learnt=learnt) if not s.audit]
        assert np.mean([s.p_failure for s in chosen]) > np.mean([f.probability for f in pool]) + 0.1
        return sum(int(s.interaction_id[1:]) < 200 for s in chosen)

    assert novel({"unfamiliar": 3.0}) >= 30 > 20 <= novel({}) + 4


def test_what_stands_alone_comes_after_what_many_resemble():
    texts = [f"my parcel number {k} has still not arrived at my house" for k in range(40)]
    texts += [f"{chr(97 + k % 26) * 5}{k * 7919} {k * 104729} qx{k * 31}" for k in range(40)]
    pool = [replace(f, probability=0.6) for f in failures(range(80), inputs=texts, modes=1)]
    chosen = [s for s in pick(window(50_000), pool, 25, learnt={"failing": 3.0}) if not s.audit]
    assert sum(int(s.interaction_id[1:]) < 40 for s in chosen) >= 16


def test_what_users_told_outweighs_a_sure_model_and_doubt_decides_among_the_rest():
    pool = [replace(f, probability=0.3) for f in failures(range(200), modes=1)]
    told = {f"i{k:06d}": 2.0 for k in range(10)}
    doubt = {f"i{k:06d}": 0.05 if k < 10 else 0.4 if k < 40 else 0.02 for k in range(200)}
    chosen = [int(s.interaction_id[1:]) for s in pick(window(50_000), pool, 50, told=told, doubt=doubt) if not s.audit]
    assert sum(k < 10 for k in chosen) >= 7
    assert sum(10 <= k < 40 for k in chosen) >= 22


def test_users_who_complain_less_are_asked_about_as_much_as_their_answers_are_doubtful():
    pool = [
        replace(f, probability=0.3, context={"app": "old" if k % 2 else "new"})
        for k, f in enumerate(failures(range(400), modes=1))
    ]
    # Both apps fail alike, but only users of the new one have a button to complain with.
    told = {f"i{k:06d}": 3.0 if k % 10 == 0 else -0.3 if k % 2 == 0 else -1.0 for k in range(400)}
    doubt = {f"i{k:06d}": 0.3 for k in range(400)}

    def old(protected):
        chosen = pick(window(50_000), pool, 100, told=told, doubt=doubt, protected=protected)
        return sum(s.propensity for s in chosen if not s.audit and int(s.interaction_id[1:]) % 2)

    assert old(["app"]) > 1.5 * old([])


def test_the_pool_is_covered_not_just_its_worst_corner():
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(8, 4)) * 30
    inputs = [(centres[k % 8] + generator.normal(size=4)).tolist() for k in range(60)]
    pool = failures(range(60), inputs=inputs, modes=1)
    chosen = [s for s in pick(window(50_000), pool, 40) if not s.audit]
    assert {int(s.interaction_id[1:]) % 8 for s in chosen} == set(range(8))


def test_what_a_small_pool_leaves_over_is_audited():
    chosen = pick(window(1000), failures(range(4)), 40)
    assert sum(s.audit for s in chosen) >= 36
    assert len(chosen) == 40
    assert all(s.audit for s in pick(window(1000), [], 40))


def test_a_window_smaller_than_the_budget_is_taken_whole_with_certainty():
    chosen = pick(window(12), failures(range(4)), 40)
    assert len(chosen) == 12
    assert all(s.propensity == 1.0 and s.audit for s in chosen)


def test_pool_members_from_outside_the_window_are_left_out():
    chosen = pick(window(100), failures(range(500, 520)), 20)
    assert {int(s.interaction_id[1:]) < 100 for s in chosen} == {True}


@pytest.mark.slow
def test_an_audit_label_that_is_also_targeted_is_spent_once():
    # The pool is the whole window: overlaps are certain, the budget is still used to the last label.
    for seed in range(20):
        chosen = pick(window(60), failures(range(60)), 40, seed=seed)
        assert len({s.interaction_id for s in chosen}) == 40


def test_bad_arguments_are_named():
    with pytest.raises(InvalidConfig, match="budget is -1"):
        pick(window(10), [], -1)
    with pytest.raises(InvalidConfig, match="10 rows"):
        pick(window(10), [], 5, window_size=11)
    assert pick(window(10), [], 0) == []
    assert len(pick(window(10), [], 5, window_size=10, exclude=["i000001"])) == 5


@pytest.mark.slow
def test_a_million_rows_stay_in_the_engine():
    con = ibis.duckdb.connect()
    rows = ibis.range(0, 1_000_000).unnest().name("k").as_table()
    rows = rows.select(
        id="i" + rows.k.cast("string").lpad(7, "0"),
        rand=(rows.k * 2654435761 % 2**32) / 2**32,
        p_failure=ibis.literal(0.1),
    )
    table = con.create_table("window", rows)
    pool = [
        Failure(
            interaction_id=f"i{k * 211:07d}",
            at=AT,
            probability=0.5 + k / 9000,
            input=[k % 13, k / 7.0, -k],
            mode=str(k % 9),
        )
        for k in range(4000)
    ]
    chosen = pick(table, pool, 100, window_size=1_000_000)
    assert len(chosen) == 100
    assert sum(s.audit for s in chosen) == 20
    audit_only = [s for s in chosen if s.audit and s.mode is None]
    assert all(s.propensity == pytest.approx(20 / (1_000_000 - 80)) for s in audit_only)
