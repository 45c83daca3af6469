"""Which version is champion, which was before it, and how one takes over from the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flywheel.errors import InvalidRecord, NotFound
from flywheel.records import Candidate, Release

if TYPE_CHECKING:
    from flywheel.ports import Registry
    from flywheel.store import State

__all__ = ["Releases"]

_POINTER = "release.champion"
_TOLD = "release.told"


class Releases:
    """The releases of one product.

    One pointer in the state says who is champion; it moves in a single write, so that at every moment there is
    exactly one. The registry's aliases follow: a change that was cut off between the two is finished by whatever is
    called next (all but `champion`, `champion_version` and `history`, which only read). `lock` is held while
    something changes.
    """

    def __init__(
        self,
        state: State,
        registry: Registry,
        lock: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._state = state
        self._registry = registry
        self._lock = lock

    def champion_version(self) -> str | None:
        """The champion's version: one small read, for those who ask before every prediction."""
        pointer = self._state.get(_POINTER)
        return str(pointer["version"]) if pointer else None

    def came_back(self) -> bool:
        """The champion is one that a rollback brought back."""
        pointer = self._state.get(_POINTER)
        return bool(pointer) and pointer["by"] != "promotion"

    def champion(self) -> Release | None:
        """The release that answers now, None before the first one."""
        version = self.champion_version()
        return next((release for release in self.history() if release.version == version), None)

    def challenger(self) -> Release | None:
        """The release that waits for somebody to promote it, None if none does."""
        return next((release for release in reversed(self.history()) if release.role == "challenger"), None)

    def history(self) -> list[Release]:
        """Every release, oldest first, each in the role it has now."""
        version = self.champion_version()
        return [replace(release, role=_role(release, version)) for release in self._state.releases()]

    def promote(self, candidate: Candidate, at: datetime) -> Release:
        """Make a candidate the champion. Doing it again changes nothing, so a cut-off promotion is simply repeated."""
        return self._crown(
            Release(
                version=candidate.version,
                role="champion",
                folder=candidate.folder,
                at=_utc(at),
                dataset=candidate.dataset,
                spin=candidate.spin,
                trainer=candidate.trainer,
            )
        )

    def adopt(self, folder: str | Path, version: str, at: datetime) -> Release:
        """Make the model in `folder`, which was trained elsewhere, the champion. Repeating it changes nothing."""
        return self._crown(
            Release(version=version, role="champion", folder=str(folder), at=_utc(at), trainer="adopted")
        )

    def challenge(self, candidate: Candidate, at: datetime) -> Release:
        """Put a candidate forward as challenger: registered, but not answering. A newer one takes its place."""
        with self._lock():
            self._tell()
            if candidate.version == self.champion_version():
                raise NotFound(f"{candidate.version} is the champion already, so it cannot challenge it. Nothing to do")
            release = Release(
                version=candidate.version,
                role="challenger",
                folder=candidate.folder,
                at=_utc(at),
                dataset=candidate.dataset,
                spin=candidate.spin,
                trainer=candidate.trainer,
            )
            for other in self._state.releases():
                if other.role == "challenger" and other.version != release.version:
                    self._state.save_release(replace(other, role="retired"))
            self._state.save_release(release)
            self._register(release)
            self._registry.alias("challenger", release.version)
            return release

    def rollback(self, at: datetime, by: str) -> Release:
        """Bring back the champion before this one, and return it; again, the one before that.

        Raises `NotFound` when there is none: the first release has nothing behind it.
        """
        with self._lock():
            self._tell()
            now = self.champion()
            if now is None:
                raise NotFound("there is no champion to roll back from. Promote or adopt a model first")
            before = next((one for one in self._state.releases() if one.version == now.replaced), None)
            if before is None:
                raise NotFound(f"{now.version} is the first release: there is no champion before it to go back to")
            self._point(before.version, at, by)
            self._retire(before.version)
            self._tell()
            return replace(before, role="champion")

    def settle(self) -> bool:
        """Finish a change that was cut off; True if there was something to finish."""
        with self._lock():
            return self._tell()

    def _crown(self, release: Release) -> Release:
        with self._lock():
            current = self.champion_version()
            known = {one.version: one for one in self._state.releases()}
            if current == release.version:
                release = known[release.version]
            else:
                self._tell()
                # Written before the pointer moves: until then it is a row that nobody reads as champion.
                release = replace(release, replaced=current)
                self._state.save_release(release)
                self._point(release.version, release.at, "promotion")
            self._retire(release.version)
            self._tell()
            return replace(release, role="champion")

    def _point(self, version: str, at: datetime, by: str) -> None:
        self._state.set(_POINTER, {"version": version, "at": _utc(at).isoformat(), "by": by})

    def _retire(self, champion: str) -> None:
        for release in self._state.releases():
            role = _role(release, champion)
            if role != release.role:
                self._state.save_release(replace(release, role=role))

    def _tell(self) -> bool:
        """Bring the registry up to the pointer, if it was not yet told of it."""
        version = self.champion_version()
        if version is None or self._state.get(_TOLD) == version:
            return False
        release = next(one for one in self._state.releases() if one.version == version)
        self._register(release)
        self._registry.alias("champion", version)
        if self._registry.resolve("challenger") == version:
            self._registry.alias("challenger", None)
        self._state.set(_TOLD, version)
        return True

    def _register(self, release: Release) -> None:
        tags = {"spin": str(release.spin), "trainer": release.trainer, "dataset": release.dataset or ""}
        self._registry.register(release.version, Path(release.folder), {k: v for k, v in tags.items() if v})


def _role(release: Release, champion: str | None) -> str:
    if release.version == champion:
        return "champion"
    return "retired" if release.role == "champion" else release.role


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise InvalidRecord("at", f"{at.isoformat()} has no time zone", "Pass a datetime with a zone, such as UTC")
    return at.astimezone(UTC)
