"""Everything observation has to say about a window, in the order in which a person needs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flywheel import diagnose
from flywheel.loop.turn import Workshop, calibration_before
from flywheel.observe.judged import judged
from flywheel.records import Observation

if TYPE_CHECKING:
    from flywheel.config import Config
    from flywheel.ports import Progress, Task

__all__ = ["PARTS", "Survey", "failing", "observe_window", "slices_of", "survey"]

_ENOUGH = 400
"""With so many trusted labels, losses are read off them; with fewer, off the probability of failure."""
_POINTS = 26 * 7 * 24
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
    parts: tuple[str, ...] = field(default=())
    """Names of `PARTS` to look at; all where empty."""


def survey(look: Survey) -> list[Observation]:
    """Look at a window from every side; what hurts first, then by part. Each finding stands alone.

    O(interactions + feedback) in the engine, and fits on samples of stated size; see `PARTS` for the sides.
    """
    found: list[Observation] = []
    wanted = {name: part for name, part in PARTS.items() if not look.parts or name in look.parts}
    for place, (name, part) in enumerate(wanted.items()):
        if look.progress:
            look.progress(name, place / len(wanted))
        found += part(look)
    if look.progress:
        look.progress("done", 1.0)
    return [*(seen for seen in found if seen.alarm), *(seen for seen in found if not seen.alarm)]


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
    return survey(_look(shop, snapshot, window, reference, logs=tuple(logs), parts=parts, seed=seed))


def slices_of(
    shop: Workshop, snapshot: Any, window: Any, reference: Any | None, *, k: int, seed: int
) -> list[Observation]:
    """The slices in which a window fails most."""
    return _slices(_look(shop, snapshot, window, reference, seed=seed), k)


def _look(shop: Workshop, snapshot: Any, window: Any, reference: Any | None, **more: Any) -> Survey:
    spins = shop.store.state.spins()
    signs = diagnose.signs(window, shop.config.detect, shop.detectors, shop.task)
    scored = diagnose.detect(signs, calibration_before(shop, len(spins) + 1))
    return Survey(
        window=window,
        reference=reference,
        scored=scored,
        config=shop.config,
        task=shop.task,
        whole=snapshot,
        progress=shop.progress,
        **more,
    )


def failing(look: Survey) -> Any:
    """How bad each interaction of the window is: `id`, `loss` 0 to 1, `weight`, an Ibis table.

    From trusted labels where there are enough, which weigh by the inverse of the chance that they were asked for; else
    from the probability of failure, of everything.
    """
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


PARTS: dict[str, Callable[[Survey], list[Observation]]] = {
    "levels": _levels,
    "monitor": _monitor,
    "performance": _performance,
}
"""The sides from which a window is looked at, by name, in order."""
