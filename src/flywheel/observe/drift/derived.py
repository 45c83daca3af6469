"""The columns that can drift: those of the tables, and what is read off them (a text's length, a numeric answer)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flywheel.observe.drift.sketch import Column

__all__ = ["derived", "superfluous", "value_of"]

ALWAYS = ("output", "output.number", "output.length", "confidence", "latency_ms", "error", "input_text.length")
LENGTH = ".length"
NUMBER = ".number"


def derived(table: Any) -> list[str]:
    """Names of what can be watched: answers, confidence, latency, errors, length of texts, context, and inputs."""
    leaves = [name for name in table.columns if name.startswith(("context.", "input."))]
    return [name for name in (*ALWAYS, *leaves) if value_of(table, name, "any") is not None]


def value_of(table: Any, name: str, kind: str) -> Any:
    """The values of a column as numbers or texts; None where the table has none of that name.

    `<column>.length` counts characters and `<column>.number` reads JSON as a number, where a column itself is not so
    called. `kind` is `number`, `category`, or `any` for what it is by nature.
    """
    if name in table.columns:
        value = table[name]
    elif name.endswith(LENGTH) and name[: -len(LENGTH)] in table.columns:
        value = table[name[: -len(LENGTH)]].length()
    elif name.endswith(NUMBER) and name[: -len(NUMBER)] in table.columns:
        value = table[name[: -len(NUMBER)]].try_cast("float64")
    else:
        return None
    nature = value.type()
    if nature.is_nested():
        return None
    if kind == "any":
        kind = "number" if nature.is_numeric() else "category"
    if kind == "number":
        return value.cast("float64")
    return value if nature.is_string() else value.cast("string")


def superfluous(columns: dict[str, Column]) -> list[str]:
    """Names that say again what another column says, or nothing: an answer is watched once, as the number it is, by its
    value where values repeat, or by its length."""
    out = [name for name in (ALWAYS[1], ALWAYS[2], ALWAYS[-1]) if name in columns and not columns[name].edges]
    if ALWAYS[1] in columns and ALWAYS[1] not in out:
        out += [name for name in (ALWAYS[0], ALWAYS[2]) if name in columns and len(columns[ALWAYS[1]].edges) > 20]
    if ALWAYS[0] in columns and ALWAYS[0] not in out:
        out += [name for name in (ALWAYS[1], ALWAYS[2]) if name in columns]
    return list(dict.fromkeys(out))
