"""Metrics over time, in one pass over the tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import ibis

from flywheel.errors import InvalidConfig

__all__ = ["EVERY", "Cut", "Seen", "column_of", "metrics", "negative", "utc", "wilson", "within"]

EVERY = {"minute": "m", "hour": "h", "day": "D"}


class Seen(Protocol):
    """What observation needs of a snapshot: its two tables."""

    @property
    def interactions(self) -> Any:
        """One row per interaction."""
        ...

    @property
    def feedback(self) -> Any:
        """One row per feedback, about any interaction."""
        ...


def metrics(
    snapshot: Seen, every: str = "hour", *, where: Mapping[str, Any] | None = None, by: str | None = None
) -> list[dict[str, Any]]:
    """One row per `minute`, `hour` or `day` that has interactions, in order of time.

    Each has `at` (the start, UTC), `volume`, `errors` and `negative` (shares of the interactions; negative feedback
    is counted where the interaction happened, not when the feedback came), `feedback` (share with any),
    `confidence` (mean), `latency_p50` and `latency_p95` in milliseconds; None where nothing was measured. From
    trusted labels come `failures` (the share of wrong answers among all, each label weighted by 1 / propensity),
    `failures_low` and `failures_high` (its 95 % interval) and `labels` (how many there are); from comments, `sentiment`
    (mean, -1 to 1).

    `where` keeps the interactions with these values: `{"device": "ios"}` or `{"context.device": "ios", "model": "7"}`.
    `by` gives a row per window and value of a column, under the column's name. What arrives late counts in the window
    in which it happened: ask again, and that window has it. O(interactions + feedback), in the engine.
    """
    if every not in EVERY:
        raise InvalidConfig(f"metrics every {every!r}: there are {', '.join(EVERY)}")
    cut = within(snapshot, where or {})
    column = column_of(cut.interactions, by) if by is not None else None
    keys = ("at",) if column is None else ("at", column)
    seen = with_feedback(cut, () if column is None else (column,))
    rows = seen.group_by([seen["at"].truncate(EVERY[every]).name("at"), *keys[1:]]).aggregate(
        volume=seen.count(),
        errors=seen.failed.mean(),
        negative=seen.negative.mean(),
        feedback=seen.told.mean(),
        confidence=seen.confidence.mean(),
        latency_p50=seen.latency_ms.approx_quantile(0.5),
        latency_p95=seen.latency_ms.approx_quantile(0.95),
    )
    found: list[dict[str, Any]] = rows.order_by(keys).to_pyarrow().to_pylist()
    known, felt = _failures(cut, every, keys), feelings(cut, every, keys)
    for row in found:
        window = tuple(row[key] for key in keys)
        row.update(known.get(window, _UNJUDGED))
        row["sentiment"] = felt.get(window)
        if column is not None and by is not None and by != column:
            row[by] = row.pop(column)
    return found


_UNJUDGED = {"failures": None, "failures_low": None, "failures_high": None, "labels": 0}


def _failures(cut: Seen, every: str, keys: tuple[str, ...]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The weighted share of wrong answers by window, with Wilson's interval on the effective number of labels."""
    from flywheel.observe.judged import judged

    if not {"source", "value", "propensity"} <= set(cut.feedback.columns):
        return {}
    told = judged(cut, columns=keys[1:])
    sums = told.group_by([told["at"].truncate(EVERY[every]).name("at"), *keys[1:]]).aggregate(
        labels=told.count(),
        mass=told.weight.sum(),
        squares=(told.weight * told.weight).sum(),
        lost=(told.weight * told.wrong).sum(),
    )
    found = {}
    for row in sums.to_pyarrow().to_pylist():
        share, worth = row["lost"] / row["mass"], row["mass"] ** 2 / row["squares"]
        low, high = wilson(share, worth)
        found[tuple(row[key] for key in keys)] = {
            "failures": share,
            "failures_low": low,
            "failures_high": high,
            "labels": row["labels"],
        }
    return found


def feelings(cut: Seen, every: str, keys: tuple[str, ...]) -> dict[tuple[Any, ...], float]:
    """The mean sentiment of comments by window (`keys` are its columns); each distinct comment is read once."""
    f = cut.feedback
    if "text" not in f.columns:
        return {}
    names = dict.fromkeys(("id", "at", *keys[1:]))
    said = f.filter((f.kind == "comment") & f.text.notnull()).select("interaction_id", comment=f.text)
    if not said.limit(1).to_pyarrow().num_rows:  # cheaper than to find out by joining all traffic
        return {}
    joined = cut.interactions.select(*names).inner_join(said, [("id", "interaction_id")])
    counts = joined.group_by([joined["at"].truncate(EVERY[every]).name("at"), *keys[1:], "comment"])
    rows = counts.aggregate(n=joined.count()).to_pyarrow()
    if not rows.num_rows:
        return {}
    from flywheel.observe.sentiment import sentiment

    sums: dict[tuple[Any, ...], list[float]] = {}
    scores = sentiment(rows.column("comment").to_pylist()).tolist()
    windows = zip(*(rows.column(key).to_pylist() for key in keys), strict=True)
    for window, n, score in zip(windows, rows.column("n").to_pylist(), scores, strict=True):
        if not math.isnan(score):
            found = sums.setdefault(window, [0.0, 0.0])
            found[0] += n * score
            found[1] += n
    return {window: total / n for window, (total, n) in sums.items()}


def wilson(share: float, n: float, z: float = 1.959964) -> tuple[float, float]:
    """Interval of a share of n cases, which may be an effective number (E. B. Wilson, 1927)."""
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a window: some of its interactions, and all feedback."""

    interactions: Any
    feedback: Any
    bounds: tuple[int, int] = (0, 0)


def within(snapshot: Seen, where: Mapping[str, Any]) -> Seen:
    """The part of a window whose interactions have these values; names as in `column_of`. None asks for no value."""
    table = snapshot.interactions
    for name, value in where.items():
        column = table[column_of(table, name)]
        table = table.filter(column.isnull() if value is None else column == value)
    return Cut(table, snapshot.feedback, getattr(snapshot, "bounds", (0, 0))) if where else snapshot


def utc(at: datetime) -> datetime:
    """The moment with its zone; engines give UTC without saying so."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def column_of(table: Any, name: str) -> str:
    """The column a user means: `device` is `context.device`, else `input.device`, where no column is called so."""
    for column in (name, f"context.{name}", f"input.{name}"):
        if column in table.columns:
            return column
    known = ", ".join(c for c in table.columns if c.startswith(("context.", "input."))) or "none"
    raise InvalidConfig(f"There is no column {name!r} in the window. Of context and input there are: {known}")


def with_feedback(snapshot: Seen, columns: tuple[str, ...] = ()) -> Any:
    """Interactions with `columns`, and `failed`, `told`, `negative`: 1.0 after an error, any feedback, a complaint."""
    f = snapshot.feedback
    per = f.group_by("interaction_id").aggregate(negative=negative(f).max(), told=f.count())
    seen = snapshot.interactions
    names = dict.fromkeys(("id", "at", "confidence", "latency_ms", "output", "error", *columns))
    joined = seen.select(*names).left_join(per, [("id", "interaction_id")])
    return joined.mutate(
        failed=(joined.error.notnull() & (joined.error != "")).ifelse(1.0, 0.0),
        told=joined.told.notnull().ifelse(1.0, 0.0),
        negative=joined.negative.fill_null(0.0),
    )


def negative(f: Any) -> Any:
    """1.0 for a negative rating or a report."""
    bad = ((f.kind == "rating") & (f.number < 0)) | (f.kind == "report")
    return bad.ifelse(1.0, 0.0).fill_null(ibis.literal(0.0))
