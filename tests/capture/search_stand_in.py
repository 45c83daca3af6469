"""A stand-in for Elasticsearch and OpenSearch on a loopback port: no server can run where these tests do.

It is written from the two projects' documentation, and holds the official clients to what a real server would: the
product header and media types that `elasticsearch` insists on, points in time that are snapshots, whose id changes with
every page and that expire, `search_after` with exactly as many values as there are sort keys, `_shard_doc` only within
a point in time (and, as an OpenSearch before 3.3, not at all), formatted dates, 429 with Retry-After, pages that some
shards did not answer. It knows the queries that the source sends, and refuses any other. What it cannot show is how a
real server behaves beyond its documentation.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

SHARDS = 2
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Refusal(Exception):
    def __init__(self, status, kind, reason=""):
        super().__init__(kind)
        self.status, self.kind, self.reason = status, kind, reason


def seconds(text):
    return int(text[:-1]) * _UNITS[text[-1]]


def moment(text, now):
    """A date, `now`, and date math behind either."""
    date, _, math = text.partition("||") if "||" in text else (text, "", "")
    if text.startswith("now"):
        date, math = None, text[3:]
    at = now if date is None else datetime.fromisoformat(date)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    for sign, count, unit in re.findall(r"([+-])(\d+)([smhd])", math):
        at += timedelta(seconds=int(f"{sign}{count}") * _UNITS[unit])
    return at


def leaf(source, field):
    value = source
    for part in field.split("."):
        if isinstance(source, dict) and field in source:
            return source[field]
        value = value.get(part) if isinstance(value, dict) else None
    return value


class Search:
    """The indices and points in time; `handle` answers a request."""

    def __init__(self, indices, *, opensearch=False, shard_doc=True, key=None, dates=("@timestamp", "timestamp")):
        self.indices = indices
        self.opensearch = opensearch
        self.shard_doc = shard_doc
        self.key = key
        self.dates = dates
        self.now = datetime(2026, 6, 1, tzinfo=UTC)
        self.pits = {}
        self.opened = 0
        self.refuse = []  # for the next pages: a status, 0 to cut the connection, "partial" or "timed out"
        self.on_page = None  # called before each page with its number
        self.pages = 0
        self.seen = []
        self.lock = threading.Lock()

    def handle(self, method, target, headers, body):
        parts = urlsplit(target)
        self.seen.append((method, target, dict(headers), body))
        if self.key is not None and headers.get("authorization") != self.key:
            raise Refusal(401, "security_exception", "unable to authenticate")
        path = [unquote(part) for part in parts.path.strip("/").split("/")]
        given = json.loads(body) if body else {}
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if path[-1] == "_field_caps":
            return self.field_caps(path[0], asked.get("fields") or given.get("fields"))
        if path[-1] in ("_pit", "point_in_time"):
            if (path[-1] == "_pit") == self.opensearch:
                raise Refusal(400, "illegal_argument_exception", "no handler found for this path")
            return self.open(path[0], asked["keep_alive"]) if method == "POST" else self.close(given)
        if path[-1] == "_search":
            return self.search(path[0] if len(path) > 1 else None, given, asked)
        raise Refusal(400, "illegal_argument_exception", f"no handler found for {parts.path}")

    def docs(self, pattern):
        form = re.compile(r"[^\n]*".join(re.escape(piece) for piece in pattern.split("*")) + r"\Z")
        names = [name for name in self.indices if form.match(name)]
        if not names and "*" not in pattern:
            raise Refusal(404, "index_not_found_exception", f"no such index [{pattern}]")
        found = []
        for number, name in enumerate(sorted(names)):
            for place, (id, source) in enumerate(self.indices[name]):
                shard = number * SHARDS + place % SHARDS
                found.append({"_index": name, "_id": id, "_source": source, "_place": (shard << 32) | place})
        return found

    def field_caps(self, pattern, fields):
        names = fields if isinstance(fields, list) else fields.split(",")
        docs = self.docs(pattern)
        known = [name for name in names if any(leaf(doc["_source"], name) is not None for doc in docs)]
        kinds = {name: "date" if name in self.dates else "keyword" for name in known}
        return {"indices": [], "fields": {name: {kind: {"type": kind}} for name, kind in kinds.items()}}

    def open(self, pattern, keep_alive):
        self.opened += 1
        name = f"pit-{self.opened}-0"
        self.pits[name] = [self.docs(pattern), self.now + timedelta(seconds=seconds(keep_alive))]
        return {"pit_id": name, "creation_time": 0} if self.opensearch else {"id": name}

    def close(self, given):
        names = given["pit_id"] if self.opensearch else [given["id"]]
        gone = [self.pits.pop(name, None) for name in names]
        if not any(gone):
            raise Refusal(404, "search_context_missing_exception")
        return {"pits": []} if self.opensearch else {"succeeded": True, "num_freed": SHARDS}

    def search(self, index, given, asked):
        partial = asked.get("allow_partial_search_results", given.pop("allow_partial_search_results", "true"))
        pit = given.get("pit")
        if pit:
            self.pages += 1
            if self.on_page:
                self.on_page(self.pages)
        left_out = timed_out = False
        if self.refuse and pit:
            status = self.refuse.pop(0)
            if status == "timed out":
                left_out = timed_out = True
            elif status == "partial":
                left_out = True
                if str(partial).lower() == "false":
                    raise Refusal(503, "search_phase_execution_exception", "Partial shards failure")
            else:
                raise Refusal(status, "es_rejected_execution_exception" if status == 429 else "unavailable")
        if pit and index:
            raise Refusal(400, "action_request_validation_exception", "[indices] cannot be used with point in time")
        docs = self.continued(pit) if pit else self.docs(index)
        found = [doc for doc in docs if self.fits(given.get("query", {"match_all": {}}), doc["_source"])]
        keys = [self.sort_key(one, within_pit=bool(pit)) for one in given["sort"]]
        rows = [([key(doc) for key, _ in keys], doc) for doc in found]
        signs = [sign for _, sign in keys]
        rows.sort(key=cmp_to_key(lambda one, other: ordered(one[0], other[0], signs)))
        if "search_after" in given:
            after = given["search_after"]
            if len(after) != len(keys):
                raise Refusal(400, "illegal_argument_exception", "search_after has another number of values than sort")
            rows = [row for row in rows if ordered(row[0], after, signs) > 0]
        if not 0 < given["size"] <= 10_000:
            raise Refusal(400, "illegal_argument_exception", "Result window is too large")
        hits = [
            {"_index": doc["_index"], "_id": doc["_id"], "_source": doc["_source"], "sort": values}
            for values, doc in rows[: given["size"]]
            if not left_out or doc["_place"] >> 32 == 0
        ]
        if self.opensearch is False:
            for hit in hits:
                if hit["_source"] is None:
                    del hit["_source"]
        answer = {
            "took": 1,
            "timed_out": timed_out,
            "_shards": {"total": SHARDS, "successful": SHARDS, "failed": 0},
            "hits": {"hits": hits},
        }
        if given.get("track_total_hits", True):
            answer["hits"]["total"] = {"value": len(found), "relation": "eq"}
        if pit:
            answer["pit_id"] = self.renewed(pit)
        return answer

    def continued(self, pit):
        known = self.pits.get(pit["id"])
        if known is None or known[1] < self.now:
            self.pits.pop(pit["id"], None)
            raise Refusal(404, "search_context_missing_exception", "No search context found for id [7]")
        return known[0]

    def renewed(self, pit):
        name, _, turn = pit["id"].rpartition("-")
        docs, _ = self.pits.pop(pit["id"])
        new = f"{name}-{int(turn) + 1}"
        self.pits[new] = [docs, self.now + timedelta(seconds=seconds(pit["keep_alive"]))]
        return new

    def sort_key(self, said, *, within_pit):
        field, how = next(iter(said.items())) if isinstance(said, dict) else (said, "asc")
        if field == "_shard_doc":
            if not within_pit or not self.shard_doc:
                raise Refusal(400, "query_shard_exception", "No mapping found for [_shard_doc] in order to sort on")
            return (lambda doc: doc["_place"]), 1
        if field == "_doc":
            return (lambda doc: doc["_place"]), 1
        if field == "_id":
            return (lambda doc: doc["_id"]), 1
        assert field in self.dates
        sign = -1 if how["order"] == "desc" else 1

        def key(doc):
            value = leaf(doc["_source"], field)
            if value is None:
                return "9999"
            at = datetime.fromtimestamp(value / 1000, UTC) if isinstance(value, int) else moment(value, self.now)
            return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

        return key, sign

    def fits(self, query, source):
        ((kind, what),) = query.items()
        if kind == "match_all":
            return True
        if kind == "bool":
            return all(self.fits(one, source) for one in what.get("filter", ())) and not any(
                self.fits(one, source) for one in what.get("must_not", ())
            )
        if kind == "exists":
            return leaf(source, what["field"]) is not None
        if kind == "term":
            ((field, value),) = what.items()
            return leaf(source, field) == value
        if kind == "query_string":
            return all(
                str(leaf(source, field)) == value
                for field, value in (part.split(":", 1) for part in what["query"].split(" AND "))
            )
        if kind == "range":
            ((field, limits),) = what.items()
            value = leaf(source, field)
            if value is None:
                return False
            at = moment(value, self.now)
            return ("gte" not in limits or at >= moment(limits["gte"], self.now)) and (
                "lt" not in limits or at < moment(limits["lt"], self.now)
            )
        raise Refusal(400, "parsing_exception", f"unknown query [{kind}]")


def ordered(one, other, signs):
    for mine, theirs, sign in zip(one, other, signs, strict=True):
        if mine != theirs:
            return sign if mine > theirs else -sign
    return 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        search = self.server.search
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, more = 200, {}
        with search.lock:
            try:
                if not search.opensearch and "vnd.elasticsearch+json" not in headers.get("accept", ""):
                    raise Refusal(406, "media_type_header_exception", "Accept is not what a 9.x client sends")
                said = search.handle(self.command, self.path, headers, body)
            except Refusal as refusal:
                status = refusal.status
                error = {"type": refusal.kind, "reason": refusal.reason}
                said = {"error": {**error, "root_cause": [error]}, "status": status}
                if status == 429:
                    more = {"Retry-After": "7"}
        if status == 0:
            self.close_connection = True
            return
        data = json.dumps(said).encode()
        self.send_response(status)
        if search.opensearch:
            self.send_header("Content-Type", "application/json; charset=UTF-8")
        else:
            self.send_header("Content-Type", "application/vnd.elasticsearch+json;compatible-with=9")
            self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Length", str(len(data)))
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


class StandIn:
    """Serves a `Search` while it is open; `url` is where."""

    def __init__(self, search):
        self.search = search
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.search = search
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
