"""Slices: conjunctions of context and input values in which the product fails more often than elsewhere."""

from __future__ import annotations

from flywheel.observe.slices.alike import vector_slices
from flywheel.observe.slices.coding import encode
from flywheel.observe.slices.mixture import Mixture, error_mixture
from flywheel.observe.slices.search import Found, top_slices
from flywheel.observe.slices.told import slices

__all__ = ["Found", "Mixture", "encode", "error_mixture", "slices", "top_slices", "vector_slices"]
