"""What somebody asked the next spin to fix: kept until a spin that sees the mode has asked for labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from flywheel.errors import InvalidRecord, NotFound
from flywheel.loop.turn import Turn
from flywheel.records import Mode, Wish, from_dict, to_dict
from flywheel.store import State

__all__ = ["PREFERRED", "follow_wish", "standing_wish", "withdraw_wish", "wish_for"]

PREFERRED = 10.0
"""What a label of the wished-for mode is worth beside what its cause says. The strategies that look for likely failures
then ask about it first; the audit, and what users complained about, keep their part of the budget."""
_KEY = "next fix"


def wish_for(state: State, mode: str, *, by: str, at: datetime) -> Wish:
    """Remember that the next spin should prefer a mode, in place of any earlier wish.

    Raises `NotFound` for a mode that there is not, `InvalidRecord` for one that is fixed.
    """
    known = next((one for one in state.modes() if one.id == mode), None)
    if known is None:
        raise NotFound(f"there is no failure mode {mode!r}. `flywheel modes` lists them")
    if known.state == "fixed":
        raise InvalidRecord(
            "mode", f"{known.name} is fixed in {known.fixed_in}", "Choose one that is open; it reopens if it recurs"
        )
    wish = Wish(mode=known.id, name=known.name, by=by, at=at)
    state.set(_KEY, to_dict(wish))
    return wish


def withdraw_wish(state: State) -> Wish | None:
    """Forget the wish that no spin follows yet, and return it; None where there is none."""
    wish = _stored(state)
    if wish is None or wish.spin is not None:
        return None
    state.set(_KEY, None)
    return wish


def standing_wish(state: State) -> Wish | None:
    """The wish of the next spin, or of the one that goes on; None where there is none, or its spin is done."""
    wish = _stored(state)
    if wish is None:
        return None
    if wish.spin is not None:
        spin = state.spin(wish.spin)
        return wish if spin is not None and spin.state != "done" else None
    known = next((one for one in state.modes() if one.id == wish.mode), None)
    return wish if known is not None and known.state != "fixed" else None


def follow_wish(work: Turn, modes: Sequence[Mode], present: Collection[str]) -> Mode | None:
    """The mode that this spin prefers: the one wished for, where its window has failures of it.

    From then on the wish belongs to this spin, so that doing the step again does the same.
    """
    state, number = work.shop.store.state, work.spin.number
    wish = _stored(state)
    if wish is None or wish.spin not in (None, number):
        return None
    here = [one for one in modes if one.id in present and one.state != "fixed"]
    heir = next((one for one in here if wish.mode == one.id or wish.mode in one.merged), None)
    if heir is None:
        return None  # nothing of it came: it waits for a window that has some
    if wish.spin is None:
        state.set(_KEY, {**to_dict(wish), "spin": number})
    return heir


def _stored(state: State) -> Wish | None:
    kept: dict[str, Any] | None = state.get(_KEY)
    return from_dict(Wish, kept) if kept else None
