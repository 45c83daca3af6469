"""Blameless reports: which interaction one is about, what became of it, and the figures of a whole collection.

A report says what happened and never who did it: Edmondson (1999), "Psychological safety and learning behavior in work
teams", on why people only tell of failures where telling costs them nothing.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

import ibis
import numpy as np

from flywheel.records import Interaction, Mode, Proposal, Report, to_dict

__all__ = ["STATES", "SURE", "Clues", "brought_up", "of_mode", "propose", "report_figures", "shown_to_reporter"]

STATES = ("received", "joined", "acknowledged", "fixed", "closed")
"""What a report goes through, in order."""

SURE = 0.9
"""From this probability on a report is joined to an interaction without asking anybody."""

_NOT_LOGGED = 0.1  # the interaction that a report is about is not in the log, as often as this
_BACK, _AHEAD = timedelta(days=3), timedelta(minutes=5)  # how far from the report an interaction is looked for
_SCALE = 600.0  # seconds; half of those who report do it within so long
_SAME_SESSION, _SAME_USER = 0.995, 0.95  # what a report names is what its interaction has, as often as this
_TELLS, _QUOTES = 0.3, 0.85  # a word of a report, of a quotation, comes from the interaction, as often as this
_DAMPED = 0.7  # words of one text depend on one another: their evidence counts for less than its sum
_WORDS, _CANDIDATES, _SHOWN = 24, 2_000, 3
_COUNTED = 200_000  # interactions in which the words of a report are counted
_WORD = re.compile(r"[^\W_][\w'’-]{2,}")
_WEEK = timedelta(days=7)
_ALIKE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Clues:
    """What a report tells about the interaction it is about. `user` and `session` as the log has them."""

    when: datetime
    trace: str | None = None
    session: str | None = None
    user: str | None = None
    what: str = ""
    near: str = ""
    """Words of the input or the answer, as the reporter remembers them."""


def propose(interactions: Any, clues: Clues) -> tuple[Proposal, ...]:
    """The likeliest interactions, at most three, the likeliest first, each with the probability that it is the one.

    Record linkage after Fellegi and Sunter (1969), "A theory for record linkage": every clue that agrees weighs as much
    as chance agreement is rare. How rare a session, a user and each word is, is counted in the three days before the
    report (words after Robertson and Spärck Jones, 1976); the time before it follows a long-tailed law with a median of
    ten minutes; one report in ten is taken to be about something that was never logged. The assumed rates are not
    measured on your product: take the probability as an order, and what is above `SURE` as what it says.

    `interactions` is an Ibis table with the columns of the log. O(window) in the engine; at most 2,000 rows leave it.
    """
    seen = _window(interactions, clues)
    words = dict.fromkeys(_words(clues.what), _TELLS) | dict.fromkeys(_words(clues.near), _QUOTES)
    words = dict(list(words.items())[-_WORDS:])
    text = _text_of(seen)
    has = {f"w{place}": text.contains(word) for place, word in enumerate(words)}
    no = ibis.literal(False)
    flags = {
        "same_session": seen.session == clues.session if clues.session else no,
        "same_user": seen.user == clues.user if clues.user else no,
        **has,
    }
    as_number = {name: flag.fill_null(no).cast("int64") for name, flag in flags.items()}
    counts = _counts(seen, as_number)
    if not counts["rows"]:
        return ()
    log_prior = math.log((1.0 - _NOT_LOGGED) / counts["rows"])
    pool, elsewhere = seen, None
    if clues.session and counts["same_session"]:  # the others need not be read: what they weigh together is known
        pool = seen.filter(seen.session == clues.session)
        chance = (counts["same_session"] + 0.5) / (counts["rows"] + 1.0)
        elsewhere = math.log((1.0 - _SAME_SESSION) / (1.0 - chance))
    marked = pool.select("id", "at", **as_number)
    agreeing = reduce(lambda a, b: a + b, (marked[name] * (100 if name.startswith("same") else 1) for name in flags))
    apart = (marked.at.epoch_seconds() - int(clues.when.timestamp())).abs()
    best = marked.mutate(agreeing=agreeing, apart=apart).order_by(ibis.desc("agreeing"), "apart", "id")
    rows = best.limit(_CANDIDATES).drop("agreeing", "apart").to_pyarrow().to_pylist()
    weights = np.array([_weight(row, counts, clues, list(words.values())) for row in rows])
    others = counts["rows"] - len(rows)
    everything = [math.log(_NOT_LOGGED), *(weights + log_prior)]
    if others:  # by chance clues weigh 1 on average; and nobody left out agrees better than the last one looked at
        everything.append(math.log(others) + log_prior + (float(weights.min()) if elsewhere is None else elsewhere))
    total = float(np.logaddexp.reduce(everything))
    posterior = np.exp(weights + log_prior - total)
    order = sorted(range(len(rows)), key=lambda place: (-posterior[place], rows[place]["id"]))[:_SHOWN]
    return tuple(
        Proposal(rows[place]["id"], round(float(posterior[place]), 4), _reason(rows[place], clues, len(words)))
        for place in order
        if posterior[place] >= 0.01
    )


def _counts(seen: Any, flags: Mapping[str, Any]) -> dict[str, int]:
    """How many rows there are, and how many agree with each clue; words are counted in a sample of a large window."""
    named = {name: flag for name, flag in flags.items() if name.startswith("same")}
    marked = seen.select("id", **named)
    whole = marked.aggregate(rows=marked.count(), **{name: marked[name].sum() for name in named})
    found = {name: int(count or 0) for name, count in whole.to_pyarrow().to_pylist()[0].items()}
    words = {name: flag for name, flag in flags.items() if name not in named}
    if not words or not found["rows"]:
        return found
    part = seen.select(**words, **({"rand": seen.rand} if "rand" in seen.columns else {}))
    if found["rows"] > _COUNTED and "rand" in seen.columns:
        part = part.filter(part.rand < _COUNTED / found["rows"])
    told = (
        part.aggregate(sampled=part.count(), **{name: part[name].sum() for name in words}).to_pyarrow().to_pylist()[0]
    )
    scale = found["rows"] / max(int(told["sampled"]), 1)
    return found | {name: round(int(told[name] or 0) * scale) for name in words}


def _window(interactions: Any, clues: Clues) -> Any:
    """Where to look: in the trace, if one is told; else in the days before the report."""
    if clues.trace:
        told = [interactions.id.startswith(clues.trace.lower())]
        if "extra" in interactions.columns:
            told.append(interactions.extra.contains(f'"trace_id":"{clues.trace}"').fill_null(ibis.literal(False)))
        named = [name for name in ("context.trace_id", "context.trace") if name in interactions.columns]
        told += [interactions[name] == clues.trace for name in named]
        return interactions.filter(reduce(or_, told))
    begin, end = clues.when - _BACK, clues.when + _AHEAD
    return interactions.filter(interactions.at >= begin, interactions.at <= end)


def _words(text: str) -> list[str]:
    """The words of a text, each once, the longest last: those tell most."""
    return sorted(dict.fromkeys(_WORD.findall(text.lower())), key=len)


def _text_of(seen: Any) -> Any:
    return seen.input.fill_null("").concat(" ", seen.output.fill_null("")).lower()


def _weight(row: Mapping[str, Any], counts: Mapping[str, int], clues: Clues, rates: Sequence[float]) -> float:
    """The log-likelihood ratio that this is the interaction, against any other of the window."""
    rows = counts["rows"]
    weight = 0.0
    named = (("same_session", clues.session, _SAME_SESSION), ("same_user", clues.user, _SAME_USER))
    for name, told, agrees in named:
        if told:
            chance = (counts[name] + 0.5) / (rows + 1.0)
            weight += math.log(agrees / chance) if row[name] else math.log((1.0 - agrees) / (1.0 - chance))
    if not clues.trace:
        seconds = (clues.when - row["at"]).total_seconds()
        density = _SCALE / (_SCALE + max(seconds, 0.0)) ** 2 if seconds >= 0 else 0.1 / _SCALE
        weight += math.log(density * (_BACK + _AHEAD).total_seconds())
    words = 0.0
    for place, rate in enumerate(rates):
        chance = min(max(counts[f"w{place}"], 0.5) / rows, 1.0)
        words += math.log((chance + (1.0 - chance) * rate) / chance) if row[f"w{place}"] else math.log(1.0 - rate)
    return weight + _DAMPED * words


def _reason(row: Mapping[str, Any], clues: Clues, words: int) -> str:
    """What agrees, without a word of what was logged."""
    minutes = (clues.when - row["at"]).total_seconds() / 60.0
    told = [name for name in ("session", "user") if row[f"same_{name}"]]
    said = [f"the same {name}" for name in told] + (["the same trace"] if clues.trace else [])
    held = sum(row[f"w{place}"] for place in range(words))
    said += [f"{held} of {words} words"] if words else []
    return ", ".join([*said, f"{abs(minutes):,.0f} min {'before' if minutes >= 0 else 'after'} the report"])


# --- what became of it ---


def brought_up(
    report: Report,
    *,
    assigned: Mapping[str, tuple[str, datetime]],
    modes: Mapping[str, Mode],
    released: Mapping[str, datetime],
    at: datetime,
) -> Report:
    """A report in the state that the spins since have brought it to.

    `assigned` says into which failure mode an interaction was put, and when; that acknowledges the report. When a
    release (`released`: version → when) has fixed the mode, the report is fixed; when the mode comes back, the report
    is acknowledged again, and its reporter will be told of the next fix. What a person closed stays closed.
    """
    if report.state == "closed":
        return report
    mode, when = report.mode, None
    if report.interaction_id is not None and report.interaction_id in assigned:
        found, when = assigned[report.interaction_id]
        mode = found if report.mode is None else mode
    if mode is None or mode not in modes:
        return report
    known = modes[mode]
    moved = replace(report, mode=mode, acknowledged_at=report.acknowledged_at or max(when or at, report.at))
    if known.state == "fixed" and known.fixed_in is not None:
        if moved.state == "fixed" and moved.fixed_in == known.fixed_in:
            return moved
        mended = max(released.get(known.fixed_in, at), moved.at)
        acknowledged = min(moved.acknowledged_at or mended, mended)
        return replace(
            moved, state="fixed", fixed_in=known.fixed_in, fixed_at=mended, acknowledged_at=acknowledged,
            told_at=None, told_how=None,
        )  # fmt: skip
    if moved.state == "fixed":
        return replace(
            moved, state="acknowledged", fixed_in=None, fixed_at=None, told_at=None, told_how=None,
            reopened=moved.reopened + 1,
        )  # fmt: skip
    return replace(moved, state="acknowledged")


def of_mode(seen: Interaction | None, modes: Iterable[Mode], known: Mapping[str, Interaction]) -> str | None:
    """The failure mode that an interaction belongs to which no spin has judged, because its report came late.

    It has the same answer as an exemplar of the mode (`known`: id → interaction), and at least half of the words of
    both in common (Jaccard), or the same input. The likest mode; None where none is like it.
    """
    if seen is None:
        return None
    best: tuple[float, str] | None = None
    mine = _said(seen)
    for mode in modes:
        for key in mode.exemplars:
            other = known.get(key)
            if other is None or other.output != seen.output:
                continue
            theirs = _said(other)
            alike = 1.0 if other.input == seen.input else len(mine & theirs) / max(len(mine | theirs), 1)
            if alike >= _ALIKE and (best is None or (alike, mode.id) > best):
                best = (alike, mode.id)
    return best[1] if best else None


def _said(seen: Interaction) -> frozenset[str]:
    return frozenset(_WORD.findall(json.dumps(seen.input, ensure_ascii=False).lower()))


_LINES = {
    "received": "It has arrived. Nobody has looked at it yet.",
    "acknowledged": "It has been looked at, and is being worked on.",
    "fixed": "It is fixed. Thank you for telling us.",
    "closed": "It is closed.",
}


def shown_to_reporter(report: Report) -> dict[str, Any]:
    """What the holder of a token may know: the state and its dates. No text, no interaction, nobody else's data.

    >>> from datetime import UTC, datetime
    >>> shown_to_reporter(Report(id="r1", at=datetime(2026, 1, 1, tzinfo=UTC), what="the card is wrong"))["state"]
    'received'
    """
    state = "received" if report.state == "joined" else report.state  # what it was joined to is nobody's business
    line = _LINES[state]
    if report.reopened and state == "acknowledged":
        line = "It had been fixed and has come back. It is being worked on."
    elif state == "closed" and report.closing:
        line = f"It is closed: {report.closing}"
    dates = {name: getattr(report, name) for name in ("at", "acknowledged_at", "fixed_at", "closed_at")}
    found: dict[str, Any] = to_dict({"id": report.id, "state": state, "line": line, **dates})
    return found


# --- figures ---


def report_figures(reports: Sequence[Report], at: datetime) -> dict[str, Any]:
    """How much is reported, and how long it takes: JSON values.

    `weeks` counts reports by week (Monday, UTC), weeks without any among them. `to_acknowledge` and `to_fix` are the
    median times in hours with their 95 % intervals (Kaplan and Meier, 1958; Brookmeyer and Crowley, 1982), in which
    reports that still wait count for as long as they have waited: leaving them out would flatter. A median is None
    while fewer than half are expected to be done, and so is an end of an interval that is not reached yet.
    """
    told = [report for report in reports if report.at <= at]
    counted = Counter(_monday(report.at) for report in told)
    weeks, monday = [], min(counted, default=_monday(at))
    while monday <= _monday(at):
        weeks.append({"week": monday.date().isoformat(), "reports": counted[monday]})
        monday += _WEEK
    modes = Counter(report.mode for report in told if report.mode is not None)
    fixed = [report for report in told if report.fixed_at is not None]
    return {
        "reports": len(told),
        "weeks": weeks,
        "by_state": {state: sum(report.state == state for report in told) for state in STATES},
        "joined": _share(sum(report.interaction_id is not None for report in told), len(told)),
        "anonymous": _share(sum(report.by is None for report in told), len(told)),
        "told": _share(sum(report.told_at is not None for report in fixed), len(fixed)),
        "reopened": sum(report.reopened > 0 for report in told),
        "to_acknowledge": _median(told, "acknowledged_at", at),
        "to_fix": _median(told, "fixed_at", at),
        "by_mode": [
            {
                "mode": mode,
                "reports": count,
                "fixed": sum(r.mode == mode and r.fixed_at is not None for r in told),
                "to_fix": _median([r for r in told if r.mode == mode], "fixed_at", at),
            }
            for mode, count in sorted(modes.items(), key=lambda item: (-item[1], item[0]))
        ],
    }


def _monday(at: datetime) -> datetime:
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def _share(k: int, n: int) -> float | None:
    return round(k / n, 4) if n else None


def _median(reports: Sequence[Report], done: str, at: datetime) -> dict[str, Any]:
    """The median time from report to `done` in hours; those that wait, or were closed, are censored."""
    from scipy import stats

    ended, waiting = [], []
    for report in reports:
        moment = getattr(report, done)
        if moment is not None and moment <= at:
            ended.append(max((moment - report.at).total_seconds(), 0.0) / 3600.0)
        else:
            waiting.append(max((min(report.closed_at or at, at) - report.at).total_seconds(), 0.0) / 3600.0)
    found: dict[str, Any] = dict.fromkeys(("median_hours", "low", "high"))
    found |= {"done": len(ended), "waiting": len(waiting)}
    if not ended:
        return found
    survival = stats.ecdf(stats.CensoredData(uncensored=ended, right=waiting)).sf
    times, alive = survival.quantiles, survival.probabilities
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where everybody is done the band is not defined
        band = survival.confidence_interval(0.95, method="log-log")
    low = np.where(alive <= 0.0, 0.0, band.low.probabilities)
    high = np.where(alive <= 0.0, 1.0, band.high.probabilities)
    found["median_hours"], found["low"], found["high"] = (_first(times, one) for one in (alive, low, high))
    return found


def _first(times: np.ndarray[Any, Any], alive: np.ndarray[Any, Any]) -> float | None:
    below = np.flatnonzero(alive <= 0.5)
    return round(float(times[below[0]]), 3) if below.size else None
