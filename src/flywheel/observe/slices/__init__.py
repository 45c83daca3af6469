"""Slices: conjunctions of context and input values in which the product fails more often than elsewhere."""

from __future__ import annotations

from flywheel.observe.slices.coding import encode
from flywheel.observe.slices.search import Found, top_slices
from flywheel.observe.slices.told import slices

__all__ = ["Found", "encode", "slices", "top_slices"]
