"""The official clients of Elasticsearch and OpenSearch, behind the five calls that reading needs."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from flywheel.capture.sources.places import without_secrets
from flywheel.errors import InvalidConfig, MissingExtra

__all__ = ["Cluster", "ElasticCluster", "OpenCluster", "Refused"]

_TIMEOUT = 60


class Refused(Exception):
    """The server, or the way to it, said no. `status` is None when there was no answer at all."""

    def __init__(self, status: int | None, kind: str, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(kind)
        self.status = status
        self.kind = kind
        self.reason = without_secrets(reason)[:300]
        self.retry_after = retry_after


class Cluster:
    """Where an index lies, and who asks. The URL's last part is the index, or a pattern or list of them."""

    tie = "_shard_doc"
    """The field that tells documents of one time apart, within a point in time."""
    credentials = ""
    """How a person passes them, for errors."""
    _env = ""

    def __init__(self, url: str, ca: str | None = None) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        path, _, index = parts.path.rpartition("/")
        if parts.scheme not in ("http", "https") or not parts.hostname or not index:
            raise InvalidConfig(
                f"{without_secrets(url)!r} is not the URL of an index. Write it as https://host:9200/index, or with a "
                "pattern: https://host:9200/logs-*"
            )
        self.index = unquote(index)
        self._host: dict[str, Any] = {
            "host": parts.hostname,
            "port": port or (443 if parts.scheme == "https" else 80),
            "scheme": parts.scheme,
        }
        self._prefix = path
        self._ca = ca
        user = unquote(parts.username or "") or os.environ.get(f"{self._env}_USERNAME", "")
        password = unquote(parts.password or "") or os.environ.get(f"{self._env}_PASSWORD", "")
        # encoded here: the clients take ASCII or Latin-1 only, and say the password when they fail
        self._user = base64.b64encode(f"{user}:{password}".encode()).decode() if user else None
        self._client: Any = self._connect()

    def _connect(self) -> Any:
        raise NotImplementedError

    def open_pit(self, keep_alive: str) -> str:
        """Open a point in time, and return its id."""
        raise NotImplementedError

    def close_pit(self, pit: str) -> None:
        """Let the server forget a point in time; one that it has forgotten already is no error."""
        raise NotImplementedError

    def search(self, body: dict[str, Any], index: str | None = None) -> dict[str, Any]:
        """Ask for a page: of an index, or of the point in time that the body names."""
        raise NotImplementedError

    def fields(self, names: Sequence[str]) -> dict[str, Any]:
        """What the index knows about some fields."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class ElasticCluster(Cluster):
    """Elasticsearch 8 and 9, through `elasticsearch`."""

    credentials = (
        "Set ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD, or write user:password@ into "
        "the URL"
    )
    _env = "ELASTICSEARCH"

    def _connect(self) -> Any:
        try:
            import elasticsearch
        except ModuleNotFoundError as missing:
            raise MissingExtra(
                "the source 'elasticsearch' needs its client. Run: pip install 'dataflywheel[elastic]'"
            ) from missing
        key = os.environ.get("ELASTICSEARCH_API_KEY")
        options: dict[str, Any] = {"ca_certs": self._ca} if self._ca else {}
        if self._user:
            options["basic_auth"] = self._user
        elif key:
            options["api_key"] = key
        host = {**self._host, "path_prefix": self._prefix}
        # asking again is our part (`patience`): the client's own retries do not wait
        return elasticsearch.Elasticsearch([host], request_timeout=_TIMEOUT, max_retries=0, **options)

    def open_pit(self, keep_alive: str) -> str:
        """Open a point in time, and return its id."""
        return str(self._said(self._client.open_point_in_time, index=self.index, keep_alive=keep_alive)["id"])

    def close_pit(self, pit: str) -> None:
        """Let the server forget a point in time; one that it has forgotten already is no error."""
        try:
            self._said(self._client.close_point_in_time, id=pit)
        except Refused:
            return  # it expires by itself

    def search(self, body: dict[str, Any], index: str | None = None) -> dict[str, Any]:
        """Ask for a page: of an index, or of the point in time that the body names."""
        where = {"index": index} if index else {}
        return self._said(self._client.search, **where, **body, allow_partial_search_results=False)

    def fields(self, names: Sequence[str]) -> dict[str, Any]:
        """What the index knows about some fields."""
        return self._said(self._client.field_caps, index=self.index, fields=list(names), include_unmapped=True)

    def _said(self, call: Any, **arguments: Any) -> dict[str, Any]:
        import elastic_transport
        import elasticsearch

        try:
            return dict(call(**arguments).body)
        except elasticsearch.UnsupportedProductError:
            raise InvalidConfig(
                "the server does not call itself Elasticsearch, and its client refuses to talk to it. For OpenSearch "
                "begin the location with opensearch:"
            ) from None
        except elasticsearch.ApiError as problem:
            wait = _seconds(problem.meta.headers.get("retry-after"))
            raise Refused(problem.meta.status, *_told(problem.body), wait) from None
        except elastic_transport.TlsError as problem:
            raise Refused(495, "tls_error", str(problem)) from None
        except elastic_transport.TransportError as problem:
            raise Refused(None, type(problem).__name__, str(problem)) from None


class OpenCluster(Cluster):
    """OpenSearch 2 and 3, through `opensearch-py`."""

    credentials = "Set OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD, or write user:password@ into the URL"
    _env = "OPENSEARCH"

    def _connect(self) -> Any:
        try:
            import opensearchpy
        except ModuleNotFoundError as missing:
            raise MissingExtra(
                "the source 'opensearch' needs its client. Run: pip install 'dataflywheel[opensearch]'"
            ) from missing
        options: dict[str, Any] = {"ca_certs": self._ca} if self._ca else {}
        if self._user:
            options["headers"] = {"authorization": f"Basic {self._user}"}
        host = {"host": self._host["host"], "port": self._host["port"], "url_prefix": self._prefix.strip("/")}
        return opensearchpy.OpenSearch(
            [host],
            use_ssl=self._host["scheme"] == "https",
            timeout=_TIMEOUT,
            max_retries=0,
            retry_on_status=(),
            **options,
        )

    def open_pit(self, keep_alive: str) -> str:
        """Open a point in time, and return its id."""
        return str(self._said(self._client.create_pit, index=self.index, params={"keep_alive": keep_alive})["pit_id"])

    def close_pit(self, pit: str) -> None:
        """Let the server forget a point in time; one that it has forgotten already is no error."""
        try:
            self._said(self._client.delete_pit, body={"pit_id": [pit]})
        except Refused:
            return  # it expires by itself

    def search(self, body: dict[str, Any], index: str | None = None) -> dict[str, Any]:
        """Ask for a page: of an index, or of the point in time that the body names."""
        params = {"allow_partial_search_results": "false"}
        try:
            return self._said(self._client.search, body=body, index=index, params=params)
        except Refused as refused:
            if refused.status != 400 or "_shard_doc" not in refused.reason or "search_after" in body:
                raise
        self.tie = "_id"  # before 3.3
        order = [{"_id": "asc"} if one == {"_shard_doc": "asc"} else one for one in body["sort"]]
        return self._said(self._client.search, body={**body, "sort": order}, index=index, params=params)

    def fields(self, names: Sequence[str]) -> dict[str, Any]:
        """What the index knows about some fields."""
        params = {"fields": ",".join(names), "include_unmapped": "true"}
        return self._said(self._client.field_caps, index=self.index, params=params)

    def _said(self, call: Any, **arguments: Any) -> dict[str, Any]:
        from opensearchpy import exceptions

        try:
            return dict(call(**arguments))
        except exceptions.SSLError as problem:
            raise Refused(495, "tls_error", str(problem)) from None
        except exceptions.ConnectionError as problem:
            raise Refused(None, type(problem).__name__, str(problem)) from None
        except exceptions.TransportError as problem:
            status = problem.status_code
            raise Refused(int(status) if isinstance(status, int) else None, *_told(problem.info)) from None
        except exceptions.OpenSearchException as problem:
            raise Refused(None, type(problem).__name__, str(problem)) from None


def _told(body: Any) -> tuple[str, str]:
    """Kind and reason of an error's body."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return str(error or "refused")[:80], str(error or "")
    causes = error.get("root_cause") or [error]
    first = causes[0] if isinstance(causes, list) and isinstance(causes[0], dict) else error
    return str(first.get("type", error.get("type", "refused"))), str(first.get("reason", error.get("reason", "")))


def _seconds(said: Any) -> float:
    try:
        return max(0.0, float(said))
    except (TypeError, ValueError):
        return 0.0
