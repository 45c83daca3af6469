"""The command `report`: file a blameless report, ask what became of one, and look after them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flywheel.cli.door import By, Door, Folder, Json, moment, name_of, opened
from flywheel.cli.text import ago, number, percent, short
from flywheel.errors import InvalidConfig

if TYPE_CHECKING:
    from flywheel.records import Report

__all__ = ["report"]


def report(
    what: Annotated[str | None, typer.Argument(help="What happened; not who did it.", metavar="WHAT")] = None,
    interaction: Annotated[
        str | None, typer.Option(help="The interaction it is about; found, where that is sure, when left out.")
    ] = None,
    expected: Annotated[str | None, typer.Option(help="What should have happened.")] = None,
    contact: Annotated[
        str | None, typer.Option(help="How to tell you; kept apart, and only until you are told.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="The session it happened in.")] = None,
    trace: Annotated[str | None, typer.Option(help="The trace it happened in.")] = None,
    near: Annotated[str | None, typer.Option(help="Words of the question or the answer, as you remember them.")] = None,
    when: Annotated[str | None, typer.Option(help="When it happened, ISO 8601 with an offset.", metavar="TIME")] = None,
    anonymous: Annotated[bool, typer.Option("--anonymous", help="Keep nobody's name, whatever --by says.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the reports.")] = False,
    state: Annotated[str | None, typer.Option(help="Ask what became of the report with this token.")] = None,
    figures: Annotated[bool, typer.Option("--figures", help="How much is reported, and how long a fix takes.")] = False,
    acknowledge: Annotated[str | None, typer.Option(help="Note that a report was read.", metavar="ID")] = None,
    mode: Annotated[str | None, typer.Option(help="With --acknowledge: the failure mode it is of.")] = None,
    join: Annotated[str | None, typer.Option(help="Join a report to --interaction.", metavar="ID")] = None,
    close: Annotated[str | None, typer.Option(help="Close a report; WHAT is the reason.", metavar="ID")] = None,
    tell: Annotated[bool, typer.Option("--tell", help="Tell the webhook of what is fixed; list who is left.")] = False,
    told: Annotated[str | None, typer.Option(help="Note that you have told the reporter.", metavar="ID")] = None,
    form: Annotated[
        str | None, typer.Option(help="Print the HTML that embeds the form of this server.", metavar="ADDRESS")
    ] = None,
    key: Annotated[str, typer.Option(help="With --form: an ingest key to put into it.")] = "",
    by: By = "",
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Report that something went wrong, or look after reports. Nobody is blamed.

    A report is redacted, joins the interaction it is about, and is answered with a token: whoever has it can ask what
    became of the report. Without --by it is anonymous.

    \b
    Examples:
      flywheel report "I asked for my card and was told about rates" --interaction 0198c7
      flywheel report --state rp_K3v…
      flywheel report --list
      flywheel report --figures
      flywheel report --form https://flywheel.example --key fw_…
    """
    asked = {
        "--list": list_, "--state": state, "--figures": figures, "--acknowledge": acknowledge, "--join": join,
        "--close": close, "--tell": tell, "--told": told, "--form": form,
    }  # fmt: skip
    with opened(folder, as_json) as door:
        action = _one_of({name: given for name, given in asked.items() if given}, what)
        if action is None:
            filed = door.wheel.report(
                what or "", interaction=interaction, expected=expected, by=None if anonymous else by or None,
                contact=contact, trace=trace, session=session, near=near, when=moment(when),
            )  # fmt: skip
            _filed(door, filed)
        elif action in ("--acknowledge", "--join", "--close", "--told"):
            _look_after(door, action, str(asked[action]), name_of(by), mode=mode, interaction=interaction, why=what)
        elif form is not None:
            _form(door, form, key)
        elif state is not None:
            _state(door, door.wheel.report_state(state))
        elif list_:
            _list(door, door.wheel.reports())
        elif figures:
            _figures(door, door.wheel.report_figures())
        else:
            _tell(door, door.wheel.tell_reporters())


def _one_of(asked: dict[str, object], what: str | None) -> str | None:
    """The one thing that is asked for beside filing a report."""
    names = list(asked)
    if len(names) > 1:
        raise InvalidConfig(f"{' and '.join(names)} cannot go together. Give one of them")
    if what is not None and names and names != ["--close"]:
        raise InvalidConfig(f"a report and {names[0]} cannot go together. Leave one of them out")
    return names[0] if names else None


def _look_after(
    door: Door, action: str, id: str, by: str, *, mode: str | None, interaction: str | None, why: str | None
) -> None:
    wheel = door.wheel
    if action == "--acknowledge":
        _changed(door, wheel.acknowledge_report(id, mode=mode, by=by), "it has been read")
    elif action == "--told":
        _changed(door, wheel.told_reporter(id, by=by), "its reporter has been told")
    elif action == "--close":
        _changed(door, wheel.close_report(id, why or "", by=by), "closed")
    elif interaction is None:
        raise InvalidConfig("say to what: flywheel report --join ID --interaction ID")
    else:
        _changed(door, wheel.join_report(id, interaction, by=by), f"joined to {interaction}")


def _filed(door: Door, filed: Any) -> None:
    if door.json(filed):
        return
    show = door.screen
    show.line(filed.line, "green")
    show.line(f"  {filed.token}", "bold")
    show.line(f"  flywheel report --state {filed.token}", "dim")
    if filed.interaction_id:
        show.line(f"Joined to the interaction {filed.interaction_id}")
    elif filed.proposals:
        show.line("It is not sure which interaction it is about. The likeliest:")
        rows = [[one.interaction_id, percent(one.score, 0), one.why] for one in filed.proposals]
        show.table(["interaction", ">how likely", "~what agrees"], rows)
        show.line(f"Join it with: flywheel report --join {filed.id} --interaction ID", "dim")


def _list(door: Door, found: Sequence[Report]) -> None:
    if door.json(found):
        return
    if not found:
        door.screen.line("No report yet. Anyone can file one: flywheel report WHAT, or the form of `flywheel serve`")
        return
    for one in found:
        door.screen.parts((f"{one.state:<13}", "green" if one.state == "fixed" else "yellow"), short(one.what, 400))
        about = one.interaction_id or (
            f"{len(one.proposals)} likely interactions" if one.proposals else "no interaction"
        )
        door.screen.line(f"             {ago(one.at)}   {one.mode or 'no mode'}   {about}", "dim")
        door.screen.line(f"             {one.id}", "dim")


def _state(door: Door, found: dict[str, Any]) -> None:
    if door.json(found):
        return
    door.screen.line(found["line"], "green" if found["state"] == "fixed" else "bold")
    dates = {"at": "sent", "acknowledged_at": "looked at", "fixed_at": "fixed", "closed_at": "closed"}
    for name, said in dates.items():
        if found[name]:
            door.screen.line(f"  {said} {ago(found[name])}", "dim")


def _figures(door: Door, found: dict[str, Any]) -> None:
    if door.json(found):
        return
    show = door.screen
    if not found["reports"]:
        show.line("No report yet.")
        return
    from flywheel.cli.text import spark

    weeks = found["weeks"][-26:]
    show.line(f"{found['reports']:,} reports, {weeks[-1]['reports']:,} of them this week", "bold")
    show.line(f"  {spark([week['reports'] for week in weeks])}  since {weeks[0]['week']}", "yellow")
    show.line(f"  joined to an interaction: {percent(found['joined'], 0)}; anonymous: {percent(found['anonymous'], 0)}")
    for name, said in (("to_acknowledge", "until somebody looks"), ("to_fix", "until the fix")):
        show.line(f"  {said}: {_hours(found[name])}")
    show.line(f"  told, of those that are fixed: {percent(found['told'], 0)}")
    if found["by_mode"]:
        show.table(
            ["mode", ">reports", ">fixed", "until the fix"],
            [
                [one["mode"], number(one["reports"]), number(one["fixed"]), _hours(one["to_fix"])]
                for one in found["by_mode"]
            ],
        )


def _hours(found: dict[str, Any]) -> str:
    if found["median_hours"] is None:
        return f"not yet known ({found['done']} done, {found['waiting']} waiting)"
    ends = [f"{found[end]:,.1f}" if found[end] is not None else "?" for end in ("low", "high")]
    return f"{found['median_hours']:,.1f} hours for half of them (95% interval {ends[0]} to {ends[1]})"


def _tell(door: Door, left: Sequence[dict[str, Any]]) -> None:
    if door.json(left):
        return
    if not left:
        door.screen.line("Every reporter whose report is fixed has heard.", "green")
        return
    door.screen.table(
        ["report", "fixed in", "~contact", "~problem"],
        [
            [one["report"].id, one["report"].fixed_in, short(one["contact"] or "none left: they can ask by token", 80),
             short(one.get("problem") or "", 160)]
            for one in left
        ],
    )  # fmt: skip
    door.screen.line("When you have told somebody: flywheel report --told ID", "dim")


def _changed(door: Door, found: Report, done: str) -> None:
    if not door.json(found):
        door.screen.line(f"report {found.id}: {done}", "green")


def _form(door: Door, address: str, key: str) -> None:
    from flywheel.server.form import snippet

    html = snippet(address, key)
    if not door.json({"html": html}):
        door.screen.out.print(html, markup=False, highlight=False, soft_wrap=True)
        if not door.wheel.config.reports.embed_on:
            door.screen.problem("Pages of other origins may not show it yet. Set [reports] embed_on in flywheel.toml")
