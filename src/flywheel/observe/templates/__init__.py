"""Application logs: lines → templates → counts, and what is new, gone, out of order, or goes with failures."""

from __future__ import annotations

from flywheel.observe.templates.counts import template_counts
from flywheel.observe.templates.findings import log_findings
from flywheel.observe.templates.miner import TemplateMiner
from flywheel.observe.templates.reading import read_log

__all__ = ["TemplateMiner", "log_findings", "read_log", "template_counts"]
