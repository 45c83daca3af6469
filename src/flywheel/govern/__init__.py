"""Who did what, when, provably: the audit trail."""

from __future__ import annotations

from flywheel.govern.trail import Trail

__all__ = ["Trail"]
