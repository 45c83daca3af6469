"""Handing out copies: a download leaves no path behind that an erasure could go to, so who took it is put on record."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from flywheel import plugins
from flywheel.errors import InvalidConfig, NotFound, StoreUnavailable
from flywheel.looking import Looking
from flywheel.records import to_dict

if TYPE_CHECKING:
    from flywheel.loop.balancing import Provenance

__all__ = ["Copy", "Handing"]

FORMATS = {
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv; charset=utf-8",
}
"""What a dataset can be downloaded as, with the media type."""
_PIECE = 64 * 1024


@dataclass(slots=True)
class Copy:
    """A copy to be sent once: an open file that has no name any more, so that nothing is left when it is closed."""

    file: BinaryIO
    name: str
    """What the receiver may call it."""
    media_type: str
    size: int
    """Bytes."""
    rows: int

    @property
    def headers(self) -> dict[str, str]:
        """What a browser has to know to keep it as a file, and nobody else to keep it at all."""
        return {
            "content-disposition": f'attachment; filename="{self.name}"',
            "content-length": str(self.size),
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
        }

    def pieces(self) -> Iterator[bytes]:
        """The content, piece by piece; closes the copy at the end, or when nobody reads on."""
        try:
            while piece := self.file.read(_PIECE):
                yield piece
        finally:
            self.file.close()


class Handing(Looking):
    """The verbs that say what a dataset is made of, and hand out copies of it."""

    def provenance(self, hash: str) -> Provenance:
        """What a dataset is made of: lineage both ways, label sources, balance beside the traffic, copies on record.

        `hash` may be the beginning of it. Raises `NotFound` for none, or several, that begin so.
        """
        from flywheel.loop.balancing import provenance_of

        return provenance_of(self._workshop([], None), self.dataset(hash))

    def download(self, hash: str, format: str, *, by: str, at: datetime | None = None) -> Copy:
        """A copy of a dataset to send away, as `jsonl`, `parquet` or `csv`. Who took it is on record before it is made.

        A download cannot be reached again. So the audit trail has a line for it, and the receipt of an erasure names
        everybody who downloaded a dataset with the erased person in it, and when. The copy is written in the
        flywheel's own folder, is unlinked before it is returned, and is gone when it is closed.

        >>> import tempfile, flywheel
        >>> with flywheel.open(tempfile.mkdtemp()) as fw:
        ...     fw.download("3f2a", "csv", by="ana")
        Traceback (most recent call last):
            ...
        flywheel.errors.NotFound: 0 datasets begin with '3f2a'. `flywheel datasets` lists them
        """
        if format not in FORMATS:
            raise InvalidConfig(f"{format!r} is no format to download. There are: {', '.join(FORMATS)}")
        found = self.dataset(hash)
        if "tombstone" in found.notes:
            raise NotFound(
                f"dataset {found.hash[:12]} was emptied by an erasure; "
                f"{found.notes['tombstone']['replaced_by'] or 'nothing'} took its place"
            )
        self._note_download(found.hash, format, by, at or datetime.now(UTC))
        place = self.folder / "outgoing" / secrets.token_hex(8)
        target = place / f"dataset-{found.hash[:12]}.{format}"
        try:
            place.parent.mkdir(mode=0o700, exist_ok=True)
            place.mkdir(mode=0o700)
            rows = plugins.create("sinks", format).write(map(to_dict, found.examples), str(target))
            size = target.stat().st_size
            file = target.open("rb")
        except OSError as problem:
            raise StoreUnavailable(
                f"the copy cannot be written in {place.parent}: {problem}. Free some space or check the rights"
            ) from problem
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return Copy(file, target.name, FORMATS[format], size, rows)

    def _note_download(self, hash: str, format: str, by: str, at: datetime) -> None:
        state, when = self._store.state, at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        key = {"dataset": hash, "format": format, "by": by or "somebody"}
        with self._store.lock("exports", wait=60):
            known: list[dict[str, Any]] = state.get("downloads") or []
            before = next((one for one in known if all(one[name] == value for name, value in key.items())), None)
            times, first = (before["times"], before["first_at"]) if before else (0, when)
            entry = {**key, "first_at": first, "at": when, "times": times + 1}
            state.set("downloads", [*(one for one in known if one is not before), entry])
        detail = {"format": format}
        self._trail.record("download", f"dataset {hash}", by=by or "somebody", at=at, detail=detail)
