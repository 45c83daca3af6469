"""What to fix first: each finding with why it matters, what shows it, and the next command or line of code."""

from __future__ import annotations

from collections.abc import Mapping

from flywheel.govern.baseline.found_people import feedback, privacy
from flywheel.govern.baseline.found_records import essentials, identity, nothing, reading, times
from flywheel.govern.baseline.found_work import failures, slices, tidy
from flywheel.govern.baseline.result import Audit, Finding, Share

__all__ = ["findings"]


def findings(audit: Audit, present: Mapping[str, Share]) -> tuple[Finding, ...]:
    """Everything worth fixing: what stops a stage first, then what touches the most stages.

    `present` is the share of interactions that say something in each of Flywheel's fields.
    """
    if not audit.interactions:
        found = list(nothing(audit))
    else:
        found = [
            *reading(audit),
            *essentials(audit, present),
            *times(audit),
            *identity(audit, present),
            *privacy(audit),
            *feedback(audit),
            *failures(audit, present),
            *slices(audit),
            *tidy(audit),
        ]
    return tuple(sorted(found, key=lambda one: (-one.severity, -len(one.stages))))
