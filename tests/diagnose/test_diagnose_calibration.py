"""P(failure) learns from labels what signs are worth, slowly, and means what it says."""

import ibis
import numpy as np
import pyarrow as pa
import pytest

from flywheel.diagnose import Calibration, Judged, calibrate, detect
from flywheel.diagnose.calibration import expected_calibration_error, prior
from flywheel.diagnose.evidence import BUILT_IN
from flywheel.errors import InvalidRecord
from flywheel.records import from_dict, to_dict

TRUE = {"negative_rating": 1.5, "report": 4.0, "error": 2.0, "doubt": 0.6}
TRUE_INTERCEPT = -1.5


def table_of(columns):
    n = len(next(iter(columns.values())))
    full = {name: np.zeros(n) for name in BUILT_IN if name != "doubt"} | {"doubt": [None] * n} | columns
    keys = {"id": [f"i{k}" for k in range(n)], "seq": list(range(n)), "rand": [k / n for k in range(n)]}
    arrays = {name: pa.array(list(full[name]), pa.float64()) for name in BUILT_IN}
    return ibis.memtable(pa.table({**keys, "at": pa.nulls(n, pa.timestamp("us", "UTC")), **arrays}))


def simulated(n, seed):
    """Signs and truth from a known logistic model: ratings that often cry wolf, an overconfident model."""
    rng = np.random.default_rng(seed)
    columns = {name: (rng.random(n) < 0.25).astype(float) for name in ("negative_rating", "report", "error")}
    columns["doubt"] = rng.beta(1, 5, n)
    odds = np.log(columns["doubt"] / (1 - columns["doubt"])) - np.log(0.1 / 0.9)
    z = (
        TRUE_INTERCEPT
        + sum(TRUE[name] * columns[name] for name in ("negative_rating", "report", "error"))
        + TRUE["doubt"] * odds
    )
    p = 1 / (1 + np.exp(-z))
    return table_of(columns), p, rng.random(n) < p


def p_of(table, calibration):
    return np.array(detect(table, calibration).order_by("seq").p_failure.to_pyarrow().to_pylist())


def test_before_any_label_confidence_speaks_for_itself():
    table = table_of({"doubt": [0.1, 0.5, 0.9, None]})
    assert p_of(table, None) == pytest.approx([0.1, 0.5, 0.9, 0.1])


def test_a_missing_confidence_is_neutral():
    rated = table_of({"negative_rating": [1, 1], "doubt": [None, 0.1]})
    p = p_of(rated, None)
    assert p[0] == pytest.approx(p[1])
    assert p[0] > 0.5


def test_a_known_label_settles_it_whatever_else_is_said():
    table = table_of(
        {
            "label_wrong": [1, 0, 0.8, 0],
            "label_right": [0, 1, 0, 0.8],
            "report": [0, 1, 0, 0],
            "doubt": [0.001, 0.999, None, None],
        }
    )
    p = p_of(table, None)
    assert p[0] == pytest.approx(0.99)
    assert p[1] == pytest.approx(0.01)
    assert 0.8 < p[2] < 0.99
    assert p[3] < 0.02


def test_priors_rank_strong_signs_over_weak_ones():
    signs = ["negative_rating", "report", "error", "slow"]
    p = [p_of(table_of({sign: [1.0]}), None)[0] for sign in signs]
    assert min(p[:3]) > 0.6
    assert 0.1 < p[3] < 0.3


def test_many_labels_recover_the_weights():
    table, _, wrong = simulated(6000, seed=1)
    learned = calibrate(table, [Judged(f"i{k}", bool(w)) for k, w in enumerate(wrong)])
    assert learned.intercept == pytest.approx(TRUE_INTERCEPT, abs=0.25)
    for name, weight in TRUE.items():
        assert learned.weights[name] == pytest.approx(weight, abs=0.3), name


def test_three_labels_leave_the_prior_nearly_where_it_was():
    table, _, _ = simulated(100, seed=2)
    start = prior(BUILT_IN)
    learned = calibrate(table, [Judged("i0", True), Judged("i1", False), Judged("i2", False)])
    assert abs(learned.intercept - start.intercept) < 0.5
    assert all(abs(learned.weights[name] - start.weights[name]) < 0.5 for name in BUILT_IN)


@pytest.mark.slow
def test_targeted_labels_with_their_propensity_do_not_pass_for_the_traffic():
    """Failures are labelled five times as often as the rest: the weighted fit must still give the traffic's rate."""
    biases = {}
    for weighted in (True, False):
        gaps = []
        for seed in range(5):
            table, p, wrong = simulated(4000, seed=10 + seed)
            rng = np.random.default_rng(seed)
            # Chosen by the truth itself, the worst case: nothing but the weights can undo that.
            pi = np.where(wrong, 0.5, 0.1)
            chosen = np.flatnonzero(rng.random(4000) < pi)
            judged = [Judged(f"i{k}", bool(wrong[k]), float(pi[k]) if weighted else 1.0) for k in chosen]
            gaps.append(p_of(table, calibrate(table, judged)).mean() - p.mean())
        biases[weighted] = float(np.mean(gaps))
    assert abs(biases[True]) < 0.05
    assert biases[False] > 0.15


@pytest.mark.slow
def test_p_failure_is_reliable_after_three_hundred_labels():
    before, after = [], []
    for seed in range(5):
        table, _, wrong = simulated(6000, seed=100 + seed)
        judged = [Judged(f"i{k}", bool(wrong[k])) for k in range(300)]
        before.append(expected_calibration_error(p_of(table, None)[300:], wrong[300:]))
        after.append(expected_calibration_error(p_of(table, calibrate(table, judged))[300:], wrong[300:]))
    assert np.mean(after) < 0.04
    assert np.mean(after) < np.mean(before) / 2


def test_what_was_learned_lasts_and_fades():
    table, _, wrong = simulated(2000, seed=3)
    judged = [Judged(f"i{k}", bool(w)) for k, w in enumerate(wrong)]
    first = calibrate(table, judged)
    again = calibrate(table, [], first)
    start = prior(BUILT_IN)
    assert abs(again.weights["negative_rating"] - first.weights["negative_rating"]) < 0.1
    assert start.precision["report"] < again.precision["report"] < first.precision["report"]
    assert again.labels == pytest.approx(first.labels / 2)
    forgotten = first
    for _ in range(12):
        forgotten = calibrate(table, [], forgotten)
    assert forgotten.weights["negative_rating"] == pytest.approx(start.weights["negative_rating"], abs=0.2)


def test_a_calibration_survives_json_and_does_not_depend_on_the_order_of_labels():
    table, _, wrong = simulated(200, seed=4)
    judged = [Judged(f"i{k}", bool(w)) for k, w in enumerate(wrong)]
    learned = calibrate(table, judged)
    assert from_dict(Calibration, to_dict(learned)) == learned
    assert calibrate(table, judged[::-1]) == learned


def test_labels_elsewhere_are_ignored_and_impossible_propensities_refused():
    table, _, _ = simulated(10, seed=5)
    assert calibrate(table, [Judged("nowhere", True)]) == prior([c for c in table.columns if c in BUILT_IN])
    with pytest.raises(InvalidRecord, match="propensity"):
        calibrate(table, [Judged("i1", True, 0.0)])
