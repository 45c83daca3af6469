"""Asking a service again that said it is busy: waits that double, with jitter, a cap, and an end."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from flywheel.errors import StoreUnavailable

__all__ = ["ask"]

_Answer = TypeVar("_Answer")

_FIRST = 0.5
_LONGEST = 30.0


def ask(
    call: Callable[[], _Answer],
    errors: tuple[type[Exception], ...],
    wait_for: Callable[[Exception], float | None],
    who: str,
    *,
    attempts: int = 8,
    sleep: Callable[[float], None] = time.sleep,
) -> _Answer:
    """Call until it answers. `wait_for(problem)` is the least time to wait in seconds, or None when waiting is no use.

    Waits grow from half a second to thirty, each between half and all of it, so that many readers do not come back
    together. After `attempts` failures: `StoreUnavailable`, which names `who` and never what was asked.
    """
    problem: Exception | None = None
    for attempt in range(attempts):
        try:
            return call()
        except errors as caught:
            least = wait_for(caught)
            if least is None:
                raise
            problem = caught
        if attempt < attempts - 1:
            longest = min(_LONGEST, _FIRST * 2**attempt)
            sleep(max(min(least, 4 * _LONGEST), longest * random.uniform(0.5, 1.0)))
    raise StoreUnavailable(
        f"{who} refused {attempts} times in a row, last with {_kind(problem)}. What was read so far is stored: "
        "run the same import again later, and it goes on from there"
    ) from None


def _kind(problem: Exception | None) -> str:
    """The name of a problem: the service's own where it has one. Its message may hold anything."""
    response = getattr(problem, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else getattr(problem, "kind", None)
    return str(code or type(problem).__name__)
