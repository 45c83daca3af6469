"""The `flywheel` command: its groups of commands, in the order in which a team meets them."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flywheel import __version__
from flywheel.cli import audit, data, facts, findings, labels, look, privacy, review, server, setup, ship, showing, turn
from flywheel.cli.dashboard import status
from flywheel.cli.fixes import fixes
from flywheel.cli.interaction import interaction
from flywheel.cli.report import report
from flywheel.cli.why import why

__all__ = ["app", "run"]

SECTIONS: dict[str, tuple[str, ...]] = {
    "Begin": ("demo", "audit", "init", "seed", "settings"),
    "Facts in and out": ("log", "feedback", "report", "import", "export"),
    "Look": (
        "status",
        "observe",
        "failures",
        "modes",
        "fixes",
        "interaction",
        "edge-cases",
        "slices",
        "usual",
        "why",
        "arrivals",
    ),
    "Turn the wheel": ("spin", "label", "review", "spins", "datasets", "lineage"),
    "Server": ("serve", "keys", "deadletter"),
    "Models": ("releases", "compare", "rollback", "predict"),
    "Privacy": ("erase", "retention", "pseudonyms", "audit-trail"),
    "House": ("doctor", "rebuild", "plugins"),
}


class Sections(TyperGroup):
    """Lists the commands under headings instead of in one long column."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each section with its commands and their one-line summaries."""
        for heading, names in SECTIONS.items():
            rows = [(name, self.commands[name].get_short_help_str(limit=120)) for name in names]
            with formatter.section(heading):
                formatter.write_dl(rows)


app = typer.Typer(
    name="flywheel",
    cls=Sections,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help starts in half the time; what the commands print is set with Rich
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and those hold logged text
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"flywheel {__version__}\n")
        raise typer.Exit


@app.callback()
def flywheel(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The data flywheel for AI products.

    Point it at your product's logs: every spin it shows what fails and why, asks for the few labels that matter,
    retrains, proves on replay that the new model fixes more than it breaks, ships it, and measures what that changed.

    \b
    Examples:
      flywheel demo                        watch a model get better, with nothing of your own
      flywheel init bot && cd bot          begin with your product
      flywheel spin && flywheel label      turn the wheel, then answer what it asks

    Every command takes --json (one JSON document on standard output) and --help (with examples).
    """


app.command()(setup.demo)
app.command()(audit.audit)
app.command()(setup.init)
app.command()(facts.seed)
app.command()(setup.settings)
app.command()(facts.log)
app.command()(facts.feedback)
app.command()(report)
app.command("import")(facts.import_)
app.command()(facts.export)
app.command()(status)
app.command()(look.failures)
app.command()(look.modes)
app.command()(interaction)
app.command()(fixes)
app.command("edge-cases")(look.edge_cases)
app.command()(why)
app.command()(findings.observe)
app.command()(findings.slices)
app.command()(review.arrivals)
app.command()(showing.usual)
app.command()(turn.spin)
app.command()(labels.label)
app.command()(review.review)
app.command()(turn.spins)
app.command()(data.datasets)
app.command()(data.lineage)
app.command()(ship.releases)
app.command()(showing.compare)
app.command()(ship.rollback)
app.command()(ship.predict)
app.command()(server.serve)
app.command()(server.keys)
app.command()(server.deadletter)
app.command()(privacy.erase)
app.command()(privacy.retention)
app.command()(privacy.pseudonyms)
app.command("audit-trail")(privacy.audit_trail)
app.command()(setup.doctor)
app.command()(setup.rebuild)
app.command()(setup.plugins)


def run() -> None:
    """Run the command line on the arguments of this process."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a sign shows a question mark, not a traceback
            stream.reconfigure(errors="replace")
    app()
