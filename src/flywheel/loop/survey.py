"""Everything observation has to say about a window, in the order in which a person needs it."""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flywheel import diagnose
from flywheel.errors import InvalidConfig, NotFound
from flywheel.loop.turn import Workshop, calibration_before
from flywheel.observe.judged import judged
from flywheel.observe.series import utc
from flywheel.observe.span import Span
from flywheel.records import Observation

if TYPE_CHECKING:
    from flywheel.config import Config
    from flywheel.ports import Progress, Task

__all__ = ["PARTS", "Survey", "failing", "observe_window", "slices_of", "survey"]

_ENOUGH = 400
"""With so many trusted labels, losses are read off them; with fewer, off the probability of failure."""
_POINTS = 26 * 7 * 24
_STEP = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
"""At most so many hours of metrics are looked at: half a year."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What to look at: a window, what it is held against, and how it is judged."""

    window: Any
    reference: Any | None
    """Another window, None where nothing was before."""
    scored: Any
    """The window's interactions with `p_failure`."""
    config: Config
    task: Task
    whole: Any = None
    """Everything, for seasons and breaks; the window where it is left out."""
    labelled: tuple[Any, Any] | None = None
    """The newest window whose labels have come, and the labelled ones before it; `window` and `reference` where it is
    left out. In a loop, the labels of a window come after it was looked at."""
    logs: Sequence[str] = ()
    seed: int = 0
    progress: Progress | None = None
    embedder_for: Callable[[Sequence[Any]], Any] | None = None
    """Gives the embedder that suits inputs; without it texts and vectors are not searched for groups."""
    parts: tuple[str, ...] = field(default=())
    """Names of `PARTS` to look at; all where empty."""
    known: dict[str, Any] = field(default_factory=dict, compare=False)
    """What one part has worked out and the next needs too."""


def survey(look: Survey) -> list[Observation]:
    """Look at a window from every side; what hurts first, then by part. Each finding stands alone.

    O(interactions + feedback) in the engine, and fits on samples of stated size; see `PARTS` for the sides.
    """
    _check(look.parts)
    found: list[Observation] = []
    wanted = {name: part for name, part in PARTS.items() if not look.parts or name in look.parts}
    for place, (name, part) in enumerate(wanted.items()):
        if look.progress:
            look.progress(name, place / len(wanted))
        found += part(look)
    if look.progress:
        look.progress("done", 1.0)
    return [*(seen for seen in found if seen.alarm), *(seen for seen in found if not seen.alarm)]


def _check(parts: Sequence[str]) -> None:
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise InvalidConfig(f"there is no part {unknown[0]!r} to look at. There are: {', '.join(PARTS)}")


def observe_window(
    shop: Workshop,
    snapshot: Any,
    window: Any,
    reference: Any | None,
    *,
    logs: Sequence[str] = (),
    parts: tuple[str, ...] = (),
    seed: int = 0,
) -> list[Observation]:
    """Look at a window outside of any spin."""
    _check(parts)
    look, cached = _look(shop, snapshot, window, reference, logs=tuple(logs), parts=parts, seed=seed)
    try:
        return survey(look)
    finally:
        cached.release()


def slices_of(
    shop: Workshop, snapshot: Any, window: Any, reference: Any | None, *, k: int, seed: int
) -> list[Observation]:
    """The slices in which a window fails most."""
    look, cached = _look(shop, snapshot, window, reference, seed=seed)
    try:
        return _slices(look, k)
    finally:
        cached.release()


def _look(shop: Workshop, snapshot: Any, window: Any, reference: Any | None, **more: Any) -> tuple[Survey, Any]:
    """A survey outside of any spin, and what the engine keeps for it until it is released."""
    spins = shop.store.state.spins()
    signs = diagnose.signs(window, shop.config.detect, shop.detectors, shop.task)
    scored = diagnose.detect(signs, calibration_before(shop, len(spins) + 1))
    look = Survey(
        window=window,
        reference=reference,
        scored=scored,
        config=shop.config,
        task=shop.task,
        whole=snapshot,
        progress=shop.progress,
        embedder_for=shop.embedder_for,
        **more,
    )
    return look, signs


def failing(look: Survey) -> Any:
    """How bad each interaction of the window is: `id`, `loss` 0 to 1, `weight`, an Ibis table.

    From trusted labels where there are enough, which weigh by the inverse of the chance that they were asked for; else
    from the probability of failure, of everything.
    """
    if "failing" not in look.known:
        look.known["failing"] = _failing(look)
    return look.known["failing"]


def _failing(look: Survey) -> Any:
    labels = judged(look.window)
    if int(labels.count().to_pyarrow().as_py()) >= _ENOUGH:
        return labels.select("id", "weight", loss=labels.wrong)
    scored = look.scored
    return scored.select("id", loss=scored.p_failure).mutate(weight=1.0)


def _levels(look: Survey) -> list[Observation]:
    from flywheel.observe.change import observe

    return list(observe(look.window, look.reference, look.scored, look.config.detect))


def _slices(look: Survey, k: int = 10) -> list[Observation]:
    from flywheel.observe.slices import slices

    return slices(look.window, failing(look), k=k, seed=look.seed)


def _monitor(look: Survey) -> list[Observation]:
    from flywheel.observe.risk import watch

    window, reference = look.labelled or (look.window, look.reference)
    if reference is None:
        return []
    settings = look.config.observe
    return watch(window, reference, every=settings.every, tolerance=settings.tolerance, alpha=settings.alpha)


def _performance(look: Survey) -> list[Observation]:
    from flywheel.observe.performance import estimate

    reference = look.labelled[1] if look.labelled else look.reference
    settings = look.config.observe
    by = look.config.product.protected
    return estimate(look.window, reference, by=by, seed=look.seed, tolerance=settings.tolerance, alpha=settings.alpha)


def _series(look: Survey) -> tuple[list[dict[str, Any]], str]:
    """The metrics by step up to the end of the window, at most half a year of them, and the query for them."""
    from flywheel.observe.reproduce import query_of
    from flywheel.observe.series import EVERY, Cut, metrics, with_feedback

    if "series" in look.known:
        found: tuple[list[dict[str, Any]], str] = look.known["series"]
        return found
    whole = look.whole if look.whole is not None else look.window
    start, until = _start(look), getattr(look.window, "until", None)
    if start is not None:  # what is older than is looked at is not read
        whole = Span(whole, start - _POINTS * _STEP[look.config.observe.every], until)
    kept = metrics(whole, look.config.observe.every)

    def steps(seen: Any, told: Any) -> Any:
        table = with_feedback(Cut(seen, told))
        return (
            table.group_by(table["at"].truncate(EVERY[look.config.observe.every]).name("at"))
            .aggregate(
                volume=table.count(),
                errors=table.failed.mean(),
                negative=table.negative.mean(),
                confidence=table.confidence.mean(),
                latency_p95=table.latency_ms.approx_quantile(0.95),
            )
            .order_by("at")
        )

    query = query_of(steps, whole)
    look.known["series"] = kept[-_POINTS:], query
    return kept[-_POINTS:], query


def _seasons(look: Survey) -> list[Observation]:
    from flywheel.observe.seasons import departures, patterns

    rows, query = _series(look)
    every, start = look.config.observe.every, _start(look)
    found: list[Observation] = []
    for name in _METRICS:
        found += patterns(rows, name, every=every, query=query)
        found += [seen for seen in departures(rows, name, every=every, query=query) if _within(seen, start)]
    return found


def _breaks(look: Survey) -> list[Observation]:
    from flywheel.observe.breaks import changes

    rows, query = _series(look)
    every, start = look.config.observe.every, _start(look)
    found = [seen for name in _METRICS for seen in changes(rows, name, every=every, query=query)]
    return [seen for seen in found if _within(seen, start)]


def _anomalies(look: Survey) -> list[Observation]:
    from flywheel.observe.anomaly import anomalies
    from flywheel.observe.levels import measure

    rows, query = _series(look)
    start = _start(look)
    found: list[Observation] = []
    for name in _METRICS:
        kind = measure(name)
        share, full = kind.unit == "%", _full(rows, name)
        points = [(utc(row["at"]), row[name] * (100.0 if share else 1.0)) for row in full]
        odd = anomalies(points, kind.words, unit=kind.unit.replace("n", ""), hurts="up" if name in _BAD else "")
        odd = [seen for seen in odd if _within(seen, start) and (not share or _by_more_than_chance(seen, full, name))]
        found += [replace(seen, query=seen.query or query) for seen in odd]
    return found


def _full(rows: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The steps with enough behind them to be held against others: a mean of two answers is odd by nature."""
    kept = [row for row in rows if row[name] is not None]
    if name == "volume" or not kept:
        return kept[:-1]  # the step that is under way is not full yet
    behind = "labels" if name == "failures" else "volume"
    usual = sorted(row[behind] for row in kept)[len(kept) // 2]
    return [row for row in kept if row[behind] >= max(3, 0.3 * usual)]


def _by_more_than_chance(seen: Observation, rows: Sequence[dict[str, Any]], name: str) -> bool:
    """Is a share's odd hour more than so many cases at the usual rate give, of all the hours there are?"""
    from scipy.stats import binom

    here = next((row for row in rows if seen.since is not None and utc(row["at"]) == utc(seen.since)), None)
    if here is None or seen.until not in (None, seen.since):
        return True  # a stretch of hours: the detector has added them up
    behind = "labels" if name == "failures" else "volume"
    n = max(int(here[behind]), 1)
    rate = sum(row[name] * row[behind] for row in rows) / max(sum(row[behind] for row in rows), 1)
    hits = round(here[name] * n)
    tail = binom.sf(hits - 1, n, rate) if here[name] >= rate else binom.cdf(hits, n, rate)
    return bool(tail * len(rows) < _ODD)


def _alike(look: Survey) -> list[Observation]:
    """Groups of alike texts or vectors that fail: where inputs are no records, slices cannot say which."""
    from flywheel.observe.slices import vector_slices

    seen = look.window.interactions
    some = (
        seen.filter(seen.input_text.notnull() | seen.input_vector.notnull()) if "input_vector" in seen.columns else None
    )
    if look.embedder_for is None or some is None:
        return []
    rows = some.order_by("rand", "id").limit(_DRAWN).select("id", "input").to_pyarrow()
    if rows.num_rows < 200:
        return []
    inputs = [json.loads(text) for text in rows["input"].to_pylist()]
    vectors = look.embedder_for(inputs).embed(inputs)
    return vector_slices(look.window, failing(look), (rows["id"].to_pylist(), vectors), seed=look.seed)


def _drift(look: Survey) -> list[Observation]:
    from flywheel.observe.drift import classifier_two_sample, drift

    if look.reference is None:
        return []
    found = drift(look.window, look.reference, minimum=look.config.observe.minimum, seed=look.seed)
    return found + classifier_two_sample(look.window, look.reference, seed=look.seed)


def _text(look: Survey) -> list[Observation]:
    from flywheel.observe.drift import text_drift

    return text_drift(look.window, look.reference, seed=look.seed) if look.reference is not None else []


def _influences(look: Survey) -> list[Observation]:
    from flywheel.observe.influences import influences

    return influences(look.window, failing(look), seed=look.seed)


def _wording(look: Survey) -> list[Observation]:
    from flywheel.observe.sentiment import mood_findings
    from flywheel.observe.wording import phrasings

    mood = mood_findings(look.window, look.reference)
    told = [seen for seen in mood if seen.alarm or seen.effect is None or abs(seen.effect) >= _MOOD]
    return [*told, *phrasings(look.window, seed=look.seed)]


def _logs(look: Survey) -> list[Observation]:
    from flywheel.observe.templates import log_findings, read_log

    files = _files(look.logs)
    if not files:
        return []
    seen = look.window.interactions
    trace = seen.extra.re_extract(r'"trace_id"\s*:\s*"([^"]+)"', 1).nullif("")
    traced = seen.select("id", "at", trace_id=trace).inner_join(failing(look), "id").to_pyarrow()
    start = _start(look)
    return [found for file in files for found in log_findings(read_log(file), traced, since=start)]


def _files(patterns: Sequence[str]) -> list[Path]:
    """The files that names and patterns stand for; a name that stands for none is an error, not a silence."""
    files: list[Path] = []
    for pattern in patterns:
        here = [Path(name) for name in sorted(glob.glob(pattern))]
        if not here:
            raise NotFound(f"there is no application log {pattern!r}. Check --logs, or `[observe] logs`")
        files += here
    return files


def _start(look: Survey) -> datetime | None:
    found = getattr(look.window, "since", None)
    if found is None:
        first = look.window.interactions["at"].min().to_pyarrow().as_py()
        found = None if first is None else utc(first)
    return found


def _within(seen: Observation, start: datetime | None) -> bool:
    """Does it concern this window: did it begin in it, or has it not ended before?"""
    moment = seen.until or seen.since
    return start is None or moment is None or utc(moment) >= start


_METRICS = ("failures", "errors", "negative", "confidence", "latency_p95", "volume")
"""The metrics in which seasons, breaks and anomalies are looked for."""
_BAD = ("failures", "errors", "negative")
"""Those of which more hurts."""
_DRAWN = 4000
"""At most so many inputs are embedded to search them for groups."""
_MOOD = 0.03
"""A change of the mean sentiment (-1 to 1) worth telling."""
_ODD = 0.01
"""Chance with which some hour of a quiet share may look odd."""

PARTS: dict[str, Callable[[Survey], list[Observation]]] = {
    "levels": _levels,
    "monitor": _monitor,
    "performance": _performance,
    "seasons": _seasons,
    "breaks": _breaks,
    "anomalies": _anomalies,
    "influences": _influences,
    "slices": _slices,
    "alike": _alike,
    "drift": _drift,
    "text": _text,
    "wording": _wording,
    "logs": _logs,
}
"""The sides from which a window is looked at, by name, in order."""
