"""Imports a file into a flywheel, and is killed after a commit that was named: a program for the tests."""

from __future__ import annotations

import os
import signal
import sys

import flywheel
from flywheel.capture import import_books
from flywheel.store.log import Log


def main(folder: str, location: str, source: str, commits: str, moment: str) -> None:
    left = int(commits)
    commit = Log.commit
    import_books._BATCH = 200

    def counted(self: Log, *given: object, **named: object) -> object:
        nonlocal left
        if moment == "before" and left == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        done = commit(self, *given, **named)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    Log.commit = counted
    with flywheel.open(folder, task="generation") as fw:
        fw.import_(location, source=source)


if __name__ == "__main__":
    main(*sys.argv[1:])
