"""What will fail next: classes that nobody has named, inputs unlike anything learnt, rare and extreme cases."""

from __future__ import annotations

from flywheel.mine.discovery import discover
from flywheel.mine.edges import edge_cases
from flywheel.mine.unfamiliar import novelty

__all__ = ["discover", "edge_cases", "novelty"]
