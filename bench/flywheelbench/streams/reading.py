"""Where the data of the streams lies."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["data_file"]


def data_file(folder: str, name: str) -> Path:
    """The file `name` of the data set `folder` below `FLYWHEEL_DATA`. Raises `FileNotFoundError` saying what to set."""
    home = os.environ.get("FLYWHEEL_DATA", "")
    found = Path(home, folder, name)
    if not home or not found.is_file():
        raise FileNotFoundError(
            f"FLYWHEEL_DATA is {home!r}, and {folder}/{name} is not there. Set it to the folder that holds {folder}"
        )
    return found
