"""What a window shows, beside an earlier one: levels, and shifts by their size, with an alarm only where it hurts.

Effects are sizes that do not grow with traffic: differences of shares, the standardised difference of means (Cohen
1988), and total variation between the mixes of answers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from flywheel.observe.series import Seen, with_feedback
from flywheel.records import Observation

if TYPE_CHECKING:
    from flywheel.config import DetectSettings

__all__ = ["observe"]

HURTS = 0.02
"""Least rise of a share of bad answers, in absolute terms, that raises an alarm …"""
SURE = 4.0
"""… when it is also so many standard errors away from none."""
MOVED = 0.2
"""A standardised difference of at least this much is said to have moved (Cohen's "small")."""
MIX = 0.1
"""A share of answers that differs by this much between two windows is said to have moved."""


def observe(
    window: Seen, reference: Seen | None, scored: Any = None, settings: DetectSettings | None = None
) -> tuple[Observation, ...]:
    """Measure a window, and hold it against `reference` where there is one.

    `scored` is the detected table with `p_failure`, where it is known already. Observations of kind `metric` give
    levels; of kind `shift`, sizes of change in confidence and in the mix of answers, which never alarm by
    themselves: only more errors, more negative feedback or more failures do, by at least 2 points and 4 standard
    errors.
    """
    now = _summary(window, scored)
    if not now["volume"]:
        return (Observation(kind="metric", name="volume", line="No interactions in this window", value=0.0),)
    before = _summary(reference, None) if reference is not None else None
    if before is not None and not before["volume"]:
        before = None
    limit = settings.latency_ms if settings is not None else 0.0
    out = [_volume(now, before)]
    out += [_share(name, words, now, before) for name, words in _SHARES if now.get(name) is not None]
    out += _levels(now, before, limit)
    if before is not None and reference is not None:
        out += _shifts(now, before, window, reference)
    return tuple(out)


_SHARES = (
    ("error_rate", "ended in an error"),
    ("negative_rate", "drew negative feedback"),
    ("p_failure", "are expected to be failures"),
)


def _summary(seen: Seen, scored: Any) -> dict[str, Any]:
    table = with_feedback(seen)
    row: dict[str, Any] = (
        table.aggregate(
            volume=table.count(),
            error_rate=table.failed.mean(),
            negative_rate=table.negative.mean(),
            confidence=table.confidence.mean(),
            spread=table.confidence.std(),
            confident=table.confidence.count(),
            latency_p50=table.latency_ms.approx_quantile(0.5),
            latency_p95=table.latency_ms.approx_quantile(0.95),
        )
        .to_pyarrow()
        .to_pylist()[0]
    )
    row["p_failure"] = (
        scored.aggregate(p=scored.p_failure.mean()).to_pyarrow().to_pylist()[0]["p"] if scored is not None else None
    )
    return row


def _volume(now: dict[str, Any], before: dict[str, Any] | None) -> Observation:
    n = now["volume"]
    line = f"{n:,} interactions"
    if before is not None:
        line += f", {before['volume']:,} in the window before"
    return Observation(
        kind="metric",
        name="volume",
        line=line,
        value=float(n),
        reference=float(before["volume"]) if before else None,
        n=n,
    )


def _share(name: str, words: str, now: dict[str, Any], before: dict[str, Any] | None) -> Observation:
    value, n = float(now[name]), now["volume"]
    line = f"{value:.1%} of {n:,} interactions {words}"
    if before is None or before[name] is None:
        return Observation(kind="metric", name=name, line=line, value=value, n=n)
    old, m = float(before[name]), before["volume"]
    pooled = (value * n + old * m) / (n + m)
    error = math.sqrt(max(pooled * (1 - pooled), 1e-12) * (1 / n + 1 / m))
    alarm = value - old >= HURTS and (value - old) / error >= SURE
    line += f", {old:.1%} before" + (": a rise that hurts" if alarm else "")
    return Observation(
        kind="metric", name=name, line=line, value=value, reference=old, effect=value - old, n=n, alarm=alarm
    )


def _levels(now: dict[str, Any], before: dict[str, Any] | None, limit: float) -> list[Observation]:
    out = []
    for name, words in (
        ("latency_p50", "Half of the answers took at most"),
        ("latency_p95", "95% of the answers took at most"),
    ):
        if now[name] is None:
            continue
        line = f"{words} {now[name]:.0f} ms"
        old = before[name] if before is not None else None
        if old is not None:
            line += f", {old:.0f} ms before"
        if limit and now[name] > limit:
            line += f"; the limit is {limit:.0f} ms"
        out.append(
            Observation(kind="metric", name=name, line=line, value=float(now[name]), reference=old, n=now["volume"])
        )
    if now["confidence"] is not None:
        line = f"Mean confidence is {now['confidence']:.2f}"
        old = before["confidence"] if before is not None else None
        if old is not None:
            line += f", {old:.2f} before"
        out.append(
            Observation(
                kind="metric",
                name="confidence",
                line=line,
                value=float(now["confidence"]),
                reference=old,
                n=now["confident"],
            )
        )
    return out


def _shifts(now: dict[str, Any], before: dict[str, Any], window: Seen, reference: Seen) -> list[Observation]:
    out = []
    if now["confident"] > 1 and before["confident"] > 1:
        spread = math.sqrt(((now["spread"] or 0.0) ** 2 + (before["spread"] or 0.0) ** 2) / 2)
        effect = (now["confidence"] - before["confidence"]) / spread if spread > 0 else 0.0
        if abs(effect) >= MOVED:
            way = "fell" if effect < 0 else "rose"
            old, new = before["confidence"], now["confidence"]
            line = f"Confidence {way} by {abs(effect):.2f} standard deviations, {old:.2f} → {new:.2f}"
            out.append(
                Observation(
                    kind="shift",
                    name="confidence",
                    line=line,
                    value=now["confidence"],
                    reference=before["confidence"],
                    effect=effect,
                    n=now["confident"],
                )
            )
    mix = _mix(window, reference, now["volume"], before["volume"])
    if mix is not None and mix[0] >= MIX:
        distance, answer, share, old = mix
        line = (
            f"The mix of answers moved by {distance:.0%}; most of all {answer}: {old:.1%} → {share:.1%} of the answers"
        )
        out.append(
            Observation(
                kind="shift", name="outputs", line=line, value=share, reference=old, effect=distance, n=now["volume"]
            )
        )
    return out


def _mix(window: Seen, reference: Seen, n: int, m: int) -> tuple[float, str, float, float] | None:
    """Total variation between the two windows' answers, and the answer that moved most; None when answers rarely
    repeat.

    Chance alone moves a mix of k answers by about sqrt(k / n); that much is taken off.
    """
    new, old = window.interactions, reference.interactions
    here = new.group_by("output").aggregate(here=new.count())
    there = old.group_by("output").aggregate(there=old.count()).rename(old_output="output")
    both = here.outer_join(there, [("output", "old_output")])
    both = both.select(
        output=both.output.coalesce(both.old_output).fill_null("null"),
        here=both.here.fill_null(0) / n,
        there=both.there.fill_null(0) / m,
    )
    gap = (both.here - both.there).abs()
    kinds, distance = both.aggregate(k=both.count(), d=gap.sum() / 2).to_pyarrow().to_pylist()[0].values()
    if kinds * 5 > min(n, m):
        return None
    top = both.order_by([gap.desc(), both.output]).limit(1).to_pyarrow().to_pylist()[0]
    chance = 0.4 * math.sqrt(kinds / n + kinds / m)
    answer = top["output"].strip('"')
    return max(float(distance) - chance, 0.0), answer[:40], float(top["here"]), float(top["there"])
