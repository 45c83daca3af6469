"""Influences: what each value of the context adds to the failure rate, the others held alike."""

from __future__ import annotations

from flywheel.observe.influences.told import influences

__all__ = ["influences"]
