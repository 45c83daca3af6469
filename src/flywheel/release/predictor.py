"""Answering with the champion: the newest one, always, and every answer logged."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flywheel.errors import InvalidRecord, NothingToLearn
from flywheel.records import Prediction

if TYPE_CHECKING:
    from flywheel.ports import Model, Predictions
    from flywheel.records import Release
    from flywheel.release.releases import Releases

__all__ = ["Predictor"]

_SCORES_KEPT = 5  # of hundreds of classes the first few say all that is used later


class Predictor:
    """Asks the champion. A promotion or rollback, in this process or another, takes effect with the next call.

    `load` brings a release's model into memory; `log_many` stores interactions and returns their ids.
    """

    def __init__(
        self,
        releases: Releases,
        load: Callable[[Release], Model],
        log_many: Callable[[list[dict[str, Any]]], list[str]],
    ) -> None:
        self._releases = releases
        self._load = load
        self._log_many = log_many
        self._swap = threading.Lock()
        self._held: tuple[str, Model] | None = None

    def predict(
        self,
        inputs: Sequence[Any],
        users: Sequence[str | None] | None = None,
        contexts: Sequence[Mapping[str, Any] | None] | None = None,
        at: datetime | Sequence[datetime] | None = None,
        log: bool = True,
        ids: Sequence[str] | None = None,
    ) -> list[Prediction]:
        """Answer each input; with `log`, store each answer as an interaction (under `ids` where given).

        `users`, `contexts` and a list of times in `at` have one entry per input. If the model fails, the failure is
        logged for each input and raised. Raises `NothingToLearn` while there is no champion.
        """
        given = list(inputs)
        times = [at] * len(given) if at is None or isinstance(at, datetime) else list(at)
        for name, values in (("users", users), ("contexts", contexts), ("ids", ids), ("at", times)):
            if values is not None and len(values) != len(given):
                raise InvalidRecord(
                    name, f"there are {len(values)} for {len(given)} inputs", "Pass one for each input, or None"
                )
        version, model = self._current()
        if not given:
            return []
        rows: list[dict[str, Any]] = [
            {
                "input": one,
                "model": version,
                "at": times[place],
                "user": users[place] if users else None,
                "context": contexts[place] if contexts else None,
                "id": ids[place] if ids else None,
            }
            for place, one in enumerate(given)
        ]
        answers = self._ask(model, given, rows, log=log)
        _complete(rows, answers)
        stored: Sequence[str | None] = self._log_many(rows) if log else [None] * len(rows)
        return [
            Prediction(id=key, output=row["output"], confidence=row["confidence"], version=version)
            for key, row in zip(stored, rows, strict=True)
        ]

    def _current(self) -> tuple[str, Model]:
        version = self._releases.champion_version()
        held = self._held
        if held is not None and held[0] == version:
            return held
        with self._swap:
            if self._held is None or self._held[0] != version:
                release = self._releases.champion()
                if release is None:
                    raise NothingToLearn(
                        "there is no champion to ask yet. Give labelled examples with seed() "
                        "and run a spin, or adopt() a model"
                    )
                self._held = (release.version, self._load(release))
            return self._held

    def _ask(self, model: Model, inputs: list[Any], rows: list[dict[str, Any]], *, log: bool) -> Predictions:
        answers: Predictions | None = None
        started = time.perf_counter()
        try:
            answers = model.predict(inputs)
        finally:
            each = (time.perf_counter() - started) * 1000 / len(inputs)
            for row in rows:
                row["latency_ms"] = each
            if answers is None and log:
                kind, problem, _ = sys.exc_info()
                for row in rows:
                    row["error"] = f"{kind.__name__ if kind else 'error'}: {problem}"
                self._log_many(rows)
        return answers


def _complete(rows: list[dict[str, Any]], answers: Predictions) -> None:
    for place, row in enumerate(rows):
        row["output"] = answers.outputs[place]
        row["confidence"] = None if answers.confidence is None else float(answers.confidence[place])
        if answers.scores is not None and answers.labels:
            row["scores"] = _best(answers.labels, answers.scores[place])


def _best(labels: Sequence[Any], scores: Any) -> dict[str, float]:
    """The highest few scores; equal ones in the order of the labels."""
    ranked = sorted(range(len(labels)), key=lambda place: (-float(scores[place]), place))[:_SCORES_KEPT]
    return {str(labels[place]): float(scores[place]) for place in ranked}
