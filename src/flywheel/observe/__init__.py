"""Is something changing? Metrics over time, and what a window shows beside an earlier one."""

from __future__ import annotations

from flywheel.observe.change import observe
from flywheel.observe.series import metrics

__all__ = ["metrics", "observe"]
