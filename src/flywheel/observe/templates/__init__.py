"""Application logs: lines → templates → counts, and what is new, gone, out of order, or goes with failures."""

from __future__ import annotations

from flywheel.observe.templates.miner import TemplateMiner

__all__ = ["TemplateMiner"]
