"""A stand-in for an open flywheel or a connection: it remembers what it was told, and can refuse."""

from __future__ import annotations

import json

from flywheel.capture.drafts import Limits, feedback_of, interaction_of


class Told:
    """Checks each record as the log would; `seen` are the fields as they came, `said` the feedback."""

    def __init__(self, problem=None):
        self.seen = []
        self.said = []
        self.problem = problem

    def log(self, **fields):
        if self.problem is not None:
            raise self.problem
        record = interaction_of(fields, Limits(1_000_000))
        json.dumps([record.input, record.output, record.extra])
        self.seen.append(fields)
        return record.id

    def feedback(self, interaction_id, **fields):
        if self.problem is not None:
            raise self.problem
        self.said.append({"interaction_id": interaction_id, **fields})
        return [fact.id for fact in feedback_of({"interaction_id": interaction_id, **fields}, Limits(1_000_000))]
