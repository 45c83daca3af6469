"""Commands that bring facts in and out: seed, log, feedback, import, export."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from flywheel.cli.door import At, By, Folder, Json, moment, opened, pairs, value_of
from flywheel.errors import InvalidRecord

__all__ = ["export", "feedback", "import_", "log", "seed"]

Map = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="FIELD=COLUMN", help="Which column holds a field; may be given several times."),
]
Context = Annotated[
    list[str] | None, typer.Option("--context", "-c", metavar="NAME=VALUE", help="Context; may be given several times.")
]
Parse = Annotated[bool, typer.Option("--parse", help="Read INPUT, OUTPUT and labels as JSON instead of as plain text.")]


def seed(
    file: Annotated[str, typer.Argument(help="A JSONL, CSV or Parquet file with inputs and labels.", metavar="FILE")],
    mapping: Map = None,
    source: Annotated[str, typer.Option(help="Kind of file, when its name does not say.")] = "",
    at: At = None,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Give the labelled examples you start with.

    The first spin trains on them. Giving the same pair twice adds nothing.

    \b
    Examples:
      flywheel seed labelled.csv
      flywheel seed labelled.csv --map input=text --map label=intent
    """
    with opened(folder, as_json) as door:
        from flywheel import plugins

        chosen = plugins.create("sources", source or Path(file).suffix.lstrip(".") or "jsonl")
        columns = {field: str(column) for field, column in pairs(mapping, "map").items()} or None
        inputs, labels, contexts = [], [], []
        for number, record in enumerate(chosen.read(file, columns), 1):
            if record.get("input") is None or record.get("label") is None:
                raise InvalidRecord(
                    "label" if "input" in record else "input",
                    record.get("problem") or f"record {number} of {file} has none",
                    "Say which columns hold them with --map input=… --map label=…",
                )
            inputs.append(record["input"])
            labels.append(record["label"])
            contexts.append(record.get("context") or {})
        new = door.wheel.seed(inputs, labels, contexts=contexts, at=moment(at))
        if not door.json({"read": len(inputs), "new": new}):
            door.screen.line(f"{new:,} new labelled examples of {len(inputs):,} read", "green")
            door.screen.line("Next: flywheel spin --budget 0 trains the first model on them.")


def log(
    input: Annotated[str, typer.Argument(help="What the model was asked; - reads records as JSON lines.")],
    output: Annotated[str | None, typer.Option("--output", "-o", help="What it answered.")] = None,
    confidence: Annotated[float | None, typer.Option(help="How sure it was, 0 to 1.")] = None,
    latency_ms: Annotated[float | None, typer.Option(help="How long it took.")] = None,
    error: Annotated[str | None, typer.Option(help="How it failed, if it did.")] = None,
    model: Annotated[str | None, typer.Option(help="Which version answered.")] = None,
    user: Annotated[str | None, typer.Option(help="Who asked; stored as a pseudonym.")] = None,
    session: Annotated[str | None, typer.Option(help="The conversation or visit.")] = None,
    context: Context = None,
    id: Annotated[str | None, typer.Option(help="Your own id for it; logging it again stores nothing twice.")] = None,
    parse: Parse = False,
    at: At = None,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Log one interaction, or many from standard input.

    Prints the ids. When it returns, the records are on stable storage.

    \b
    Examples:
      flywheel log "where is my card" --output card_arrival --confidence 0.42 -c device=ios
      flywheel log '{"amount": 12.5, "country": "AT"}' --output true --parse
      flywheel log - < interactions.jsonl
    """
    with opened(folder, as_json) as door:
        if input == "-":
            ids = door.wheel.log_many(_lines(sys.stdin))
        else:
            given = {
                "output": None if output is None else value_of(output, parse, "output"),
                "confidence": confidence,
                "latency_ms": latency_ms,
                "error": error,
                "model": model,
                "user": user,
                "session": session,
                "context": pairs(context, "context") or None,
                "id": id,
                "at": moment(at),
            }
            fields = {name: value for name, value in given.items() if value is not None}
            ids = [door.wheel.log(input=value_of(input, parse, "input"), **fields)]
        if not door.json({"ids": ids}):
            for known in ids:
                door.screen.line(known)


def _lines(stream: Any) -> Iterator[dict[str, Any]]:
    """JSON objects from a stream, one a line, with times as text turned into times."""
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as problem:
            raise InvalidRecord(f"line {number}", f"it is not JSON ({problem})", "Write one object a line") from problem
        if not isinstance(record, dict):
            raise InvalidRecord(f"line {number}", "it is not a JSON object", "Write one object a line")
        for field in ("at", "sent_at"):
            if isinstance(record.get(field), str):
                record[field] = moment(record[field])
        yield record


def feedback(
    interaction: Annotated[str, typer.Argument(help="The interaction's id; - reads records as JSON lines.")],
    rating: Annotated[float | None, typer.Option(help="A number; negative is bad.")] = None,
    label: Annotated[str | None, typer.Option(help="The right output.")] = None,
    comment: Annotated[str | None, typer.Option(help="What was said about it.")] = None,
    outcome: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A business metric; may be given several times.")
    ] = None,
    report: Annotated[str | None, typer.Option(help="A blameless failure report.")] = None,
    source: Annotated[str, typer.Option(help="user, reviewer, judge or system.")] = "user",
    by: By = "",
    parse: Parse = False,
    at: At = None,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Say something about an interaction: rating, label, comment …

    A rating, the right output, a comment, an outcome, a report: several options in one call are several facts. Prints
    their ids.

    \b
    Examples:
      flywheel feedback 0197a… --rating -1 --comment "not what I asked"
      flywheel feedback 0197a… --label lost_card --source reviewer --by ana
      flywheel feedback 0197a… --outcome retained=1
      flywheel feedback - < feedback.jsonl
    """
    with opened(folder, as_json) as door:
        if interaction == "-":
            ids = door.wheel.feedback_many(_lines(sys.stdin))
        else:
            given = {
                "rating": rating,
                "label": None if label is None else value_of(label, parse, "label"),
                "comment": comment,
                "outcome": pairs(outcome, "outcome") or None,
                "report": report,
                "by": by or None,
                "at": moment(at),
            }
            fields = {name: value for name, value in given.items() if value is not None}
            ids = door.wheel.feedback(interaction, source=source, **fields)
        if not door.json({"ids": ids}):
            for known in ids:
                door.screen.line(known)


def import_(
    location: Annotated[
        str, typer.Argument(help="A file, a folder, or where a source reads: mlflow:…, table:… …", metavar="LOCATION")
    ],
    mapping: Map = None,
    source: Annotated[str | None, typer.Option(help="What to read it with, when the choice is not yours.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Leave older records out; `last` goes on behind the last import's end."),
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="What times without an offset are in: UTC, Europe/Berlin …")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on where an import that was killed had come.")] = True,
    dry_run: Annotated[bool, typer.Option(help="Show how it would be read, and store nothing.")] = False,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Bring in a log you already have.

    JSON lines, CSV and Parquet (also packed), chat logs in OpenAI's format, exports of Langfuse, Phoenix, TensorZero
    and the NeMo blueprint, traces of MLflow, Elasticsearch, OpenSearch, CloudWatch, tables, access logs and plain logs:
    what it is, is seen in the content, and said. The columns of a file are guessed by their names; --dry-run shows
    the guess. Doing it twice stores nothing twice. A record that cannot be stored is kept aside with its reason,
    and the rest goes on.

    \b
    Examples:
      flywheel import logs.jsonl --dry-run
      flywheel import logs.csv --map input=question --map output=answer --map user=customer
      flywheel import langfuse-export/ --map spans=roots
      flywheel import "mlflow:sqlite:///mlflow.db?experiment=chat" --since 2026-01-01T00:00:00Z
    """
    with opened(folder, as_json) as door:
        columns = {field: str(column) for field, column in pairs(mapping, "map").items()} or None
        begin: Any = "last" if since == "last" else moment(since)
        with door.screen.progress("import") as listen:
            report = door.wheel.import_(
                location,
                source=source,
                mapping=columns,
                timezone=timezone,
                since=begin,
                resume=resume,
                dry_run=dry_run,
                progress=listen,
            )
        nothing = not dry_run and not report.stored + report.duplicates + report.conflicts + report.older
        nothing = nothing and not report.resumed
        if door.json(report):
            raise typer.Exit(int(nothing))
        show = door.screen
        show.line(f"Read as {report.source}: {report.why}.")
        show.table(["field", "column"], [[field, str(column)] for field, column in report.mapping.items()])
        if dry_run:
            from flywheel.cli.text import short

            show.heading("The first records would be")
            for record in list(report.sample)[:3]:
                show.line("  " + short(record, 200))
            show.line()
            show.line("Nothing was stored. Leave --dry-run out to bring them in.")
            return
        show.line(
            f"{report.read:,} facts read = {report.stored:,} stored + {report.duplicates:,} already known"
            f" + {report.conflicts:,} in conflict with what is known + {report.rejected:,} that cannot be stored",
            "yellow" if report.rejected or nothing else "green",
        )
        for count, words in (
            (report.resumed, "records had been read by an import before this one, which went on behind them"),
            (report.older, "records are older than the time that was given, and were left out"),
            (report.passed, "rows are no interaction and no feedback, such as steps of a trace, and were passed over"),
        ):
            if count:
                show.line(f"{count:,} {words}")
        if nothing:
            show.line("Nothing could be stored: check the columns above; flywheel doctor shows the reasons.", "yellow")
            raise typer.Exit(1)


def export(
    what: Annotated[str, typer.Argument(help="interactions, feedback, failures, modes, queue or dataset:HASH.")],
    location: Annotated[str, typer.Argument(help="The file to write.", metavar="FILE")],
    format: Annotated[str | None, typer.Option(help="jsonl, csv or parquet, when the name does not say.")] = None,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Write facts or findings to a file: JSONL, CSV or Parquet.

    \b
    Examples:
      flywheel export failures failures.csv
      flywheel export interactions log.parquet
      flywheel export dataset:3f2a training.jsonl
    """
    with opened(folder, as_json) as door:
        rows = door.wheel.export(what, location, format)
        if not door.json({"what": what, "location": location, "rows": rows}):
            door.screen.line(f"{rows:,} rows written to {location}", "green")
