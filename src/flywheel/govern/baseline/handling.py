"""How failures are handled today: what is recorded of them, and what a log without errors still says."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from flywheel.govern.baseline.columns import says_nothing, spread_of
from flywheel.govern.baseline.links import Links
from flywheel.govern.baseline.result import Handling, share_of
from flywheel.govern.baseline.shown import Shown
from flywheel.govern.baseline.sketches import DistinctCount, FrequentValues, Quantiles, hash_of

__all__ = ["Failing"]

_TIMEOUT = re.compile(r"(?i)time[ds]?[\s_-]?out|deadline exceeded|\b(?:408|504|524)\b|ETIMEDOUT")
_REFUSAL = re.compile(r"(?i)^\s*refusal\b|content[_ ]?(?:filter|policy)|\bsafety (?:system|filter)")
_STATUS = (
    "status",
    "status_code",
    "statuscode",
    "http_status",
    "http.status_code",
    "http.response.status_code",
    "response",
)
_NUMBERS = re.compile(
    r"(?<!HTTP )(?<!HTTP)(?<!status )(?<!code )(?<![A-Za-z\d])(?:0x)?[0-9a-fA-F-]*\d[0-9a-fA-F-]*(?![A-Za-z])"
)
_QUOTED = re.compile(r"'[^']{1,200}'|\"[^\"]{1,200}\"")
_EDGES = [10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4]
_BANDS = ("< 10 ms", "10–30", "30–100", "100–300", "0.3–1 s", "1–3 s", "3–10 s", "10–30 s", "≥ 30 s")


class Failing:
    """Errors, answers that never came, latencies and confidences. Memory: 256 kinds of error and three sketches."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self.interactions = 0
        self._errors = self._timeouts = self._refusals = self._unanswered = self._versioned = 0
        self._kinds = FrequentValues()
        self._latency = Quantiles()
        self._confidence = Quantiles()
        self._bands = [0] * 10
        self._outside = self._unsure = self._sure = 0
        self._status_field: str | None = None
        self._status = self._status_failed = self._silent = 0
        self._versions = DistinctCount()

    def take(self, draft: Mapping[str, Any]) -> None:
        """Take one interaction."""
        self.interactions += 1
        error = draft.get("error")
        failed = not says_nothing(error) and error is not False
        if failed:
            self._error(str(error))
        elif says_nothing(draft.get("output")):
            self._unanswered += 1
        latency = draft.get("latency_ms")
        if _finite(latency) and latency is not None and latency >= 0:
            self._latency.add(float(latency))
        self._confident(draft.get("confidence"))
        model = draft.get("model")
        if not says_nothing(model):
            self._versioned += 1
            self._versions.add(hash_of(model))
        self._coded(draft, failed)

    def _error(self, error: str) -> None:
        self._errors += 1
        start = error[:2000]
        self._timeouts += _TIMEOUT.search(start) is not None
        self._refusals += _REFUSAL.search(start) is not None
        kind = _NUMBERS.sub("…", _QUOTED.sub("'…'", self._shown.text(start, 160)))
        self._kinds.add(kind[:100])

    def _confident(self, confidence: Any) -> None:
        if not _finite(confidence):
            return
        if not 0 <= confidence <= 1:
            self._outside += 1
            return
        self._sure += 1
        self._unsure += confidence < 0.5
        self._confidence.add(float(confidence))
        self._bands[min(9, int(confidence * 10))] += 1

    def _coded(self, draft: Mapping[str, Any], failed: bool) -> None:
        """A status code tells of failures where nobody mapped an error."""
        for part in ("context", "output", "extra", "input"):
            fields = draft.get(part)
            if not isinstance(fields, dict):
                continue
            for name, value in fields.items():
                if str(name).lower() in _STATUS and (code := _code(value)) is not None:
                    self._status_field = self._status_field or f"{part}.{name}"
                    if self._status_field != f"{part}.{name}":
                        continue
                    self._status += 1
                    self._status_failed += code >= 400
                    self._silent += code >= 400 and not failed
                    return

    def found(self, links: Links, *, sampled: bool) -> Handling:
        """What it comes to."""
        n = self.interactions
        histogram = self._latency.histogram(_EDGES) if self._latency.n else []
        return Handling(
            errors=share_of(self._errors, n, sampled=sampled),
            kinds=tuple(self._kinds.top(12)),
            timeouts=share_of(self._timeouts, n, sampled=sampled),
            refusals=share_of(self._refusals, n, sampled=sampled),
            status_field=self._shown.text(self._status_field, 60) if self._status_field else None,
            status_failures=share_of(self._status_failed, self._status, sampled=sampled),
            silent=share_of(self._silent, self._status_failed, sampled=sampled),
            unanswered=share_of(self._unanswered, n, sampled=sampled),
            abandoned=links.abandoned(),
            retries=links.retries(),
            latency=spread_of(self._latency),
            latency_histogram=tuple(zip(_BANDS, histogram, strict=True)) if histogram else (),
            confidence=spread_of(self._confidence),
            confidence_histogram=tuple(self._bands) if self._sure else (),
            unsure=share_of(self._unsure, self._sure, sampled=sampled),
            outside=self._outside,
            versioned=share_of(self._versioned, n, sampled=sampled),
            versions=self._versions.count,
        )


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _code(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600 else None
