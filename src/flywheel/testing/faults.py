"""Fault injection: kill a process at a chosen moment, to see that nothing is lost and nothing is done twice.

A crash point is a line in a program where it may be killed. It does nothing unless the environment names it:
`FLYWHEEL_CRASH_AT=train` kills at the first pass over the point `train`, `FLYWHEEL_CRASH_AT=train:3` at the third. The
kill is SIGKILL: no cleaning up, no flushing, as when the power or the memory is gone.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, ParamSpec, TypeVar

__all__ = ["VARIABLE", "crash_point", "crashing", "kill_after", "run_until_crash"]

VARIABLE = "FLYWHEEL_CRASH_AT"

P = ParamSpec("P")
R = TypeVar("R")

_passes: Counter[str] = Counter()


def crash_point(name: str) -> None:
    """Kill this process here if the environment says so.

    >>> crash_point("nobody named this point")
    """
    wanted = os.environ.get(VARIABLE, "")
    if not wanted:
        return
    point, _, turn = wanted.rpartition(":")
    if not point or not turn.isdigit():
        point, turn = wanted, "1"
    if point == name:
        _passes[name] += 1
        if _passes[name] == int(turn):
            _die()


def crashing(function: Callable[P, R], name: str) -> Callable[P, R]:
    """Wrap a function between two crash points, `<name> begins` and `<name> ends`."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        crash_point(f"{name} begins")
        result = function(*args, **kwargs)
        crash_point(f"{name} ends")
        return result

    return wrapped


def run_until_crash(
    command: Sequence[str], at: str, *, env: Mapping[str, str] | None = None, timeout: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Run a command that is killed at the crash point `at`; assert that it got there.

    `env` is added to this process's environment.
    """
    surroundings = {**os.environ, **(env or {}), VARIABLE: at}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == -signal.SIGKILL, (
        f"the command never came to the crash point {at!r}: it ended with {done.returncode}.\n{done.stderr[-2000:]}"
    )
    return done


def kill_after(
    command: Sequence[str], seconds: tuple[float, float], seed: int, *, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command and kill it at a moment drawn between two numbers of seconds; it may have ended before.

    The return code is -9 for a kill. What it had written to its output until then is kept.
    """
    moment = random.Random(seed).uniform(*seconds)
    surroundings = {**os.environ, **(env or {})}
    process = subprocess.Popen(
        command, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return subprocess.CompletedProcess(list(command), process.returncode, out, err)


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    while True:  # the signal arrives within moments
        time.sleep(1)
