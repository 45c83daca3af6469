"""How integrations log: to an open flywheel or a connection, and never a word of trouble to the product."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

__all__ = ["Teller", "Told", "error_of"]

_logger = logging.getLogger("flywheel")
_QUIET = 60.0
_LONGEST_ERROR = 10_000


class Told(Protocol):
    """What integrations log to: `flywheel.open(...)` or `flywheel.connect(...)`."""

    def log(self, **fields: Any) -> str:
        """Log one interaction."""
        ...

    def feedback(self, interaction_id: str, **fields: Any) -> list[str]:
        """Say something about an interaction."""
        ...


class Teller:
    """Logs what integrations see. `unrecorded` counts what could not be logged, by the kind of trouble.

    A copy of it is itself: frameworks that copy what they are given (scikit-learn's `clone`) go on logging to the
    same place.
    """

    def __init__(self, to: Told) -> None:
        if not callable(getattr(to, "log", None)) or not callable(getattr(to, "feedback", None)):
            raise TypeError(f"log to what flywheel.open() or flywheel.connect() returns, not to a {type(to).__name__}")
        self.to = to
        self.unrecorded: Counter[str] = Counter()
        self._inside = threading.local()
        self._said = -_QUIET

    def log(self, fields: Mapping[str, Any]) -> str | None:
        """Log an interaction; its id, or None when that was not possible."""
        own: str | None = self.quietly(lambda: self.to.log(**fields))
        return own

    def feedback(self, interaction_id: str, fields: Mapping[str, Any]) -> None:
        """Log feedback."""
        self.quietly(lambda: self.to.feedback(interaction_id, **fields))

    def quietly(self, job: Callable[[], Any]) -> Any:
        """Run something of ours in the middle of the product: its result, or None. Within itself it does nothing."""
        if getattr(self._inside, "busy", False):
            return None  # what logging sets off (a database's own log lines) is not logged again
        self._inside.busy = True
        try:
            return job()
        except Exception as problem:  # a door into somebody's product
            self.unrecorded[type(problem).__name__] += 1
            self._say(problem)
            return None
        finally:
            self._inside.busy = False

    def _say(self, problem: Exception) -> None:
        now = time.monotonic()
        if now - self._said >= _QUIET:
            self._said = now
            field = getattr(problem, "field", "")
            _logger.warning("not recorded: %s %s", type(problem).__name__, f"({field})" if field else "")

    def __copy__(self) -> Teller:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Teller:
        return self

    def __sklearn_clone__(self) -> Teller:
        return self


def error_of(problem: BaseException) -> str:
    """Write an exception as `type: message`, whatever its message does."""
    try:
        words = str(problem)
    except Exception as unprintable:  # somebody's __str__
        words = f"(no text: {type(unprintable).__name__})"
    kind = type(problem).__name__
    return f"{kind}: {words}"[:_LONGEST_ERROR] if words else kind
