"""The baseline audit: what a log that already exists can be used for, before anything is built on it.

`survey` reads drafts, the plain dicts that a `Source` yields, in one pass and bounded memory; `report` turns what it
found into one HTML file.
"""

from __future__ import annotations

from flywheel.govern.baseline.report import report
from flywheel.govern.baseline.result import Audit, Finding, Share, Stage
from flywheel.govern.baseline.survey import survey

__all__ = ["Audit", "Finding", "Share", "Stage", "report", "survey"]
