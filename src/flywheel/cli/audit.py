"""`flywheel audit`: what a log you already have can be used for, on one page, before anything is built on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flywheel.cli.door import Door, Json, answering, pairs
from flywheel.cli.text import bar, number, short, spark
from flywheel.errors import InvalidRecord

if TYPE_CHECKING:
    from flywheel.govern.baseline import Audit, Finding
    from flywheel.govern.baseline.result import FieldFound

__all__ = ["audit"]

_COLOURS = {3: "red", 2: "yellow", 1: "dim"}
_FIX, _FIELDS = 5, 14


def audit(
    location: Annotated[str, typer.Argument(help="A file, or what the source reads.", metavar="SOURCE")],
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="Which column holds a field; may be given several times."),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Kind of source, when its name does not say.")] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Look at the values of N interactions drawn at random.")
    ] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE,VALUE", help="Slices that should be there; may be given several times."),
    ] = None,
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Write the report with charts as well.")] = None,
    redactor: Annotated[str, typer.Option(help="What searches for personal data.")] = "patterns",
    examples: Annotated[bool, typer.Option(help="Show redacted examples of values.")] = True,
    as_json: Json = False,
) -> None:
    """See what an existing log can be used for.

    Which fields are there, how complete, how fresh, how much feedback, which personal data, which slices are missing,
    how failures are handled today, and what to fix first. Needs no flywheel and stores nothing.

    \b
    Examples:
      flywheel audit logs.jsonl
      flywheel audit logs.csv --map input=question --html audit.html
      flywheel audit logs.parquet --expect device=ios,android,web --sample 50000
    """
    with answering(as_json) as door:
        from flywheel.auditing import audit as look

        columns = {field: str(column) for field, column in pairs(mapping, "map").items()} or None
        with door.screen.progress("reading") as listen:
            found = look(
                location,
                source=source,
                mapping=columns,
                expect=_expected(expect),
                sample=sample,
                html=html,
                redactor=redactor,
                examples=examples,
                progress=listen,
            )
        if not door.json(found):
            _show(door, found)
            if html:
                door.screen.line()
                door.screen.line(f"The report with charts: {html}", "green")
        raise typer.Exit(int(not found.interactions))


def _expected(given: list[str] | None) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for pair in given or ():
        name, sign, values = pair.partition("=")
        if not sign or not name or not values:
            raise InvalidRecord(
                "expect", f"{pair!r} is not of the form name=value,value", "For example device=ios,android"
            )
        wanted.setdefault(name, []).extend(value.strip() for value in values.split(",") if value.strip())
    return wanted


def _show(door: Door, found: Audit) -> None:
    _head(door, found)
    if found.interactions:
        _ready(door, found)
    _fix(door, found)
    if not found.interactions:
        return
    _fields(door, found)
    door.screen.heading("What it holds")
    door.screen.table(["", "~"], [[(name, "dim"), text] for name, text in _facts(found)])


def _head(door: Door, found: Audit) -> None:
    door.screen.line()
    door.screen.parts(("Baseline audit  ", "bold"), (found.location, "cyan"), (f"  {found.source}", "dim"))
    times = found.times
    since = f"   {times.first:%Y-%m-%d} to {times.last:%Y-%m-%d}" if times.first and times.last else "   no times"
    door.screen.parts(
        (number(found.interactions), "bold"),
        (" interactions   ", "dim"),
        (number(sum(found.feedback_found.kinds.values())), "bold"),
        (" feedback   ", "dim"),
        *(((number(found.unreadable), "bold red"), (" unreadable   ", "dim")) if found.unreadable else ()),
        (spark([float(count) for _, count in times.days][-30:]), "blue"),
        (since, "dim"),
    )
    if found.sampled:
        door.screen.line(
            f"values looked at in {found.profiled:,} of them, drawn at random; 95 % intervals in brackets", "dim"
        )


def _ready(door: Door, found: Audit) -> None:
    door.screen.heading(f"Ready for: {found.met} of {found.required} requirements met")
    door.screen.table(
        ["", "", "~"],
        [
            [
                stage.name,
                ("●" * stage.met + "○" * (len(stage.requirements) - stage.met), "green" if _all(stage) else "yellow"),
                ("everything it needs", "dim")
                if _all(stage)
                else ("missing: " + ", ".join(one.name for one in stage.requirements if not one.met), ""),
            ]
            for stage in found.stages
        ],
    )


def _all(stage: Any) -> bool:
    return bool(stage.met == len(stage.requirements))


def _fix(door: Door, found: Audit) -> None:
    door.screen.heading("What to fix first")
    if not found.findings:
        door.screen.line("  nothing stands out", "dim")
    for place, finding in enumerate(found.findings[:_FIX], 1):
        _finding(door, place, finding)
    rest = found.findings[_FIX:]
    if rest:
        titles = "; ".join(short(finding.title[:1].lower() + finding.title[1:], 60) for finding in rest)
        door.screen.line(f"  then: {titles}", "dim")


def _finding(door: Door, place: int, finding: Finding) -> None:
    door.screen.parts((f"  {place}  ", "dim"), (finding.title, _COLOURS[finding.severity]))
    door.screen.line(f"     {finding.evidence}", "dim")
    door.screen.line(f"     {finding.do[0]}", "cyan")


def _fields(door: Door, found: Audit) -> None:
    door.screen.heading("Fields")
    room = max(12, door.screen.out.width - 68)
    door.screen.table(
        ["field", "complete", "type", ">different", "for example"],
        [
            [
                _named(field, min(28, door.screen.out.width // 4)),
                _complete(field),
                next(iter(field.types), "") + ("…" if len(field.types) > 1 else ""),
                f"{'' if field.distinct_exact else '~'}{field.distinct:,}",
                (short(", ".join((*(note.upper() for note in field.notes), *field.examples[:1])), room), "dim"),
            ]
            for field in found.fields[:_FIELDS]
        ],
    )
    left = len(found.fields) - _FIELDS + found.more_fields
    if left > 0:
        door.screen.line(f"  and {left:,} more: --html or --json", "dim")


def _named(field: FieldFound, width: int) -> str:
    """A field, with its column where that is called otherwise."""
    same = field.column is None or field.column in (field.path, field.path.partition(".")[2])
    return short(field.path if same else f"{field.path} = {field.column}", width)


def _complete(field: FieldFound) -> tuple[str, str]:
    share = field.complete.share or 0.0
    return f"{bar(share, 6)} {share * 100:3.0f} %", "" if share >= 0.95 else "yellow"


def _facts(found: Audit) -> Iterator[tuple[str, str]]:
    from flywheel.govern.baseline.words import lasting, milliseconds, percent, said

    times, told, how, who, slices = found.times, found.feedback_found, found.handling, found.personal, found.slices
    ids = found.ids
    yield (
        "ids",
        f"{percent(ids.with_id)} have one; {percent(ids.repeated)} exact repeats"
        + (f"; {said(ids.conflicts)} ids conflict" if ids.conflicts.n else ""),
    )
    if times.last is not None and times.newest_days is not None:
        gaps = f"{len(times.gaps)} gap{'s' if len(times.gaps) != 1 else ''}" if times.gaps else "no gap stands out"
        late = f"; received {lasting(times.delay.p50)} later (median)" if times.delay else ""
        yield "times", f"newest {lasting(times.newest_days * 86_400)} old; {times.order}; {gaps}{late}"
    kinds = ", ".join(f"{count:,} {kind}s" for kind, count in told.kinds.items())
    weekly = f"; {number(told.labels_a_week)} labels a week" if told.labels_a_week and told.kinds.get("label") else ""
    yield "feedback", f"{kinds}; about {percent(told.told)} of the interactions{weekly}" if kinds else "none"
    if told.negative.n:
        yield "", f"{said(told.negative)} rated are negative; {percent(told.followed_up)} of those got a label"
    finds = ", ".join(f"{count:,} {kind}" for kind, count in who.finds.items()) or "none found"
    where = f" in {', '.join(one['path'] for one in who.by_field[:4])}" if who.by_field else ""
    yield "personal data", f"{finds}{where}{', in the sample' if found.sampled and who.finds else ''}"
    consent = percent(who.consent) if who.consent.count else "not recorded"
    named = f", {percent(who.identifiable)} of them by name or address" if who.users.count else ""
    yield "", f"users {percent(who.users)}{named}; consent {consent}"
    fields = ", ".join(
        f"{field.path.removeprefix('context.')} ({len(field.values) + field.more})" for field in slices.fields[:6]
    )
    yield "slices", f"{fields or 'nothing to slice by'}"
    if slices.fields:
        yield (
            "",
            (
                f"{len(slices.small):,} with fewer than {slices.needed} interactions; "
                f"{len(slices.missing)} combinations missing; "
                f"{len(slices.vanished)} vanished"
            ),
        )
    yield (
        "failures",
        (
            f"errors {percent(how.errors)}; neither answer nor error {percent(how.unanswered)}; "
            f"timeouts {percent(how.timeouts)}" + (f"; asked again {percent(how.retries)}" if how.retries.n else "")
        ),
    )
    if how.status_field:
        yield (
            "",
            f"{how.status_field} of 400 or more: {said(how.status_failures)}, "
            f"{percent(how.silent)} of them without an error",
        )
    if how.latency:
        yield (
            "latency",
            (
                f"median {milliseconds(how.latency.p50)}, 95 % {milliseconds(how.latency.p95)}, "
                f"99 % {milliseconds(how.latency.p99)}"
            ),
        )
    if how.confidence:
        yield "confidence", f"median {how.confidence.p50:.2f}; below one half {percent(how.unsure)}"
