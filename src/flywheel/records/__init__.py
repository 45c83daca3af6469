"""The nouns of Flywheel: frozen records that rooms hand to each other.

They carry no logic beyond their own invariants. `to_dict` turns any of them into plain JSON values (dates as ISO 8601
strings, tuples as lists) and `from_dict` brings one back, so that every record can be stored, printed and sent.
"""

from __future__ import annotations

from flywheel.records.facts import Feedback, Interaction
from flywheel.records.found import Cause, EdgeCase, Evidence, Failure, Group, Interval, Mode, Observation, Risk, Slice
from flywheel.records.learning import (
    Candidate,
    Check,
    Dataset,
    Example,
    Prediction,
    Receipt,
    Release,
    ReviewItem,
    Selection,
    Spin,
    Verdict,
)
from flywheel.records.plain import from_dict, to_dict
from flywheel.records.told import Acknowledgement, Proposal, Report, Why, WhyChain

__all__ = [
    "Acknowledgement",
    "Candidate",
    "Cause",
    "Check",
    "Dataset",
    "EdgeCase",
    "Evidence",
    "Example",
    "Failure",
    "Feedback",
    "Group",
    "Interaction",
    "Interval",
    "Mode",
    "Observation",
    "Prediction",
    "Proposal",
    "Receipt",
    "Release",
    "Report",
    "ReviewItem",
    "Risk",
    "Selection",
    "Slice",
    "Spin",
    "Verdict",
    "Why",
    "WhyChain",
    "from_dict",
    "to_dict",
]
