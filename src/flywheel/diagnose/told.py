"""What people's labels add to a mode's name: the answer that it misses."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flywheel.diagnose.naming import say
from flywheel.records import Mode

__all__ = ["told"]


def told(mode: Mode, missed: Sequence[Any]) -> Mode:
    """Put into a mode's name what its failures should have been, where people agree on it.

    `missed` holds the right answers that people gave to the mode's wrong ones. With at least two, of which six in ten
    are the same, that answer leads the name; naming it again changes nothing.

    >>> told(Mode(id="m-1", name="reads 7 or 9"), [4, 4, 8]).name
    'misses 4 · reads 7 or 9'
    """
    if len(missed) < 2 or mode.name.startswith("misses "):
        return mode
    counts = Counter(json.dumps(label, sort_keys=True) for label in missed)
    label, count = min(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    if count < 0.6 * len(missed):
        return mode
    return replace(mode, name=f"misses {say(json.loads(label))} · {mode.name}")
