"""The nouns of Flywheel: frozen records that rooms hand to each other.

They carry no logic beyond their own invariants. `to_dict` turns any of them into plain JSON values (dates as ISO 8601
strings, tuples as lists) and `from_dict` brings one back, so that every record can be stored, printed and sent.
"""

from __future__ import annotations

from flywheel.records.facts import Feedback, Interaction
from flywheel.records.found import Cause, EdgeCase, Evidence, Failure, Group, Interval, Mode, Observation, Risk, Slice
from flywheel.records.history import (
    Concentration,
    FailureHistory,
    ModeDay,
    ModeReplay,
    ModeSpin,
    ModeStory,
    Repair,
    SpinFailures,
    Stage,
    Standing,
    TimeToFix,
    Wait,
    Wish,
)
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
    "Concentration",
    "Dataset",
    "EdgeCase",
    "Evidence",
    "Example",
    "Failure",
    "FailureHistory",
    "Feedback",
    "Group",
    "Interaction",
    "Interval",
    "Mode",
    "ModeDay",
    "ModeReplay",
    "ModeSpin",
    "ModeStory",
    "Observation",
    "Prediction",
    "Proposal",
    "Receipt",
    "Release",
    "Repair",
    "Report",
    "ReviewItem",
    "Risk",
    "Selection",
    "Slice",
    "Spin",
    "SpinFailures",
    "Stage",
    "Standing",
    "TimeToFix",
    "Verdict",
    "Wait",
    "Why",
    "WhyChain",
    "Wish",
    "from_dict",
    "to_dict",
]
