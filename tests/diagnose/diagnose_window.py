"""A window made of plain rows, with the columns the store's tables have."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

import ibis
import pyarrow as pa

from flywheel.records import Interaction

START = datetime(2026, 1, 5, tzinfo=UTC)

INTERACTIONS = {
    "seq": "int64",
    "id": "string",
    "at": "timestamp('UTC')",
    "input": "string",
    "input_text": "string",
    "output": "string",
    "confidence": "float64",
    "latency_ms": "float64",
    "error": "string",
    "model": "string",
    "user": "string",
    "session": "string",
    "rand": "float64",
}
FEEDBACK = {
    "seq": "int64",
    "id": "string",
    "interaction_id": "string",
    "at": "timestamp('UTC')",
    "kind": "string",
    "name": "string",
    "value": "string",
    "number": "float64",
    "text": "string",
    "source": "string",
}


def canonical(value):
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def random_number(identity):
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=6).digest()) / 2**48


class WindowOf:
    """What the store's Snapshot offers to a room, over rows in memory."""

    def __init__(self, interactions, feedback=()):
        self.records = {}
        rows, contexts = [], sorted({key for one in interactions for key in one.get("context", {})})
        for seq, one in enumerate(interactions, 1):
            record = Interaction(
                id=one.get("id", f"i{seq}"),
                at=one.get("at", START + timedelta(seconds=seq)),
                input=one.get("input", "hello"),
                output=one.get("output"),
                confidence=one.get("confidence"),
                latency_ms=one.get("latency_ms"),
                error=one.get("error"),
                model=one.get("model"),
                user=one.get("user"),
                session=one.get("session"),
                context=one.get("context", {}),
            )
            self.records[record.id] = record
            row = {name: getattr(record, name, None) for name in INTERACTIONS}
            text = record.input if isinstance(record.input, str) else None
            row |= {
                "seq": seq,
                "input": canonical(record.input),
                "input_text": text,
                "output": canonical(record.output),
            }
            row |= {"rand": random_number(record.id)}
            rows.append(row | {f"context.{key}": record.context.get(key) for key in contexts})
        schema = INTERACTIONS | {f"context.{key}": _type([r[f"context.{key}"] for r in rows]) for key in contexts}
        self.interactions = _table(rows, schema)
        told = []
        for seq, one in enumerate(feedback, len(rows) + 1):
            value = one["value"]
            told.append(
                {
                    "seq": seq,
                    "id": f"f{seq}",
                    "interaction_id": one["of"],
                    "at": START + timedelta(hours=1, seconds=seq),
                    "kind": one["kind"],
                    "name": one.get("name"),
                    "value": canonical(value),
                    "number": float(value) if isinstance(value, int | float) else None,
                    "text": value if isinstance(value, str) else None,
                    "source": one.get("source", "user"),
                }
            )
        self.feedback = _table(told, FEEDBACK)

    def count(self):
        return len(self.records)

    def fetch(self, ids):
        return [self.records[key] for key in ids if key in self.records]


def _table(rows, schema):
    return ibis.memtable(pa.Table.from_pylist(rows, schema=ibis.schema(schema).to_pyarrow()))


def _type(values):
    known = [v for v in values if v is not None]
    if known and all(isinstance(v, bool) for v in known):
        return "boolean"
    return "string" if any(isinstance(v, str) for v in known) else "float64"
