"""The byte search after an erasure: every file of the folder, raw and decoded, and every cell of the database."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from flywheel.store.database import Database
from flywheel.store.terms import SEPARATOR, Terms

__all__ = ["Traces"]

_PIECE = 4 * 1024 * 1024
_ROWS = 5_000
_DEEPEST = 4  # a zip in a gzip in a cell …
_MOST = 4 * 1024**3  # bytes one file may become when it is unpacked: more than that is no data of ours
_TEXT = (sa.types.String, sa.types.LargeBinary)
_STREAMS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}


class Traces:
    """Looks for `Terms` and keeps count: `left` by place and kind, `unread` for what could not be opened.

    Files are searched as they are, and once more decoded: Parquet and Arrow cell by cell, gzip, zlib, bzip2, Zstandard
    and LZ4 unpacked, the members of zip archives (models are such), one inside the other too. Names of files count.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self.left: dict[tuple[str, str], int] = {}
        self.unread: list[str] = []
        self.files = 0
        self.bytes = 0
        self.cells = 0

    # --- files ---

    def folder(self, root: Path, skip: Callable[[Path], bool] | None = None, called: str = "") -> None:
        """Search every regular file under `root`; links are not followed. O(bytes)."""
        for place, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = Path(place) / name
                if skip is None or not skip(path):
                    self.file(path, called + path.relative_to(root).as_posix())

    def file(self, path: Path, said: str | None = None) -> bool:
        """Search one file, which is called `said` in the findings; were there any?"""
        shown = path.as_posix() if said is None else said
        if self._terms.within(shown):
            shown = (Path(shown).parent / "(a file whose name holds it)").as_posix()
            self._note(shown, self._terms.count(SEPARATOR + path.name.encode("utf-8", "surrogateescape") + SEPARATOR))
        before = len(self.left)
        try:
            if path.is_symlink() or not path.is_file():
                return len(self.left) > before
            with path.open("rb") as file:
                self.stream(file, shown)
        except FileNotFoundError:
            pass  # gone meanwhile, and with it what it held
        except OSError as problem:
            self.unread.append(f"{shown} ({problem.strerror or problem})")
        return len(self.left) > before

    def stream(self, file: Any, place: str) -> None:
        """Search an open file that has no path."""
        self.files += 1
        self._raw(file, place)
        file.seek(0)
        self._decoded(file, place, 0)

    def _raw(self, file: Any, place: str, most: int = _MOST) -> None:
        tail, seen, known = b"", 0, 0
        while piece := file.read(_PIECE):
            seen += len(piece)
            self.bytes += len(piece)
            if seen > most:
                self.unread.append(f"{place} (more than {most:,} bytes when unpacked)")
                return
            data = tail + piece
            # What may go on in the next piece is left for it, with two bytes before, so that a word's beginning shows.
            edge = len(data) - self._terms.longest - 1
            if edge > known:
                self._note(place, self._terms.count(data, known, edge))
                known = min(2, edge)
                tail = data[edge - known :]
            else:
                tail = data
        self._note(place, self._terms.count(tail, known))

    def _decoded(self, file: IO[bytes], place: str, depth: int) -> None:
        """Search what the bytes stand for, where they are of a form that hides them."""
        head = file.read(8)
        file.seek(0)
        if depth >= _DEEPEST or len(head) < 4:
            return
        try:
            if head.startswith(b"PAR1"):
                self._parquet(file, place)
            elif head.startswith(b"ARROW1"):
                for batch in _arrow(file):
                    self._batch(batch, place)
            elif head.startswith(b"PK\x03\x04"):
                with zipfile.ZipFile(file) as archive:
                    for member in archive.infolist():
                        with archive.open(member) as inner:
                            self._unpacked(inner, place, depth)
            elif head[:1] == b"\x78" and int.from_bytes(head[:2], "big") % 31 == 0:
                self._unpacked(_Inflated(file), place, depth)
            else:
                codec = next((codec for magic, codec in _STREAMS.items() if head.startswith(magic)), None)
                if codec is not None:
                    self._unpacked(pa.CompressedInputStream(pa.PythonFile(file, "r"), codec), place, depth)
        except (zlib.error, zipfile.BadZipFile, pa.ArrowException, EOFError, OSError, NotImplementedError) as problem:
            # Bytes that only begin like such a form; raw they have been searched.
            if head.startswith((b"PAR1", b"PK\x03\x04")):
                self.unread.append(f"{place} ({type(problem).__name__})")

    def _unpacked(self, stream: Any, place: str, depth: int) -> None:
        """Search a stream raw, and decode it once more where it begins like something packed."""
        head = stream.read(8)
        if _packed(head):
            data = head + stream.read(_MOST // 16)
            self._raw(io.BytesIO(data), place)
            self._decoded(io.BytesIO(data), place, depth + 1)
        else:
            self._raw(_Joined(head, stream), place)

    def _parquet(self, file: IO[bytes], place: str) -> None:
        table = pq.ParquetFile(file)
        for batch in table.iter_batches(_ROWS):
            self._batch(batch, place)

    def _batch(self, batch: pa.RecordBatch, place: str) -> None:
        for column in batch.columns:
            for text in _texts(column):
                self.bytes += len(text)
                self._note(place, self._terms.count(text))

    # --- database ---

    def database(self, database: Database) -> None:
        """Search every text and binary column of every table, each cell raw and unpacked. O(cells)."""
        with database.read() as connection:
            found = sa.MetaData()
            found.reflect(connection)
            for table in found.sorted_tables:
                columns = [column for column in table.columns if isinstance(column.type, _TEXT)]
                if not columns:
                    continue
                names = [f"database: {table.name}.{column.name}" for column in columns]
                rows = connection.execution_options(yield_per=500).execute(sa.select(*columns))
                for row in rows:
                    for name, cell in zip(names, row, strict=True):
                        self._cell(cell, name)

    def _cell(self, cell: Any, place: str) -> None:
        if cell is None:
            return
        data = cell.encode("utf-8", "surrogatepass") if isinstance(cell, str) else bytes(cell)
        self.cells += 1
        self.bytes += len(data)
        self._note(place, self._terms.count(SEPARATOR + data + SEPARATOR))
        if _packed(data[:8]):
            self._decoded(io.BytesIO(data), place, 0)

    def rows(self) -> list[dict[str, Any]]:
        """The findings as plain rows, the most hits first."""
        rows = [{"place": place, "kind": kind, "hits": hits} for (place, kind), hits in self.left.items()]
        return sorted(rows, key=lambda row: (-row["hits"], row["place"], row["kind"]))

    def _note(self, place: str, counted: Counter[str]) -> None:
        for kind, count in counted.items():
            self.left[place, kind] = self.left.get((place, kind), 0) + count


def _packed(head: bytes) -> bool:
    return head.startswith((b"PAR1", b"ARROW1", b"PK\x03\x04", *_STREAMS)) or (
        head[:1] == b"\x78" and len(head) > 1 and int.from_bytes(head[:2], "big") % 31 == 0
    )


def _arrow(file: IO[bytes]) -> Iterator[pa.RecordBatch]:
    reader = pa.ipc.open_file(pa.PythonFile(file, "r"))
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)


def _texts(column: pa.Array) -> Iterator[bytes]:
    """The text and binary values of a column, nested ones too, as one text with separators."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        yield from _texts(column.dictionary)
    elif pa.types.is_struct(kind):
        for inner in column.flatten():
            yield from _texts(inner)
    elif pa.types.is_map(kind):
        yield from _texts(column.keys)
        yield from _texts(column.items)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _texts(column.flatten())
    elif (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    ):
        values = column.cast(pa.large_binary()).drop_null()
        whole = pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), values)
        joined: bytes = pc.binary_join(whole, pa.scalar(SEPARATOR, pa.large_binary()))[0].as_py() or b""
        yield SEPARATOR + joined + SEPARATOR


class _Inflated:
    """Reads a zlib stream piece by piece."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._inflate = zlib.decompressobj()

    def read(self, size: int) -> bytes:
        while not self._inflate.eof:
            data = self._inflate.unconsumed_tail or self._file.read(65_536)
            if not data:
                break
            piece = self._inflate.decompress(data, size)
            if piece:
                return piece
        return b""


class _Joined:
    """A stream with its first bytes put back."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        piece: bytes = self._rest.read(size)
        return piece
