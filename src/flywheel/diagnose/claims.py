"""Claims about a failure mode that a window of traffic can bear out: each tested exactly, with its size and interval.

A mode's failures are held against the rest of the window: on which context values and versions they lie, since when,
which fields come empty or out of range. Where many values are tried, the tests are corrected for all of them
(Bonferroni) and the intervals hold for all of them at once, so that the largest is not flattered by having been chosen.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any

import ibis
import numpy as np

from flywheel.records import Example, Failure, Interval, Observation, Slice

if TYPE_CHECKING:
    from flywheel.diagnose.evidence import Window

__all__ = ["ALPHA", "Claim", "Traffic", "difference", "field_claim", "since_claim", "slice_claim", "training_claim"]

ALPHA = 0.01
"""Chance with which any claim of one kind is made about failures that are spread like the traffic."""

_VALUES = 40  # of a column, the commonest: which are tried depends on the traffic alone, never on the failures
_AT_ONCE = 40  # columns in one query: each nests it deeper
_COLUMNS = 60
_KINDS = 1_000
_BINS = 48
_FEWEST = 5
_POINTS = 0.1  # a smaller difference of shares explains little, however sure it is
_TWICE = 2.0
_GAPS = 3  # ways in which training examples may fall short
_TEXTS = 2_000
_WORD = re.compile(r"(?<![\w'’-])[^\W\d_](?:[^\W\d_]|['’-])+[^\W\d_](?![\w])")
_VERSION = re.compile(r"(?:^|[._-])(?:version|release|build|revision)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim that was borne out: what is said of the failures, its size and interval, n, and the traffic's query."""

    what: str
    """`slice`, `version`, `since`, `missing`, `range`, `value`, `label`, `coverage` or `words`."""
    name: str
    """The column, or the label, that it is about."""
    said: str
    effect: float
    interval: Interval
    n: int
    query: str = ""


@dataclass(frozen=True, slots=True)
class _Table:
    """Failures with and without something, against the rest of the traffic: k of n, of K of N in all."""

    k: int
    n: int
    traffic_k: int
    traffic_n: int

    @property
    def others(self) -> tuple[int, int]:
        return self.traffic_k - self.k, self.traffic_n - self.n

    @property
    def shares(self) -> tuple[float, float]:
        k, n = self.others
        return self.k / self.n, k / n if n else 0.0

    def p(self) -> float:
        """Fisher's exact test, one-sided: as many or more among the failures if they were drawn from the traffic."""
        from scipy.stats import hypergeom

        return float(hypergeom.sf(self.k - 1, self.traffic_n, self.traffic_k, self.n))


def difference(k: int, n: int, other_k: int, other_n: int, alpha: float = 0.05) -> Interval:
    """The difference of two shares, k/n − other_k/other_n, with Newcombe's hybrid score interval.

    Newcombe (1998), "Interval estimation for the difference between independent proportions", method 10.

    >>> found = difference(56, 70, 48, 80)
    >>> round(found.estimate, 4), round(found.low, 4), round(found.high, 4)
    (0.2, 0.0524, 0.3339)
    """
    one, two = (k / n if n else 0.0), (other_k / other_n if other_n else 0.0)
    low_one, high_one = _wilson(k, n, alpha)
    low_two, high_two = _wilson(other_k, other_n, alpha)
    low = one - two - float(np.hypot(one - low_one, high_two - two))
    high = one - two + float(np.hypot(high_one - one, two - low_two))
    return Interval(one - two, max(-1.0, low), min(1.0, high), n + other_n, 1.0 - alpha)


def _wilson(k: int, n: int, alpha: float) -> tuple[float, float]:
    from scipy.stats import norm

    if not n:
        return 0.0, 1.0
    z = float(norm.ppf(1.0 - alpha / 2.0))
    share, square = k / n, z * z / n
    middle = (share + square / 2.0) / (1.0 + square)
    half = z * np.sqrt(share * (1.0 - share) / n + square / (4.0 * n)) / (1.0 + square)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


class Traffic:
    """A window's traffic beside the failures of one mode in it.

    The traffic is counted in the engine; of the failures, at most as many rows as were given leave it. O(window) a
    column.
    """

    def __init__(self, window: Window, failures: Sequence[Failure]) -> None:
        self.window = window
        self.seen = window.interactions
        schema = self.seen.schema()
        named = [name for name in self.seen.columns if name.startswith(("context.", "input."))][:_COLUMNS]
        self.worded = [name for name in named if schema[name].is_string() or schema[name].is_boolean()]
        self.numeric = [name for name in named if schema[name].is_numeric()]
        versions = [name for name in self.worded if name.startswith("context.") and _VERSION.search(name)]
        self.versions = ["model", *versions] if "model" in self.seen.columns else versions
        ids = sorted({failure.interaction_id for failure in failures})
        wanted = list(dict.fromkeys(["id", "at", *self.versions, *self.worded, *self.numeric]))
        rows: list[dict[str, Any]] = []
        self.rest = self.seen
        if ids:
            here = ibis.memtable({"id": ids}, schema={"id": "string"})
            self.rest = self.seen.anti_join(here, "id")
            rows = self.seen.semi_join(here, "id").select(wanted).order_by("id").to_pyarrow().to_pylist()
        self.failing = rows
        self.n = len(rows)

    @cached_property
    def total(self) -> int:
        """Interactions in the window."""
        return int(self.window.count())

    def query(self, build: Any) -> str:
        """SQL on `interactions`, cut to the window, of what `build` makes of that table."""
        here = ibis.table(self.seen.schema(), name="interactions")
        after, upto = getattr(self.window, "bounds", (0, 0))
        if upto:
            here = here.filter(here.seq > after, here.seq <= upto)
        return str(ibis.to_sql(build(here), dialect="duckdb"))

    @cached_property
    def values(self) -> dict[tuple[str, str], _Table]:
        """For the commonest values of every column of words: how many failures and how much traffic have them."""
        columns = list(dict.fromkeys([*self.versions, *self.worded]))
        if not columns or not self.n:
            return {}
        kinds = {f"kinds {name}": self.seen[name].approx_nunique() for name in columns}
        found_kinds = self.seen.aggregate(**kinds).to_pyarrow().to_pylist()[0]
        most = max(_KINDS, self.total // 100)  # more are names of single things, and no kind of traffic
        columns = [name for name in columns if found_kinds[f"kinds {name}"] <= most]
        if not columns:
            return {}
        parts = [
            _counted(self.seen, name).mutate(column=ibis.literal(name)).order_by(ibis.desc("n"), "value").limit(_VALUES)
            for name in columns
        ]
        found: list[dict[str, Any]] = []
        for first in range(0, len(parts), _AT_ONCE):
            found += reduce(lambda a, b: a.union(b), parts[first : first + _AT_ONCE]).to_pyarrow().to_pylist()
        here = {name: Counter(_worded(row[name]) for row in self.failing) for name in columns}
        return {
            (row["column"], row["value"]): _Table(here[row["column"]][row["value"]], self.n, row["n"], self.total)
            for row in sorted(found, key=lambda row: (row["column"], -row["n"], row["value"] or ""))
            if row["value"] is not None and row["n"] < self.total
        }


def _counted(seen: Any, column: str) -> Any:
    return seen.group_by(value=seen[column].cast("string")).aggregate(n=seen.count())


def _worded(value: Any) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _plain(name: str) -> str:
    return name.removeprefix("context.")


def _points(interval: Interval) -> str:
    return (
        f"{interval.estimate * 100:.3g} points more (95% interval {interval.low * 100:.3g} to "
        f"{interval.high * 100:.3g})"
    )


def _tried(tried: int, what: str, p: float) -> str:
    sure = f"= {min(1.0, p * tried):.1g}" if p > 1e-12 else "< 1e-9"
    return f"exact test, {tried} {what}{'' if tried == 1 else 's'} tried, p {sure}"


# --- where ---


def slice_claim(traffic: Traffic, findings: Sequence[Observation] = ()) -> tuple[Claim | None, int]:
    """The context value, or the slice that a finding names, that sets the failures most surely apart; and how many
    were tried.

    Its effect is the difference of two shares: how many of the failures have it, and of the other traffic.
    """
    tables: dict[tuple[str, ...], tuple[str, _Table, str]] = {}
    for (name, value), table in traffic.values.items():
        if name.startswith("context.") and name not in traffic.versions:
            query = traffic.query(lambda seen, name=name: _counted(seen, name))
            tables[(name, value)] = (f"{_plain(name)}={value}", table, query)
    for place in dict.fromkeys(f.where for f in findings if f.where and f.kind in ("slice", "influence")):
        found = _conjunction(traffic, place)
        if found is not None and len(place.conditions) > 1:
            tables[(str(place),)] = (str(place), *found)
    best = None
    for said, table, query in tables.values():
        p, interval = table.p(), difference(table.k, table.n, *table.others, alpha=0.05 / len(tables))
        here, there = table.shares
        if p * len(tables) < ALPHA and here - there >= _POINTS and table.k >= _FEWEST:
            line = (
                f"{here:.0%} of these failures have {said}, {there:.0%} of the other traffic: {_points(interval)}; "
                f"{_tried(len(tables), 'value', p)}"
            )
            claim = Claim("slice", said, line, here - there, interval, table.traffic_n, query)
            if best is None or (interval.low, -len(said)) > (best.interval.low, -len(best.name)):
                best = claim
    return best, len(tables)


def _conjunction(traffic: Traffic, place: Slice) -> tuple[_Table, str] | None:
    """How many failures and how much traffic lie in a slice; None where a column of it is not in the window."""
    names = []
    for name, _ in place.conditions:
        known = [one for one in (name, f"context.{name}", f"input.{name}") if one in traffic.worded]
        if not known:
            return None
        names.append(known[0])
    values = [_worded(value) for _, value in place.conditions]

    def count(seen: Any) -> Any:
        same = [seen[name].cast("string") == value for name, value in zip(names, values, strict=True)]
        return seen.filter(same).aggregate(n=seen.filter(same).count())

    n = int(count(traffic.seen).to_pyarrow().to_pylist()[0]["n"])
    wanted = list(zip(names, values, strict=True))
    k = sum(all(_worded(row[name]) == value for name, value in wanted) for row in traffic.failing)
    return (_Table(k, traffic.n, n, traffic.total), traffic.query(count)) if n < traffic.total else None


# --- since when ---


def since_claim(traffic: Traffic) -> tuple[Claim | None, int]:
    """The version with which the failures came, or else the moment; and how many were tried.

    Its effect is the difference of two risks: how much of that version's traffic (or of the traffic since) fails like
    this, and of the other.
    """
    tables = {key: table for key, table in traffic.values.items() if key[0] in traffic.versions}
    best: Claim | None = None
    for (name, value), table in tables.items():
        k, n = table.k, table.traffic_k
        claim = _risk(f"of {_plain(name)}={value}", "of the other traffic", (k, n), table, len(tables), "version")
        if claim is not None and (best is None or claim[1].low > best.interval.low):
            begun = traffic.seen.filter(traffic.seen[name].cast("string") == value).at.min().to_pyarrow().as_py()
            line = f"It comes with {_plain(name)}={value}, in this window since {_moment(begun)}: {claim[0]}"
            query = traffic.query(lambda seen, name=name: _counted(seen, name))
            best = Claim("version", f"{_plain(name)}={value}", line, claim[1].estimate, claim[1], traffic.total, query)
    if best is not None:
        return best, len(tables)
    return _since(traffic, len(tables))


def _since(traffic: Traffic, tried: int) -> tuple[Claim | None, int]:
    seen = traffic.seen
    ends = seen.aggregate(first=seen.at.min(), last=seen.at.max()).to_pyarrow().to_pylist()[0]
    if traffic.n < _FEWEST or ends["first"] is None or ends["last"] - ends["first"] < timedelta(minutes=1):
        return None, tried
    begin, width = ends["first"], (ends["last"] - ends["first"]).total_seconds() / _BINS
    start = int(begin.timestamp())

    def count(seen: Any) -> Any:
        part = ((seen.at.epoch_seconds() - start) / width).floor().cast("int64").clip(0, _BINS - 1)
        return seen.group_by(part=part).aggregate(n=seen.count())

    traffic_n, failing_n = np.zeros(_BINS, dtype=np.int64), np.zeros(_BINS, dtype=np.int64)
    for row in count(seen).to_pyarrow().to_pylist():
        traffic_n[row["part"]] += row["n"]
    for row in traffic.failing:
        failing_n[min(_BINS - 1, max(0, int((int(row["at"].timestamp()) - start) // width)))] += 1
    before, failed = np.cumsum(traffic_n), np.cumsum(failing_n)
    cuts = [cut for cut in range(_BINS - 1) if before[cut] and before[cut] < traffic.total]
    best: tuple[float, int, tuple[str, Interval]] | None = None
    for cut in cuts:
        k, n = traffic.n - int(failed[cut]), traffic.total - int(before[cut])
        table = _Table(k, traffic.n, n, traffic.total)
        claim = _risk("of the traffic since", "of the traffic before", (k, n), table, len(cuts), "moment")
        if claim is not None and (best is None or table.p() < best[0]):
            best = (table.p(), cut, claim)
    if best is None:
        return None, tried + len(cuts)
    when = _moment(begin + timedelta(seconds=width * (best[1] + 1)))
    line, interval = best[2]
    said, query = f"It began about {when}: {line}", traffic.query(count)
    return Claim("since", when, said, interval.estimate, interval, traffic.total, query), tried + len(cuts)


def _risk(
    here: str, there: str, of: tuple[int, int], table: _Table, tried: int, what: str
) -> tuple[str, Interval] | None:
    """The risk in one part of the traffic against the rest, where it is surely and at least twice as large."""
    k, n = of
    other_k, other_n = table.n - k, table.traffic_n - n
    p = table.p()
    if p * tried >= ALPHA or k < _FEWEST or not other_n or k / n < _TWICE * other_k / other_n:
        return None
    interval = difference(k, n, other_k, other_n, alpha=0.05 / tried)
    line = f"{k / n * 100:.3g}% {here} fails like this"
    return f"{line}, {other_k / other_n * 100:.3g}% {there}: {_points(interval)}; {_tried(tried, what, p)}", interval


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


# --- which field ---


def field_claim(traffic: Traffic) -> tuple[Claim | None, int]:
    """The input or context field that comes empty, out of its usual range, or with another value; and how many were
    tried.

    Out of range is below the 0.5th or above the 99.5th percentile of the other traffic. Its effect is the difference of
    two shares, of the failures and of the other traffic.
    """
    if not traffic.n:
        return None, 0
    tables: list[tuple[str, str, str, _Table, Any]] = []
    fields = [name for name in (*traffic.worded, *traffic.numeric) if name not in traffic.versions]
    ranges = _ranges(traffic)

    def measured(seen: Any) -> Any:
        empty = {f"empty {name}": seen[name].isnull().sum() for name in fields}
        out = {f"out {name}": _outside(seen[name], *ends).sum() for name, ends in ranges.items()}
        return seen.aggregate(n=seen.count(), **empty, **out)

    counts = measured(traffic.seen).to_pyarrow().to_pylist()[0]
    for name in fields:
        k, whole = sum(row[name] is None for row in traffic.failing), int(counts[f"empty {name}"] or 0)
        if whole < traffic.total:
            table = _Table(k, traffic.n, whole, traffic.total)
            tables.append(("missing", name, f"without {_plain(name)}", table, measured))
    for name, (low, high) in ranges.items():
        k = sum(row[name] is not None and not low <= row[name] <= high for row in traffic.failing)
        said = f"with {_plain(name)} outside {low:g} to {high:g}"
        whole = int(counts[f"out {name}"] or 0)
        tables.append(("range", name, said, _Table(k, traffic.n, whole, traffic.total), measured))
    for (name, value), table in traffic.values.items():
        if name.startswith("input."):
            tables.append(("value", name, f"with {name}={value}", table, lambda seen, name=name: _counted(seen, name)))
    best = None
    for what, name, said, table, build in tables:
        p, (here, there) = table.p(), table.shares
        interval = difference(table.k, table.n, *table.others, alpha=0.05 / len(tables))
        sure = p * len(tables) < ALPHA and here - there >= _POINTS and table.k >= _FEWEST
        if sure and (best is None or interval.low > best.interval.low):
            line = (
                f"{here:.0%} of these failures come {said}, {there:.0%} of the other traffic: {_points(interval)}; "
                f"{_tried(len(tables), 'test', p)}"
            )
            best = Claim(what, _plain(name), line, here - there, interval, table.traffic_n, traffic.query(build))
    return best, len(tables)


def _ranges(traffic: Traffic) -> Mapping[str, tuple[float, float]]:
    """The usual range of every numeric field: that of the traffic without the failures."""
    if not traffic.numeric:
        return {}
    seen = traffic.rest
    ends = {f"{at} {name}": seen[name].approx_quantile(at) for name in traffic.numeric for at in (0.005, 0.995)}
    row = seen.aggregate(**ends).to_pyarrow().to_pylist()[0]
    found = {name: (row[f"0.005 {name}"], row[f"0.995 {name}"]) for name in traffic.numeric}
    return {name: (float(low), float(high)) for name, (low, high) in found.items() if low is not None and low < high}


def _outside(column: Any, low: float, high: float) -> Any:
    return (column.notnull() & ((column < low) | (column > high))).cast("int64")


# --- what it was taught ---


def training_claim(
    traffic: Traffic, failures: Sequence[Failure], examples: Sequence[Example], place: Claim | None
) -> Claim | None:
    """What the examples lack: of the label that people give to these failures, of the slice they lie in, or of words.

    For a label, the effect is the share by which it falls short of the average of the other labels (exact binomial
    interval); for a slice, the difference between the traffic's share of it and the examples'; for words that no
    example has, the difference between the failures with any and the other traffic with any, on at most 2,000 texts
    of it. All three count as tried.
    """
    short = _short_of_label(failures, examples)
    if short is not None:
        return short
    return _uncovered(traffic, examples, place) or _unheard(traffic, failures, examples)


def _uncovered(traffic: Traffic, examples: Sequence[Example], place: Claim | None) -> Claim | None:
    """A context value that the examples have much more rarely than the traffic."""
    told = [e for e in examples if e.context]
    if place is None or place.what != "slice" or " & " in place.name or not told:
        return None
    name, _, value = place.name.partition("=")
    have = sum(_worded(e.context.get(name)) == value for e in told)
    within = sum(table.traffic_k for key, table in traffic.values.items() if key == (f"context.{name}", value))
    table = _Table(within, traffic.total, within + have, traffic.total + len(told))
    here, there = within / traffic.total, have / len(told)
    if table.p() * _GAPS >= ALPHA or here < _TWICE * there:
        return None
    interval = difference(within, traffic.total, have, len(told), alpha=0.05 / _GAPS)
    line = (
        f"{have:,} of {len(told):,} training examples ({there:.1%}) have {place.name}, {here:.1%} of the traffic: "
        f"{_points(interval)}; {_tried(_GAPS, 'gap', table.p())}"
    )
    return Claim("coverage", place.name, line, here - there, interval, traffic.total + len(told), place.query)


def _unheard(traffic: Traffic, failures: Sequence[Failure], examples: Sequence[Example]) -> Claim | None:
    """Words that no training example has, and the failures more often than other traffic (a sample of it by `rand`)."""
    mine = [f.input for f in failures if isinstance(f.input, str)]
    heard = {word for e in examples if isinstance(e.input, str) for word in _words(e.input)}
    if len(mine) < _FEWEST or not heard or "input_text" not in traffic.seen.columns:
        return None

    def some(seen: Any) -> Any:
        return seen.filter(seen.input_text.notnull()).order_by("rand").limit(_TEXTS).select("input_text")

    others = [row["input_text"] for row in some(traffic.rest).to_pyarrow().to_pylist()]
    news = [_words(text) - heard for text in mine]
    k, other_k = sum(bool(new) for new in news), sum(bool(_words(text) - heard) for text in others)
    if not others:
        return None
    table = _Table(k, len(mine), k + other_k, len(mine) + len(others))
    here, there = table.shares
    if table.p() * _GAPS >= ALPHA or here - there < _POINTS or k < _FEWEST:
        return None
    interval = difference(k, len(mine), other_k, len(others), alpha=0.05 / _GAPS)
    often = Counter(word for new in news for word in new).most_common()
    named = [word for word, n in sorted(often, key=lambda item: (-item[1], item[0])) if n >= _FEWEST][:3]
    which = f" ({', '.join(map(repr, named))})" if named else ""
    line = (
        f"{here:.0%} of these failures have words that none of {len(examples):,} training examples has{which}, "
        f"{there:.0%} of the other traffic: {_points(interval)}; {_tried(_GAPS, 'gap', table.p())}"
    )
    return Claim(
        "words", which[2:-1] or "such words", line, here - there, interval, table.traffic_n, traffic.query(some)
    )


def _words(text: str) -> set[str]:
    """The words of a text; what has a digit in it is a number or a name of something, and always new."""
    return set(_WORD.findall(text.lower()))


def _short_of_label(failures: Sequence[Failure], examples: Sequence[Example]) -> Claim | None:
    from scipy.stats import binomtest

    told = Counter(_key(f.label) for f in failures if f.label is not None)
    taught = Counter(_key(e.label) for e in examples)
    if not told or len(taught.keys() | told.keys()) < 2:
        return None
    label, n = min(told.items(), key=lambda item: (-item[1], item[0]))
    if n * 2 < sum(told.values()):
        return None
    mine, others = taught[label], sum(taught.values()) - taught[label]
    rest = len(taught.keys() - {label})
    usual = others / rest
    test = binomtest(mine, mine + others, 1.0 / (rest + 1), alternative="less")
    if test.pvalue * _GAPS >= ALPHA or mine * _TWICE > usual:
        return None
    share = binomtest(mine, mine + others).proportion_ci(1.0 - 0.05 / _GAPS, method="exact")
    low, high = (1.0 - rest * end / (1.0 - end) for end in (share.high, share.low))
    short = 1.0 - mine / usual
    interval = Interval(short, max(-1.0, low), min(1.0, high), mine + others)
    said = json.loads(label)
    name = said if isinstance(said, str) else label
    line = (
        f"people say {name!r} of {n} of the {sum(told.values())} labelled ones; the model was taught it by {mine:,} "
        f"example{'' if mine == 1 else 's'}, the other {rest} label{'' if rest == 1 else 's'} by {usual:.3g} on "
        f"average: {short:.0%} fewer (95% interval {interval.low:.0%} to {interval.high:.0%}); "
        f"{_tried(_GAPS, 'gap', test.pvalue)}"
    )
    return Claim("label", name, line, short, interval, mine + others)


def _key(label: Any) -> str:
    return json.dumps(label, ensure_ascii=False, sort_keys=True)
