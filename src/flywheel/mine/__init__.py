"""What will fail next: classes that nobody has named, inputs unlike anything learnt, rare and extreme cases."""

from __future__ import annotations

from flywheel.mine.discovery import discover
from flywheel.mine.edges import edge_cases
from flywheel.mine.look import Look, look
from flywheel.mine.unfamiliar import novelty

__all__ = ["Look", "discover", "edge_cases", "look", "novelty"]
