"""`doorward requester`: the other end. Ask for footage, receive what was released, verify it."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.table import Table

from agent.adapters.broker import BrokerAddress, BrokerSession
from agent.adapters.clock import utc_ns
from agent.cli.names import Group
from agent.cli.output import options, report
from agent.core.encoding import format_time
from agent.core.errors import BadInput
from agent.core.timeline import parse_span
from agent.requester import folder as names
from agent.requester import key_file
from agent.requester.asking import CONNECT_S, Question, ask, read_area, withdraw
from agent.requester.credentials import write_copies
from agent.requester.evidence import Check, Evidence
from agent.requester.folder import TransferFolder
from agent.requester.opening import verify_folder
from agent.requester.receiving import Progress as News
from agent.requester.receiving import Receiver, Stage
from agent.requester.report import corrected_facts

T = TypeVar("T")
_FILE = click.Path(path_type=Path, dir_okay=False)

_identity = click.option(
    "--identity", "identity_path", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE",
    help="The requester's identity file.",
)  # fmt: skip


def _broker(command: Callable[..., T]) -> Callable[..., T]:
    """The options that say which broker and who we are there; the command is given an `address`."""

    @click.option(
        "--broker", "url", required=True, metavar="URL", help="mqtt://HOST:PORT, mqtts://NAME:WORD@HOST:PORT."
    )
    @click.option("--ca", type=_FILE, metavar="FILE", help="The authority that signed the broker's certificate.")
    @click.option("--cert", type=_FILE, metavar="FILE", help="A certificate to show to the broker.")
    @click.option("--key", type=_FILE, metavar="FILE", help="The key of that certificate.")
    @wraps(command)
    def with_address(*args: Any, url: str, ca: Path | None, cert: Path | None, key: Path | None, **kwargs: Any) -> T:
        address = BrokerAddress.parse(url, ca_file=ca, cert_file=cert, key_file=key)
        return command(*args, address=address, **kwargs)

    return with_address


_WORDS = {
    Stage.RECEIVING: "receiving",
    Stage.OPENING: "verifying",
    Stage.VERIFIED: "[green]verified[/]",
    Stage.FAILED: "[red]failed[/]",
    Stage.STOPPED: "[yellow]stopped by the owner[/]",
}


@click.group(cls=Group)
def requester() -> None:
    """Ask for footage, receive what its owner released, and verify it."""


@requester.command()
@click.option("--agency", required=True, metavar="N", help="The name homeowners read.")
@_identity
@click.pass_context
def init(context: click.Context, agency: str, identity_path: Path) -> None:
    """Make keys, and the statement that homeowners pin."""
    made = key_file.create(identity_path, agency, secrets.token_bytes(64), utc_ns())
    document = {
        "id": made.said.id,
        "identity": str(identity_path),
        "statement": str(made.statement_path),
        "expires": made.said.expires,
    }

    def human(console: Console) -> None:
        console.print(f"Keys are in {escape(str(identity_path))}; keep that file secret.")
        console.print(f"Homeowners pin {escape(str(made.statement_path))}, good until {made.said.expires[:10]}.")
        console.print(f"The key id, by which brokers know you: {made.said.id}")

    report(options(context), document, human)


@requester.command("ask")
@_identity
@_broker
@click.option("--area", required=True, metavar="LAT,LON,RADIUS_M|FILE", help="A circle, or a GeoJSON polygon.")
@click.option("--from", "start", required=True, metavar="T", help="Beginning of the time asked about (RFC 3339).")
@click.option("--to", "end", required=True, metavar="T", help="Its end: 15 minutes to 12 hours later.")
@click.option("--case", "case_number", required=True, metavar="N", help="Case number.")
@click.option("--incident", "incident_type", required=True, metavar="TYPE", help="Kind of incident.")
@click.option("--message", required=True, metavar="TEXT", help="What the owner reads, at most 2,000 characters.")
@click.option("--contact", required=True, metavar="TEXT", help="How the owner can reach you.")
@click.option("--officer", default="", metavar="TEXT", help="Who asks.")
@click.option("--purpose", default="", metavar="TEXT", help="What the footage is for.")
@click.option("--retention", default="", metavar="TEXT", help="How long it will be kept.")
@click.option(
    "--replaces", default="", metavar="R", help="Withdraw this request of yours; the new one takes its place."
)
@click.pass_context
def ask_command(
    context: click.Context,
    /,
    identity_path: Path,
    address: BrokerAddress,
    area: str,
    start: str,
    end: str,
    **words: str,
) -> None:
    """Sign a request and publish it. No answer means nothing: only a yes is ever heard."""
    identity = key_file.load(identity_path)
    question = Question(read_area(area), parse_span(start, end), **words)
    asked = asyncio.run(ask(identity, address, question, utc_ns()))
    document = {"request": asked.id, "hash": asked.hash, "cells": asked.cells, "expires": asked.expires}

    def human(console: Console) -> None:
        console.print(f"Asked, as request {asked.id}. Homes in the area may answer until {asked.expires}.")
        console.print("Only a yes is ever heard; 'doorward requester receive' takes what is released.")

    report(options(context), document, human)


@requester.command("withdraw")
@click.argument("request")
@_identity
@_broker
@click.pass_context
def withdraw_command(context: click.Context, request: str, identity_path: Path, address: BrokerAddress) -> None:
    """Take a request back. Who was asked sees that; what has arrived already is not undone."""
    identity = key_file.load(identity_path)
    gone = asyncio.run(withdraw(identity, address, request, utc_ns()))
    document = {"request": gone.id, "hash": gone.hash, "cells": gone.cells}
    report(options(context), document, lambda console: console.print(f"Withdrawn: request {gone.id}."))


@requester.command()
@_identity
@_broker
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for evidence.")
@click.option("--for", "seconds", type=click.FloatRange(min=0), metavar="SECONDS", help="Stop after so long.")
@click.pass_context
def receive(
    context: click.Context, identity_path: Path, address: BrokerAddress, out: Path, seconds: float | None
) -> int:
    """Pull what owners released, verify and open it, a folder for each transfer. Ctrl-C stops; a later run goes on."""
    opts = options(context)
    identity = key_file.load(identity_path)
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file; --out names a folder")
    with _Board(opts.console) as board:
        asyncio.run(_receive(identity, address, out, seconds, board))
    document = {"transfers": [_news_document(news) for news in board.last.values()]}
    report(opts, document, lambda console: _tell_transfers(console, list(board.last.values())))
    return 1 if any(news.stage is Stage.FAILED for news in board.last.values()) else 0


@requester.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.pass_context
def verify(context: click.Context, folder: Path) -> int:
    """Verify an evidence folder, offline, without any key of one's own."""
    evidence = TransferFolder(folder)
    if not evidence.has(names.OFFER):
        raise BadInput(f"{folder} is not an evidence folder: it has no {names.OFFER}")
    found = verify_folder(evidence)
    document = {
        "verified": found.verified,
        "failed": msgspec.to_builtins(found.failed),
        "clips": [
            {
                "film": clip.film,
                "from": format_time(clip.start_ns),
                "to": format_time(clip.end_ns),
                "corrected": corrected_facts(clip.time),
            }
            for clip in found.clips
        ],
        "checks": found.checks,
    }
    report(options(context), document, lambda console: _tell_checks(console, found))
    return 0 if found.verified else 1


@requester.command("c2pa")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@_identity
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="[default: beside it, FOLDER-c2pa]",
)
@click.pass_context
def c2pa_command(context: click.Context, folder: Path, identity_path: Path, out: Path | None) -> None:
    """Copy a verified folder's films with C2PA content credentials, for programs that show those.

    The requester signs for them; the certificate is of its own making, so such programs call the signer unknown.
    """
    evidence = TransferFolder(folder.resolve())
    identity = key_file.load(identity_path)
    target = out or evidence.path.with_name(f"{evidence.path.name}-c2pa")
    copies = write_copies(evidence, verify_folder(evidence), identity, target, utc_ns())

    def human(console: Console) -> None:
        for copy in copies:
            console.print(escape(str(copy)))
        console.print("Signed with a certificate of your own making, which chains to no authority.")

    report(options(context), {"copies": [str(copy) for copy in copies]}, human)


async def _receive(
    identity: key_file.RequesterIdentity, address: BrokerAddress, out: Path, seconds: float | None, board: _Board
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with BrokerSession(address) as session:
        await session.connected(CONNECT_S)
        if seconds is not None:
            loop.call_later(seconds, stop.set)
        board.say(f"Listening at {address} for what owners release.")
        await Receiver(identity, session, out, board.show).run(stop)


class _Board:
    """One progress bar a transfer, and the last news of each."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.fields[name]}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self.last: dict[str, News] = {}

    def __enter__(self) -> _Board:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """One line above the bars."""
        self._console.print(escape(text))

    def show(self, news: News) -> None:
        """Take in news of a transfer."""
        self.last[news.transfer] = news
        if news.transfer not in self._tasks:
            self._tasks[news.transfer] = self._progress.add_task("", total=news.total_bytes, name=news.folder.name)
        self._progress.update(self._tasks[news.transfer], completed=news.received_bytes, description=_WORDS[news.stage])


def _news_document(news: News) -> dict[str, object]:
    return {
        "transfer": news.transfer,
        "folder": str(news.folder),
        "state": news.stage.value,
        "received_bytes": news.received_bytes,
        "total_bytes": news.total_bytes,
        "failed": msgspec.to_builtins(news.failed),
    }


def _tell_transfers(console: Console, all_news: list[News]) -> None:
    if not all_news:
        console.print("Nothing was offered.")
    for news in all_news:
        console.print(f"{escape(str(news.folder))}: {_WORDS[news.stage]}")
        if news.failed:
            console.print(f"  {_sentence(news.failed)}")


def _tell_checks(console: Console, found: Evidence) -> None:
    checks = Table(box=None, show_header=False, pad_edge=False)
    checks.add_column(no_wrap=True)
    checks.add_column(overflow="fold")
    for check in found.checks:
        checks.add_row("[green]✓[/]" if check.ok else "[red]✗[/]", f"{escape(check.name)}: {escape(check.text)}")
    console.print(checks)
    for clip in found.clips:
        best = clip.time or clip
        how = f" ({clip.time.trust.value}; sealed as {format_time(clip.start_ns)})" if clip.time else ""
        console.print(f"{clip.film} shows {format_time(best.start_ns)} to {format_time(best.end_ns)}{how}.")
    if found.failed:
        console.print(f"[red]Not verified:[/] {_sentence(found.failed)}")
    else:
        console.print("[green]Verified.[/]")


def _sentence(check: Check) -> str:
    return f"the check '{escape(check.name)}' of {escape(check.file)} failed: {escape(check.text)}"
