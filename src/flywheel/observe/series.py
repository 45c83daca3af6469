"""Metrics over time, in one pass over the tables."""

from __future__ import annotations

from typing import Any, Protocol

import ibis

from flywheel.errors import InvalidConfig

__all__ = ["EVERY", "Seen", "metrics", "negative"]

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


def metrics(snapshot: Seen, every: str = "hour") -> list[dict[str, Any]]:
    """One row per `minute`, `hour` or `day` that has interactions, in order of time.

    Each has `at` (the start, UTC), `volume`, `errors` and `negative` (shares of the interactions; negative feedback
    is counted where the interaction happened, not when the feedback came), `feedback` (share with any),
    `confidence` (mean), `latency_p50` and `latency_p95` in milliseconds; None where nothing was measured.
    O(interactions + feedback), in the engine.
    """
    if every not in EVERY:
        raise InvalidConfig(f"metrics every {every!r}: there are {', '.join(EVERY)}")
    seen = with_feedback(snapshot)
    rows = seen.group_by(at=seen["at"].truncate(EVERY[every])).aggregate(
        volume=seen.count(),
        errors=seen.failed.mean(),
        negative=seen.negative.mean(),
        feedback=seen.told.mean(),
        confidence=seen.confidence.mean(),
        latency_p50=seen.latency_ms.approx_quantile(0.5),
        latency_p95=seen.latency_ms.approx_quantile(0.95),
    )
    found: list[dict[str, Any]] = rows.order_by("at").to_pyarrow().to_pylist()
    return found


def with_feedback(snapshot: Seen) -> Any:
    """Interactions with `failed`, `told` and `negative` as 0.0 or 1.0: an error, any feedback, a complaint."""
    f = snapshot.feedback
    per = f.group_by("interaction_id").aggregate(negative=negative(f).max(), told=f.count())
    seen = snapshot.interactions
    joined = seen.select("id", "at", "confidence", "latency_ms", "output", "error").left_join(
        per, [("id", "interaction_id")]
    )
    return joined.mutate(
        failed=(joined.error.notnull() & (joined.error != "")).ifelse(1.0, 0.0),
        told=joined.told.notnull().ifelse(1.0, 0.0),
        negative=joined.negative.fill_null(0.0),
    )


def negative(f: Any) -> Any:
    """1.0 for a negative rating or a report."""
    bad = ((f.kind == "rating") & (f.number < 0)) | (f.kind == "report")
    return bad.ifelse(1.0, 0.0).fill_null(ibis.literal(0.0))
