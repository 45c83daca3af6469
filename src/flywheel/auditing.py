"""The baseline audit of a log that is not in any flywheel yet.

It stands beside `wheel` and not in it, so that `flywheel audit` begins at once and in little memory: nothing of the
store, the engine or the learners is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flywheel import plugins
from flywheel.errors import InvalidConfig

if TYPE_CHECKING:
    from flywheel.govern.baseline import Audit
    from flywheel.ports import Progress, Source

__all__ = ["audit"]

_EVERY = 1000


def audit(
    location: str | Path,
    *,
    source: str | None = None,
    mapping: Mapping[str, str] | None = None,
    expect: Mapping[str, Sequence[str]] | None = None,
    sample: int | None = None,
    html: str | Path | None = None,
    redactor: str = "patterns",
    examples: bool = True,
    progress: Progress | None = None,
    now: datetime | None = None,
    seed: int = 0,
) -> Audit:
    """Look at an existing log before anything is built on it: a file, or whatever a source plugin reads.

    The answer says which fields are there and how complete they are, how fresh, how much feedback there is, which
    personal data, which slices are missing, how failures are handled today, and what to fix first; `html` writes it
    as a page as well. Nothing is stored. One pass, memory bounded whatever the log's size.

    `mapping` (field → column) and `source` are those of `import_`; what is not given is guessed. `expect` names slices
    that should be there: `{"device": ["ios", "android"]}`. With `sample`, values are looked at in so many interactions
    drawn at random, and the shares carry intervals. `examples=False` leaves out the redacted examples of values.

    >>> import tempfile
    >>> log = Path(tempfile.mkdtemp()) / "log.jsonl"
    >>> _ = log.write_text('{"input": "where is my card", "output": "card_arrival", "at": "2026-01-31T12:00:00Z"}')
    >>> found = audit(log)
    >>> found.interactions, found.findings[0].title
    (1, 'Nothing ever comes back about an answer')
    """
    from flywheel.capture.reading import reading_of
    from flywheel.capture.sources import source_for
    from flywheel.govern.baseline import report, survey
    from flywheel.page import place_for, save

    if sample is not None and sample < 1:
        raise InvalidConfig(f"sample is {sample}; pass the number of interactions to look at, 1 or more")
    place = str(location)
    name = source or source_for(place)
    reader: Source = plugins.create("sources", name)
    plan = reading_of(reader, place, mapping)
    page = None if html is None else place_for(html)
    found = survey(
        _watched(reader, reader.read(plan.location, plan.mapping), progress),
        plugins.create("redactors", redactor),
        location=place,
        source=name,
        mapping=plan.mapping,
        given=[*([] if source is None else ["--source", source]), *_options(mapping)],
        expected=expect,
        sample=sample,
        examples=examples,
        now=now,
        seed=seed,
    )
    if plan.mapping is None:
        found = replace(found, mapping=plan.shown)
    if page is not None:
        save(page, report(found))
    return found


def _options(mapping: Mapping[str, str] | None) -> Iterator[str]:
    for field, column in (mapping or {}).items():
        yield from ("--map", f"{field}={column}")


def _watched(source: Source, drafts: Iterator[Any], progress: Callable[[str, float], None] | None) -> Iterator[Any]:
    for number, draft in enumerate(drafts, start=1):
        yield draft
        if progress and number % _EVERY == 0:
            progress(f"{number:,} records", float(getattr(source, "done", 0.0)))
