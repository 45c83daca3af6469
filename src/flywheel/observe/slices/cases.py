"""The interactions whose failure is known or estimated, with what can be said about them, in halves by user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import ibis

from flywheel.errors import InvalidConfig
from flywheel.observe.series import Seen

__all__ = ["Cases", "Failing", "cases", "describable", "short_names"]

Failing = Any | Callable[[Seen], Any]
"""An Ibis table with `id`, `loss` (0 to 1) and perhaps `weight`; or what makes one of a window, as `judged` does."""

HOUR = "hour of day"
_DAYS = timedelta(days=21)
"""In a shorter window an hour of the day cannot be told from a few bad hours."""


@dataclass(frozen=True, slots=True)
class Cases:
    """One row per interaction with a loss: the describing columns, `loss`, `weight`, `rand`, `at`, `unit`, `second`."""

    table: Any
    columns: tuple[str, ...]
    """What slices may be made of."""
    units: str
    """Whose rows belong together: `user`, `session` or "" where each interaction stands alone."""
    n: int
    since: Any
    until: Any

    @property
    def span(self) -> timedelta:
        """From the first to the last."""
        return self.until - self.since if self.n else timedelta(0)

    def half(self, second: bool) -> Any:
        """One half of the users (or sessions, or interactions)."""
        return self.table.filter(self.table.second == second)


def cases(window: Seen, failing: Failing, *, seed: int = 0, columns: Sequence[str] = ()) -> Cases:
    """Join a window with its losses. All rows of a user (else of a session) fall into one half, by the permanent
    `rand` of the first of them and the seed. `columns` names what to describe by; empty takes all that can."""
    seen = window.interactions
    losses = _losses(failing, window)
    chosen = list(columns) or describable(seen)
    unknown = [name for name in chosen if name not in seen.columns and name != HOUR]
    if unknown:
        raise InvalidConfig(f"the interactions have no column {unknown[0]!r}. Columns: {', '.join(seen.columns)}")
    table = joined(seen, losses, chosen, seed)
    asked = table.aggregate(
        n=table.count(),
        since=table["at"].min(),
        until=table["at"].max(),
        user=table.user.count(),
        session=table.session.count(),
    )
    facts = asked.to_pyarrow().to_pylist()[0]
    units = "user" if facts["user"] else "session" if facts["session"] else ""
    if HOUR in chosen and not columns and (not facts["n"] or facts["until"] - facts["since"] < _DAYS):
        chosen.remove(HOUR)
    # Asked a dozen times: the engine joins once, and keeps the result until the last who asks has gone.
    return Cases(_halved(table, units).cache(), tuple(chosen), units, facts["n"], facts["since"], facts["until"])


def joined(seen: Any, losses: Any, chosen: Sequence[str], seed: int) -> Any:
    """The columns that a slice is made of, beside the losses; `part` is a number in [0, 1) for the halves."""
    weight = losses.weight if "weight" in losses.columns else ibis.literal(1.0)
    known = losses.select(lost=losses.id, loss=losses.loss.cast("float64"), weight=weight.cast("float64"))
    wanted = {name: _cell(seen, name) for name in chosen}
    wanted |= {name: _optional(seen, name) for name in ("user", "session") if name not in wanted}
    if "rand" in seen.columns:
        rand = seen.rand
    else:
        rand = (seen.id.hash() % 1_000_003).cast("float64").abs() / 1_000_003
    part = (rand * 524_287.0 + 0.618034 * seed) % 1.0
    wanted |= {"id": seen.id, "at": seen["at"], "rand": rand, "part": part}
    both = seen.select(**wanted).inner_join(known, [("id", "lost")]).drop("lost")
    return both.filter(both.loss >= 0, ~both.loss.isnan(), both.weight > 0)


def _losses(failing: Failing, window: Any) -> Any:
    table = failing(window) if callable(failing) and not isinstance(failing, ibis.Table) else failing
    if "loss" not in table.columns and "wrong" in table.columns:
        table = table.rename(loss="wrong")
    if "id" not in table.columns or "loss" not in table.columns:
        raise InvalidConfig(
            f"failing has the columns {', '.join(table.columns)}; it needs id and loss (0 to 1), and may have weight"
        )
    return table


def describable(seen: Any) -> list[str]:
    """Columns that may tell slices apart: context, scalar inputs, the answer, the model and the hour of the day."""
    kinds = seen.schema()
    leaves = [name for name in seen.columns if name.startswith(("context.", "input.")) and _scalar(kinds[name])]
    there = [name for name in ("output", "model") if name in seen.columns]
    return [*leaves, *there, HOUR]


def short_names(names: Sequence[str]) -> list[str]:
    """Names as people write them: `context.device` is `device`, unless another column is called the same.

    >>> short_names(["context.device", "input.amount", "context.age", "input.age"])
    ['device', 'amount', 'context.age', 'input.age']
    """
    bare = [name.partition(".")[2] if name.startswith(("context.", "input.")) else name for name in names]
    return [short if bare.count(short) == 1 else name for name, short in zip(names, bare, strict=True)]


def _scalar(kind: Any) -> bool:
    return bool(kind.is_string() or kind.is_boolean() or kind.is_numeric())


def _cell(seen: Any, name: str) -> Any:
    return seen["at"].hour().cast("int16") if name == HOUR else seen[name]


def _optional(seen: Any, name: str) -> Any:
    return seen[name] if name in seen.columns else ibis.null("string")


def _halved(table: Any, units: str) -> Any:
    if not units:
        return table.mutate(unit=table.id, second=table.part >= 0.5)
    unit = ibis.literal("i:") + table.id
    for name in ("session", "user"):
        unit = table[name].notnull().ifelse(ibis.literal(f"{name[0]}:") + table[name], unit)
    table = table.mutate(unit=unit)
    first = table.group_by("unit").aggregate(head=table.part.argmin(table.rand))
    both = table.inner_join(first.rename(of="unit"), [("unit", "of")]).drop("of")
    return both.mutate(second=both["head"] >= 0.5).drop("head")
