"""A page runs nothing and loads nothing; charts draw what they are given, whatever that is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.page import document, figure, h
from flywheel.page.figures import CHART_STYLE

POINTS = {"kind": "line", "x": ["2026-01-01", "2026-01-02", "2026-01-03"], "y": [1.0, None, 3.0]}


def test_a_page_forbids_scripts_and_outside_assets():
    page = document("<script>alert(1)</script>", h("p", "<img src=x onerror=alert(1)>"), style=CHART_STYLE)
    assert "<script" not in page
    assert "<img" not in page
    assert "default-src 'none'" in page
    assert not re.search(r"""(?:src|href)=["']https?:""", page)


def test_a_line_breaks_where_nothing_was_measured():
    drawn = str(figure({**POINTS, "y": [1.0, 2.0, None]}))
    assert drawn.count("<polyline") == 1
    assert str(figure(POINTS)).count("<circle") == 2  # two lone points, no line across the gap


def test_a_mark_stands_at_its_time():
    drawn = str(figure({**POINTS, "mark": "2026-01-02"}))
    (place,) = re.findall(r'<line x1="([\d.]+)" x2="[\d.]+" y1="4"', drawn)
    assert float(place) == pytest.approx((52 + 676) / 2, abs=0.2)


def test_bars_are_as_long_as_their_values():
    drawn = str(figure({"kind": "bars", "x": ["a", "b"], "y": [1.0, 0.5], "reference": [0.5, 0.5]}))
    widths = [float(w) for w in re.findall(r'width="([\d.]+)" height="10"', drawn)]
    assert widths[0] == pytest.approx(2 * widths[1], rel=0.01)
    assert drawn.count('class="r"') == 2


def test_an_interval_holds_its_estimate():
    drawn = str(figure({"kind": "interval", "x": ["ios"], "y": [0.1], "low": [0.05], "high": [0.2]}))
    low, high = re.search(r'<line x1="([\d.]+)" x2="([\d.]+)"[^>]*class="w"', drawn).groups()
    middle = re.search(r'<circle cx="([\d.]+)"', drawn).group(1)
    assert float(low) < float(middle) < float(high)


@pytest.mark.parametrize("chart", [{}, {"kind": "pie", "x": [1], "y": [1]}, {"kind": "line", "x": [1, 2], "y": [1]}])
def test_nothing_to_draw_draws_nothing(chart):
    assert figure(chart) is None


ANY = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=30))


@given(
    st.sampled_from(["line", "bars", "interval"]),
    st.lists(st.tuples(ANY, ANY, ANY, ANY), min_size=1, max_size=20),
    ANY,
)
def test_no_value_breaks_a_chart(kind, rows, mark):
    x, y, low, high = (list(column) for column in zip(*rows, strict=True))
    drawn = figure({"kind": kind, "x": x, "y": y, "low": low, "high": high, "reference": low, "mark": mark})
    shapes = re.sub(r">[^<]*<", "><", str(drawn))
    assert "nan" not in shapes
    assert "inf" not in shapes
