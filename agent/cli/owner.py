"""`doorward owner`: an owner on a computer instead of a phone."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from agent.adapters.clock import utc_ns
from agent.adapters.owner_client import OwnerClient, read_authority
from agent.cli.names import Group
from agent.cli.output import options, report
from agent.cli.tables import clip_table, local_time, request_table
from agent.core import identity
from agent.core.encoding import parse_time
from agent.core.errors import BadInput, Refused
from agent.core.frame import Track
from agent.core.owner_api import RequestRow
from agent.core.plain_mp4 import FilmSound, remux_plain
from agent.core.request import FootageRequest
from agent.core.timeline import Span, parse_span
from agent.owner import glimpses, key_file
from agent.owner.session import Choice, OwnerSession, pair, read_pairing
from agent.store.durable import write_file

T = TypeVar("T")

identity_option = click.option(
    "--identity", "identity_path", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE",
    help="The owner's key file.",
)  # fmt: skip


ca_option = click.option(
    "--ca", "authority", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    callback=lambda _context, _option, path: read_authority(path) if path else "",
    help="The authority behind the doorbell's certificate, where this computer does not trust it; it is remembered.",
)  # fmt: skip


def new_passphrase() -> str:
    """For keys that are being made."""
    return _passphrase(new=True)


_TRUSTED = {
    "pinned": "pinned for",
    "directory": "that your directory lists for",
    None: "of somebody [red]you do not trust any more[/]:",
}


def _passphrase(*, new: bool) -> str:
    """From DOORWARD_PASSPHRASE, or asked for on a terminal."""
    given = os.environ.get("DOORWARD_PASSPHRASE")
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise BadInput("the passphrase is needed; set DOORWARD_PASSPHRASE or run this in a terminal")
    return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True))


def keys_of(content: key_file.KeyFile) -> identity.KeyPair:
    """The keys of a file, after its passphrase if it has one."""
    passphrase = _passphrase(new=False) if content.protection is not None else None
    return key_file.unlock(content, passphrase)


@click.group(cls=Group)
def owner() -> None:
    """An owner on a computer: pair, look at requests, decide, open one's own clips."""


@owner.command()
@identity_option
@click.option("--name", default="This computer", help="What the doorbell calls it.")
@click.option("--no-passphrase", is_flag=True, help="Keep the keys unprotected: for tests.")
@click.pass_context
def init(context: click.Context, identity_path: Path, name: str, no_passphrase: bool) -> None:
    """Make keys and a recovery code; the code is printed once."""
    secret = identity.new_recovery_secret(secrets.token_bytes)
    recovery = identity.recovery_entry(identity.recovery_keys(secret))
    phrase = None if no_passphrase else _passphrase(new=True)
    content = key_file.make(name, secrets.token_bytes(64), recovery, phrase, secrets.token_bytes(48))
    key_file.write(identity_path, content, new=True)
    code = identity.recovery_code(secret)
    document = {"identity": str(identity_path), "recovery_code": code}

    def human(console: Console) -> None:
        console.print(
            f"Keys are in {escape(str(identity_path))}.\nRecovery code, shown once and kept nowhere:\n\n"
            f"  [bold]{code}[/]\n\nWrite it down: it opens every clip if the keys are lost."
        )

    report(options(context), document, human)


@owner.command("pair")
@click.argument("url_or_code")
@identity_option
@click.option("--device", metavar="URL", help="The doorbell's address, where a code was typed instead of a link.")
@ca_option
@click.pass_context
def pair_command(
    context: click.Context, url_or_code: str, identity_path: Path, device: str | None, authority: str
) -> None:
    """Become an owner of a doorbell, by the link or code that 'doorward pair' shows."""
    code = read_pairing(url_or_code)
    url = device or code.url
    if url is None:
        raise BadInput("a typed code does not say where the doorbell is; add --device http://…")
    content = key_file.read(identity_path)
    keys = keys_of(content)

    async def work() -> key_file.PairedDoorbell:
        async with OwnerClient(url, authority) as client:
            return await pair(client, url, code, content.name, keys, content.recovery, utc_ns())

    doorbell = asyncio.run(work())
    changed = key_file.with_doorbell(content, doorbell, authority)
    key_file.write(identity_path, changed, new=False)
    report(
        options(context),
        {"device": doorbell.id, "url": doorbell.url},
        lambda console: console.print(f"Paired with the doorbell at {escape(doorbell.url)}."),
    )


def signed_in(identity_path: Path, work: Callable[[OwnerSession], Awaitable[T]]) -> T:
    """Run `work` with a session at the paired doorbell."""
    content = key_file.read(identity_path)
    doorbell = content.doorbell
    if doorbell is None:
        raise BadInput(f"{identity_path} is not paired with a doorbell yet; 'doorward owner pair' does that")
    keys = keys_of(content)

    async def inside() -> T:
        async with OwnerClient(doorbell.url, doorbell.authority) as client:
            session = OwnerSession(client, doorbell, keys, utc_ns)
            await session.open()
            return await work(session)

    return asyncio.run(inside())


@owner.command()
@identity_option
@click.pass_context
def requests(context: click.Context, identity_path: Path) -> None:
    """List what was asked."""
    rows = signed_in(identity_path, lambda session: session.requests())
    report(options(context), rows, lambda c: c.print(request_table(rows) if rows else "Nobody has asked for anything."))


@owner.command()
@click.argument("request")
@identity_option
@click.pass_context
def show(context: click.Context, request: str, identity_path: Path) -> None:
    """Show one request: what is verified, what they say, and which clips it concerns."""
    detail, said = signed_in(identity_path, lambda session: session.request(request))

    def human(console: Console) -> None:
        console.print(f"[bold]{escape(said.incident_type)}[/]   {detail.row.state}   request {detail.row.id}")
        console.print(f"Verified: signed by the key {_TRUSTED[detail.trusted]} [bold]{escape(detail.row.agency)}[/]")
        console.print(Panel(escape(_claims(said)), title="They say", title_align="left"))
        console.print(f"Asked for: {local_time(said.span_from)} to {local_time(said.span_to)}")
        console.print(f"Answer by: {local_time(said.expires)}. You may say no, and you need not answer at all.")
        console.print(clip_table(detail.clips))

    report(options(context), {"request": said, "row": detail.row, "clips": detail.clips}, human)


@owner.command("clips")
@identity_option
@click.option("--from", "start", metavar="TIME", help="Only clips that end after this (RFC 3339, with its zone).")
@click.option("--to", "end", metavar="TIME", help="Only clips that begin before this.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="The newest so many.")
@click.pass_context
def clips_command(context: click.Context, identity_path: Path, start: str | None, end: str | None, limit: int) -> None:
    """List your clips and what each shows."""
    start_ns, end_ns = (parse_time(text) if text else None for text in (start, end))
    rows = signed_in(identity_path, lambda session: glimpses.clips(session, start_ns, end_ns, limit))
    report(options(context), rows, lambda c: c.print(clip_table(rows[::-1]) if rows else "No clips there."))


@owner.command()
@click.argument("clip")
@identity_option
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE.jpg")
@click.pass_context
def poster(context: click.Context, clip: str, identity_path: Path, output: Path) -> None:
    """Open the picture of one of your clips and write it as a JPEG."""

    async def work(session: OwnerSession) -> bytes:
        return await glimpses.poster(session, await session.open_clip(clip))

    picture = signed_in(identity_path, work)
    write_file(output, picture)
    document = {"file": str(output), "bytes": len(picture)}
    report(options(context), document, lambda console: console.print(f"Written to {escape(str(output))}."))


def _claims(said: FootageRequest) -> str:
    lines = [
        f"Officer: {said.requester.officer or '-'}   Contact: {said.requester.contact or '-'}",
        f"Case: {said.case_number}   Purpose: {said.purpose or '-'}   Kept: {said.retention or '-'}",
        "",
        said.message,
    ]
    return "\n".join(lines)


def _choice(text: str) -> Choice:
    clip, at, span = text.partition("@")
    if not at:
        return Choice(clip, None)
    start, dots, end = span.partition("..")
    if not dots:
        raise BadInput(f"'{text}' is not a choice of clip; write CLIP or CLIP@FROM..TO with RFC 3339 times")
    return Choice(clip, parse_span(start, end))


@owner.command()
@click.argument("request")
@identity_option
@click.option("--clip", "clips", multiple=True, metavar="C[@FROM..TO]", help="Share this clip, or this part of it.")
@click.option("--sound", is_flag=True, help="Share the sound too.")
@click.pass_context
def share(context: click.Context, request: str, identity_path: Path, clips: tuple[str, ...], sound: bool) -> None:
    """Say yes: share every matching clip, or the ones named, cut to the span asked for."""
    choices = [_choice(text) for text in clips]
    row = signed_in(identity_path, lambda session: session.share(request, choices, sound=sound))
    tell_row(context, row, "Shared. Until the undo time is over nothing leaves your home.")


@owner.command()
@click.argument("request")
@identity_option
@click.pass_context
def decline(context: click.Context, request: str, identity_path: Path) -> None:
    """Say no. They are not told, nor whether there is video."""
    row = signed_in(identity_path, lambda session: session.decline(request))
    tell_row(context, row, "Declined. Nothing is sent, and they are not told.")


def _step_command(name: str, help_text: str, done: str) -> None:
    @owner.command(name, help=help_text)
    @click.argument("request")
    @identity_option
    @click.pass_context
    def step(context: click.Context, request: str, identity_path: Path) -> None:
        row = signed_in(identity_path, lambda session: session.step(request, name))
        tell_row(context, row, done)


_step_command("undo", "Take a yes back before anything has left.", "Taken back. Nothing has left your home.")
_step_command("hold", "Stop the undo clock: nothing leaves until 'resume'.", "Held. Nothing leaves until you resume.")
_step_command("stop", "Send nothing more.", "Stopped. Nothing more is sent.")


def tell_row(context: click.Context, row: RequestRow, text: str) -> None:
    report(options(context), row, lambda console: console.print(f"{text}\nThe request is now: [bold]{row.state}[/]"))


@owner.command()
@click.argument("clip")
@identity_option
@click.option("--yes", is_flag=True, help="Do not ask again.")
@click.pass_context
def delete(context: click.Context, clip: str, identity_path: Path, yes: bool) -> None:
    """Delete one of your clips for good, also one that somebody asked for."""
    if not yes:
        if not sys.stdin.isatty():
            raise BadInput("nobody is there to be asked whether the clip may go for good; add --yes")
        if not click.confirm(f"Delete clip {clip} for good? Nobody can bring it back", err=True):
            raise Refused("not-wanted", "the clip is still there: you said no")
    gone = signed_in(identity_path, lambda session: session.delete(clip))
    report(
        options(context),
        {"deleted": gone.id},
        lambda console: console.print(f"Deleted: the clip of {local_time(gone.start)}."),
    )


@owner.command()
@click.argument("clip")
@identity_option
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE.mp4")
@click.option("--from", "start", metavar="TIME", help="Only from this moment on.")
@click.option("--to", "end", metavar="TIME", help="Only up to this moment.")
@click.option("--no-sound", is_flag=True, help="Leave the sound out.")
@click.pass_context
def export(
    context: click.Context,
    clip: str,
    identity_path: Path,
    output: Path,
    start: str | None,
    end: str | None,
    no_sound: bool,
) -> None:
    """Open one of your own clips and write it as an MP4."""
    span = None
    if start or end:
        span = Span(parse_time(start) if start else 0, parse_time(end) if end else 10**19)

    async def work(session: OwnerSession) -> bytes:
        opened = await session.open_clip(clip)
        tracks = await session.fragments(opened, span, sound=not no_sound)
        init, *pictures = tracks[Track.VIDEO]
        heard = tracks.get(Track.AUDIO)
        return b"".join(remux_plain(init, pictures, FilmSound(heard[0], heard[1:]) if heard else None))

    film = signed_in(identity_path, work)
    write_file(output, film)
    document = {"file": str(output), "bytes": len(film)}
    report(options(context), document, lambda console: console.print(f"Written to {escape(str(output))}."))
