"""Pages of filtered interactions: each that fits, once, in order, however short the stretches looked through."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import flywheel
from flywheel.store import pages

AT = datetime(2026, 1, 1, tzinfo=UTC)
FILTERS = [
    {"model": "v1"},
    {"error": True},
    {"context.device": "ios", "below_confidence": 0.5},
    {"context.nobody": "said"},
    {"user": "none"},
]


@pytest.fixture(scope="module")
def fw(tmp_path_factory):
    with flywheel.open(tmp_path_factory.mktemp("pages") / "wheel", task="classification") as opened:
        for n in range(60):
            key = opened.log(
                input=f"n{n}", output="a", model=f"v{n // 40}", confidence=(n % 10) / 10, at=AT,
                error="broken" if n % 17 == 3 else None, context={"device": "ios" if n % 2 else "web"},
            )  # fmt: skip
            if n % 3 == 0:
                opened.feedback(key, rating=1)
        yield opened


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("width", [1, 5, 1000])
@pytest.mark.parametrize("limit", [1, 4, 100])
def test_all_that_fit_come_once_and_in_order(fw, monkeypatch, filters, width, limit):
    monkeypatch.setattr(pages, "_WIDTH", width)
    found, after = [], 0
    while after is not None:
        page, after = fw.interactions(after=after, limit=limit, **filters)
        assert len(page) <= limit
        found += [one.input for one in page]
    everything, _ = fw.interactions(limit=1000)

    def fits(one):
        return (
            ("model" not in filters or one.model == filters["model"])
            and ("error" not in filters or (one.error is not None) == filters["error"])
            and ("user" not in filters or one.user == filters["user"])
            and ("below_confidence" not in filters or one.confidence < filters["below_confidence"])
            and ("context.device" not in filters or one.context.get("device") == filters["context.device"])
            and "context.nobody" not in filters
        )

    assert found == [one.input for one in everything if fits(one)]
