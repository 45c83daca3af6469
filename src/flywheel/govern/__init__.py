"""Who may do what, and who did what, when, provably: keys and the audit trail."""

from __future__ import annotations

from flywheel.govern.keys import Key, Keys
from flywheel.govern.trail import Trail

__all__ = ["Key", "Keys", "Trail"]
