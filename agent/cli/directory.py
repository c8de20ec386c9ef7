"""`doorward directory`: keep a list of requesters that homeowners can trust as a whole."""

from __future__ import annotations

import secrets
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.adapters.clock import utc_ns
from agent.cli.names import Group
from agent.cli.output import options, report
from agent.core.directory import Listing
from agent.core.encoding import NS_PER_S
from agent.core.errors import BadInput
from agent.requester import directory_file

_DAY_NS = 86_400 * NS_PER_S

_identity = click.option(
    "--identity", "path", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE",
    help="The directory's key file.",
)  # fmt: skip


@click.group(cls=Group)
def directory() -> None:
    """Keep a directory: a signed list of those who may ask, for homeowners to pin as a whole."""


@directory.command()
@click.option("--name", required=True, metavar="N", help="The name homeowners read.")
@_identity
@click.pass_context
def init(context: click.Context, name: str, path: Path) -> None:
    """Make the key of a directory."""
    made = directory_file.create(path, name, secrets.token_bytes(32))

    def human(console: Console) -> None:
        console.print(f"The key is in {escape(str(path))}; keep that file secret.")
        console.print(f'Make this known to homeowners, for their settings:\n\n  directory_key = "{made.public}"')

    report(options(context), {"identity": str(path), "key": made.public}, human)


@directory.command()
@click.argument("statements", nargs=-1, type=click.Path(path_type=Path, dir_okay=False), metavar="STATEMENT…")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE")
@click.option("--days", type=click.IntRange(1, 400), default=90, show_default=True, help="How long it is good.")
@_identity
@click.pass_context
def sign(context: click.Context, statements: tuple[Path, ...], output: Path, days: int, path: Path) -> None:
    """Sign the next version, listing exactly the requesters whose STATEMENT files are named."""
    keeper = directory_file.load(path)
    try:
        tokens = [statement.read_bytes().strip() for statement in statements]
    except OSError as e:
        raise BadInput(f"{e.filename} cannot be read: {e.strerror}; 'doorward requester init' makes one") from e
    made = keeper.publish(tokens, output, now_ns=utc_ns(), life_ns=days * _DAY_NS)
    report(options(context), _document(made), lambda console: _tell(console, made))


@directory.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--key", required=True, metavar="KEY", help="The directory's key, as its keeper made it known.")
@click.pass_context
def show(context: click.Context, file: Path, key: str) -> None:
    """Check a directory against its key, and list who is in it."""
    found = directory_file.read(file, key)
    report(options(context), _document(found), lambda console: _tell(console, found))


def _document(listing: Listing) -> dict[str, object]:
    said = listing.said
    return {
        "name": said.name,
        "version": said.version,
        "issued": said.issued,
        "expires": said.expires,
        "requesters": [requester for _, requester in listing.requesters.values()],
    }


def _tell(console: Console, listing: Listing) -> None:
    said = listing.said
    expired = " [red]It has expired.[/]" if listing.expired(utc_ns()) else ""
    console.print(f"{escape(said.name)}, version {said.version}, good until {said.expires[:10]}.{expired}")
    table = Table(box=None, pad_edge=False)
    for name in ("who", "key id", "until"):
        table.add_column(name, overflow="fold")
    for _, requester in listing.requesters.values():
        table.add_row(escape(requester.agency), requester.id, requester.expires[:10])
    console.print(table if table.row_count else "Nobody is in it.")
