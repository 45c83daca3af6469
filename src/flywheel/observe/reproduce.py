"""The query behind a finding, as SQL that anyone can run again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ibis

from flywheel.observe.series import Seen

__all__ = ["query_of"]


def query_of(build: Callable[[Any, Any], Any], seen: Seen) -> str:
    """SQL over two tables named `interactions` and `feedback` for the expression that `build` makes of them.

    `build` gets both as Ibis tables, the interactions cut to the window of `seen`; use the same function to compute the
    finding, so that the text cannot differ from what was computed. Run it with `Flywheel.query(sql)`.

    >>> class Window:
    ...     interactions = ibis.table({"seq": "int64", "latency_ms": "float64"}, name="seen")
    ...     feedback = ibis.table({"seq": "int64"}, name="told")
    ...     bounds = (100, 200)
    >>> text = query_of(lambda seen, told: seen.latency_ms.mean(), Window())
    >>> '"interactions"' in text, "> 100" in text, "<= 200" in text
    (True, True, True)
    """
    here = ibis.table(seen.interactions.schema(), name="interactions")
    told = ibis.table(seen.feedback.schema(), name="feedback")
    after, upto = getattr(seen, "bounds", (0, 0))
    if upto:
        here = here.filter(here.seq > after, here.seq <= upto)
    if hasattr(seen, "cut"):  # a stretch of time
        here = seen.cut(here)
    return str(ibis.to_sql(build(here, told), dialect="duckdb"))
