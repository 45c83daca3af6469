"""What was mended, how long it took, where the loop stands, and what is to be fixed next. Verbs of `Flywheel`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flywheel.looking import Looking

if TYPE_CHECKING:
    from flywheel.records import Concentration, FailureHistory, ModeStory, Standing, Wish

__all__ = ["Mending"]


class Mending(Looking):
    """The verbs that follow failures to their fix."""

    def standing(self) -> Standing:
        """Where the loop stands, stage by stage, and what waits for people: labels, verdicts, promotions, alarms.

        >>> import tempfile, flywheel
        >>> with flywheel.open(tempfile.mkdtemp()) as fw:
        ...     now = fw.standing()
        ...     now.line, [stage.name for stage in now.stages][:3], now.stages[0].state
        ('No spin has run yet', ['sync', 'observe', 'diagnose'], 'to come')
        """
        from flywheel import loop

        checks = loop.examine(self._store, self._releases, self._trail, self.folder)
        return self._standing([str(check["line"]) for check in checks if not check["ok"]])

    def _standing(self, problems: Sequence[str]) -> Standing:
        from flywheel.loop.standing import standing

        return standing(self._store.state, self._releases.history(), problems)

    def failure_history(self) -> FailureHistory:
        """Failures open, fixed and reopened after each spin, every fix so far, and how long a fix takes.

        The time to fix goes from the first interaction of a failure mode to the release that fixed it, in days; modes
        that still fail count with the time they have lived so far.

        >>> import tempfile, flywheel
        >>> with flywheel.open(tempfile.mkdtemp()) as fw:
        ...     told = fw.failure_history()
        ...     told.spins, told.time_to_fix.median, told.time_to_fix.n
        ((), None, 0)
        """
        from flywheel.loop.history import failure_history

        return failure_history(self._store, self._seen_begun)

    def mode(self, id: str) -> ModeStory:
        """One failure mode's story: its failures by day, the slices it favours, what each spin did, who gets it right.

        Raises `NotFound` for a mode that there is not.
        """
        from flywheel.loop.one_mode import mode_story

        volumes = {row["at"]: int(row["volume"]) for row in self._overview("day")["day"]}
        return mode_story(self._workshop([], None), id, volumes, self._seen_slices, self._seen_begun)

    @cached_property
    def _seen_slices(self) -> dict[Any, tuple[Concentration, ...]]:
        return {}

    @cached_property
    def _seen_begun(self) -> dict[Any, datetime | None]:
        return {}

    def fix_next(self, mode: str | None, *, by: str = "", at: datetime | None = None) -> Wish | None:
        """Have the next spin ask for labels of this mode first; None takes the wish back. The audit trail notes it.

        It stands until a spin has asked about the mode. That spin's audit keeps its share, and every label the
        probability with which it was asked for. Raises `NotFound` for a mode that there is not, `InvalidRecord` for one
        that is fixed.
        """
        from flywheel.loop.wishes import wish_for, withdraw_wish

        now, who = at or datetime.now(UTC), by or "operator"
        if mode is not None:
            wish = wish_for(self._store.state, mode, by=who, at=now)
            self._trail.record("fix next", wish.mode, by=who, at=now)
            return wish
        gone = withdraw_wish(self._store.state)
        if gone is not None:
            self._trail.record("fix next undo", gone.mode, by=who, at=now)
        return None

    def next_fix(self) -> Wish | None:
        """The mode that the next spin prefers, or the one that goes on; None where nobody asked for one."""
        from flywheel.loop.wishes import standing_wish

        return standing_wish(self._store.state)
