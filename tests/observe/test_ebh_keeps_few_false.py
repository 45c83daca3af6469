"""e-values are fair bets, and e-BH keeps what it promises when columns depend on one another."""

import numpy as np
import pytest
from scipy import stats

from flywheel.errors import InvalidConfig
from flywheel.observe.drift import ebh, evalue


def test_an_e_value_is_one_at_most_on_average():
    grid = (np.arange(200_000) + 0.5) / 200_000
    assert np.mean([evalue(p) for p in grid]) <= 1.001
    assert evalue(0.0) > 1e100
    assert evalue(1 - 1e-6) == pytest.approx(0.5, abs=1e-5)
    assert evalue(0.5) < evalue(0.05) < evalue(0.001)


@pytest.mark.parametrize(
    ("evidence", "kept"),
    [
        ([], []),
        ([59.9, 1, 1], [False, False, False]),
        ([60.1, 1, 1], [True, False, False]),
        ([31, 29.9, 1], [False, False, False]),
        ([31, 30.1, 1], [True, True, False]),
        ([20.1, 20.1, 20.1], [True, True, True]),
        ([float("inf"), float("nan"), 0], [True, False, False]),
    ],
    ids=["none", "just short", "one", "two short", "two", "all", "odd values"],
)
def test_the_rule_with_known_answers(evidence, kept):
    assert ebh(evidence, 0.05).tolist() == kept


def test_few_false_findings_among_columns_that_depend_on_one_another():
    rng = np.random.default_rng(5)
    false, found = [], []
    for _ in range(300):
        shared = rng.normal()
        z = np.sqrt(0.6) * shared + np.sqrt(0.4) * rng.normal(size=30)
        z[:6] += 6.5
        kept = ebh([evalue(p) for p in stats.norm.sf(z)], 0.1)
        false.append(kept[6:].sum() / max(kept.sum(), 1))
        found.append(kept[:6].mean())
    assert np.mean(false) <= 0.1
    assert np.mean(found) > 0.8


@pytest.mark.parametrize("alpha", [0, 1, -0.1], ids=str)
def test_alpha_is_a_share(alpha):
    with pytest.raises(InvalidConfig, match="alpha"):
        ebh([1.0], alpha)


def test_a_p_value_is_a_probability():
    with pytest.raises(InvalidConfig, match=r"1\.5"):
        evalue(1.5)
