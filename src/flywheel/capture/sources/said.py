"""Scores, annotations, assessments and metrics of other tools → drafts of feedback."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flywheel.capture.genai_feedback import RESULT, feedback_from_event
from flywheel.capture.genai_messages import as_text

__all__ = ["feedback_about", "is_rating", "is_truth", "right_output"]

_RATINGS = frozenset(
    (
        *("user_feedback", "user-feedback", "user.feedback", "feedback", "thumbs", "thumb", "thumbs_up", "rating"),
        *("user_rating", "like", "helpful", "is_helpful"),
    )
)
_TRUTHS = frozenset(
    (
        *("expected_response", "expected_output", "expected_answer", "expected", "ground_truth", "reference"),
        *("label", "correct_answer", "correction", "target"),
    )
)


def is_rating(name: str) -> bool:
    """Tell whether a score of this name is what the user thought of the answer."""
    return name.strip().lower().replace(" ", "_") in _RATINGS


def is_truth(name: str) -> bool:
    """Tell whether an expectation of this name is the right output itself."""
    return name.strip().lower().replace(" ", "_") in _TRUTHS


def feedback_about(
    interaction_id: str,
    *,
    id: str | None,
    name: str,
    kind: str,
    value: Any = None,
    label: Any = None,
    words: Any = None,
    at: datetime | str | None = None,
    by: Any = None,
) -> dict[str, Any] | None:
    """Read a score as a draft of feedback; None when it says nothing.

    `kind` is who scored: `HUMAN`, `USER`, `LLM` or `CODE`. What a person rated up or down becomes a rating, anything
    else an outcome of the score's name. `words` are why.
    """
    thumbs = is_rating(name) and kind in ("HUMAN", "USER")
    if thumbs and isinstance(value, bool):
        value, label = None, "up" if value else "down"
    told = {
        "gen_ai.evaluation.score.value": value if isinstance(value, str | int | float) else _text(value),
        "gen_ai.evaluation.score.label": _text(label),
        "gen_ai.evaluation.explanation": _text(words),
        "annotation.annotator_kind": "USER" if thumbs else kind,
        "interaction_id": interaction_id,
    }
    told = {field: one for field, one in told.items() if one is not None}
    draft = feedback_from_event(RESULT, {**told, "gen_ai.evaluation.name": "rating"}) if thumbs else None
    if draft is None or "rating" not in draft:
        draft = feedback_from_event(RESULT, {**told, "gen_ai.evaluation.name": name})
    if draft is None:
        return None
    if id:
        draft["id"] = id
    if at is not None:
        draft["at"] = at
    if by:
        draft["by"] = as_text(by)[:200]
    return draft


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return as_text(value).strip() or None


def right_output(interaction_id: str, *, id: str | None, output: Any, at: Any = None, by: Any = None) -> dict[str, Any]:
    """A draft that says which output would have been right, by a reviewer."""
    draft = {"kind": "feedback", "interaction_id": interaction_id, "label": output, "source": "reviewer"}
    more = {"id": id, "at": at, "by": as_text(by)[:200] if by else None}
    return draft | {name: value for name, value in more.items() if value}
