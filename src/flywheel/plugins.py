"""Name → factory, through one door.

The built-in trainers, tasks, labelers and the rest are declared in this distribution's own entry points, beside those
of any other package you install; there is no second list. A package adds one like this::

    [project.entry-points."flywheel.trainers"]
    forest = "my_package.forest:make_trainer"

What stored data or a request names is looked up here and never imported. Only the operator's own `flywheel.toml` may
name code directly, as `module:callable` or `file.py:callable`, through `load_operator_code`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from flywheel.errors import InvalidConfig, MissingExtra, UnknownPlugin

__all__ = ["PORTS", "create", "load_operator_code", "names"]

PORTS = (
    "tasks",
    "trainers",
    "detectors",
    "embedders",
    "labelers",
    "redactors",
    "sources",
    "sinks",
    "registries",
    "sentiments",
)
"""The kinds of plugin; each is the entry-point group `flywheel.<kind>`."""


@cache
def _found(port: str) -> dict[str, EntryPoint]:
    if port not in PORTS:
        raise UnknownPlugin(f"{port!r} is not a kind of plugin. Kinds: {', '.join(PORTS)}")
    return {point.name: point for point in entry_points(group=f"flywheel.{port}")}


def names(port: str) -> list[str]:
    """List the plugins installed for a port.

    >>> "text" in names("trainers")
    True
    """
    return sorted(_found(port))


def create(port: str, name: str, /, **options: Any) -> Any:
    """Make the plugin `name` of a port, passing `options` to its factory.

    Raises `UnknownPlugin` with the names there are, and `MissingExtra` when the plugin needs a package that is absent.
    """
    point = _found(port).get(name)
    if point is None:
        raise UnknownPlugin(f"no {port[:-1]} is called {name!r}. Installed: {', '.join(names(port)) or 'none'}")
    try:
        factory = point.load()
    except ModuleNotFoundError as missing:
        raise MissingExtra(
            f"{port[:-1]} {name!r} needs {missing.name!r}, which is not installed. Run: pip install {missing.name}"
        ) from missing
    return factory(**options)


def load_operator_code(reference: str, folder: Path) -> Callable[..., Any]:
    """Load `module:callable`, or `file.py:callable` relative to the flywheel's folder, for the operator's settings."""
    target, _, attribute = reference.rpartition(":")
    if not target or not attribute:
        raise InvalidConfig(f"{reference!r} is not of the form module:callable or file.py:callable")
    try:
        if target.endswith(".py"):
            path = (folder / target).resolve()
            name = f"flywheel_operator_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
            if name in sys.modules:
                module = sys.modules[name]
            else:
                spec = importlib.util.spec_from_file_location(name, path)
                if spec is None or spec.loader is None or not path.exists():
                    raise InvalidConfig(f"{reference!r}: there is no file {path}. Paths are relative to {folder}")
                module = importlib.util.module_from_spec(spec)
                sys.modules[name] = module
                try:
                    spec.loader.exec_module(module)
                except BaseException:
                    del sys.modules[name]
                    raise
        else:
            module = importlib.import_module(target)
        found = getattr(module, attribute)
    except (ModuleNotFoundError, AttributeError) as problem:
        raise InvalidConfig(
            f"{reference!r} cannot be loaded: {problem}. Check the spelling in flywheel.toml"
        ) from problem
    if not callable(found):
        raise InvalidConfig(f"{reference!r} is a {type(found).__name__}, not something to call")
    return found  # type: ignore[no-any-return]
