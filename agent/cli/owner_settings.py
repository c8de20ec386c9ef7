"""`doorward owner` continued: what the owner sets about requests. Holds the same group, complete."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli import people  # noqa: F401 (it adds its commands to the same group)
from agent.cli.output import options, report
from agent.cli.owner import identity_option, owner, signed_in, tell_row
from agent.cli.tables import local_time
from agent.core.encoding import parse_time
from agent.core.errors import BadInput
from agent.core.owner_api import SettingsAnswer
from agent.core.settings import (
    LACKS,
    Block,
    Change,
    DeclineRules,
    PauseAll,
    QuietHours,
    ResumeAll,
    SetDecline,
    SetQuiet,
    Unblock,
)

__all__ = ["owner"]


def _change(context: click.Context, identity_path: Path, change: Change, text: str) -> None:
    answer = signed_in(identity_path, lambda session: session.change(change))
    report(options(context), answer, lambda console: console.print(text))


@owner.command("settings")
@identity_option
@click.pass_context
def show_settings(context: click.Context, identity_path: Path) -> None:
    """Who may ask, who is blocked, and every rule about requests."""
    answer = signed_in(identity_path, lambda session: session.settings())
    report(options(context), answer, lambda console: _tell(console, answer))


@owner.command()
@click.argument("requester")
@identity_option
@click.pass_context
def block(context: click.Context, requester: str, identity_path: Path) -> None:
    """Hear nothing from a requester, by the key id that 'settings' shows."""
    _change(context, identity_path, Block(requester), "Blocked. What they asked and you had not answered is declined.")


@owner.command()
@click.argument("requester")
@identity_option
@click.pass_context
def unblock(context: click.Context, requester: str, identity_path: Path) -> None:
    """Hear from a requester again."""
    _change(context, identity_path, Unblock(requester), "Unblocked. They can ask you again.")


@owner.command()
@click.option("--until", metavar="TIME", help="Until then (RFC 3339); without it, until you resume.")
@identity_option
@click.pass_context
def pause(context: click.Context, until: str | None, identity_path: Path) -> None:
    """Let nobody ask for a while. They are not told; what they ask meanwhile is not kept."""
    if until:
        parse_time(until)  # what is no time is said before anything is sent
    end = f"until {until}" if until else "until you resume"
    _change(context, identity_path, PauseAll(until), f"Paused {end}. What was asked before still waits for you.")


@owner.command()
@click.argument("request", required=False)
@identity_option
@click.pass_context
def resume(context: click.Context, request: str | None, identity_path: Path) -> None:
    """Let requests in again; with REQUEST: let its undo clock run again after 'hold'."""
    if request is None:
        _change(context, identity_path, ResumeAll(), "Requests come in again.")
        return
    row = signed_in(identity_path, lambda session: session.step(request, "resume"))
    tell_row(context, row, "The undo time runs again, from its beginning.")


@owner.command()
@click.option("--incident", "incidents", multiple=True, metavar="WORD", help="Decline this kind of incident.")
@click.option("--longer-than", "minutes", type=click.IntRange(15, 720), metavar="MINUTES",
              help="Decline what asks about a longer time (15 to 720).")  # fmt: skip
@click.option("--lacking", multiple=True, type=click.Choice(LACKS), help="Decline what leaves this out.")
@click.option("--clear", is_flag=True, help="Decline nothing by rule.")
@identity_option
@click.pass_context
def rules(
    context: click.Context,
    incidents: tuple[str, ...],
    minutes: int | None,
    lacking: tuple[str, ...],
    clear: bool,
    identity_path: Path,
) -> None:
    """Decline some requests without being asked. The rules given replace those there were."""
    if clear == bool(incidents or minutes or lacking):
        raise BadInput("name the rules there shall be from now on, or --clear")
    try:  # the limits of the fields are the doorbell's too: said here before anything is sent
        made = msgspec.convert(
            {"incidents": list(incidents), "longer_than_min": minutes, "lacking": list(lacking)}, DeclineRules
        )
    except msgspec.ValidationError as e:
        raise BadInput(f"a rule cannot be set like this: {e}") from e
    said = "No rule declines." if clear else "Set. Rules say no for you; nothing ever says yes for you."
    _change(context, identity_path, SetDecline(made), said)


@owner.command()
@click.argument("start", required=False)
@click.argument("end", required=False)
@click.option("--zone", metavar="NAME", help="Your time zone, like Europe/Vienna.")
@click.option("--off", is_flag=True, help="No quiet hours.")
@identity_option
@click.pass_context
def quiet(
    context: click.Context, start: str | None, end: str | None, zone: str | None, off: bool, identity_path: Path
) -> None:
    """Be asked nothing from START to END (HH:MM); what comes then waits until they end."""
    if off:
        _change(context, identity_path, SetQuiet(None), "No quiet hours.")
        return
    if not (start and end and zone):
        raise BadInput("quiet hours need a beginning, an end and --zone, like: quiet 22:00 07:00 --zone Europe/Vienna")
    hours = QuietHours(start, end, zone)
    _change(context, identity_path, SetQuiet(hours), f"Quiet from {start} to {end}, {zone}.")


def _tell(console: Console, answer: SettingsAnswer) -> None:
    paused, blocked = answer.settings.paused, {entry.id for entry in answer.settings.blocked}
    if paused is not None:
        console.print(f"[bold]Paused[/] {'until ' + local_time(paused.until) if paused.until else 'until you resume'}.")
    table = Table(box=None, pad_edge=False)
    for name in ("who may ask", "key id", "until", ""):
        table.add_column(name, overflow="fold")
    for who in answer.requesters:
        table.add_row(escape(who.agency), who.id, who.expires[:10], "blocked" if who.id in blocked else who.via)
    known = {who.id for who in answer.requesters}
    for entry in answer.settings.blocked:
        if entry.id not in known:
            table.add_row(escape(entry.agency), entry.id, "", "blocked")
    console.print(table if table.row_count else "Nobody may ask: no requester is pinned.")
    if answer.directory is not None:
        found = answer.directory
        state = "[red]expired[/]" if found.expired else "good until"
        console.print(f"Directory: {escape(found.name)}, version {found.version}, {state} {found.expires[:10]}.")
    rules_set = answer.settings.decline
    words = [f"the kind of incident has '{escape(word)}' in it" for word in rules_set.incidents]
    if rules_set.longer_than_min is not None:
        words.append(f"it asks about more than {rules_set.longer_than_min} minutes")
    words += [f"it leaves out: {name}" for name in rules_set.lacking]
    console.print("Declined without asking you, when " + "; or ".join(words) + "." if words else "No rule declines.")
    hours = answer.settings.quiet
    console.print(f"Quiet from {hours.start} to {hours.end}, {hours.zone}." if hours else "No quiet hours.")
