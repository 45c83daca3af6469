"""Risk: severity from the task and from outcomes, occurrence with an interval that covers, cost a week in money."""

from datetime import UTC, datetime, timedelta

import ibis
import numpy as np
import pyarrow as pa
import pytest
from diagnose_window import FEEDBACK, WindowOf, canonical

from flywheel.config import ValueSettings
from flywheel.diagnose.cause.shares import jeffreys, rate
from flywheel.diagnose.risk import Ledger, ledger_of, risk_of
from flywheel.records import Evidence, Failure, Mode, from_dict, to_dict

AT = datetime(2026, 1, 5, tzinfo=UTC)
MODE = Mode(id="m-1", name="late cards", count=50.0, share=0.05)


class Graded:
    """Wrong by one is half as bad as wrong by more."""

    name = "classification"

    def correct(self, output, truth):
        return output == truth

    def score(self, output, truth):
        return float(output == truth)

    def severity(self, output, truth):
        return min(1.0, abs(output - truth) / 2)


def failing(n=20, label=3, probability=0.9, evidence="negative_rating"):
    return [
        Failure(
            interaction_id=f"i{k + 1}", at=AT, probability=probability, input="x", output=2, label=label,
            evidence=(Evidence(evidence, ""),),
        )
        for k in range(n)
    ]  # fmt: skip


class Judged:
    """A window of n interactions, an hour apart, with audit labels and outcomes on some."""

    def __init__(self, n, wrong=(), drawn=(), propensity=0.5, outcomes=None):
        plain = WindowOf([{"output": 2, "at": AT + timedelta(hours=k)} for k in range(n)])
        self.interactions, self.records = plain.interactions, plain.records
        rows = []
        for k in sorted(drawn):
            value = 3 if k in wrong else 2
            rows.append(self.row(len(rows), k, "label", value, "reviewer", propensity, None))
        for k, value in (outcomes or {}).items():
            rows.append(self.row(len(rows), k, "outcome", value, "system", None, "order value"))
        schema = FEEDBACK | {"propensity": "float64", "name": "string"}
        self.feedback = ibis.memtable(pa.Table.from_pylist(rows, schema=ibis.schema(schema).to_pyarrow()))

    def row(self, seq, k, kind, value, source, propensity, name):
        return {
            "seq": seq, "id": f"f{seq}", "interaction_id": f"i{k + 1}", "at": AT, "kind": kind,
            "value": canonical(value), "number": float(value), "text": None, "source": source,
            "propensity": propensity, "name": name,
        }  # fmt: skip

    def count(self):
        return len(self.records)

    def fetch(self, ids):
        return [self.records[key] for key in ids if key in self.records]


def test_severity_is_the_tasks_mean_over_labelled_failures():
    half, whole = risk_of(MODE, failing(label=3), task=Graded()), risk_of(MODE, failing(label=9), task=Graded())
    assert (half.severity, whole.severity) == (round(1 + 9 * 0.5), 10)
    assert risk_of(MODE, failing(label=None), task=Graded()).severity == 5
    assert "no labelled failure" in risk_of(MODE, failing(label=None), task=Graded()).evidence[0]


def test_detectability_is_worst_when_only_labels_show_it():
    assert risk_of(MODE, failing(evidence="label_wrong")).detectability == 10
    assert risk_of(MODE, failing()).detectability == 1


def test_cost_a_week_is_failures_a_week_times_price_times_severity():
    """50 of 1,000 interactions in ten days: 35 failures a week, of half severity, at 8 euros."""
    ledger = Ledger(size=1000, seconds=10 * 86400.0)
    risk = risk_of(MODE, failing(), task=Graded(), ledger=ledger, value=ValueSettings(per_failure=8.0))
    assert risk.per_week.estimate == pytest.approx(35.0)
    assert risk.cost.estimate == pytest.approx(140.0)
    assert risk.currency == "EUR"
    assert risk.cost.low < 140.0 < risk.cost.high
    assert from_dict(type(risk), to_dict(risk)) == risk


def test_a_stated_yearly_traffic_goes_before_the_windows():
    ledger = Ledger(size=1000, seconds=3600.0)
    said = risk_of(MODE, failing(), ledger=ledger, value=ValueSettings(interactions_per_year=365.25 / 7 * 200))
    assert said.per_week.estimate == pytest.approx(10.0)
    assert said.cost is None
    guessed = risk_of(MODE, failing(), ledger=ledger)
    assert guessed.per_week.estimate == pytest.approx(50 * 24 * 7)
    assert any("extrapolated from 1.0 hours" in line for line in guessed.evidence)


def test_occurrence_is_taken_from_enough_audit_labels():
    """200 of 400 drawn at 0.5; 20 of the drawn are wrong in this mode: a tenth of the traffic."""
    drawn = set(range(0, 400, 2))
    wrong = set(range(0, 40, 2))
    found = [Failure(interaction_id=f"i{k + 1}", at=AT, probability=0.99, input="x", output=2) for k in sorted(wrong)]
    ledger = ledger_of(Judged(400, wrong, drawn), {"m-1": found})
    assert (ledger.size, ledger.audited) == (400, pytest.approx(200))
    risk = risk_of(MODE, found, ledger=ledger)
    assert risk.share.estimate == pytest.approx(0.1)
    assert 0.06 < risk.share.low < 0.1 < risk.share.high < 0.16
    assert risk.occurrence == 10


def test_a_handful_of_audit_labels_does_not_replace_the_signs():
    ledger = ledger_of(Judged(400, {0}, {0, 1, 2}), {"m-1": failing(5)})
    risk = risk_of(MODE, failing(5), ledger=ledger)
    assert risk.share.estimate == pytest.approx(50 / 400)
    assert any("too few audit labels" in line for line in risk.evidence)


@pytest.mark.slow
def test_an_outcome_that_differs_raises_severity_and_noise_does_not():
    rng = np.random.default_rng(0)
    members = failing(60, label=None)
    worse = {k: float(rng.normal(20 if k < 60 else 40, 10)) for k in range(300)}
    ledger = ledger_of(Judged(300, outcomes=worse), {"m-1": members})
    assert ledger.outcomes["m-1"][0].effect < -1
    risk = risk_of(MODE, members, ledger=ledger)
    assert risk.severity == 10
    assert any(line.startswith("order value is") for line in risk.evidence)
    false = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        alike = {k: float(draw.normal(40, 10)) for k in range(300)}
        false += bool(ledger_of(Judged(300, outcomes=alike), {"m-1": members}).outcomes)
    assert false <= 2


def test_intervals_of_shares_and_counts_cover_the_truth():
    rng = np.random.default_rng(1)
    shares = [jeffreys(int(k), 300) for k in rng.binomial(300, 0.04, 1000)]
    assert 0.92 <= np.mean([one.low <= 0.04 <= one.high for one in shares]) <= 0.985
    counts = [rate(float(k), float(k)) for k in rng.poisson(12.0, 1000)]
    assert 0.92 <= np.mean([one.low <= 12.0 <= one.high for one in counts]) <= 0.985


def test_a_window_without_anything_prices_nothing():
    risk = risk_of(Mode(id="m", name="n"), failing(), ledger=ledger_of(WindowOf([]), {}))
    assert risk.per_week is None
    assert risk.cost is None
