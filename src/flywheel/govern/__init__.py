"""Who may do what, and who did what, when, provably: keys and the audit trail."""

from __future__ import annotations

from flywheel.govern.keys import SCOPES, Key, Keys
from flywheel.govern.trail import Trail

__all__ = ["SCOPES", "Key", "Keys", "Trail"]
