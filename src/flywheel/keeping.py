"""Looking after what is kept: the audit trail, erasure, retention, pseudonyms, dead letters. Verbs of `Flywheel`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flywheel.errors import InvalidRecord
from flywheel.telling import Telling

if TYPE_CHECKING:
    from flywheel.ports import Progress

__all__ = ["Keeping"]


class Keeping(Telling):
    """The verbs that look after what is kept."""

    # --- the audit trail ---

    def trail(self) -> list[dict[str, Any]]:
        """The audit trail: who promoted, rolled back and when; each line holds the hash of the one before."""
        return self._store.state.trail()

    def note(self, action: str, subject: str, *, by: str, detail: dict[str, Any] | None = None) -> None:
        """Write a line into the audit trail."""
        self._trail.record(action, subject, by=by, at=_now(), detail=detail)

    def verify_trail(self, head: str | None = None) -> str:
        """Check the audit trail, with `head` also that a line noted earlier is still there; return the last hash.

        Raises `CorruptStore` that names the first broken line.
        """
        self._trail.verify(head)
        return self._trail.head()  # type: ignore[no-any-return]

    # --- what must go ---

    def erase(
        self,
        user: str,
        *,
        by: str = "",
        at: datetime | None = None,
        dry_run: bool = False,
        models: bool = False,
        progress: Progress | None = None,
        on_step: Callable[[str, str], None] | None = None,
    ) -> dict[str, Any]:
        """Erase a user everywhere, by the name your product uses or a pseudonym `u_…`; return the signed receipt.

        Ends in a byte search: `clean` says whether anything is left, and `search` where. Killed anywhere, the same
        call ends the same. `dry_run` only counts what there is. `models` also removes the files of models that learnt
        from the user and are not in use; the others are named, and the next spin trains without the user.

        >>> import tempfile, flywheel
        >>> with flywheel.open(tempfile.mkdtemp()) as fw:
        ...     i = fw.log(input="where is my card", user="ana@example.org")
        ...     receipt = fw.erase("ana@example.org")
        ...     receipt["erased"]["interactions"], receipt["clean"], fw.status()["interactions"]
        (1, True, 0)
        """
        if dry_run:
            return self._erasure.plan(user)
        from flywheel.curate.near import forget

        forget()
        return self._erasure.run(
            user, by=by or "operator", at=at or _now(), models=models, progress=progress, on_step=on_step
        )

    def resume_erasures(self, progress: Progress | None = None) -> list[dict[str, Any]]:
        """Finish the erasures that were cut off; return their receipts."""
        return self._erasure.resume(progress)

    def verify_receipt(self, receipt: dict[str, Any], user: str | None = None) -> dict[str, Any]:
        """Check a receipt: `ours` (signed by this flywheel), `in_trail`, and with `user` whether it is `about` them.

        Raises `CorruptStore` for one that was changed after it was signed.
        """
        from flywheel.govern import Receipts, is_about

        found = Receipts(self.folder).verify(receipt)
        hashes = {line["hash"] for line in self.trail()}
        about = {} if user is None else {"about": is_about(receipt.get("subject") or {}, user)}
        return {**found, "in_trail": (receipt.get("trail") or {}).get("hash") in hashes, **about}

    def retention(self, at: datetime | None = None) -> list[dict[str, Any]]:
        """Per kind of data: for how many days `[retention]` keeps it, and how much is older."""
        return self._retention.due(at or _now())

    def apply_retention(self, *, at: datetime | None = None, by: str = "") -> dict[str, int]:
        """Remove what `[retention]` keeps no longer; every new spin does it first. Returns how much of each kind."""
        with self._store.lock("spin", wait=60):
            return self._retention.apply(at or _now(), by or "operator")

    def rotate_pseudonyms(self, *, by: str = "", at: datetime | None = None) -> str:
        """Make a new key for pseudonyms and keep the old one, so that users are still found; return its fingerprint.

        Processes that have this folder open go on with the old key until they open it again.
        """
        from flywheel.capture.identity import rotate_pseudonyms

        now = at or _now()
        with self._store.lock("pseudonyms", wait=60):
            made = rotate_pseudonyms(self.folder, self._store.state, now)
        self.__dict__.pop("_recorder", None)
        self.__dict__.pop("intake", None)
        self.__dict__.pop("_predictor", None)
        self._trail.record("rotate pseudonyms", made, by=by or "operator", at=now)
        return made

    def forget_pseudonyms(self, before: datetime, *, by: str = "") -> list[str]:
        """Destroy the keys that were retired before a moment: nobody can tell any more whom their pseudonyms mean."""
        from flywheel.capture.identity import forget_pseudonyms

        with self._store.lock("pseudonyms", wait=60):
            gone = forget_pseudonyms(self.folder, self._store.state, before)
        if gone:
            self._trail.record("forget pseudonyms", f"{len(gone)} keys", by=by or "operator", at=_now())
        return gone

    # --- dead letters ---

    def dead_letters(self, limit: int = 100, before: int | None = None) -> list[dict[str, Any]]:
        """Records that could not be stored, the newest first: `id`, `at`, `source`, `reason`, `body` (redacted)."""
        found = self._store.log.dead_letters(limit, before)
        return [{**letter, "body": letter["body"].decode("utf-8", "replace")} for letter in found]

    def retry_dead_letters(self, ids: Sequence[int] | None = None) -> dict[str, Any]:
        """Try dead letters again, all or some; what can be stored leaves the list, `still` has the others."""
        done: dict[str, Any] = {"stored": 0, "duplicates": 0, "still": []}
        for letter in self._letters(ids):
            try:
                taken = self.intake.retry(letter)
                done["stored"] += taken.stored
                done["duplicates"] += taken.duplicates + taken.conflicts
            except InvalidRecord as problem:
                done["still"].append({"id": letter["id"], "reason": str(problem)})
        return done

    def drop_dead_letters(self, ids: Sequence[int] | None = None, *, by: str = "") -> int:
        """Drop dead letters for good, all or some; in the books they count as rejected from now on."""
        dropped = 0
        for letter in self._letters(ids):
            self._store.log.settle_letter(letter["id"], [])
            dropped += 1
        if dropped:
            self.note("drop dead letters", f"{dropped} records", by=by or "operator")
        return dropped

    def _letters(self, ids: Sequence[int] | None) -> Iterator[dict[str, Any]]:
        """The dead letters as they are kept, the newest first, page by page: they may be many."""
        before = None
        while found := self._store.log.dead_letters(500, before, ids or ()):
            yield from found
            before = found[-1]["id"]


def _now() -> datetime:
    return datetime.now(UTC)
