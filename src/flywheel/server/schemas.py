"""The OpenAPI descriptions of bodies that are read without FastAPI, for speed, and of common answers."""

from __future__ import annotations

from typing import Any

__all__ = [
    "FEEDBACK_BODY",
    "INTERACTIONS_BODY",
    "PROBLEM",
    "PROBLEMS",
    "PROXY_ANSWERS",
    "PROXY_BODY",
    "REPORT_BODY",
    "REPORT_FILED",
    "TAKEN",
]

_MOMENT = {"type": "string", "format": "date-time"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_NAME = {"type": "string", "minLength": 1, "maxLength": 200}

INTERACTION: dict[str, Any] = {
    "type": "object",
    "required": ["input"],
    "properties": {
        "id": {**_NAME, "description": "Yours; sending it again stores nothing twice. Made for you when left out."},
        "input": {"description": "What the model was asked: any JSON."},
        "output": {"description": "What it answered: any JSON."},
        "at": _MOMENT,
        "sent_at": _MOMENT,
        "scores": {"type": "object", "additionalProperties": {"type": "number"}},
        "confidence": _SHARE,
        "latency_ms": {"type": "number", "minimum": 0},
        "error": {"type": "string"},
        "model": _NAME,
        "user": {**_NAME, "description": "Stored as a keyed pseudonym."},
        "session": _NAME,
        "context": {
            "type": "object",
            "additionalProperties": {"anyOf": [{"type": kind} for kind in ("string", "number", "boolean", "null")]},
        },
        "propensity": _SHARE,
        "consent": {"type": "boolean", "description": "false: nothing of it is kept but a count."},
        "extra": {"type": "object"},
    },
    "additionalProperties": True,
}

FEEDBACK: dict[str, Any] = {
    "type": "object",
    "required": ["interaction_id"],
    "properties": {
        "id": _NAME,
        "interaction_id": _NAME,
        "at": _MOMENT,
        "rating": {"type": "number", "description": "Negative is bad."},
        "label": {"description": "The right output: any JSON."},
        "comment": {"type": "string"},
        "report": {"type": "string"},
        "outcome": {"type": "object", "description": "Named business metrics."},
        "source": {"type": "string", "enum": ["user", "reviewer", "judge", "system"]},
        "by": _NAME,
        "propensity": _SHARE,
        "extra": {"type": "object"},
    },
}

PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "message", "retryable"],
            "properties": {
                "type": {"type": "string"},
                "message": {"type": "string", "description": "What happened, why, and what to do next."},
                "retryable": {"type": "boolean"},
            },
        }
    },
}

_BOOKS: dict[str, Any] = {
    "type": "object",
    "required": ["received", "accepted", "duplicate", "rejected", "dead_lettered", "errors"],
    "properties": {
        **{
            name: {"type": "integer", "minimum": 0}
            for name in ("received", "accepted", "duplicate", "rejected", "dead_lettered")
        },
        "errors": {
            "type": "array",
            "maxItems": 100,
            "items": {
                "type": "object",
                "properties": {"index": {"type": "integer"}, "reason": {"type": "string"}},
            },
        },
    },
}


def _answer(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: _answer("No key, or one that is not good", PROBLEM),
    403: _answer("The key lacks the scope", PROBLEM),
    404: _answer("There is no such thing", PROBLEM),
    422: _answer("The request cannot be used as it is", PROBLEM),
    503: _answer("Try again later; Retry-After says when", PROBLEM),
}

TAKEN: dict[int | str, dict[str, Any]] = {
    **{code: answer for code, answer in PROBLEMS.items() if code != 404},
    200: _answer("On stable storage; the books of this batch", _BOOKS),
    400: _answer("The body is not JSON", PROBLEM),
    404: _answer("There is no such flywheel", PROBLEM),
    413: _answer("The body is too large", PROBLEM),
    415: _answer("The content type or encoding is not spoken here", PROBLEM),
    422: _answer("None of the records could be stored; they are among the dead letters", _BOOKS),
    429: _answer("The key sends too much; Retry-After says when to go on", PROBLEM),
}


def _body(record: dict[str, Any], text: str) -> dict[str, Any]:
    either = {"anyOf": [{"type": "array", "items": record}, record]}
    return {
        "requestBody": {
            "required": True,
            "description": text,
            "content": {
                "application/json": {"schema": either},
                "application/x-ndjson": {"schema": {"type": "string", "description": "One record a line."}},
            },
        }
    }


INTERACTIONS_BODY = _body(INTERACTION, "One interaction, an array of them, or one a line; gzip and deflate are taken.")
FEEDBACK_BODY = _body(FEEDBACK, "One feedback, an array of them, or one a line; gzip and deflate are taken.")

_ANY = {"application/json": {"schema": {"type": "object"}}}
PROXY_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "description": "As the upstream's API has it.", "content": _ANY}
}
PROXY_ANSWERS: dict[int | str, dict[str, Any]] = {
    code: {"description": text, "content": _ANY}
    for code, text in (
        (200, "The upstream's answer, untouched; a stream of events where one was asked for"),
        (401, "No key, or one that is not good"),
        (403, "The key lacks the scope"),
        (404, "No upstream is configured"),
        (413, "The body is too large"),
        (502, "The upstream could not be reached"),
        (504, "The upstream did not answer in time"),
        ("4XX", "As the upstream says"),
        ("5XX", "As the upstream says"),
    )
}

_WORDS = {"type": "string", "minLength": 1, "maxLength": 10_000}
REPORT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "What happened, not who did it.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["what"],
                    "properties": {
                        "what": {**_WORDS, "description": "What happened; stored redacted."},
                        "expected": {**_WORDS, "description": "What should have happened."},
                        "interaction_id": {**_NAME, "description": "The interaction it is about, where it is known."},
                        "by": {**_NAME, "description": "Stored as a keyed pseudonym; anonymous without."},
                        "contact": {"type": "string", "maxLength": 300, "description": "Kept apart, until told."},
                        "trace": {**_NAME, "description": "Helps to find the interaction, as do the next three."},
                        "session": _NAME,
                        "near": {**_WORDS, "description": "Words of the question or the answer."},
                        "when": {**_MOMENT, "description": "When it happened; now, when left out."},
                    },
                    "additionalProperties": False,
                }
            }
        },
    }
}
REPORT_FILED: dict[int | str, dict[str, Any]] = {
    **{code: answer for code, answer in TAKEN.items() if code not in (200, 422)},
    200: _answer(
        "On stable storage; the token is shown once",
        {
            "type": "object",
            "required": ["id", "token", "state", "line"],
            "properties": {name: {"type": "string"} for name in ("id", "token", "state", "line")},
        },
    ),
    422: _answer("The report cannot be stored as it is", PROBLEM),
}
