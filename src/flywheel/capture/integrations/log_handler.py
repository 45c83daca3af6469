"""Python's own `logging`: records with fields of an interaction or of feedback are logged, others where asked."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from flywheel.capture.integrations.teller import Teller, Told, error_of
from flywheel.capture.lines import FIELDS

__all__ = ["LogHandler"]

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "flywheel"}
_FEEDBACK = ("rating", "label", "comment", "outcome", "report", "source", "by", "propensity", "id", "at")
_SCALARS = (str, int, float, bool)


class LogHandler(logging.Handler):
    """A handler for `logging`::

        logging.getLogger("shop").addHandler(LogHandler(connection))
        logger.info("answered", extra={"input": text, "output": intent, "confidence": 0.4, "user": user})
        logger.info("thumbs down", extra={"interaction_id": i, "rating": -1})

    A record with `input` among its extra fields is an interaction, one with `interaction_id` feedback; a dict under
    `extra={"flywheel": {...}}` does as well. Other scalar fields, the logger and the level become context. With
    `lines=True` every other record is an interaction too: its message is the input, and an exception or the level
    ERROR the error. What Flywheel itself logs is left alone.
    """

    def __init__(self, to: Told, level: int | str = logging.NOTSET, *, lines: bool = False) -> None:
        super().__init__(level)
        self._teller = Teller(to)
        self._lines = lines

    @property
    def unrecorded(self) -> dict[str, int]:
        """What could not be logged, by the kind of trouble."""
        return dict(self._teller.unrecorded)

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record, if it says something."""
        if record.name.partition(".")[0] != "flywheel":
            self._teller.quietly(lambda: self._tell(record))

    def _tell(self, record: logging.LogRecord) -> None:
        fields = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        inner = record.__dict__.get("flywheel")
        if isinstance(inner, dict):
            fields.update(inner)
        if fields.get("interaction_id") is not None:
            said = {name: fields[name] for name in _FEEDBACK if name in fields}
            said.setdefault("at", datetime.fromtimestamp(record.created, UTC))
            self._teller.to.feedback(str(fields["interaction_id"]), **said)
        elif "input" in fields or self._lines:
            self._teller.to.log(**self._interaction(record, fields))

    def _interaction(self, record: logging.LogRecord, fields: dict[str, Any]) -> dict[str, Any]:
        told = {name: value for name, value in fields.items() if name in FIELDS}
        if "input" not in told:
            told["input"] = record.getMessage()
            if record.levelno >= logging.ERROR:
                told.setdefault("error", told["input"])
        if record.exc_info and record.exc_info[1] is not None:
            told["error"] = error_of(record.exc_info[1])
        rest = {name: value for name, value in fields.items() if name not in FIELDS}
        context = {name: value for name, value in rest.items() if isinstance(value, _SCALARS)}
        context |= {"logger": record.name, "level": record.levelname}
        given = told.get("context")
        told["context"] = {**context, **given} if isinstance(given, dict) else context
        beside = {name: value for name, value in rest.items() if not isinstance(value, (*_SCALARS, type(None)))}
        if beside:
            told["extra"] = {**beside, **(told.get("extra") or {})}
        told.setdefault("at", datetime.fromtimestamp(record.created, UTC))
        return told
