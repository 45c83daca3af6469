"""Synthetic examples from what failed, admitted only where they help on held-out real cases.

`propose` learns from failing inputs how they differ from the examples; `synthesise` does the same to examples;
`choose`, `weigh` and `decide` try it on real cases that no model had seen, and say from paired answers whether it
stays.
"""

from __future__ import annotations

from flywheel.mine.augment.admit import Trial, choose, decide, weigh
from flywheel.mine.augment.making import propose, shown_by, synthesise
from flywheel.mine.augment.operation import Operation

__all__ = ["Operation", "Trial", "choose", "decide", "propose", "shown_by", "synthesise", "weigh"]
