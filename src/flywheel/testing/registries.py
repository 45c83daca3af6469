"""The check for registries of models."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from flywheel.errors import NotFound
from flywheel.ports import Registry
from flywheel.testing.contract import check_port

__all__ = ["check_registry"]


def check_registry(registry: Registry, reopen: Callable[[], Registry] | None = None) -> None:
    """Check that a registry, empty at first, keeps versions and aliases, and that doing a thing twice is doing it once.

    `reopen` makes another registry over the same storage, to see that what was said is kept.
    """
    called = check_port(registry, Registry, ("register", "alias", "resolve", "versions"))
    assert registry.versions() == [], f"{called} must be empty for this check; it has {registry.versions()}"
    assert registry.resolve("champion") is None, f"{called}.resolve names a champion in an empty registry"
    with tempfile.TemporaryDirectory() as name:
        for version in ("v1", "v2"):
            folder = Path(name) / version
            folder.mkdir()
            (folder / "model.json").write_text('{"answer": 1}', encoding="utf-8")
            registry.register(version, folder, {"dataset": "d" * 64, "spin": "1"})
            registry.register(version, folder, {"dataset": "d" * 64, "spin": "1"})
        assert registry.versions() == ["v1", "v2"], (
            f"{called}.versions is {registry.versions()}, not v1, v2: oldest first"
        )
        for version in ("v1", "v2", "v2"):
            registry.alias("champion", version)
            found = registry.resolve("champion")
            assert found == version, f"{called}.resolve('champion') is {found!r} after it was pointed at {version!r}"
        registry.alias("challenger", "v1")
        pair = (registry.resolve("champion"), registry.resolve("challenger"))
        assert pair == ("v2", "v1"), f"{called} mixes its aliases up: champion and challenger are {pair}, not v2 and v1"
        if reopen is not None:
            other = reopen()
            kept = (other.versions(), other.resolve("champion"))
            assert kept == (["v1", "v2"], "v2"), f"{called}, opened again, has {kept}"
        registry.alias("challenger", None)
        registry.alias("challenger", None)
        assert registry.resolve("challenger") is None, f"{called}.alias('challenger', None) did not remove the alias"
        assert registry.resolve("champion") == "v2", f"{called} lost its champion when the challenger was removed"
        try:
            registry.alias("champion", "no-such-version")
        except NotFound:
            pass
        else:
            raise AssertionError(f"{called}.alias points at a version that was never registered; raise NotFound")
        assert registry.resolve("champion") == "v2", f"{called} lost its champion to a version that does not exist"
