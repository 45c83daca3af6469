"""A client may send another name with every record: the traffic is counted by them all the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import ibis
import pyarrow as pa

from flywheel.diagnose.evidence import context_shares


def test_shares_of_three_hundred_names_are_told() -> None:
    rows = pa.table({f"context.name {n}": ["yes", "yes", "no", None] for n in range(300)})
    told = context_shares(cast(Any, SimpleNamespace(interactions=ibis.memtable(rows), count=lambda: 4)))
    assert len(told) == 600
    assert (told["name 0=yes"], told["name 299=no"]) == (0.5, 0.25)
