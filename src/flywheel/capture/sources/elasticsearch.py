"""Elasticsearch and OpenSearch: the documents of an index, read page by page in one point in time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from flywheel.capture.mapping import guess_mapping
from flywheel.capture.sources.clusters import Cluster, ElasticCluster, OpenCluster, Refused
from flywheel.capture.sources.documents import columns_of_documents, known_as, record_of, row_of
from flywheel.capture.sources.patience import ask
from flywheel.capture.sources.places import Place, place_of
from flywheel.errors import InvalidConfig, NotFound

__all__ = ["Elasticsearch", "OpenSearch"]

_SETTINGS = ("query", "since", "until", "time", "size", "keep_alive", "ca")
_TIMES = ("@timestamp", "timestamp", "at", "time", "ts", "created_at", "datetime", "event_time", "date", "order_date")
_FORMAT = "strict_date_optional_time_nanos"
_PEEK = 100
_OVERLAP = "10m"
_GONE = ("search_context_missing_exception", "search_context_missing_nodes_exception", "no_search_context_found")


class Elasticsearch:
    """The source `elasticsearch`: `elasticsearch:https://host:9200/index-*?query=…&since=…`.

    Settings: `query` is a query string (`status:500 AND service:chat`) or the query DSL as JSON; `since` and `until`
    are times (`2026-01-31`, `now-7d`) of the field `time`, by default the first of `@timestamp`, `timestamp` … that the
    index has; `size` documents a page (1,000), `keep_alive` (`5m`) how long the server keeps the point in time between
    two pages, `ca` a file of certificates to trust. An API key or user and password come from the environment
    (`ELASTICSEARCH_API_KEY`, or `ELASTICSEARCH_USERNAME` and `ELASTICSEARCH_PASSWORD`) or stand in the URL; they are in
    no error, cursor or record.

    Documents come in the order of their time, then those without one. Nested values get dotted names; the words of the
    Elastic Common Schema get their meaning. A document's id is its index and `_id`, unless it names an `id` of its own.
    A server that is busy (429, 502, 503, 504) is asked again, with growing waits; a point in time that has expired is
    opened anew, and reading goes on at the last time.

    `done` is the share that has been read. `cursor` is the last document's time; `read(…, after=cursor)` goes on ten
    minutes before it, because documents arrive late, and what is known is not stored twice.
    """

    name = "elasticsearch"
    settings: tuple[str, ...] = ()
    _make: type[Cluster] = ElasticCluster

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self.done = 0.0
        self.cursor: str | None = None
        self._sleep = sleep

    def columns(self, location: str) -> list[str]:
        """The columns of the latest hundred documents."""
        place = self._place(location)
        with self._opened(place) as (cluster, who):
            timed = self._time_field(place, cluster, who)
            return self._columns(place, cluster, who, timed)

    def read(
        self, location: str, mapping: dict[str, str] | None = None, *, after: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield a record for each document; one without its source is unreadable."""
        place = self._place(location)
        self.done, self.cursor = 0.0, after
        with self._opened(place) as (cluster, who):
            timed = self._time_field(place, cluster, who)
            chosen = guess_mapping(self._columns(place, cluster, who, timed)) if mapping is None else mapping
            pages = _Pages(self, cluster, place, who, timed, _last_time(after))
            for hit in pages.hits():
                record = _record(hit, timed, chosen)
                self.cursor, self.done = pages.cursor, pages.done
                yield record
        self.done = 1.0

    def _columns(self, place: Place, cluster: Cluster, who: str, timed: str | None) -> list[str]:
        query = {"bool": {"filter": _asked(place, timed)}}
        order: list[Any] = [{timed: {"order": "desc", "unmapped_type": "date"}}] if timed else ["_doc"]
        answer = self._ask(lambda: cluster.search({"size": _PEEK, "query": query, "sort": order}, cluster.index), who)
        rows = [row_of(hit["_source"]) for hit in answer["hits"]["hits"] if isinstance(hit.get("_source"), dict)]
        return columns_of_documents(rows)

    def _time_field(self, place: Place, cluster: Cluster, who: str) -> str | None:
        if "time" in place.settings:
            return place.settings["time"]
        caps = self._ask(lambda: cluster.fields(_TIMES), who)
        for name in _TIMES:
            kinds = caps.get("fields", {}).get(name, {})
            if kinds and kinds.keys() <= {"date", "date_nanos", "unmapped"}:
                return name
        for name in ("since", "until"):
            if name in place.settings:
                raise InvalidConfig(f"{who} has no field of time that {name}= could mean. Name it: time=FIELD")
        return None

    def _ask(self, call: Callable[[], Any], who: str) -> Any:
        """Ask with patience; a refusal that waiting does not mend becomes an error that says what to do."""
        try:
            return ask(call, (Refused,), _wait_for, who, sleep=self._sleep)
        except Refused as refused:
            if refused.kind in _GONE:
                raise
            if refused.status in (401, 403):
                raise InvalidConfig(
                    f"{who} refused the credentials ({refused.status}). {self._make.credentials}; they need the "
                    "right to read the index"
                ) from None
            if refused.status == 404:
                raise NotFound(f"{who} has no such index ({refused.kind}). Check the name in the location") from None
            raise InvalidConfig(f"{who} refused the question: {refused.kind}: {refused.reason}") from None

    def _place(self, location: str) -> Place:
        return place_of(location, (self.name,), _SETTINGS)

    @contextmanager
    def _opened(self, place: Place) -> Iterator[tuple[Cluster, str]]:
        cluster = self._make(place.path, place.settings.get("ca"))
        try:
            yield cluster, place.shown
        finally:
            cluster.close()


class OpenSearch(Elasticsearch):
    """The source `opensearch`: `opensearch:https://host:9200/index-*`, with the settings of `elasticsearch`.

    User and password come from `OPENSEARCH_USERNAME` and `OPENSEARCH_PASSWORD`, or stand in the URL. Servers before
    3.3, which do not know `_shard_doc`, are paged by `_id` instead.
    """

    name = "opensearch"
    _make = OpenCluster


class _Pages:
    """The pages of one reading: first the documents that have a time, in its order, then the others."""

    def __init__(
        self, source: Elasticsearch, cluster: Cluster, place: Place, who: str, timed: str | None, since: str | None
    ) -> None:
        self.done = 0.0
        self.cursor: str | None = None
        self._source = source
        self._cluster = cluster
        self._who = who
        self._timed = timed
        self._place = place
        self._since = since
        self._size = place.number("size", 1_000, 1, 10_000)
        self._keep = place.settings.get("keep_alive", "5m")
        self._pit = ""
        self._total = 0
        self._seen = 0

    def hits(self) -> Iterator[dict[str, Any]]:
        """Every document once, as far as the server's point in time lives; the ones at a break are told apart by id."""
        if self._timed is None:
            yield from self._part(_asked(self._place, None), timed=False)
            return
        yield from self._part([*_asked(self._place, self._timed), {"exists": {"field": self._timed}}], timed=True)
        if not {"since", "until"} & self._place.settings.keys():
            without = {"bool": {"must_not": [{"exists": {"field": self._timed}}]}}
            yield from self._part([*_asked(self._place, None), without], timed=False)

    def _part(self, asked: list[Any], *, timed: bool) -> Iterator[dict[str, Any]]:
        since = f"{self._since}||-{_OVERLAP}" if timed and self._since else None
        at_last: set[tuple[str, str]] = set()
        after, last = None, None
        broken, tries = False, 0
        self._pit = self._open()
        try:
            while True:
                body = self._body(asked, since, after, timed=timed)
                try:
                    answer = self._source._ask(partial(self._search, body), self._who)
                except Refused as gone:
                    broken, tries = True, tries + 1
                    if tries > 20:
                        raise InvalidConfig(
                            f"{self._who} forgets its point in time again and again ({gone.kind}). Make pages smaller "
                            "(size=200) or let it live longer (keep_alive=15m)"
                        ) from None
                    self._cluster.close_pit(self._pit)
                    self._pit, after, since = self._open(), None, last or since
                    continue
                found = answer["hits"]["hits"]
                if after is None and not broken:
                    self._total += _total(answer)
                for hit in found:
                    after = hit["sort"]
                    name = (str(hit.get("_index")), str(hit.get("_id")))
                    if broken and name in at_last:
                        continue
                    moment = after[0] if timed else None
                    if moment != last:
                        at_last.clear()
                        last, tries = moment, 0
                    if timed:
                        at_last.add(name)
                        self.cursor = json.dumps({"time": moment})
                    self._seen += 1
                    self.done = min(0.999, self._seen / max(1, self._total))
                    yield hit
                if len(found) < self._size:
                    return
        finally:
            self._cluster.close_pit(self._pit)

    def _open(self) -> str:
        return str(self._source._ask(lambda: self._cluster.open_pit(self._keep), self._who))

    def _search(self, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._cluster.search({**body, "pit": {"id": self._pit, "keep_alive": self._keep}})
        self._pit = str(answer.get("pit_id") or self._pit)  # the server may rename it with every page
        shards = answer.get("_shards", {})
        if answer.get("timed_out") or shards.get("failed"):
            kinds = [str(one.get("reason", {}).get("type", "")) for one in shards.get("failures", [])]
            if any(kind in _GONE for kind in kinds):
                raise Refused(404, _GONE[0], "some shards have forgotten the point in time")
            raise Refused(503, "partial_answer", "not every shard answered")  # half a page would be lost records
        return answer

    def _body(self, asked: list[Any], since: str | None, after: Any, *, timed: bool) -> dict[str, Any]:
        filters = list(asked)
        order: list[Any] = [{self._cluster.tie: "asc"}]
        if timed and self._timed:
            order.insert(0, {self._timed: {"order": "asc", "format": _FORMAT, "unmapped_type": "date"}})
            if since:
                filters.append({"range": {self._timed: {"gte": since, "format": _FORMAT}}})
        body = {
            "size": self._size,
            "query": {"bool": {"filter": filters}},
            "sort": order,
            "track_total_hits": after is None,
        }
        return body if after is None else {**body, "search_after": after}


def _asked(place: Place, timed: str | None) -> list[Any]:
    """The filters that the location's settings say."""
    filters: list[Any] = []
    query = place.settings.get("query", "").strip()
    if query.startswith("{"):
        try:
            filters.append(json.loads(query))
        except ValueError as problem:
            raise InvalidConfig(f"query= is not JSON: {problem}. Write the query DSL, or a query string") from problem
    elif query:
        filters.append({"query_string": {"query": query}})
    limits = {
        bound: place.settings[name] for name, bound in (("since", "gte"), ("until", "lt")) if name in place.settings
    }
    if timed and limits:
        filters.append({"range": {timed: limits}})
    return filters


def _record(hit: dict[str, Any], timed: str | None, mapping: dict[str, str]) -> dict[str, Any]:
    name = f"{hit.get('_index')}/{hit.get('_id')}"
    if not isinstance(hit.get("_source"), dict):
        return {"kind": "unreadable", "place": name, "problem": "it has no _source: the index does not keep documents"}
    row = row_of(hit["_source"])
    sort = hit.get("sort") or [None]
    if timed and len(sort) > 1 and isinstance(sort[0], str):
        row[known_as(timed)] = sort[0]  # the server has read the field's own date format
    record = record_of(row, mapping, stable_id=name)
    at = record.get("at")
    if isinstance(at, str):
        try:
            moment = datetime.fromisoformat(at)
        except ValueError:
            return record
        record["at"] = at if moment.tzinfo else moment.replace(tzinfo=UTC).isoformat()  # as the server reads it
    return record


def _total(answer: dict[str, Any]) -> int:
    total = answer["hits"].get("total", 0)
    return int(total.get("value", 0)) if isinstance(total, dict) else int(total or 0)


def _wait_for(problem: Exception) -> float | None:
    if isinstance(problem, Refused) and problem.status in (None, 408, 429, 502, 503, 504):
        return problem.retry_after
    return None


def _last_time(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    try:
        return str(json.loads(cursor)["time"])
    except (ValueError, KeyError, TypeError) as problem:
        raise InvalidConfig(
            f"{cursor[:80]!r} is not a cursor of an index. Leave it out to read from the start"
        ) from problem
