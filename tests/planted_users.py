"""Users planted in every place of a flywheel, and a search for them that shares no code with the product's."""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import sqlalchemy as sa

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
MARK = re.compile(rb"qx\d{4}z")
"""What each user's every field carries: one shape, so that one pass over the bytes finds all of them."""


def mark(number: int) -> str:
    return f"qx{number:04d}z"


def name(number: int) -> str:
    return f"{mark(number)}-person"


TOPICS = ["card not arrived", "card was stolen", "exchange rate wrong", "pin is blocked"]


def plant(fw: Any, folder: Path, users: int, *, spins: int = 1, budget: int | None = None) -> None:
    """Log two interactions of each user with feedback, spin, and leave something of each everywhere else."""
    fw.seed(
        [f"{topic} {word}" for topic in TOPICS[:3] for word in ("please", "today", "help", "now")],
        [topic.split()[0] for topic in TOPICS[:3] for _ in range(4)],
        at=AT,
    )
    fw.spin(budget=0, at=AT)
    rows = []
    for n in range(users):
        for part in range(2):
            rows.append(
                {
                    "id": f"order-{mark(n)}-{part}",
                    "input": f"{TOPICS[n % 4]} says {mark(n)}",
                    "output": f"card {mark(n)}" if n % 10 == 0 else "card",
                    "confidence": 0.3 + 0.01 * (n % 50),
                    "user": name(n),
                    "session": f"s-{mark(n)}",
                    "at": AT + timedelta(hours=1, seconds=n * 2 + part),
                    "context": {"note": f"ctx {mark(n)}", "device": ("ios", "android")[n % 2]},
                    "trace": {"deep": [f"extra {mark(n)}"]},
                }
            )
    fw.log_many(rows)
    fw.feedback_many(
        {
            "interaction_id": row["id"],
            "rating": -1,
            "comment": f"bad {mark(i // 2)}",
            "by": name(i // 2),
            "at": AT + timedelta(hours=2),
        }
        for i, row in enumerate(rows)
    )
    for number in range(spins):
        at = AT + timedelta(hours=3 + number)
        fw.spin(budget=budget or users, at=at, labeler=lambda item: str(item.input).split()[0])
    fw.intake.take(
        [{"kind": "interaction", "input": f"late {mark(n)}", "confidence": 7, "user": name(n)} for n in range(users)],
        source="test",
    )
    fw.intake.take(
        [{**rows[2 * n], "kind": "interaction", "output": f"other {mark(n)}"} for n in range(users)], source="test"
    )
    for what, file in (("interactions", "log.jsonl"), ("feedback", "said.csv"), ("interactions", "log.parquet")):
        fw.export(what, folder / "exports" / file)
    fw.export("failures", folder.parent / "outside" / "failures.csv")
    fw.export("dead-letters", folder / "exports" / "letters.jsonl")
    spool = folder / "spool"
    spool.mkdir()
    with (spool / "waiting.jsonl").open("w") as file:
        for n in range(users):
            file.write(json.dumps({"input": f"spooled {mark(n)}", "user": name(n)}) + "\n")
    (folder / "reports").mkdir()
    (folder / "reports" / "audit.html").write_text("<p>" + " ".join(mark(n) for n in range(users)) + "</p>")
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / "tmp" / "spill.tmp").write_bytes(b" ".join(mark(n).encode() for n in range(users)))


def chunks_of(data: bytes, depth: int = 0) -> Iterator[bytes]:
    """The bytes, and whatever they hide."""
    yield data
    if depth > 3:
        return
    try:
        if data[:4] == b"PAR1":
            for batch in pq.ParquetFile(io.BytesIO(data)).iter_batches():
                yield json.dumps(batch.to_pylist(), default=str).encode()
        elif data[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for member in archive.namelist():
                    yield from chunks_of(archive.read(member), depth + 1)
        elif data[:2] == b"\x1f\x8b":
            yield from chunks_of(gzip.decompress(data), depth + 1)
        elif data[:1] == b"\x78":
            yield from chunks_of(zlib.decompress(data), depth + 1)
    except (zlib.error, zipfile.BadZipFile, OSError, ValueError):
        return


def marks_in(data: bytes) -> set[str]:
    return {found.decode() for chunk in chunks_of(data) for found in MARK.findall(chunk)}


def marks_in_files(roots: Iterable[Path], *, models: bool = False) -> dict[str, set[str]]:
    """Every mark in every file, by the folder it lies in."""
    found: dict[str, set[str]] = {}
    for root in roots:
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.is_symlink():
                place = path.relative_to(root).parts[0] if path.parent != root else path.name
                if (place == "models") == models:
                    seen = marks_in(path.read_bytes()) | marks_in(path.name.encode())
                    found.setdefault(f"{root.name}/{place}", set()).update(seen)
    return found


def marks_in_database(engine: sa.Engine) -> dict[str, set[str]]:
    """Every mark in every cell, by table."""
    found: dict[str, set[str]] = {}
    with engine.connect() as connection:
        for table in sa.inspect(connection).get_table_names():
            whole = sa.Table(table, sa.MetaData(), autoload_with=connection)
            for row in connection.execute(sa.select(whole)):
                for cell in row:
                    data = cell.encode() if isinstance(cell, str) else cell
                    if isinstance(data, bytes):
                        found.setdefault(table, set()).update(marks_in(data))
    return found
