"""AWS CloudWatch Logs: the events of a log group, page by page."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

from flywheel.capture.mapping import guess_mapping
from flywheel.capture.sources.documents import columns_of_documents, record_of
from flywheel.capture.sources.patience import ask
from flywheel.capture.sources.patterns import NAMED, compiled, guessed, named
from flywheel.capture.sources.places import Place, place_of
from flywheel.capture.sources.plain_log import Lines
from flywheel.errors import InvalidConfig, MissingExtra, NotFound

__all__ = ["CloudWatch"]

_SETTINGS = ("prefix", "filter", "region", "since", "until", "endpoint", "pattern", "zone", "size", "profile")
_PEEK = 200
_LATE = 3_600_000
_BUSY = (
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "LimitExceededException",
)
_AWAY = ("ServiceUnavailableException", "ServiceUnavailable", "InternalFailure", "InternalServerError")


class CloudWatch:
    """The source `cloudwatch`: `cloudwatch:/log/group?prefix=stream&filter=…&region=…&since=…`.

    Settings: `prefix` of the log streams' names, `filter` in CloudWatch's own filter syntax, `since` and `until` (ISO
    8601), `region`, `profile` (of `~/.aws`), `endpoint` for a service that is not AWS's own (else `AWS_ENDPOINT_URL`),
    `size` events a page (10,000 at most); `pattern` and `zone` as in the source `log`. Credentials come from where
    every AWS program finds them; they are never part of a location.

    A message that is a JSON object becomes columns; another is read by a pattern, guessed from the first messages,
    which stands in `format`; one that fits none is its own input. The event's id is the record's. A throttled request
    is asked again: three times by botocore's adaptive mode, which also slows down, then by waits of our own.

    `done` is the share of the time span that has been read. `cursor` is where the page stands; `read(…, after=cursor)`
    goes on there. A finished reading goes on an hour before its last event, because events may arrive late; what is
    known is not stored twice.
    """

    name = "cloudwatch"
    settings = ("pattern",)

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self.done = 0.0
        self.cursor: str | None = None
        self.format = ""
        self._sleep = sleep
        self._client: tuple[tuple[str | None, ...], Any] | None = None

    def columns(self, location: str, mapping: dict[str, str] | None = None) -> list[str]:
        """The fields that the first two hundred messages have."""
        place = self._place(location)
        events = list(islice(_flat(self._pages(place, self._connect(place), self._question(place), None)), _PEEK))
        lines = self._lines(place, mapping, [_message(event) for event in events])
        return columns_of_documents([self._row(lines, event) for event in events]) or ["input"]

    def read(
        self, location: str, mapping: dict[str, str] | None = None, *, after: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield a record for each event."""
        place = self._place(location)
        chosen = dict(mapping or {})
        own = {"pattern": chosen.pop("pattern")} if "pattern" in chosen else None
        if mapping is None:
            chosen = guess_mapping(self.columns(location))
        start, token, stand = _cursor(after)
        question = self._question(place)
        if start is not None:
            question["startTime"] = max(start, question.get("startTime", 0))
        self.done, self.cursor = 0.0, after
        latest = stand
        span = _Span(question)
        lines: Lines | None = None
        for events, following in self._pages(place, self._connect(place), question, token):
            if lines is None:
                lines = self._lines(place, own, [_message(event) for event in events[:_PEEK]])
            for number, (event, row) in enumerate(zip(events, self._rows(lines, events), strict=True), start=1):
                latest = max(latest, int(event.get("timestamp", 0)))
                record = record_of(row, chosen, stable_id=str(event["eventId"]))
                if number == len(events):  # the page is done with its last event, and the next one is known
                    self.cursor = _marked(question.get("startTime", 0), following, latest)
                self.done = span.share(latest)
                yield record
        self.cursor = _marked(max(0, latest - _LATE), None, latest)
        self.done = 1.0

    def _pages(
        self, place: Place, client: Any, question: dict[str, Any], token: str | None
    ) -> Iterator[tuple[list[dict[str, Any]], str | None]]:
        """Each page with the token of the next one; a token that has expired (a day) means the beginning again."""
        from botocore.exceptions import ClientError

        while True:
            asked = question | ({"nextToken": token} if token else {})
            try:
                answer = self._ask(place, partial(client.filter_log_events, **asked))
            except ClientError as refused:
                if token and refused.response["Error"]["Code"] == "InvalidParameterException":
                    token = None
                    continue
                raise self._told(place, refused) from None
            token = answer.get("nextToken")
            yield answer.get("events", []), token
            if not token:
                return

    def _ask(self, place: Place, call: Callable[[], Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

        try:
            return ask(
                call,
                (ClientError, HTTPClientError, ConnectionError),
                _wait_for,
                f"CloudWatch ({place.path})",
                sleep=self._sleep,
            )
        except BotoCoreError as problem:
            raise InvalidConfig(
                f"CloudWatch cannot be asked for {place.path!r}: {problem}. Credentials are read from the environment, "
                "~/.aws or the machine's role; the region from region= or AWS_REGION"
            ) from None

    def _told(self, place: Place, refused: Any) -> Exception:
        error = refused.response.get("Error", {})
        code = error.get("Code", "refused")
        if code == "ResourceNotFoundException":
            return NotFound(f"CloudWatch has no log group {place.path!r} here. Check its name and the region")
        return InvalidConfig(
            f"CloudWatch refused the question about {place.path!r}: {code}: {error.get('Message', '')}. "
            "Reading needs the right logs:FilterLogEvents"
        )

    def _connect(self, place: Place) -> Any:
        where = tuple(place.settings.get(name) for name in ("region", "profile", "endpoint"))
        if self._client is None or self._client[0] != where:
            self._client = where, self._connected(place)
        return self._client[1]

    def _connected(self, place: Place) -> Any:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ModuleNotFoundError as missing:
            raise MissingExtra(
                "the source 'cloudwatch' needs boto3. Run: pip install 'dataflywheel[cloudwatch]'"
            ) from missing
        patient = Config(retries={"mode": "adaptive", "total_max_attempts": 3}, connect_timeout=10, read_timeout=60)
        try:
            session = boto3.Session(
                region_name=place.settings.get("region"), profile_name=place.settings.get("profile")
            )
            return session.client("logs", endpoint_url=place.settings.get("endpoint"), config=patient)
        except (BotoCoreError, ValueError) as problem:
            raise InvalidConfig(
                f"CloudWatch cannot be reached: {problem}. Set region=, AWS_REGION or profile="
            ) from None

    def _question(self, place: Place) -> dict[str, Any]:
        question: dict[str, Any] = {"logGroupName": place.path, "limit": place.number("size", 10_000, 1, 10_000)}
        for name, field in (("prefix", "logStreamNamePrefix"), ("filter", "filterPattern")):
            if place.settings.get(name):
                question[field] = place.settings[name]
        for name, field in (("since", "startTime"), ("until", "endTime")):
            moment = place.moment(name)
            if moment is not None:
                question[field] = int(moment.timestamp() * 1000)
        return question

    def _lines(self, place: Place, mapping: dict[str, str] | None, peek: Sequence[str]) -> Lines:
        pattern = (mapping or {}).get("pattern") or place.settings.get("pattern")
        firsts = [message.split("\n", 1)[0] for message in peek]
        plain = [line for line in firsts if not line.startswith("{")]
        if pattern is None:
            patterns = guessed(plain)
        else:
            patterns = [named(pattern) if pattern in NAMED else compiled(pattern)]
        names = [one.name for one in patterns]
        if len(plain) < len(firsts):
            names.insert(0, "json")
        self.format = ", ".join(names) or "one message an event"
        return Lines(patterns, place.zone() or UTC)

    def _rows(self, lines: Lines, events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        messages = [_message(event) for event in events]
        parts = [message.split("\n") if not message.startswith("{") else [message] for message in messages]
        heads = lines.heads([part[0] for part in parts])
        rows = []
        for event, message, part, head in zip(events, messages, parts, heads, strict=True):
            moment = datetime.fromtimestamp(int(event["timestamp"]) / 1000, UTC)
            row = lines.row(head, part[1:], moment) if head else {"input": message}
            row.setdefault("at", moment.isoformat())
            row["extra.log_stream"] = event.get("logStreamName", "")
            rows.append({name: value for name, value in row.items() if value is not None})
        return rows

    def _row(self, lines: Lines, event: dict[str, Any]) -> dict[str, Any]:
        return self._rows(lines, [event])[0]

    def _place(self, location: str) -> Place:
        place = place_of(location, (self.name,), _SETTINGS)
        if not place.path:
            raise InvalidConfig(
                "the location names no log group. Write it as cloudwatch:/aws/lambda/name?region=eu-west-1"
            )
        return place


class _Span:
    """How far a time lies between the beginning and the end of what was asked for."""

    def __init__(self, question: dict[str, Any]) -> None:
        self._start: int | None = question.get("startTime")
        self._end = int(question.get("endTime", time.time() * 1000))

    def share(self, moment: int) -> float:
        if self._start is None:
            self._start = moment
        return min(0.999, max(0.0, (moment - self._start) / max(1, self._end - self._start)))


def _message(event: dict[str, Any]) -> str:
    return str(event.get("message", "")).rstrip("\r\n")


def _flat(pages: Iterator[tuple[list[dict[str, Any]], str | None]]) -> Iterator[dict[str, Any]]:
    for events, _ in pages:
        yield from events


def _wait_for(problem: Exception) -> float | None:
    response = getattr(problem, "response", None)
    if not isinstance(response, dict):
        return 0.0  # no answer at all
    code = response.get("Error", {}).get("Code", "")
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return 0.0 if code in (*_BUSY, *_AWAY) or status in (429, 502, 503, 504) else None


def _marked(start: int, token: str | None, latest: int) -> str:
    return json.dumps({"start": start, "token": token, "latest": latest})


def _cursor(cursor: str | None) -> tuple[int | None, str | None, int]:
    if cursor is None:
        return None, None, 0
    try:
        said = json.loads(cursor)
        token = said["token"]
        return int(said["start"]), None if token is None else str(token), int(said["latest"])
    except (ValueError, KeyError, TypeError) as problem:
        raise InvalidConfig(
            f"{cursor[:80]!r} is not a cursor of CloudWatch. Leave it out to read from the start"
        ) from problem
