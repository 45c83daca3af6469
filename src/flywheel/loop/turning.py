"""Where a spin is while it turns: told to the state, so that every process and every open page can see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flywheel.errors import FlywheelError
from flywheel.store import Store

__all__ = ["Turning", "telling", "turning"]

_KEY = "turning"


@dataclass(frozen=True, slots=True)
class Turning:
    """How far the last spin is, whoever began it: a page, the command line or a program."""

    spin: int
    state: str
    """`running`, `waiting` for labels, `stopped` by a problem, or `done`."""
    step: str
    """The step that is being done, or that comes next."""
    place: int
    """How many steps are done …"""
    steps: tuple[str, ...]
    """… of these."""
    waiting_for: int = 0
    """Labels that people still owe."""
    since: datetime | None = None
    """When the step began, by the clock of who runs it; None where nobody runs it now."""
    problem: str | None = None
    """Why it stopped, and what to do."""


@contextmanager
def telling(store: Store, on_step: Callable[[str, str], None] | None) -> Iterator[Callable[[str, str], None]]:
    """Keep the state told of the spin inside the block; gives what is to be called around every step."""

    def listen(step: str, what: str) -> None:
        if on_step:
            on_step(step, what)
        if what == "begin":
            store.state.set(_KEY, {"step": step, "since": datetime.now(UTC).isoformat()})

    try:
        yield listen
    except (Exception, KeyboardInterrupt) as problem:
        words = str(problem) if isinstance(problem, FlywheelError) else f"it stopped with {type(problem).__name__}"
        with suppress(FlywheelError):  # where the store is what failed, the first problem is the one to hear of
            store.state.set(_KEY, {"problem": words})
        raise
    store.state.set(_KEY, None)


def turning(store: Store, steps: tuple[str, ...]) -> Turning | None:
    """How far the last spin is; None where there was none and none has failed to begin."""
    told: dict[str, Any] = store.state.get(_KEY) or {}
    spins = store.state.spins()
    problem = told.get("problem")
    if not spins:
        return Turning(0, "stopped", steps[0], 0, steps, problem=problem) if problem else None
    last = spins[-1]
    running = "since" in told and last.state != "done"
    state = "stopped" if problem else "running" if running else last.state
    step = told["step"] if running else last.step
    place = len(steps) if last.state == "done" else steps.index(step) if step in steps else 0
    since = datetime.fromisoformat(told["since"]) if running else None
    return Turning(last.number, state, step, place, steps, last.waiting_for, since, problem)
