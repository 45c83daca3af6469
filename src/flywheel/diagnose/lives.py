"""The life of a failure mode: open → in work → fixed → reopened, by itself, when it recurs.

(A release may reopen one, too: `flywheel.loop.decide.close_modes`.)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from flywheel.records import Mode

__all__ = ["STATES", "lifecycle"]

STATES = ("open", "in work", "fixed", "reopened")

ALPHA = 0.01
"""Chance with which a fixed mode that stays as rare as its fix left it is reopened, per window."""

LEFT_OVER = 0.25
"""A fix counts as one although up to this share of the mode's rate remains."""


def lifecycle(
    previous: Sequence[Mode],
    current: Sequence[Mode],
    *,
    spin: int,
    window_size: int,
    targeted: Collection[str] = (),
    fixed: Collection[str] = (),
    version: str | None = None,
) -> list[Mode]:
    """Every mode known so far, in its state after this window: the present ones first, by count, then the quiet
    ones.

    `targeted` modes (labels are being asked for them) go from open or reopened to in work; `fixed` ones (a released
    `version` gets them right) to fixed. A fixed mode is reopened when the window holds significantly more of it
    than a fix leaves: more than a quarter of the rate at which it was fixed, by an exact Poisson test at α = 0.01.
    Modes not seen in this window keep their place with a count of 0; a mode that stays fixed keeps the count and
    share it was fixed at, which later windows are held against.
    """
    now = {mode.id: mode for mode in current}
    before = {mode.id: mode for mode in previous}
    merged = []
    for key in dict.fromkeys([*now, *before]):
        old, seen = before.get(key), now.get(key)
        if seen is not None:
            mode = replace(
                seen,
                state=old.state if old else seen.state,
                fixed_in=old.fixed_in if old else seen.fixed_in,
                first_spin=old.first_spin if old else seen.first_spin,
                split_from=old.split_from if old else seen.split_from,
                whys=seen.whys or (old.whys if old else ()),
            )
        else:
            assert old is not None
            mode = old if old.state == "fixed" else replace(old, count=0.0, share=0.0)
        if old is not None and old.state == "fixed" and seen is not None:
            if _recurs(old, seen, window_size):
                mode = replace(mode, state="reopened")
            else:
                mode = replace(mode, count=old.count, share=old.share, last_spin=old.last_spin)
        if key in targeted and mode.state in ("open", "reopened"):
            mode = replace(mode, state="in work")
        if key in fixed and mode.state != "fixed":
            mode = replace(mode, state="fixed", fixed_in=version)
        merged.append(mode)
    return sorted(merged, key=lambda mode: (mode.id not in now, -mode.count, mode.id))


def _recurs(old: Mode, seen: Mode, window_size: int) -> bool:
    """Is there significantly more of a fixed mode than its fix leaves?"""
    from scipy.stats import poisson

    # At least one failure is always expected: a lone stray must not reopen anything.
    left = max(LEFT_OVER * old.share * window_size, 1.0)
    return bool(poisson.sf(int(seen.count) - 1, left) < ALPHA)
