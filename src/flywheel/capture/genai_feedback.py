"""What telemetry says about an answer, later: evaluations, annotations and users' ratings → drafts of feedback.

OpenTelemetry's event `gen_ai.evaluation.result` (and the older `gen_ai.evaluation.<name>`), OpenInference's
`evaluations.0.evaluation.*` and `annotations.0.annotation.*`, and events by which products send users' feedback.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from flywheel.capture.genai import flatten, interaction_id, moment_of
from flywheel.capture.genai_messages import as_text, listed, parsed

__all__ = ["feedback_from_attributes", "feedback_from_event", "is_feedback_event"]

RESULT = "gen_ai.evaluation.result"
_USER_EVENTS = (
    "gen_ai.user.feedback",
    "gen_ai.feedback",
    "gen_ai.evaluation.user_feedback",
    "user.feedback",
    "user_feedback",
    "feedback",
)
_USER_NAMES = ("user_feedback", "user.feedback", "feedback", "thumbs", "thumb", "rating", "user_rating", "like")
_GOOD = ("up", "thumbs_up", "thumbs-up", "thumbsup", "👍", "positive", "good", "like", "liked")
_BAD = ("down", "thumbs_down", "thumbs-down", "thumbsdown", "👎", "negative", "bad", "dislike", "disliked")
_SOURCES = {"HUMAN": "reviewer", "USER": "user", "LLM": "judge", "CODE": "system"}


def is_feedback_event(name: str) -> bool:
    """Tell whether an event of this name is about an answer that was given before."""
    return name in _USER_EVENTS or name.startswith("gen_ai.evaluation.")


def feedback_from_event(
    name: str,
    attributes: Mapping[str, Any],
    *,
    trace_id: str = "",
    span_id: str = "",
    time: int = 0,
    body: Any = None,
    responses: Mapping[str, str] | None = None,
) -> dict[str, Any] | None:
    """Read an event as a draft of feedback; None when it names no interaction or says nothing.

    It is about its span. Without one it is about the response it names: `responses` knows which interaction that was
    (response id → interaction id); one that is not there is taken for the interaction's id itself.
    """
    inner = parsed(body)
    told = {**inner, **attributes} if isinstance(inner, Mapping) else dict(attributes)
    about = _about(told, trace_id, span_id, responses or {})
    if about is None:
        return None
    said = {
        "name": told.get("gen_ai.evaluation.name") or _short(name),
        "score": _first(told, "score.value", "score", "value", "rating"),
        "label": _first(told, "score.label", "label"),
        "explanation": _first(told, "explanation", "comment", "reasoning"),
        "kind": "USER" if name in _USER_EVENTS else told.get("annotation.annotator_kind", "LLM"),
        "identifier": told.get("gen_ai.evaluation.identifier"),
    }
    return _draft(said, about, time, told.get("enduser.id") or told.get("user.id"))


def feedback_from_attributes(
    attributes: Mapping[str, Any], *, trace_id: str, span_id: str, time: int = 0
) -> Iterator[dict[str, Any]]:
    """Yield the feedback that OpenInference writes among a span's own attributes, about that span."""
    about = interaction_id(trace_id, span_id)
    for plural, word in (("evaluations", "evaluation"), ("annotations", "annotation")):
        if f"{plural}.0.{word}.name" not in attributes:
            continue
        for one in listed(attributes, plural):
            inner = one.get(word) if isinstance(one, Mapping) else None
            if isinstance(inner, Mapping):
                flat = flatten(inner)
                said = {key: flat.get(key) for key in ("name", "score", "label", "explanation", "identifier")}
                draft = _draft({**said, "kind": flat.get("annotator_kind", "LLM")}, about, time, None)
                if draft is not None:
                    yield draft


def _about(told: Mapping[str, Any], trace_id: str, span_id: str, responses: Mapping[str, str]) -> str | None:
    named = told.get("flywheel.interaction.id") or told.get("interaction_id")
    if named:
        return as_text(named)
    if trace_id and span_id:
        return interaction_id(trace_id, span_id)
    response = told.get("gen_ai.response.id")
    return responses.get(as_text(response), as_text(response)) if response else None


def _first(told: Mapping[str, Any], *names: str) -> Any:
    for name in names:
        for prefix in ("gen_ai.evaluation.", "gen_ai.feedback.", "gen_ai.user.feedback.", "feedback.", ""):
            value = told.get(prefix + name)
            if value is not None and value != "":
                return value
    return None


def _short(name: str) -> str:
    return name.rpartition(".")[2] if name.startswith("gen_ai.evaluation.") and name != RESULT else "user_feedback"


def _draft(said: Mapping[str, Any], about: str, time: int, user: Any) -> dict[str, Any] | None:
    name = " ".join(as_text(said["name"] or "").split())[:150]
    score, label, why = said["score"], said["label"], said["explanation"]
    if isinstance(score, str):
        score, label = None, label or score
    if not name or (score is None and label is None and why is None):
        return None
    kind = str(said["kind"]).upper()
    source = _SOURCES.get(kind, "judge")
    draft: dict[str, Any] = {"kind": "feedback", "interaction_id": about, "source": source}
    words = str(label).lower() if label is not None else ""
    rating = -1 if words in _BAD else 1 if words in _GOOD else score
    if source in ("user", "reviewer") and name.lower() in _USER_NAMES and _is_rating(rating, words):
        draft["source"] = "user"
        draft["rating"] = rating
        if why is not None and as_text(why).strip():
            draft["comment"] = as_text(why)
    else:
        values = {name: score if score is not None else label, f"{name}.label": label if score is not None else None}
        if source == "user" and why is not None and as_text(why).strip():
            draft["comment"] = as_text(why)
        elif why is not None:
            draft["extra"] = {"explanation": as_text(why)}
            values[name] = values[name] if values[name] is not None else as_text(why)
        draft["outcome"] = {key: value for key, value in values.items() if value is not None}
        if not draft["outcome"]:
            del draft["outcome"]
    moment = moment_of(time)
    if moment is not None:
        draft["at"] = moment
    if user is not None:
        draft["by"] = as_text(user)
    elif said.get("identifier"):
        draft["by"] = as_text(said["identifier"])[:200]
    seed = "\n".join(map(repr, (about, name, source, time, score, label, why, said.get("identifier"))))
    draft["id"] = hashlib.blake2b(seed.encode("utf-8", "replace"), digest_size=16).hexdigest()
    return draft


def _is_rating(value: Any, words: str) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return words in _GOOD or words in _BAD or value < 0 or value >= 1
