"""A model on disk: `model.json` says what it is, `model.skops` holds its arrays and estimators. No pickle anywhere."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from flywheel.errors import CorruptStore, NotFound, UntrustedModel

__all__ = ["read", "types_of", "write"]

_FORMAT = 1


def write(folder: Path, kind: str, facts: dict[str, Any], parts: dict[str, Any]) -> None:
    """Write plain JSON `facts` and the arrays and estimators in `parts` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    skops.io.dump(parts, folder / "model.skops")
    text = json.dumps({"format": _FORMAT, "kind": kind, **facts}, ensure_ascii=False, sort_keys=True)
    (folder / "model.json").write_text(text, encoding="utf-8")


def read(folder: Path, kind: str, trusted: Collection[str] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """Bring back `(facts, parts)`.

    Raises `NotFound` when a file is missing, `CorruptStore` when it is unreadable or of another kind of model, and
    `UntrustedModel` when the archive asks for a type that is not in `trusted`; nothing of it was built then.
    """
    described, archive = folder / "model.json", folder / "model.skops"
    for path in (described, archive):
        if not path.is_file():
            raise NotFound(f"there is no {path}. The version's files are incomplete; train or adopt it again")
    try:
        facts: dict[str, Any] = json.loads(described.read_text(encoding="utf-8"))
        if facts["kind"] != kind or facts["format"] != _FORMAT:
            raise CorruptStore(
                f"{described} is a {facts['kind']!r} model of format {facts['format']}, but {kind!r} of format "
                f"{_FORMAT} was asked for. Load it with the trainer that wrote it"
            )
        asked = set(types_of(archive))
        if asked - set(trusted):
            raise UntrustedModel(_refusal(archive, asked - set(trusted)))
        parts = skops.io.load(archive, trusted=sorted(asked))
    except UntrustedTypesFoundException as refused:
        raise UntrustedModel(_refusal(archive, {str(refused)})) from refused
    except (ValueError, KeyError, TypeError, OSError, AttributeError, ImportError, BadZipFile) as problem:
        raise CorruptStore(
            f"{folder} does not hold a readable model: {problem}. Train it again or restore it"
        ) from problem
    if not isinstance(parts, dict):
        raise CorruptStore(
            f"{archive} holds a {type(parts).__name__}, not a model's parts. Train it again or restore it"
        )
    return facts, parts


def types_of(archive: Path) -> list[str]:
    """Types an archive asks for beyond those skops trusts by itself; nothing is built to find out."""
    try:
        return sorted(skops.io.get_untrusted_types(file=archive))
    except (ValueError, KeyError, TypeError, OSError, AttributeError, ImportError, BadZipFile) as problem:
        raise CorruptStore(f"{archive} is not a readable model: {problem}. Train it again or restore it") from problem


def _refusal(archive: Path, types: set[str]) -> str:
    return (
        f"{archive} asks for types that are not trusted: {', '.join(sorted(types))}. It was not loaded. "
        f"A model this trainer wrote asks for none of them: find out where the file comes from"
    )
