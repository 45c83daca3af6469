"""Numbers as people read them."""

from __future__ import annotations

from flywheel.govern.baseline.result import Share

BLOCKS, WEAKENS, TIDY = 3, 2, 1
"""How severe a finding is: a stage cannot run; what it says will be weak; worth tidying."""

__all__ = ["BLOCKS", "TIDY", "WEAKENS", "counted", "lasting", "milliseconds", "number", "percent", "said"]


def said(share: Share | None) -> str:
    """A share in words, with its interval where it has one.

    >>> said(Share(3, 10, 0.3))
    '30.0 % of 10'
    """
    if share is None or share.share is None:
        return "none"
    return f"{percent(share)} of {share.n:,}"


def percent(share: Share) -> str:
    """Per cent with as many digits as tell it apart from 0 and 100, and its 95 % interval where it has one.

    >>> percent(Share(1, 10_000, 0.0001)), percent(Share(30, 100, 0.3, 0.219, 0.396))
    ('< 0.1 %', '30.0 % (21.9 to 39.6)')
    """
    if share.share is None:
        return "–"
    value = share.share * 100
    written = f"{value:.1f}"
    if 0 < share.count < share.n and not 0.05 <= value < 99.95:
        written = "< 0.1" if value < 50 else "> 99.9"
    if share.low is None or share.high is None:
        return f"{written} %"
    if share.high < 0.0005:
        return f"{written} % (at most {share.high * 100:.1g})"
    return f"{written} % ({share.low * 100:.1f} to {share.high * 100:.1f})"


def counted(n: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "slice"), counted(1200, "slice")
    ('1 slice', '1,200 slices')
    """
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def lasting(seconds: float | None) -> str:
    """A length of time in the largest unit that fits.

    >>> lasting(5400), lasting(0.25), lasting(-90)
    ('1.5 h', '250 ms', '-1.5 min')
    """
    if seconds is None:
        return "–"
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    for size, unit in ((86_400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s")):
        if seconds >= size:
            count = number(seconds / size)
            return f"{sign}{count} {'day' if unit == 'days' and count == '1' else unit}"
    return f"{sign}{number(seconds * 1000)} ms"


def milliseconds(value: float | None) -> str:
    """A latency."""
    return "–" if value is None else lasting(value / 1000)


def number(value: float | None) -> str:
    """Three digits that matter, thousands set apart.

    >>> number(12345.6), number(0.01234), number(3.0)
    ('12,346', '0.0123', '3')
    """
    if value is None:
        return "–"
    if abs(value) >= 1e15:
        return f"{value:.3g}"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
