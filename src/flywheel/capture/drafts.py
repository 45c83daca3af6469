"""From what a caller hands over to checked records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from flywheel.capture.checks import (
    FEEDBACK_KINDS,
    SOURCES,
    moment,
    number,
    plain,
    probability,
    scalars,
    show,
    text,
    unknown_field,
)
from flywheel.capture.identity import new_id
from flywheel.errors import InvalidRecord
from flywheel.records import Feedback, Interaction

__all__ = ["FEEDBACK_FIELDS", "INTERACTION_FIELDS", "UNSAID", "Limits", "feedback_of", "interaction_of"]

INTERACTION_FIELDS = (
    "input",
    "output",
    "id",
    "at",
    "sent_at",
    "scores",
    "confidence",
    "latency_ms",
    "error",
    "model",
    "user",
    "session",
    "context",
    "propensity",
    "consent",
    "extra",
)
FEEDBACK_FIELDS = (
    "interaction_id",
    *FEEDBACK_KINDS,
    "withdrawal",
    "id",
    "at",
    "kind",
    "value",
    "name",
    "source",
    "by",
    "propensity",
    "extra",
)


class _Unsaid:
    """Stands for a label that was not given: None is a label too."""

    def __repr__(self) -> str:
        return "<not given>"


UNSAID: Final = _Unsaid()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a record may hold."""

    max_bytes: int


def interaction_of(given: Mapping[str, Any], limits: Limits) -> Interaction:
    """Check the fields of an interaction; unknown ones go to `extra`, unless they look like a misspelt known one."""
    size = limits.max_bytes
    if "input" not in given:
        raise InvalidRecord("input", "an interaction needs one", "Pass what the model was asked: input=…")
    extra = _extra(given.get("extra"), size)
    for name, value in given.items():
        if name not in INTERACTION_FIELDS:
            checked = str(text(name, "field name"))
            misspelt = unknown_field(checked, INTERACTION_FIELDS, strict=False)
            if misspelt is not None:
                raise misspelt
            extra[checked] = plain(value, checked, size)
    at = moment(given.get("at"), "at") or datetime.now(UTC)
    scores = given.get("scores")
    if scores is not None:
        scores = {label: number(score, f"scores.{label}") for label, score in scalars(scores, "scores", size).items()}
        missing = [label for label, score in scores.items() if score is None]
        if missing:
            raise InvalidRecord(f"scores.{missing[0]}", "None is not a number", "Leave outputs without a score out")
    consent = given.get("consent")
    if consent is not None and not isinstance(consent, bool):
        raise InvalidRecord(
            "consent", f"{show(consent)} is neither true nor false", "Pass True, False, or leave it out"
        )
    return Interaction(
        id=text(given.get("id"), "id") or new_id(None if given.get("at") is None else at),
        at=at,
        input=plain(given["input"], "input", size),
        output=plain(given.get("output"), "output", size),
        sent_at=moment(given.get("sent_at"), "sent_at"),
        scores=scores,
        confidence=probability(given.get("confidence"), "confidence"),
        latency_ms=number(given.get("latency_ms"), "latency_ms", low=0.0, fix=" of milliseconds, 0 or more"),
        error=text(given.get("error"), "error", name=False, limit=size),
        model=text(given.get("model"), "model"),
        user=text(given.get("user"), "user"),
        session=text(given.get("session"), "session"),
        context=scalars(given.get("context"), "context", size),
        propensity=probability(given.get("propensity"), "propensity", zero=False),
        consent=consent,
        extra=extra,
    )


def feedback_of(given: Mapping[str, Any], limits: Limits) -> list[Feedback]:
    """Check what was said about an interaction: one fact for each thing said. An unknown field is an error."""
    for name in given:
        if name not in FEEDBACK_FIELDS:
            problem = unknown_field(str(name), FEEDBACK_FIELDS, strict=True)
            assert problem is not None
            raise problem
    about = text(given.get("interaction_id"), "interaction_id")
    if about is None:
        raise InvalidRecord("interaction_id", "feedback is about an interaction", "Pass the id that log() returned")
    source = given.get("source") or "user"
    if source not in SOURCES:
        raise InvalidRecord(
            "source", f"{show(source)} is not a source of feedback", f"Pass one of: {', '.join(SOURCES)}"
        )
    own = text(given.get("id"), "id")
    at = moment(given.get("at"), "at") or datetime.now(UTC)
    by = text(given.get("by"), "by")
    propensity = probability(given.get("propensity"), "propensity", zero=False)
    extra = _extra(given.get("extra"), limits.max_bytes)
    said = list(_said(given, limits.max_bytes))
    if not said:
        raise InvalidRecord("feedback", "it says nothing", f"Pass at least one of: {', '.join(FEEDBACK_KINDS)}")
    return [
        Feedback(
            id=_fact_id(own, kind, name, alone=len(said) == 1) or new_id(None if given.get("at") is None else at),
            interaction_id=about,
            at=at,
            kind=kind,
            value=value,
            name=name,
            source=source,
            by=by,
            propensity=propensity,
            extra=extra,
        )
        for kind, name, value in said
    ]


def _fact_id(own: str | None, kind: str, name: str | None, *, alone: bool) -> str | None:
    if own is None or alone:
        return own
    return text(f"{own}:{kind}:{name}" if name else f"{own}:{kind}", "id")


def _said(given: Mapping[str, Any], size: int) -> Iterator[tuple[str, str | None, Any]]:
    """Yield `(kind, name, value)`; the stored form (`kind`, `value`, `name`) is turned into the spoken one first."""
    kind = given.get("kind")
    if kind is not None:
        if kind not in (*FEEDBACK_KINDS, "withdrawal"):
            raise InvalidRecord(
                "kind", f"{show(kind)} is not a kind of feedback", f"Pass one of: {', '.join(FEEDBACK_KINDS)}"
            )
        value = given.get("value")
        if kind == "outcome":
            if given.get("name") is None:
                raise InvalidRecord("name", "an outcome needs one", "Pass the metric's name, such as name='retained'")
            value = {given["name"]: value}
        given = {kind: value}
    elif given.get("value") is not None or given.get("name") is not None:
        raise InvalidRecord("value", "it has no kind", f"Pass kind, one of: {', '.join(FEEDBACK_KINDS)}")
    rating = number(given.get("rating"), "rating", fix=", such as 1 or -1")
    if rating is not None:
        yield "rating", None, rating
    if "label" in given:
        yield "label", None, plain(given["label"], "label", size)
    for word in ("comment", "report"):
        words = text(given.get(word), word, name=False, limit=size)
        if words is not None:
            if not words.strip():
                raise InvalidRecord(word, "the text is empty", "Leave it out")
            yield word, None, words
    taken_back = text(given.get("withdrawal"), "withdrawal")
    if taken_back is not None:
        yield "withdrawal", None, taken_back
    if given.get("outcome") is not None:
        metrics = scalars(given["outcome"], "outcome", size)
        if not metrics:
            raise InvalidRecord("outcome", "it names no metric", "Pass {'retained': 1}, or leave it out")
        for name, value in metrics.items():
            if value is None:
                raise InvalidRecord(f"outcome.{name}", "None says nothing", "Pass a number, text, true or false")
            yield "outcome", text(name, "outcome"), value


def _extra(given: Any, size: int) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InvalidRecord("extra", f"{show(given)} is a {type(given).__name__}, not a dict", "Pass {'name': value}")
    checked = plain(given, "extra", size)
    assert isinstance(checked, dict)
    return checked
