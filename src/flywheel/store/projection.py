"""Facts of the log → columns of the tables.

Works a chunk at a time and a column at a time. The scalar leaves of `context` and of dict inputs become typed columns.
The first value in log order decides a column's type, so that filling the tables bit by bit or all at once gives the
same columns. A later value of another type goes into a column beside it (`context.age:text`), and a value that finds no
column at all is kept in `unplaced`; neither stops anything, and both can be counted from the tables themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from flywheel.store import codec

__all__ = [
    "FEEDBACK_SCHEMA",
    "INTERACTIONS_SCHEMA",
    "Leaves",
    "answer_columns",
    "conflict_stem",
    "feedback_columns",
    "interaction_columns",
]

_MOMENT = pa.timestamp("us", "UTC")

INTERACTIONS_SCHEMA = pa.schema(
    [
        ("seq", pa.int64()),
        ("id", pa.string()),
        ("at", _MOMENT),
        ("sent_at", _MOMENT),
        ("received_at", _MOMENT),
        ("input", pa.string()),
        ("input_text", pa.string()),
        ("input_vector", pa.list_(pa.float32())),
        ("output", pa.string()),
        ("scores", pa.string()),
        ("confidence", pa.float64()),
        ("latency_ms", pa.float64()),
        ("error", pa.string()),
        ("model", pa.string()),
        ("user", pa.string()),
        ("session", pa.string()),
        ("propensity", pa.float64()),
        ("consent", pa.bool_()),
        ("extra", pa.string()),
        ("rand", pa.float64()),
        ("unplaced", pa.string()),
    ]
)

FEEDBACK_SCHEMA = pa.schema(
    [
        ("seq", pa.int64()),
        ("id", pa.string()),
        ("interaction_id", pa.string()),
        ("at", _MOMENT),
        ("received_at", _MOMENT),
        ("kind", pa.string()),
        ("value", pa.string()),
        ("number", pa.float64()),
        ("text", pa.string()),
        ("name", pa.string()),
        ("source", pa.string()),
        ("by", pa.string()),
        ("propensity", pa.float64()),
    ]
)

_TYPES = {"number": pa.float64(), "text": pa.string(), "flag": pa.bool_()}
_MOST_COLUMNS = 1000  # more keys than this are data in the wrong place (an id used as a key), not columns
_LONGEST_NAME = 200
_EXACT = 2**53  # integers below it are floats without loss
_DEEPEST = 12
_RESERVED = re.compile(r":(text|number|flag|\d+)$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_decode = msgspec.json.decode
_text_of = msgspec.json.Decoder(str).decode
_numbers_of = msgspec.json.Decoder(list[float]).decode
_rows_of = msgspec.json.Decoder(list[list[float]]).decode
_canonical = msgspec.json.Encoder(order="deterministic").encode

_Dict = dict[str, Any]
Fact = tuple[int, int, int, bytes]  # seq, kind, received in microseconds, body


class Leaves:
    """The columns of scalar leaves, known ones and those that turn up."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        self._kinds: dict[str, str] = {}
        for name, column_type in known.items():
            if name not in INTERACTIONS_SCHEMA.names:
                self._kinds[name] = next(kind for kind, arrow in _TYPES.items() if arrow == column_type)
        self._folds = {_fold(name) for name in self._kinds}
        self._places: dict[tuple[str, str], str | None] = {}

    def fill(self, contexts: Sequence[_Dict | None], inputs: Sequence[_Dict | None]) -> tuple[_Dict, list[str | None]]:
        """Place each row's leaves; give Arrow columns by name, and by row the JSON of what found no place."""
        columns: dict[str, list[Any]] = {}
        usual: dict[tuple[str, str, type], list[Any]] = {}
        unplaced: list[str | None] = [None] * len(contexts)
        for index, (context, found) in enumerate(zip(contexts, inputs, strict=True)):
            homeless: _Dict = {}
            for prefix, leaves in (
                ("context.", context.items() if context else ()),
                ("input.", _flat(found, "", _DEEPEST) if found else ()),
            ):
                for key, value in leaves:
                    kind, stored = type(value), value
                    if kind is int and -_EXACT < value < _EXACT:
                        kind, stored = float, float(value)
                    column = usual.get((prefix, key, kind))
                    if column is None:
                        if value is None:
                            continue
                        name, stored = self._column(prefix, key, value)
                        if name is not None:
                            if name not in columns:
                                columns[name] = [None] * len(contexts)
                            column = columns[name]
                            if kind is not int:
                                usual[prefix, key, kind] = column
                    if column is not None and column[index] is None:
                        column[index] = stored
                    else:
                        homeless.setdefault((prefix + key)[:_LONGEST_NAME], value)
            if homeless:
                unplaced[index] = _canonical(homeless).decode()
        return {name: pa.array(values, _TYPES[self._kinds[name]]) for name, values in columns.items()}, unplaced

    def _column(self, prefix: str, key: str, value: Any) -> tuple[str | None, Any]:
        if isinstance(value, str):
            wanted = "text"
        elif isinstance(value, bool):
            wanted = "flag"
        elif isinstance(value, int | float):
            wanted = "number"
            try:
                value = float(value)
            except OverflowError:  # an integer beyond the largest float
                wanted, value = "text", str(value)
        else:
            return None, value
        if len(self._places) > 100 * _MOST_COLUMNS:
            self._places.clear()  # ids used as keys: remember no more of them, the columns say where the others go
        place = self._places.get((prefix, key), "")
        if place == "":
            place = self._places[prefix, key] = self._place(prefix, key, wanted)
        if place is None or self._kinds[place] == wanted:
            return place, value
        beside = f"{place}:{wanted}"
        return (beside if beside in self._kinds or self._add(beside, wanted) else None), value

    def _place(self, prefix: str, key: str, wanted: str) -> str | None:
        name = prefix + _CONTROL.sub(lambda found: f"%{ord(found.group()):02X}", key)
        if _RESERVED.search(name):
            head, _, tail = name.rpartition(":")
            name = f"{head}%3A{tail}"
        if len(name) > _LONGEST_NAME:
            return None
        # Engines fold the case of column names: a key that differs in nothing else gets a number.
        number, candidate = 1, name
        while candidate not in self._kinds:
            if _fold(candidate) not in self._folds:
                return candidate if self._add(candidate, wanted) else None
            number += 1
            candidate = f"{name}:{number}"
        return candidate

    def _add(self, name: str, kind: str) -> bool:
        if len(self._kinds) >= _MOST_COLUMNS or _fold(name) in self._folds:
            return False
        self._kinds[name] = kind
        self._folds.add(_fold(name))
        return True


def conflict_stem(name: str) -> str | None:
    """The column whose type a conflict column's values did not fit; None for any other column.

    >>> conflict_stem("context.age:text"), conflict_stem("context.age")
    ('context.age', None)
    """
    stem, _, kind = name.rpartition(":")
    return stem if stem and kind in _TYPES else None


def _fold(name: str) -> str:
    return name.lower().casefold()


def interaction_columns(facts: Sequence[Fact], leaves: Leaves) -> pa.Table:
    """Project interactions; new leaves become new columns after the fixed ones."""
    records = [codec.read_interaction(fact[3]) for fact in facts]
    inputs, texts, vectors, dicts = _inputs([bytes(record.input) for record in records])
    placed, unplaced = leaves.fill([record.context for record in records], dicts)
    columns: dict[str, Any] = {
        "seq": [fact[0] for fact in facts],
        "received_at": [fact[2] for fact in facts],
        "input": inputs,
        "input_text": texts,
        "input_vector": _vectors(vectors),
        "output": [_json(record.output) for record in records],
        "scores": [_json(record.scores) for record in records],
        "extra": [_json(record.extra) for record in records],
        "rand": _random([record.id for record in records]),
        "unplaced": unplaced,
    }
    table = _table(INTERACTIONS_SCHEMA, columns, records)
    for name, column in placed.items():
        table = table.append_column(name, column)
    return table


def answer_columns(facts: Sequence[Fact]) -> pa.Table:
    """`seq`, `id`, `at` and `output` of interactions, as `interaction_columns` has them."""
    records = [codec.read_interaction(fact[3]) for fact in facts]
    columns = {"seq": [fact[0] for fact in facts], "output": [_json(record.output) for record in records]}
    schema = pa.schema([INTERACTIONS_SCHEMA.field(name) for name in ("seq", "id", "at", "output")])
    return _table(schema, columns, records)


def feedback_columns(facts: Sequence[Fact]) -> pa.Table:
    """Project feedback."""
    records = [codec.read_feedback(fact[3]) for fact in facts]
    numbers: list[float | None] = []
    texts: list[str | None] = []
    for record in records:
        value = _parse(bytes(record.value))
        texts.append(value if isinstance(value, str) else None)
        number = None
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:
                texts[-1] = str(value)
        numbers.append(number)
    columns: dict[str, Any] = {
        "seq": [fact[0] for fact in facts],
        "received_at": [fact[2] for fact in facts],
        "value": [_json(record.value) for record in records],
        "number": numbers,
        "text": texts,
    }
    return _table(FEEDBACK_SCHEMA, columns, records)


def _table(schema: Any, columns: dict[str, Any], records: Sequence[Any]) -> pa.Table:
    arrays = []
    for field in schema:
        values = columns[field.name] if field.name in columns else list(map(attrgetter(field.name), records))
        arrays.append(values if isinstance(values, pa.Array) else pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _json(raw: msgspec.Raw) -> str | None:
    if raw is codec.NULL:  # what an absent field is read as
        return None
    text = bytes(raw)
    if text == b"null":
        return None
    return _ordered(text).decode() if b"{" in text else text.decode()


def _ordered(text: bytes) -> bytes:
    """The same JSON with the keys of every object in order."""
    try:
        return _canonical(_decode(text))
    except RecursionError:
        return text


def _parse(text: bytes) -> Any:
    try:
        return _decode(text)
    except RecursionError:
        return None


def _inputs(
    raws: Iterable[bytes],
) -> tuple[list[str], list[str | None], list[list[float] | None], list[dict[str, Any] | None]]:
    """Canonical JSON, text, vector and dict of each input; each of the last three where the input is one."""
    jsons: list[str] = []
    texts: list[str | None] = []
    vectors: list[list[float] | None] = []
    dicts: list[dict[str, Any] | None] = []
    for raw in raws:
        text: str | None = None
        vector: list[float] | None = None
        found: dict[str, Any] | None = None
        first = raw[:1]
        if first == b'"':
            text = _text_of(raw)
        elif first == b"[":
            vector = _vector(raw)
            text = None if vector is not None else _last_said(_parse(raw))
        elif first == b"{":
            found = _parse(raw)
        jsons.append((_ordered(raw) if first in (b"[", b"{") and b"{" in raw else raw).decode())
        texts.append(text)
        vectors.append(vector)
        dicts.append(found)
    return jsons, texts, vectors, dicts


def _vector(raw: bytes) -> list[float] | None:
    """A list of at least two numbers, or nested lists of them in reading order; None for anything else."""
    if b"{" in raw:
        return None
    nested = b"[" in raw[1:]
    try:
        if nested:
            flat = [number for row in _rows_of(raw) for number in row]
        else:
            flat = _numbers_of(raw)
        return flat if len(flat) > 1 else None
    except msgspec.ValidationError:
        if not nested:
            return None
    # Deeper or uneven nesting.
    flat = []
    waiting = [_parse(raw)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(reversed(value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            try:
                flat.append(float(value))
            except OverflowError:
                return None
        else:
            return None
    return flat if len(flat) > 1 else None


def _vectors(vectors: Sequence[list[float] | None]) -> Any:
    lengths = np.fromiter((len(vector) if vector else 0 for vector in vectors), np.int64, len(vectors))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    flat = np.fromiter((number for vector in vectors if vector for number in vector), np.float64, int(offsets[-1]))
    with np.errstate(over="ignore"):
        small = flat.astype(np.float32)
    if not np.isfinite(small).all():  # a number that only a double can hold: that input is no float32 vector
        kept = [
            v if v and np.isfinite(small[a:b]).all() else None
            for v, a, b in zip(vectors, offsets, offsets[1:], strict=False)
        ]
        return _vectors(kept)
    empty = np.array([vector is None for vector in vectors], dtype=bool)
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(small, pa.float32()), mask=pa.array(empty, pa.bool_())
    )


def _last_said(value: Any) -> str | None:
    """The last thing the user said in a list of chat messages."""
    if not isinstance(value, list):
        return None
    for message in reversed(value):
        if not isinstance(message, dict) or "role" not in message or "content" not in message:
            return None
        if message["role"] == "user":
            content = message["content"]
            if isinstance(content, str):
                return content
            if isinstance(content, list):  # parts: text beside images and the like
                parts = [part.get("text") for part in content if isinstance(part, dict)]
                return "\n".join(part for part in parts if isinstance(part, str)) or None
            return None
    return None


def _flat(value: Mapping[str, Any], path: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            if depth:
                yield from _flat(inner, f"{path}{key}.", depth - 1)
        elif inner is not None and not isinstance(inner, list):
            yield path + key, inner


def _random(ids: Sequence[str]) -> Any:
    """A permanent random number for each id, in [0, 1) with 53 bits."""
    digests = b"".join(blake2b(key.encode(), digest_size=8).digest() for key in ids)
    return pa.array((np.frombuffer(digests, ">u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53)
