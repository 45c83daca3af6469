"""What users say about answers, when it is heard, and what a human labeler answers.

Everything rests on `Request.luck`: two arms that give the same answer hear the same, and arms differ by their answers
alone. The rates are fixed before any run:

- P(report | wrong answer) = 8 %, P(report | right answer) = 1 %; users of the group `quiet` report half as often.
- One report in ten names a class, and a wrong one (a `label`; of a right answer, too). Of the other reports of wrong
  answers every second names the right class (a `label`), the rest are a rating of −1. So are the other reports of right
  answers.
- Somebody tries again after 40 % of wrong and 5 % of right answers. It is heard as the outcome `retry` = 1, twenty
  seconds after the request. A real second request would be different traffic for each arm, and arms would then
  no longer be compared on the same requests. The product's detector `retried` reads this outcome.
- A report comes after a delay in days, lognormal with median 1, 95 % within 7. A retry is heard at once.
- A labeler is wrong in 5 % of answers, in 15 % where people mix the class up with another (`World.confusable`), and
  then names one of those.

Nobody names a class before it first appears in the seed or in the traffic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any

from flywheelbench.world import Request, World

__all__ = ["Inbox", "Labeler", "reports"]

REPORT_WRONG, REPORT_RIGHT, QUIET = 0.08, 0.01, 0.5
"""P(report | wrong), P(report | right), and what they are multiplied by for quiet users."""

WRONG_CLASS, RIGHT_CLASS = 0.10, 0.50
"""Of reports: the share that names a wrong class. Of the other reports of wrong answers: the share that names the right
one."""

RETRY_WRONG, RETRY_RIGHT = 0.40, 0.05
"""P(tries again | wrong), P(tries again | right)."""

RETRY_AFTER = timedelta(seconds=20)

SLIP, SLIP_CONFUSABLE = 0.05, 0.15
"""P(a labeler is wrong), and the same for a class that people mix up with another."""


class _Classes:
    """Which classes people know at a time: those of the seed, and those that have appeared in the traffic."""

    def __init__(self, world: World) -> None:
        first: dict[Any, datetime | None] = {}
        for requests in world.spins:
            for request in requests:
                if request.truth not in first or request.at < (first[request.truth] or request.at):
                    first[request.truth] = request.at
        first.update(dict.fromkeys(world.seed_labels))
        self._first = first
        self._order = [label for label in world.labels if label in first]

    def known(self, at: datetime) -> list[Any]:
        return [label for label in self._order if (since := self._first[label]) is None or since <= at]


def reports(world: World, requests: Sequence[Request], answers: Sequence[Any]) -> list[tuple[datetime, dict[str, Any]]]:
    """All that users will ever say about answers: `(when it is heard, feedback)`, in that order.

    `answers[i]` is what a model answered to `requests[i]`: its output alone, compared with the truth by `==`. A
    feedback is a dict for `Flywheel.feedback_many`, with an `id` made from the request's. Deterministic: no chance is
    left but the requests' own.

    Raises `ValueError` if requests and answers differ in number.
    """
    return _reports(world, _Classes(world), requests, answers)


def _reports(
    world: World, classes: _Classes, requests: Sequence[Request], answers: Sequence[Any]
) -> list[tuple[datetime, dict[str, Any]]]:
    if len(requests) != len(answers):
        raise ValueError(
            f"{len(requests)} requests and {len(answers)} answers: give one answer, None for no answer, to each request"
        )
    found: list[tuple[datetime, dict[str, Any]]] = []
    for request, answer in zip(requests, answers, strict=True):
        wrong = bool(answer != request.truth)
        if request.luck.retry < (RETRY_WRONG if wrong else RETRY_RIGHT):
            found.append(_said(request, "retry", request.at + RETRY_AFTER, outcome={"retry": 1.0}))
        rate = (REPORT_WRONG if wrong else REPORT_RIGHT) * (QUIET if request.group == "quiet" else 1.0)
        if request.luck.report < rate:
            when = request.at + timedelta(days=request.luck.delay_days)
            found.append(_said(request, "report", when, **_words(world, classes, request, answer, wrong)))
    return sorted(found, key=lambda heard: (heard[0], heard[1]["id"]))


def _words(world: World, classes: _Classes, request: Request, answer: Any, wrong: bool) -> dict[str, Any]:
    luck = request.luck
    if luck.wrong_class < WRONG_CLASS:
        named = [
            label
            for label in classes.known(request.at)
            if label != request.truth and label != answer and label != world.out_of_scope
        ]
        # With two classes there is no third to name: the user only says that it was bad.
        return {"label": named[int(luck.which_class * len(named))]} if named else {"rating": -1}
    if wrong and luck.which_class < RIGHT_CLASS:
        return {"label": request.truth}
    return {"rating": -1}


def _said(request: Request, what: str, at: datetime, **words: Any) -> tuple[datetime, dict[str, Any]]:
    told = {"id": f"{request.id}-{what}", "interaction_id": request.id, "at": at, "source": "user"}
    return at, {**told, "by": request.user, **words}


class Inbox:
    """What users say, kept until it is heard.

    Give it the answers of each spin with `add`; `due(at)` hands over once what has come until then, in order of time.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._classes = _Classes(world)
        self._left = [{request.id for request in requests} for requests in world.spins]
        self._waiting: list[tuple[datetime, str, dict[str, Any]]] = []

    def add(self, spin: int, requests: Sequence[Request], answers: Sequence[Any]) -> None:
        """Take the answers that were given to requests of a spin: all at once, or in parts.

        Raises `ValueError` as `reports`, and for a request that is not of that spin or was added before.
        """
        asked = {request.id for request in requests}
        if strange := asked - self._left[spin]:
            raise ValueError(
                f"{len(strange)} requests, {min(strange)} among them, are not of spin {spin} or were answered before: "
                "add each request of world.spins[spin] once"
            )
        for at, said in _reports(self._world, self._classes, requests, answers):
            heappush(self._waiting, (at, said["id"], said))
        self._left[spin] -= asked

    def due(self, at: datetime) -> list[dict[str, Any]]:
        """The feedback that has come until `at` and was not handed over before."""
        return list(self._taken(at))

    def _taken(self, at: datetime) -> Iterator[dict[str, Any]]:
        while self._waiting and self._waiting[0][0] <= at:
            yield heappop(self._waiting)[2]


class Labeler:
    """A person who is asked what the right output of a request was, and is wrong at the rates above.

    Asked the same at the same `look`, the person answers the same, whichever arm asks. Another `look` is another
    person: wrong or right independently of the first.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._classes = _Classes(world)

    def label_of(self, request: Request, look: int = 0) -> Any:
        """The label that a person gives a request: at `look` 0 by the request's luck, later by a hash of world, request
        and look.

        Raises `ValueError` for a negative look.
        """
        slip, which = self._luck(request, look)
        likely = self._world.confusable.get(request.truth, ())
        if slip >= (SLIP_CONFUSABLE if likely else SLIP):
            return request.truth
        known = self._classes.known(request.at)
        others = [label for label in likely if label in known] or [
            label for label in known if label != request.truth and label != self._world.out_of_scope
        ]
        return others[int(which * len(others))] if others else request.truth

    def _luck(self, request: Request, look: int) -> tuple[float, float]:
        if look < 0:
            raise ValueError(f"look {look} is no look: the first is 0, a second one 1")
        if look == 0:
            return request.luck.label, request.luck.which_label
        asked = f"{self._world.name}/{self._world.seed}/{request.id}/{look}"
        drawn = hashlib.blake2b(asked.encode(), digest_size=16).digest()
        return int.from_bytes(drawn[:6], "big") / 2**48, int.from_bytes(drawn[8:14], "big") / 2**48
