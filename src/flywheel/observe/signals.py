"""Signs of trouble that nobody was asked for: asked again, asked otherwise, given up, handed to a person."""

from __future__ import annotations

from typing import Any

import ibis

from flywheel.observe.sentiment import turn_text
from flywheel.observe.series import Seen

__all__ = ["SIGNALS", "signals", "signals_of", "turns_of"]

SIGNALS = ("rephrased", "repeated", "abandoned", "escalated")

SOON, LATER, QUIET = 60, 3_600, 1_800
"""Seconds: a rephrasing comes within a minute, a repetition within an hour; a session that has been still for half an
hour is over."""
ALIKE, TYPOS = 0.5, 0.3
_BREAK = r"[^\p{L}\p{N}']+"
_COMPLAINT = (
    r"(?i)\b(not working|(does|did|do)(n't| not) (work|help|understand|make sense)|isn't (right|working|what)|"
    r"not (right|helpful|what i (asked|meant|said|want\w*))|wrong|useless|never ?mind|forget it|give up|"
    r"waste of time|no use|still (not|no|wrong|does)|that's not|not sure (that|this)|are you sure|"
    r"falsch|funktioniert nicht|geht nicht|vergiss es|egal|hilft (mir )?nicht|unsinn|stimmt nicht)\b"
)
_WHO = r"(human|person|people|agent|operator|representative|someone|somebody|supervisor|manager|staff|employee)"
_PERSON = (
    r"(?i)\b(speak|talk|chat|connect\w*|transfer\w*|put me through|get me|escalate)\b.{0,40}\b" + _WHO + r"\b|"
    r"\b(real|live|actual) " + _WHO + r"\b|^\W*" + _WHO + r"( please)?\W*$|"
    r"\b(sprechen|reden|verbinde\w*|weiterleiten)\b.{0,40}\b(mensch\w*|mitarbeiter\w*|berater\w*|jemand\w*)|"
    r"\b(mensch\w*|mitarbeiter\w*|berater\w*|jemand\w*)\b.{0,40}\b(sprechen|reden|verbinden)\b"
)
_HANDED = r"(?i)escalat|hand(ed)?[ _-]?(off|over)|transferred|to[ _-]human"


def signals(seen: Seen) -> Any:
    """An Ibis table `(id, rephrased, repeated, abandoned, escalated)`, a row an interaction, all booleans.

    Turns belong together by session, else by user. Marked is the turn after whose answer it happened:

    - `rephrased`: the next turn comes within a minute and is nearly the same, not in the same words: half of the two
      turns' words are shared, or three in ten letters or fewer differ;
    - `repeated`: the next turn, within an hour, has the same words in the same order;
    - `abandoned`: the last turn of a session of which nothing was heard for half an hour, with no good rating or
      outcome, that ended in an error or without an answer, or asks the one before it again, or whose words complain,
      doubt or give up (English, German);
    - `escalated`: it asks for a person (English, German), or an outcome says it was handed to one.

    One expression over both tables: a window function, a join, and regular expressions. O(n log n) in the engine.
    """
    return signals_of(seen.interactions, seen.feedback)


def turns_of(interactions: Any) -> Any:
    """The turns with their words, and the words and time of those before and after."""
    t = interactions
    text = turn_text(t)
    words = (" " + text.lower().re_replace(_BREAK, " ") + " ").re_replace(" +", " ")
    keys = [t[name] for name in ("session", "user") if name in t.columns]
    turns = t.select(
        "id",
        "at",
        "seq",
        *[t[name] for name in ("output", "error", "rand") if name in t.columns],
        text=text,
        words=words,
        session=t.session if "session" in t.columns else ibis.literal(None, "string"),
        who=ibis.coalesce(*keys, t.id) if keys else t.id,
    )
    by = ibis.window(group_by=turns.who, order_by=[turns["at"], turns.seq])
    return turns.mutate(
        next_words=turns.words.lead().over(by),
        next_text=turns.text.lead().over(by),
        next_session=turns.session.lead().over(by),
        wait=(turns["at"].lead().over(by).epoch_seconds() - turns["at"].epoch_seconds()),
        silence=turns["at"].max().over(ibis.window()).epoch_seconds() - turns["at"].epoch_seconds(),
    )


def signals_of(interactions: Any, feedback: Any) -> Any:
    """The expression behind `signals`, on the two tables themselves."""
    t, f = turns_of(interactions), feedback
    good = ((f.kind == "rating") & (f.number > 0)).ifelse(1, 0)
    named = f.name.fill_null("") if "name" in f.columns else ibis.literal("")
    value = f.value.fill_null("") if "value" in f.columns else ibis.literal("")
    said_no = value.lower().isin(['"no"', "false", "0", "0.0", "null", '"false"'])
    handed = (f.kind == "outcome") & (named.re_search(_HANDED) | value.re_search(_HANDED)) & ~said_no
    fine = (f.kind == "outcome") & ~handed & (f.number > 0)
    told = f.group_by("interaction_id").aggregate(
        good=(good + fine.fill_null(False).ifelse(1, 0)).max(), handed=handed.fill_null(False).ifelse(1, 0).max()
    )
    t = t.mutate(otherwise=_alike(t.words, t.next_words, t.wait), again=_same(t.words, t.next_words, t.wait))
    by = ibis.window(group_by=t.who, order_by=[t["at"], t.seq])
    t = t.mutate(asks_again=(t.otherwise | t.again).lag().over(by).fill_null(False))
    both = t.left_join(told, [("id", "interaction_id")])
    empty = ibis.literal(False)
    if "error" in both.columns:
        empty = both.error.notnull() & (both.error != "")
    if "output" in both.columns:
        empty = empty | both.output.isnull() | both.output.isin(["null", '""'])
    last = both.session.notnull() & (both.wait.isnull() | (both.next_session != both.session))
    bad_end = empty | both.asks_again | both.text.re_search(_COMPLAINT).fill_null(False)
    return both.select(
        id=both.id,
        rephrased=both.otherwise,
        repeated=both.again,
        abandoned=(last & bad_end & (both.good.fill_null(0) < 1) & (both.silence >= QUIET)).fill_null(False),
        escalated=(both.text.re_search(_PERSON).fill_null(False) | (both.handed.fill_null(0) > 0)),
    )


def _same(one: Any, other: Any, seconds: Any) -> Any:
    return ((one == other) & (one != " ") & (seconds <= LATER)).fill_null(False)


def _alike(one: Any, other: Any, seconds: Any) -> Any:
    """Nearly the same words, within a minute; what costs more is only asked of turns that come so soon."""
    mine, n = one.strip().split(" "), other.strip().split(" ").length()
    shared = ibis.least(mine.filter(lambda word: other.contains(" " + word + " ")).length(), n)
    overlap = shared / (mine.length() + n - shared).nullif(0)
    longer = ibis.greatest(one.length(), other.length()).nullif(0)
    slip = ((one.length() - other.length()).abs() <= TYPOS * longer).ifelse(
        (one.levenshtein(other) / longer) <= TYPOS, False
    )
    near = (overlap >= ALIKE).ifelse(True, slip)
    soon = (seconds <= SOON) & (one != " ") & (other != " ") & (one != other)
    return soon.fill_null(False).ifelse(near, False).fill_null(False)
