"""The source `nemo-blueprint`: the records of NVIDIA's data flywheel blueprint, as it keeps them in Elasticsearch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from flywheel.capture.exchanges import draft_of_exchange
from flywheel.capture.genai_messages import as_text
from flywheel.capture.sources.openai_chat import beside
from flywheel.capture.sources.row_source import RowSource, said

__all__ = ["Blueprint"]

_KNOWN = ("timestamp", "workload_id", "client_id", "request", "response", "error_details", "contract_version")


class Blueprint(RowSource):
    """Records `{timestamp, workload_id, client_id, request, response}`, contract 1.0 and 1.1; JSON lines or an array.

    Documents as Elasticsearch returns them (`_source`) do too. The id is a digest of the record, because the
    blueprint's own loader gives many records one response id.
    """

    name = "nemo-blueprint"
    maps: ClassVar[dict[str, str]] = {
        "input": "request.messages",
        "output": "response.choices[0].message",
        "at": "timestamp",
        "model": "response.model, else request.model",
        "error": "error_details, or response.error",
        "context.workload": "workload_id",
        "context.client": "client_id",
    }

    @classmethod
    def recognises(cls, rows: Sequence[Mapping[str, Any]]) -> str | None:
        """Say why these rows are the blueprint's, if they are."""
        found = sum(
            {"workload_id", "request", "response"} <= _record(row).keys() and "client_id" in _record(row)
            for row in rows
        )
        return "its rows hold workload_id, client_id, request and response" if found * 2 > len(rows) else None

    def drafts(self, row: dict[str, Any], place: str) -> Iterator[dict[str, Any]]:
        """Yield the interaction of a record."""
        record = _record(row)
        draft = draft_of_exchange(said(record, "request"), said(record, "response"))
        seed = json.dumps([record.get(name) for name in _KNOWN], sort_keys=True, default=str)
        draft["id"] = "nemo_" + hashlib.blake2b(seed.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        if said(record, "timestamp") is not None:
            draft["at"] = record["timestamp"]
        if said(record, "error_details") is not None:
            draft["error"] = as_text(record["error_details"])
        rest = beside(record, _KNOWN)
        context = {**draft.get("context", {}), **rest.pop("context", {})}
        for field, name in (("workload", "workload_id"), ("client", "client_id")):
            if said(record, name) is not None:
                context[field] = as_text(record[name])
        yield {**draft, **rest, "context": context, "extra": {**draft.get("extra", {}), **rest.pop("extra", {})}}


def _record(row: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = row.get("_source")
    return inner if isinstance(inner, Mapping) else row
