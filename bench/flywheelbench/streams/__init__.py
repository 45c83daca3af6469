"""The streams of FlywheelBench by name: `STREAMS["intents"](seed)` draws a `World`.

A name that ends in `-null` is the control of the stream: nothing changes, so that there is nothing to find and a
promotion gains nothing. A stream's module, and the data it needs, are loaded when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from flywheelbench.world import World

__all__ = ["STREAMS"]


def _make(module: str, function: str, options: dict[str, Any], seed: int) -> World:
    found: World = getattr(import_module(f"flywheelbench.streams.{module}"), function)(seed, **options)
    return found


def _both(name: str, module: str, function: str, **options: Any) -> dict[str, Callable[[int], World]]:
    return {
        name: partial(_make, module, function, options),
        f"{name}-null": partial(_make, module, function, {**options, "null": True}),
    }


STREAMS: dict[str, Callable[[int], World]] = {
    **_both("intents", "intents", "make", data="clinc150"),
    **_both("banking", "intents", "make", data="banking77"),
    **_both("dialect", "dialect", "make"),
    **_both("images", "images", "make_images"),
    **_both("acs", "tabular", "make_acs"),
    **_both("bank", "tabular", "make_bank"),
}
"""Name of a stream → the function that draws it for a seed."""
