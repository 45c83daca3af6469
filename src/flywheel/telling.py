"""What people tell each other about failures: why a mode fails, and blameless reports. Verbs of `Flywheel`."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flywheel.errors import InvalidRecord, NotFound, StoreUnavailable
from flywheel.parts import Parts
from flywheel.records import Acknowledgement, Failure, Feedback, Interaction, Mode, Report, Why, WhyChain

if TYPE_CHECKING:
    from flywheel.diagnose.reports import Clues

__all__ = ["Telling"]

_LONGEST = 10_000
_CONTACT = 300
_FOLLOWED = 4_000  # failures of one mode that a draft looks at


class Telling(Parts):
    """The verbs with which people say why something fails, and that it does."""

    # --- five whys ---

    def why(self, mode: str) -> WhyChain:
        """The chain of whys of a failure mode: tested claims, what people said, and what is still asked of them.

        Drafted from the data on first use and once more after each spin that saw the mode; what people wrote stays.
        Linked to the release that fixed the mode and to its receipt. Raises `NotFound` for a mode that there is not.
        """
        known = self._mode(mode)
        chain = self._store.state.why(known.id)
        stale = chain is not None and known.state != "fixed" and known.last_spin > chain.drafted_in
        if chain is None or stale:
            from flywheel.diagnose.whys import merged

            fresh = self._drafted(known)
            merge: Callable[[WhyChain | None], WhyChain] = lambda old: merged(old, fresh, known.id, known.last_spin)  # noqa: E731
            chain = self._store.state.change_why(known.id, merge)
        return self._with_fix(chain, known)

    def answer_why(self, mode: str, number: int, text: str, *, by: str = "", at: datetime | None = None) -> WhyChain:
        """Answer or correct link `number` (from 1) of a mode's chain of whys; one past the end adds a link.

        The text is redacted before it is stored. What the data said stays beside it, and the audit trail notes who
        answered when. Raises `NotFound` for a number that there is not, `InvalidRecord` for an empty or overlong text.
        """
        from flywheel.diagnose.whys import answered

        now, known = at or _now(), self._mode(mode)
        self.why(mode)
        fact = Feedback(id=f"why {number}", interaction_id=known.id, at=now, kind="comment", value=text)
        said = self._recorder.prepare(replace(fact, source="reviewer", by=by or None))
        chain = self._store.state.change_why(
            known.id,
            lambda old: answered(old or WhyChain(mode=known.id), number, str(said.value or ""), by=said.by, at=now),
        )
        self._trail.record("answer why", known.id, by=by or "operator", at=now, detail={"number": number})
        return self._with_fix(chain, known)

    def why_markdown(self, mode: str) -> str:
        """The chain of whys of a failure mode as a Markdown page; nothing that was logged or typed becomes markup."""
        from flywheel.diagnose.whys import to_markdown

        return to_markdown(self.why(mode), self._mode(mode))

    def _mode(self, id: str) -> Mode:
        found = next((mode for mode in self._store.state.modes() if mode.id == id), None)
        if found is None:
            raise NotFound(f"there is no failure mode {id!r}. `flywheel modes` lists them")
        return found

    def _drafted(self, mode: Mode) -> tuple[Why, ...]:
        """A draft on the window in which the mode was last seen."""
        from flywheel.diagnose.whys import draft

        state, tables = self._store.state, self._store.tables
        sync, told = state.step(mode.last_spin, "sync") or {}, state.step(mode.last_spin, "diagnose") or {}
        tables.sync(self._store.log)
        window = tables.snapshot().window(sync.get("after", 0), sync.get("upto", 0))
        ids = sorted(key for key, place in told.get("assignments", {}).items() if place == mode.id)[:_FOLLOWED]
        labels = {
            f.interaction_id: f.value
            for f in self._store.log.feedback_of(ids)
            if f.kind == "label" and f.source in ("reviewer", "system", "judge")
        }
        failures = [
            Failure(
                interaction_id=seen.id, at=seen.at, probability=1.0, input=seen.input, output=seen.output,
                label=labels.get(seen.id), model=seen.model, mode=mode.id, context=seen.context,
            )
            for seen in window.fetch(ids)
        ]  # fmt: skip
        spin = state.spin(mode.last_spin)
        return draft(mode, spin.observations if spin else (), failures, state.examples(), window)

    def _with_fix(self, chain: WhyChain, mode: Mode) -> WhyChain:
        """The chain with the release that fixed its mode, and what the spin that made it changed."""
        if mode.fixed_in is None:
            return chain
        state = self._store.state
        release = next((known for known in state.releases() if known.version == mode.fixed_in), None)
        spin = state.spin(release.spin) if release and release.spin else None
        receipt = spin.receipt.line if spin and spin.receipt else None
        fixed = replace(chain, fix=mode.fixed_in, spin=spin.number if spin else None, receipt=receipt)
        if fixed != chain:
            keep: Callable[[WhyChain | None], WhyChain] = lambda old: replace(  # noqa: E731
                old or fixed, fix=fixed.fix, spin=fixed.spin, receipt=fixed.receipt
            )
            return state.change_why(mode.id, keep)
        return chain

    # --- reports ---

    def report(
        self,
        what: str,
        *,
        interaction: str | None = None,
        expected: str | None = None,
        by: str | None = None,
        contact: str | None = None,
        trace: str | None = None,
        session: str | None = None,
        near: str | None = None,
        when: datetime | None = None,
        at: datetime | None = None,
    ) -> Acknowledgement:
        """File a blameless report: what went wrong, and perhaps what was expected; nobody is named.

        It is stored, redacted, before this returns, and becomes feedback of the kind `report` on the interaction that
        it is about: the one named, or else one found by `trace`, `session`, `by`, the time (`when`) and words (`near`,
        and of the report itself) where that is sure; otherwise the likeliest are kept as proposals. Without `by` it is
        anonymous; `contact` is kept apart, and only until the reporter has been told. With the `token` in the answer,
        which is shown once, anyone can ask what became of the report (`report_state`). Raises `InvalidRecord` for one
        that says nothing.

        >>> import tempfile, flywheel
        >>> with flywheel.open(tempfile.mkdtemp()) as fw:
        ...     i = fw.log(input="where is my card", output="exchange_rate")
        ...     receipt = fw.report("I asked for my card and was told about rates", interaction=i)
        ...     fw.report_state(receipt.token)["state"], [r.state for r in fw.reports()]
        ('received', ['joined'])
        """
        from flywheel.capture.identity import new_id
        from flywheel.diagnose.reports import SURE, Clues, propose

        now = at or _now()
        _check(what, expected, contact)
        id = new_id(None if at is None else at)
        fact = Feedback(id=id, interaction_id=interaction or id, at=now, kind="report", value=what.strip())
        extra = {name: text.strip() for name, text in (("expected", expected), ("near", near)) if text and text.strip()}
        said = self._recorder.prepare(replace(fact, by=by or None, extra=extra))
        place = self._recorder.prepare(Interaction(id=id, at=now, input=None, session=session, model=trace))
        proposals: tuple[Any, ...] = ()
        about = said.interaction_id if interaction else None
        if about is None:
            clues = Clues(
                when=when or now, trace=place.model, session=place.session, user=said.by,
                what=str(said.value or ""), near=str(said.extra.get("near") or ""),
            )  # fmt: skip
            proposals = self._proposed(clues, propose)
            about = proposals[0].interaction_id if proposals and proposals[0].score >= SURE else None
        filed = Report(
            id=id, at=now, what=str(said.value or "[redacted]"), expected=said.extra.get("expected"), by=said.by,
            interaction_id=about, proposals=() if about else proposals,
        )  # fmt: skip
        token = f"rp_{secrets.token_urlsafe(24)}"
        self._store.state.add_report(filed, _digest(token), contact.strip() if contact and contact.strip() else None)
        if about is not None:
            filed = self._joined(filed, now)
        line = "It has arrived, and it is safe. Keep the token: with it you can ask what became of the report."
        return Acknowledgement(
            id=id, token=token, state=filed.state, line=line, interaction_id=about, proposals=filed.proposals
        )

    def _proposed(self, clues: Clues, propose: Callable[[Any, Clues], tuple[Any, ...]]) -> tuple[Any, ...]:
        if not self._store.log.counts().get("interactions"):
            return ()
        self._store.tables.sync(self._store.log)
        return propose(self._store.tables.snapshot().interactions, clues)

    def _joined(self, report: Report, at: datetime) -> Report:
        """Make the report what it is to the wheel, feedback about its interaction; doing it again changes nothing."""
        fact = Feedback(
            id=report.id, interaction_id=str(report.interaction_id), at=report.at, kind="report", value=report.what,
            source="user", by=report.by, extra={"expected": report.expected} if report.expected else {},
        )  # fmt: skip
        self._recorder.store([fact])
        return self._change(
            report.id,
            lambda old: replace(
                old,
                interaction_id=report.interaction_id,
                state="joined" if old.state == "received" else old.state,
                joined_at=old.joined_at or at,
                proposals=(),
            ),
        )

    def join_report(self, id: str, interaction: str, *, by: str = "", at: datetime | None = None) -> Report:
        """Say which interaction a report is about. Raises `NotFound` where it, or the report, is not known."""
        now = at or _now()
        if not self._store.log.interactions([interaction]):
            raise NotFound(f"there is no interaction {interaction!r}. Ids are what log() returned")
        known = self._report(id)
        if known.joined_at is not None and known.interaction_id != interaction:
            raise InvalidRecord(
                "interaction", f"the report is joined to {known.interaction_id} already", "File another report"
            )
        joined = self._joined(replace(known, interaction_id=interaction), now)
        self._noted("join report", id, by, now)
        return joined

    def reports(
        self, state: str | None = None, *, told: bool | None = None, at: datetime | None = None
    ) -> list[Report]:
        """Every report, the oldest first, brought up to what the spins since have done.

        `state` is `received`, `joined`, `acknowledged`, `fixed` or `closed`; `told` whether the reporter has heard:
        `fw.reports("fixed", told=False)` are those who have not.
        """
        self._bring_up(at or _now())
        found = self._store.state.reports(state)
        return [report for report in found if told is None or (report.told_at is not None) == told]

    def report_state(self, token: str, *, at: datetime | None = None) -> dict[str, Any]:
        """What became of a report, for whoever holds its token: `state`, `line` and dates; no text and no data.

        Who reads here that it is fixed has been told. Raises `NotFound` for a token of no report.
        """
        from flywheel.diagnose.reports import shown_to_reporter

        now = at or _now()
        known = self._store.state.report_of(_digest(token))
        if known is None:
            raise NotFound("there is no report with this token: it was mistyped, or the report has been erased")
        self._bring_up(now)
        known = self._report(known.id)
        if known.state == "fixed" and known.told_at is None:
            known = self._change(known.id, lambda old: replace(old, told_at=old.told_at or now, told_how="page"))
        return shown_to_reporter(known)

    def acknowledge_report(
        self, id: str, *, mode: str | None = None, by: str = "", at: datetime | None = None
    ) -> Report:
        """Say that a person has read a report, and perhaps which failure mode it is of."""
        now = at or _now()
        if mode is not None:
            self._mode(mode)
        seen = self._change(
            id,
            lambda old: replace(
                old,
                state="acknowledged" if old.state in ("received", "joined") else old.state,
                acknowledged_at=old.acknowledged_at or now,
                mode=mode or old.mode,
            ),
        )
        self._noted("acknowledge report", id, by, now)
        return seen

    def close_report(self, id: str, why: str, *, by: str = "", at: datetime | None = None) -> Report:
        """Close a report that no release will fix, with a reason that its reporter can read."""
        now = at or _now()
        _check(why, None, None)
        fact = Feedback(id=id, interaction_id=id, at=now, kind="comment", value=why.strip())
        reason = str(self._recorder.prepare(fact).value or "")
        closed = self._change(
            id,
            lambda old: replace(
                old, state="closed", closed_at=now, closing=reason, acknowledged_at=old.acknowledged_at or now
            ),
        )
        self._noted("close report", id, by, now)
        return closed

    def reporters_to_tell(self, *, at: datetime | None = None) -> list[dict[str, Any]]:
        """Whose reports are fixed and who has not heard: `report`, and `contact` where they left one."""
        waiting = self.reports("fixed", told=False, at=at)
        contacts = self._store.state.contacts()
        return [{"report": report, "contact": contacts.get(report.id)} for report in waiting]

    def told_reporter(self, id: str, *, by: str = "", at: datetime | None = None) -> Report:
        """Note that a person has told the reporter; how they could be reached is forgotten."""
        now = at or _now()
        if self._report(id).state != "fixed":
            raise InvalidRecord("report", f"it is {self._report(id).state}, not fixed", "There is nothing to tell yet")
        told = self._change(id, lambda old: replace(old, told_at=old.told_at or now, told_how=old.told_how or "person"))
        self._noted("told reporter", id, by, now)
        return told

    def tell_reporters(self, *, at: datetime | None = None) -> list[dict[str, Any]]:
        """Tell `[reports] webhook`, where there is one, of each report that is fixed; return whom it leaves to be told.

        With a webhook, those it has taken are told. Each of the others is as in `reporters_to_tell`, with `problem`
        where the webhook refused: the next call tries again.
        """
        now, url = at or _now(), self.config.reports.webhook
        left = []
        for entry in self.reporters_to_tell(at=now):
            try:
                if url:
                    self._post_fixed(url, entry["report"], now)
                    continue
                left.append(entry)
            except StoreUnavailable as problem:
                left.append({**entry, "problem": str(problem)})
        return left

    def _post_fixed(self, url: str, report: Report, at: datetime) -> None:
        from flywheel.diagnose.notice import post_fixed

        post_fixed(url, self.name, report)
        self._change(report.id, lambda old: replace(old, told_at=old.told_at or at, told_how=old.told_how or "webhook"))

    def report_figures(self, *, at: datetime | None = None) -> dict[str, Any]:
        """How much is reported by week, and how long until a report is acknowledged and fixed, with intervals."""
        from flywheel.diagnose.reports import report_figures

        now = at or _now()
        return report_figures(self.reports(at=now), now)

    def _bring_up(self, at: datetime) -> None:
        """Bring every open report to the state in which the spins since have put it."""
        from flywheel.diagnose.reports import brought_up, of_mode

        state = self._store.state
        waiting = [report for report in state.reports() if report.state != "closed"]
        if not waiting:
            return
        for place, report in enumerate(waiting):
            if report.interaction_id is not None and report.joined_at is None:  # killed between the two
                waiting[place] = self._joined(report, at)
        modes = {mode.id: mode for mode in state.modes()}
        assigned, last = self._assigned(waiting)
        late = [r for r in waiting if r.interaction_id and r.mode is None and r.interaction_id not in assigned]
        late = [r for r in late if r.searched < last]
        if late and modes:
            keys = [key for mode in modes.values() for key in mode.exemplars]
            seen = self._store.log.interactions([*keys, *(str(r.interaction_id) for r in late)])
            for report in late:
                found = of_mode(seen.get(str(report.interaction_id)), modes.values(), seen)
                if found is not None:
                    assigned[str(report.interaction_id)] = (found, at)
        released = {release.version: release.at for release in state.releases()}
        for report in waiting:
            change: Callable[[Report], Report] = lambda old: replace(  # noqa: E731
                brought_up(old, assigned=assigned, modes=modes, released=released, at=at),
                searched=max(old.searched, last if old.interaction_id else 0),
            )
            if change(report) != report:
                state.change_report(report.id, change)

    def _assigned(self, reports: list[Report]) -> tuple[dict[str, tuple[str, datetime]], int]:
        """Into which mode the newest spin has put the interactions of these reports, and which spin was the last."""
        wanted = {r.interaction_id: r.searched for r in reports if r.interaction_id and r.mode is None}
        spins = self._store.state.spins()
        found: dict[str, tuple[str, datetime]] = {}
        last = 0
        for spin in spins:
            if wanted and spin.number > min(wanted.values()):
                doc = self._store.state.step(spin.number, "diagnose")
                if doc is None:
                    break
                put = doc.get("assignments", {})
                found |= {str(key): (put[key], spin.started_at or _now()) for key in wanted if key in put}
            last = spin.number
        return found, last

    def _report(self, id: str) -> Report:
        found = self._store.state.report(id)
        if found is None:
            raise NotFound(f"there is no report {id!r}. `flywheel report --list` lists them")
        return found

    def _change(self, id: str, change: Callable[[Report], Report]) -> Report:
        changed = self._store.state.change_report(id, change)
        if changed is None:
            raise NotFound(f"there is no report {id!r}. `flywheel report --list` lists them")
        return changed

    def _noted(self, action: str, id: str, by: str, at: datetime) -> None:
        """The trail holds a digest of the report's id: the trail stays when the report is erased."""
        self._trail.record(action, f"report {_digest(id)[:12]}", by=by or "operator", at=at)


def _check(what: str, expected: str | None, contact: str | None) -> None:
    if not isinstance(what, str) or not what.strip():
        raise InvalidRecord("what", "it says nothing", "Say what happened, in a sentence")
    given = (("what", what, _LONGEST), ("expected", expected, _LONGEST), ("contact", contact, _CONTACT))
    for name, text, most in given:
        if text is not None and len(text) > most:
            raise InvalidRecord(name, f"it has {len(text):,} characters; {most:,} are the most", "Say it shorter")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)
