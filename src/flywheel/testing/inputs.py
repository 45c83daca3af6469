"""Checks for the ways in and out: detectors, redactors, sources and sinks."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from flywheel.errors import FlywheelError
from flywheel.ports import Detector, Redactor, Sink, Source
from flywheel.testing.contract import check_json, check_port

__all__ = ["check_detector", "check_redactor", "check_sink", "check_source"]


def check_detector(detector: Detector, interactions: Any, feedback: Any, expect: Sequence[str] | None = None) -> None:
    """Check that a detector returns an Ibis table of evidence about the window's own interactions.

    `interactions` and `feedback` are Ibis tables with the columns of a snapshot. `expect` names the ids it must find.
    """
    called = check_port(detector, Detector, ("evidence",))
    found = detector.evidence(interactions, feedback)
    assert hasattr(found, "schema"), f"{called}.evidence returned a {type(found).__name__}, not an Ibis table"
    columns = set(found.schema().names)
    missing = {"id", "strength", "detail"} - columns
    assert not missing, f"{called}.evidence has no column {', '.join(sorted(missing))}; it has {sorted(columns)}"
    rows = found.select("id", "strength", "detail").to_pyarrow().to_pylist()
    known = set(interactions.select("id").to_pyarrow()["id"].to_pylist())
    seen: set[str] = set()
    for row in rows:
        assert row["id"] in known, f"{called}.evidence speaks of {row['id']!r}, which is not in the window"
        assert row["id"] not in seen, f"{called}.evidence has two rows for {row['id']!r}; join them into one"
        seen.add(row["id"])
        strength = row["strength"]
        inside = isinstance(strength, int | float) and 0 <= strength <= 1
        assert inside, f"{called}.evidence gives {row['id']!r} strength {strength!r}, not 0 to 1"
        assert isinstance(row["detail"], str), (
            f"{called}.evidence gives {row['id']!r} detail {row['detail']!r}, not a text"
        )
    again = detector.evidence(interactions, feedback).select("id", "strength").to_pyarrow().to_pylist()
    strengths = {row["id"]: row["strength"] for row in rows}
    assert {row["id"]: row["strength"] for row in again} == strengths, f"{called}.evidence changed its mind"
    if expect is not None:
        assert set(expect) <= seen, f"{called}.evidence does not find {sorted(set(expect) - seen)}"


def check_redactor(redactor: Redactor, secrets: Sequence[str] = ()) -> None:
    """Check that a redactor keeps the shape of any payload, counts what it removes, and is done after one pass.

    `secrets` are texts it must remove wherever they stand: in a text, a list, a dict's values.
    """
    called = check_port(redactor, Redactor, ("redact",))
    plain: tuple[Any, ...] = (
        None,
        True,
        7,
        2.5,
        "plain words",
        [],
        {},
        ["a", {"b": [1, None]}],
        {"deep": {"er": "text"}},
    )
    for value in plain:
        before = json.dumps(value)
        clean, counts = redactor.redact(value)
        assert json.dumps(value) == before, f"{called}.redact changed the payload it was given, {before}"
        assert type(clean) is type(value), f"{called}.redact turned {value!r} into {clean!r}, another type"
        assert isinstance(counts, dict), f"{called}.redact counted with {counts!r}, not a dict"
        same = clean == value or sum(counts.values()) > 0
        assert same, f"{called}.redact changed {value!r} to {clean!r} and counted nothing"
    for secret in secrets:
        places: tuple[Any, ...] = (
            secret,
            f"it is {secret}, please",
            [secret],
            {"field": secret},
            [{"content": f"<{secret}>"}],
        )
        for value in places:
            clean, counts = redactor.redact(value)
            check_json(clean, f"what {called}.redact returned")
            assert secret not in json.dumps(clean, ensure_ascii=False), f"{called}.redact left {secret!r} in {clean!r}"
            assert sum(counts.values()) >= 1, f"{called}.redact removed {secret!r} and counted nothing"
            twice, _ = redactor.redact(clean)
            assert twice == clean, f"{called}.redact, run on its own result {clean!r}, makes {twice!r} of it"


def check_source(
    source: Source, location: str, expected: int | None = None, mapping: dict[str, str] | None = None
) -> None:
    """Check that a source yields records of `location` one at a time, the same ones every time.

    `expected` is how many there are; `mapping` goes to the source as it is.
    """
    called = check_port(source, Source, ("read",))
    records = source.read(location, mapping)
    assert isinstance(records, Iterator), f"{called}.read returned a {type(records).__name__}, not an iterator"
    rows = list(records)
    for row in rows:
        assert isinstance(row, dict), f"{called}.read yielded {row!r}, not a dict"
        kind = row.get("kind")
        assert kind in ("interaction", "feedback"), f"{called}.read yielded kind {kind!r}, not interaction or feedback"
        wanted = "input" if kind == "interaction" else "interaction_id"
        assert wanted in row, f"{called}.read yielded {kind} {row!r} without {wanted}"
    assert list(source.read(location, mapping)) == rows, f"{called}.read yielded other records the second time"
    if expected is not None:
        assert len(rows) == expected, f"{called}.read yielded {len(rows)} records, not {expected}"
    complaint = _complaint(source, str(Path(location).with_name("there-is-no-such-file")), mapping)
    assert complaint is not None, f"{called}.read says nothing when there is nothing at the location"
    assert complaint, f"{called}.read fails without a word when there is nothing at the location"


def _complaint(source: Source, location: str, mapping: dict[str, str] | None) -> str | None:
    try:
        list(source.read(location, mapping))
    except (FlywheelError, OSError) as problem:
        return str(problem)
    return None


def check_sink(
    sink: Sink, name: str = "rows.out", read_back: Callable[[str], Sequence[dict[str, Any]]] | None = None
) -> None:
    """Check that a sink writes all rows or nothing, and over what was there.

    `name` is the file name it is to write; `read_back(location)` returns the rows of a written file.
    """
    called = check_port(sink, Sink, ("write",))
    rows = [
        {"id": "a", "text": 'first, "quoted"\nline', "number": 1.5},
        {"id": "b", "text": "zweite Zeile ü", "number": 2.5},
    ]
    with tempfile.TemporaryDirectory() as folder:
        location = str(Path(folder) / name)
        for written in (sink.write(iter(rows), location), sink.write(rows, location)):
            assert written == 2, f"{called}.write says {written!r} rows, not 2"
        files = sorted(path.name for path in Path(folder).iterdir())
        assert files == [name], f"{called}.write left {files} behind, not {name} alone"
        if read_back is not None:
            found = [dict(row) for row in read_back(location)]
            assert found == rows, f"{called} wrote {rows} and {found} came back"
        before = Path(location).read_bytes()
        try:
            sink.write(_broken(rows), location)
        except _BrokenRowsError:
            pass
        else:
            raise AssertionError(f"{called}.write hides the error of the rows it is given")
        assert Path(location).read_bytes() == before, f"{called}.write left half of a file when its rows broke off"
        files = sorted(path.name for path in Path(folder).iterdir())
        assert files == [name], f"{called}.write left {files} behind when its rows broke off"


class _BrokenRowsError(RuntimeError):
    """The rows end in an error on purpose."""


def _broken(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield rows[0]
    raise _BrokenRowsError("the rows break off here, to see that nothing is half-written")
