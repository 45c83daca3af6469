"""What will fail next: inputs unlike anything the model has learned from, and rare or extreme cases."""

from __future__ import annotations

from flywheel.mine.edges import edge_cases
from flywheel.mine.unfamiliar import novelty

__all__ = ["edge_cases", "novelty"]
