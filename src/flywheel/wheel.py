"""What `flywheel.open` returns: a method per verb, each a line or two into the loop or a room."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from flywheel import config as settings
from flywheel import loop, plugins
from flywheel.errors import InvalidConfig, NotFound
from flywheel.handing import Handing
from flywheel.keeping import Keeping
from flywheel.loop.approving import receipt_again
from flywheel.loop.decide import close_modes
from flywheel.loop.learn import withdraw_labels
from flywheel.loop.turning import telling
from flywheel.mending import Mending
from flywheel.records import (
    Failure,
    Interaction,
    Interval,
    Mode,
    Prediction,
    Release,
    ReviewItem,
    Spin,
    to_dict,
)
from flywheel.reviewing import Reviewing
from flywheel.showing import Showing
from flywheel.tracing import Tracing

if TYPE_CHECKING:
    import pyarrow as pa

    from flywheel.capture import Imported
    from flywheel.curate import LabelsRead
    from flywheel.ports import Labeler, Progress

__all__ = ["Flywheel", "open"]


def open(folder: str | Path, task: str | None = None, **sections: dict[str, Any]) -> Flywheel:
    """Open the flywheel in `folder`, creating it on first use.

    `task` is `classification`, `regression`, `ranking`, `generation` or a task plugin; it is written to the folder's
    `flywheel.toml` the first time and must agree with it later. Other settings go in as a dict per section, over the
    file: `flywheel.open("bot", gate={"margin": 0.01})`.

    >>> import tempfile, flywheel
    >>> with flywheel.open(tempfile.mkdtemp(), task="classification") as fw:
    ...     i = fw.log(input="where is my card", output="card_arrival", confidence=0.42)
    ...     fw.status()["interactions"]
    1
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    before = settings.load(path, **sections)
    if not (path / "flywheel.toml").exists():
        settings.write(
            path, {"product": {"name": before.product.name or path.resolve().name, "task": task or before.product.task}}
        )
    config = settings.load(path, **sections)
    if task is not None and task != config.product.task:
        raise InvalidConfig(
            f"{path / 'flywheel.toml'} says task = {config.product.task!r}, and open() was given {task!r}. "
            "Leave the argument out, or use another folder: labels of one task mean nothing to another"
        )
    return Flywheel(path, config)


class Flywheel(Keeping, Mending, Showing, Reviewing, Tracing, Handing):
    """One product's flywheel: its log, tables and state, and every verb on them.

    Safe to use from several threads, and from several processes on one folder. Close it, or use it as a context
    manager, when done. Every call that writes takes `at`, a UTC datetime, for backfills and simulations.
    """

    def __enter__(self) -> Flywheel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Flywheel({str(self.folder)!r}, task={self.config.product.task!r})"

    def close(self) -> None:
        """Let go of the database; what was logged is already on disk."""
        self._store.close()

    # --- facts in ---

    def log(self, **fields: Any) -> str:
        """Log one interaction and return its id; when it returns, the record is on stable storage.

        Fields: `input` (any JSON, required), `output`, `scores`, `confidence` (0 to 1), `latency_ms`, `error`, `model`,
        `user`, `session`, `context` (flat), `propensity`, `consent`, `at`, `sent_at`, `id`; others are kept as `extra`.
        Raises `InvalidRecord` naming the field and the fix; then nothing was stored.
        """
        return self._recorder.log(**fields)

    def log_many(self, records: Iterable[Mapping[str, Any]] | pa.Table, progress: Progress | None = None) -> list[str]:
        """Log many interactions: dicts with the fields of `log`, or an Arrow table with those columns."""
        return self._recorder.log_many(records, progress)

    def feedback(self, interaction_id: str, **fields: Any) -> list[str]:
        """Say something about an interaction: `rating=`, `label=`, `comment=`, `outcome={name: value}`, `report=`.

        Several in one call are several facts. `source` (user, reviewer, judge, system), `by`, `at`, `id` are optional.
        """
        return self._recorder.feedback(interaction_id, **fields)

    def feedback_many(self, records: Iterable[Mapping[str, Any]] | pa.Table) -> list[str]:
        """Much feedback: dicts with `interaction_id` and the fields of `feedback`, or an Arrow table."""
        return self._recorder.feedback_many(records)

    def watch(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap any callable so that each call is logged: input, output, latency, exception. Also a decorator."""
        return self._recorder.watch(function)

    def seed(
        self,
        inputs: Sequence[Any],
        labels: Sequence[Any],
        *,
        contexts: Sequence[Mapping[str, Any]] | None = None,
        at: datetime | None = None,
        by: str = "seed",
    ) -> int:
        """Give the labelled examples a team starts with; the first spin trains on them. Returns how many were new.

        Giving the same pair twice adds nothing.
        """
        from flywheel.curate import assign_groups
        from flywheel.prove.tasks import Regression

        fresh = loop.seed_examples(inputs, labels, contexts, at or _now(), by)
        with self._store.lock("spin", wait=60):
            known = self._store.state.examples()
            have = {example.id for example in known}
            fresh = list({example.id: example for example in fresh if example.id not in have}.values())
            self._store.state.add_examples(assign_groups(fresh, known, self.config.curate))
            if self.config.product.task == "regression" and not self.config.product.tolerance:
                labels = [example.label for example in (*known, *fresh)]
                self._store.state.set("tolerance", Regression.for_labels(labels).tolerance)
                self.__dict__.pop("task", None)
        return len(fresh)

    def import_(
        self,
        location: str | Path,
        *,
        source: str | None = None,
        mapping: dict[str, str] | None = None,
        timezone: str | None = None,
        since: datetime | Literal["last"] | None = None,
        resume: bool = True,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Imported:
        """Bring in an existing log; doing it twice stores nothing twice.

        `location` is a file, a folder or what a source reads (`mlflow:…`, `elasticsearch:…`, `table:…`). The source is
        chosen by what is there, unless it is named; `mapping` says which column holds a field, where they are not
        known, and the source's settings. `timezone` is what times without a zone are in.

        An import that was killed goes on where it was, unless `resume` is false. Records from before `since` are left
        out; `since="last"` reads on behind the end of the last import. With `dry_run` nothing is stored, and the
        mapping and a sample are returned.
        """
        from flywheel import capture
        from flywheel.capture.sources import Choice, choose

        chosen = choose(str(location)) if source is None else Choice(source, "it was named")
        reader = plugins.create("sources", chosen.source)
        done = capture.import_records(
            self._recorder,
            reader,
            str(location),
            mapping,
            progress,
            timezone=timezone,
            since=since,
            state=self._store.state,
            resume=resume,
            dry_run=dry_run,
        )
        form = getattr(reader, "format", "")  # what a source of lines found them to be
        return replace(done, source=chosen.source, why=f"{chosen.why}; its form: {form}" if form else chosen.why)

    # --- the loop ---

    def spin(
        self,
        budget: int = 100,
        *,
        at: datetime | None = None,
        seed: int = 0,
        labeler: Labeler | Callable[[ReviewItem], Any] | None = None,
        progress: Progress | None = None,
        on_step: Callable[[str, str], None] | None = None,
    ) -> Spin:
        """Turn the loop once: returns when the spin is `done`, or `waiting` for labels; call again to go on.

        `budget` is the number of labels it may ask for. `labeler` answers them at once: a Labeler, or a function from a
        review item to its label (None leaves it for people). A spin that was killed resumes where it was. Raises
        `StoreBusy` when another process is spinning this folder.
        """
        if budget < 0:
            raise InvalidConfig(f"budget is {budget}; a number of labels cannot be negative")
        now = at or _now()
        labelers: list[Labeler] = [plugins.create("labelers", "truth", feedback_of=self._store.log.feedback_of)]
        if labeler is not None:
            ready = labeler if hasattr(labeler, "label") else plugins.create("labelers", "function", function=labeler)
            labelers.append(ready)  # type: ignore[arg-type]
        with self._store.lock("spin"), telling(self._store, on_step) as listen:
            spins = self.spins()
            if not spins or spins[-1].state == "done":  # never under the hands of a spin that has begun
                self._retention.apply(now)
            shop = self._workshop(labelers, progress, listen)
            turned = loop.turn(shop, loop.begin(shop, budget=budget, at=now, seed=seed), now)
        if turned.state == "done" and self.reports():
            self.tell_reporters(at=now)  # what was fixed; whom no webhook reaches waits in `reporters_to_tell`
        return turned

    def uplift(self, since: str | None = None) -> Interval:
        """What the champion gets right beyond version `since` (default: the first release), as a share of interactions.

        Both answer the same labelled interactions of the last three spins, each weighted by how likely it was to be
        asked for, and neither is judged by an example it was trained on: a paired comparison, not a before and after.
        """
        return loop.uplift_since(self._workshop([], None), since)

    def spins(self) -> list[Spin]:
        """Every spin, oldest first."""
        return self._store.state.spins()

    # --- labels ---

    def review_queue(self, limit: int | None = None) -> list[ReviewItem]:
        """What waits for a label, in the order it was asked for: `.id .input .output .suggestions .why`."""
        return self._queue.waiting(limit)  # type: ignore[no-any-return]

    def label(self, item_id: str, label: Any, *, by: str = "", at: datetime | None = None) -> ReviewItem:
        """Answer one item of the review queue; answering again corrects the answer until the spin has gone on."""
        return loop.record_label(self._store, self._item(item_id), label, by, at or _now())

    def skip(self, item_id: str, *, by: str = "", at: datetime | None = None) -> ReviewItem:
        """Leave an item unanswered for good: nobody can tell what is right. A label that it had is taken back."""
        now, item = at or _now(), self._item(item_id)
        withdraw_labels(self._store, item, by or "somebody", now)
        return self._queue.skip(item_id, by, now)  # type: ignore[no-any-return]

    def _item(self, item_id: str) -> ReviewItem:
        item = self._store.state.item(item_id)
        if item is None:
            raise NotFound(f"no review item {item_id!r}. The ids are those of fw.review_queue()")
        return item

    def export_queue(self, path: str | Path, format: str = "jsonl") -> int:
        """Write the waiting items for labelling elsewhere: `jsonl`, `csv` or `label-studio`. Returns how many."""
        self._note_export(path, "queue")
        return self._queue.export(Path(path), format)  # type: ignore[no-any-return]

    def import_labels(
        self, path: str | Path, format: str | None = None, *, by: str = "", at: datetime | None = None
    ) -> LabelsRead:
        """Read labels back from such a file; lines that cannot be used are reported by number, the rest is kept."""
        by_suffix = {".csv": "csv", ".json": "label-studio"}
        chosen = format or by_suffix.get(Path(path).suffix.lower(), "jsonl")
        read = self._queue.import_(Path(path), chosen, by=by, at=at or _now())
        loop.log_labels(self._store, self._store.state.items(status="labelled"))
        return read  # type: ignore[no-any-return]

    # --- the product's side ---

    def predict(
        self,
        inputs: Sequence[Any],
        *,
        users: Sequence[str | None] | None = None,
        contexts: Sequence[Mapping[str, Any]] | None = None,
        at: datetime | Sequence[datetime] | None = None,
        log: bool = True,
        ids: Sequence[str] | None = None,
    ) -> list[Prediction]:
        """Ask the champion. Each answer is logged unless `log=False`; a promotion is picked up at the next call.

        `users`, `contexts`, `ids` (your own request ids, new ones by default) and a list in `at` go by input.
        """
        return self._predictor.predict(inputs, users, contexts, at, log, ids)  # type: ignore[no-any-return]

    def adopt(self, model: Any, *, at: datetime | None = None) -> Release:
        """Make the model you already run the champion: a fitted scikit-learn estimator or pipeline.

        What it predicts is what candidates have to beat from now on.
        """
        from flywheel.train import save_adopted

        with self._store.lock("spin", wait=60):
            version = f"adopted-{len(self._releases.history()) + 1}"
            folder = self.folder / "models" / version
            folder.mkdir(parents=True, exist_ok=True)
            save_adopted(model, folder)
            return self._releases.adopt(str(folder.relative_to(self.folder)), version, at or _now())  # type: ignore[no-any-return]

    # --- what is known ---

    def interactions(self, *, after: int = 0, limit: int = 100, **filters: Any) -> tuple[list[Interaction], int | None]:
        """A page of interactions in the order they were logged, and where the next page begins (None: the end).

        Filters: `model`, `user` (pseudonym), `session`, `error` (true, false), `since`, `until`, `below_confidence`,
        and context as `**{"context.device": "ios"}`.
        """
        from flywheel.store.pages import interactions_page

        store = self._store
        return interactions_page(store.log, store.tables, after=after, limit=limit, filters=filters)

    def failures(self, limit: int = 50, mode: str | None = None) -> list[Failure]:
        """The likeliest failures of the last spin's window, with evidence; those of one mode with `mode`."""
        return loop.recent_failures(self._workshop([], None), limit=limit, mode=mode)

    def modes(self, state: str | None = None) -> list[Mode]:
        """Failure modes, the riskiest that occur first; `state` is `open`, `in work`, `fixed` or `reopened`."""
        found = [mode for mode in self._store.state.modes() if state is None or mode.state == state]
        return sorted(
            found,
            key=lambda mode: (mode.state == "fixed", not mode.count, -(mode.risk.number if mode.risk else 0), mode.id),
        )

    def status(self) -> dict[str, Any]:
        """Everything at a glance: what fails, what waits, what the last spins brought. Plain JSON values."""
        state, counts = self._store.state, self._store.log.counts()
        champion, spins = self._releases.champion(), self.spins()
        receipts = [spin.receipt for spin in spins if spin.receipt]
        problems = [check["line"] for check in self.doctor() if not check["ok"]]
        return {
            "name": self.name,
            "task": self.config.product.task,
            "folder": str(self.folder),
            "interactions": counts.get("interactions", 0),
            "feedback": counts.get("feedback", 0),
            "counts": counts,
            "examples": len(state.examples()),
            "champion": to_dict(champion) if champion else None,
            "waiting": len(state.items(status="waiting")),
            "modes": to_dict(self.modes()),
            "spins": to_dict(spins),
            "turning": to_dict(self.turning()),
            "receipt": receipts[-1].line if receipts else None,
            "metrics": self._days(30),
            "problems": problems,
            "standing": to_dict(self._standing(problems)),
        }

    def books(self) -> dict[str, int]:
        """What arrived and what became of it: `received` = `stored` + `duplicates` + `rejected` + `dead_lettered`.

        Other counters stand beside them: `client_dropped` (told by recorders), `no_consent` (part of the rejected) …
        """
        return self._store.log.books()

    def lineage(self, id: str) -> dict[str, Any]:
        """From an interaction to the datasets and releases it entered; of a dataset, or a version, where it came from.

        `id` is an interaction's id, a dataset's hash (or six signs of its beginning), or a version.
        """
        from flywheel.curate import made_from, used_in
        from flywheel.curate.lineage import trained_from

        matches = [known.hash for known in self.datasets() if len(id) >= 6 and known.hash.startswith(id)]
        if len(matches) == 1:
            return made_from(self._store.state, matches[0])
        if self._store.log.interactions([id]):
            return used_in(self._store.state, id)
        found = trained_from(self._store.state, id)
        if found is None:
            raise NotFound(f"{id!r} is no interaction of the log and no version, and no one dataset begins with it")
        return found

    # --- releases ---

    def releases(self) -> list[Release]:
        """Every release, oldest first."""
        return self._releases.history()  # type: ignore[no-any-return]

    def promote(self, *, by: str = "", at: datetime | None = None) -> Release:
        """Make the waiting challenger the champion; its spin's receipt then says what that changed."""
        challenger = self._releases.challenger()
        known = self._store.state.candidate(challenger.version) if challenger else None
        if known is None:
            raise NotFound(
                "no challenger waits. A spin leaves one when `[release] automatic = false` and the gate promotes it"
            )
        now = at or _now()
        with self._store.lock("spin", wait=60):
            release = self._releases.promote(known[0], now)
            self._trail.record("promote", release.version, by=by or "operator", at=now)
            spin = self._store.state.spin(known[0].spin)
            close_modes(self._store.state, spin.verdict if spin else None, release.version)
            receipt_again(self._workshop([], None), known[0].spin, release.version, now)
        return release  # type: ignore[no-any-return]

    def rollback(self, *, by: str = "", at: datetime | None = None) -> Release:
        """Bring back the champion before this one, now."""
        now = at or _now()
        release = self._releases.rollback(now, by or "operator")
        self._trail.record("rollback", release.version, by=by or "operator", at=now)
        return release  # type: ignore[no-any-return]

    # --- housekeeping ---

    def export(self, what: str, location: str | Path, format: str | None = None) -> int:
        """Write interactions, feedback, failures, modes, queue, dead-letters or dataset:<hash> to a file."""
        from flywheel.capture import sink_for

        sink = plugins.create("sinks", format or sink_for(str(location)))
        self._note_export(location, what)
        return sink.write(self._rows(what), str(location))  # type: ignore[no-any-return]

    def _note_export(self, location: str | Path, what: str) -> None:
        """Remember where copies of the data are, before they are: an erasure goes there too."""
        path, root, state = str(location), self.folder.resolve(), self._store.state
        if "://" not in path:
            place = Path(location).resolve()
            path = str(place.relative_to(root) if place.is_relative_to(root) else place)  # the folder may be moved
        with self._store.lock("exports", wait=60):
            known = [entry for entry in state.get("exports") or [] if entry["path"] != path]
            state.set("exports", [*known, {"path": path, "what": what, "at": _now().isoformat()}])

    def _rows(self, what: str) -> Iterator[dict[str, Any]]:
        simple: dict[str, Callable[[], Iterable[Any]]] = {
            "failures": lambda: self.failures(limit=10_000),
            "modes": self.modes,
            "queue": self.review_queue,
            "dead-letters": lambda: self.dead_letters(limit=1_000_000),
        }
        if what in ("interactions", "feedback"):
            return self._facts("interaction" if what == "interactions" else "feedback")
        if what.startswith("dataset:"):
            return (to_dict(example) for example in self.dataset(what.partition(":")[2]).examples)
        if what in simple:
            return (to_dict(record) for record in simple[what]())
        raise NotFound(
            f"{what!r} cannot be exported. There are: interactions, feedback, {', '.join(simple)}, dataset:<hash>"
        )

    def _facts(self, kind: str) -> Iterator[dict[str, Any]]:
        """The facts as they were logged, so that what is exported can be imported again."""
        after = 0
        while rows := self._store.log.read(after):
            yield from (json.loads(row.body) for row in rows if row.kind == kind)
            after = rows[-1].seq

    def rebuild(self, progress: Progress | None = None) -> int:
        """Make the tables anew from the log; returns the number of rows."""
        return self._store.tables.rebuild(self._store.log, progress)

    def doctor(self) -> list[dict[str, Any]]:
        """Check that the parts agree: `name`, `ok` and a line that says what to do, for each."""
        return loop.examine(self._store, self._releases, self._trail, self.folder)


def _now() -> datetime:
    return datetime.now(UTC)
