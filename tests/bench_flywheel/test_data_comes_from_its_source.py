"""Without FLYWHEEL_DATA a stranger gets the same bytes from their public source, or is told what to fetch."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("pooch")
sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
from flywheelbench.streams import reading
from flywheelbench.streams.reading import SOURCES, Source, data_bytes

ROWS = b"age;y\r\n41;no\r\n"


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A folder that is served, a cache of one's own, and no FLYWHEEL_DATA."""
    folder = tmp_path / "web"
    folder.mkdir()
    monkeypatch.delenv("FLYWHEEL_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def _zipped(name, raw):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, raw)
    return out.getvalue()


def _knows(monkeypatch, source, name="bank.csv"):
    monkeypatch.setattr(reading, "SOURCES", {f"bank/{name}": source})


def test_a_file_is_taken_out_of_the_archives_it_lies_in(web, monkeypatch):
    folder, address = web
    (folder / "all.zip").write_bytes(_zipped("inner.zip", _zipped("deep/bank.csv", ROWS)))
    (folder / "bank.csv.gz").write_bytes(gzip.compress(ROWS))
    (folder / "bank.csv").write_bytes(ROWS)
    digest = hashlib.sha256(ROWS).hexdigest()
    for source in (
        Source(address + "all.zip", digest, inside=("inner.zip", "deep/bank.csv")),
        Source(address + "bank.csv.gz", digest),
        Source(address + "bank.csv", digest),
    ):
        _knows(monkeypatch, source)
        assert data_bytes("bank", "bank.csv") == ROWS


@pytest.mark.parametrize("name", ["bank.csv", "bank.csv.gz", "all.zip"])
def test_other_bytes_are_refused_however_they_came(web, monkeypatch, name):
    folder, address = web
    packed = {"bank.csv": ROWS, "bank.csv.gz": gzip.compress(ROWS), "all.zip": _zipped("bank.csv", ROWS)}
    (folder / name).write_bytes(packed[name])
    inside = ("bank.csv",) if name == "all.zip" else ()
    _knows(monkeypatch, Source(address + name, hashlib.sha256(b"else").hexdigest(), inside=inside))
    with pytest.raises(SystemExit, match=r"(?s)(SHA-256|SHA256|hash).*Fetch http.*FLYWHEEL_DATA"):
        data_bytes("bank", "bank.csv")


def test_a_page_in_place_of_an_archive_is_no_archive(web, monkeypatch):
    folder, address = web
    (folder / "all.zip").write_bytes(b"<html>moved</html>")
    _knows(monkeypatch, Source(address + "all.zip", hashlib.sha256(ROWS).hexdigest(), inside=("bank.csv",)))
    with pytest.raises(SystemExit, match=r"not the archive it should be.*take bank\.csv out of it"):
        data_bytes("bank", "bank.csv")


def test_who_cannot_download_is_told_what_to_put_where_and_that_works(web, monkeypatch, tmp_path):
    _, address = web
    source = Source(address + "bank.csv.gz", hashlib.sha256(ROWS).hexdigest(), package="bank==1")
    _knows(monkeypatch, source)
    with pytest.raises(SystemExit, match=r"bank\.csv\.gz by hand.*holds it as bank/bank\.csv\.gz.*wheel of bank==1"):
        data_bytes("bank", "bank.csv")
    kept = tmp_path / "data" / "bank"
    kept.mkdir(parents=True)
    (kept / "bank.csv.gz").write_bytes(gzip.compress(ROWS))
    monkeypatch.setenv("FLYWHEEL_DATA", str(tmp_path / "data"))
    assert data_bytes("bank", "bank.csv") == ROWS
    (kept / "bank.csv.gz").write_bytes(gzip.compress(b"else"))
    with pytest.raises(SystemExit, match="figures would not be comparable"):
        data_bytes("bank", "bank.csv")


@pytest.mark.skipif("FLYWHEEL_DATA" not in os.environ, reason="FLYWHEEL_DATA names no data")
@pytest.mark.parametrize("key", sorted(SOURCES))
def test_the_digests_are_those_of_the_files_the_figures_were_made_with(key):
    folder, name = key.split("/")
    assert hashlib.sha256(data_bytes(folder, name)).hexdigest() == SOURCES[key].sha256
