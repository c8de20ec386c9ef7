"""What is stored: `clips`, `check`, `audit`. They read beside a running doorbell; only `check --repair` writes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from agent.cli.names import Group
from agent.cli.output import Options, options, report
from agent.cli.tables import clip_table, counted, local_time, size
from agent.core.audit import AuditEntry, check_chain
from agent.core.encoding import parse_time
from agent.core.errors import Corrupt
from agent.core.timeline import Span
from agent.disclosure.clip_summary import summary
from agent.store.check import Checker, Finding, repair
from agent.store.clips import ClipStore
from agent.store.database import connect
from agent.store.durable import write_file
from agent.store.index import Index
from agent.store.ledger import Ledger
from agent.store.ring import Ring
from agent.store.state import StateDirectory, WriterLock

_FOREVER_NS = 10**19


@dataclass(frozen=True, slots=True)
class Stored:
    """A state directory opened for reading."""

    state: StateDirectory
    device: Ed25519PrivateKey
    index: Index
    ledger: Ledger
    ring: Ring


@contextlib.contextmanager
def stored(opts: Options) -> Iterator[Stored]:
    """Open the state directory for reading; Unavailable where there is none."""
    state = StateDirectory(opts.state)
    with contextlib.closing(connect(state.database, read_only=True)) as db:
        yield Stored(state, state.device_key(), Index(db), Ledger(db), Ring(state.ring))


@click.command()
@click.option("--from", "start", metavar="TIME", help="Only clips that end after this (RFC 3339, with its zone).")
@click.option("--to", "end", metavar="TIME", help="Only clips that begin before this.")
@click.pass_context
def clips(context: click.Context, start: str | None, end: str | None) -> None:
    """List what the ring holds."""
    opts = options(context)
    span = Span(parse_time(start) if start else 0, parse_time(end) if end else _FOREVER_NS)
    with stored(opts) as found:
        rows = [summary(row) for row in found.index.overlapping(span)]
        count, used, _ = found.index.totals()
    ring = opts.config.ring

    def human(console: Console) -> None:
        console.print(clip_table(rows) if rows else "No clips there.")
        kept = f"kept {ring.days} days at most" if ring.days else "kept while there is room"
        console.print(f"{counted(count, 'clip')} in all: {size(used)} of {size(ring.budget_mb * 1_000_000)}, {kept}.")

    report(opts, rows, human)


@click.command()
@click.option(
    "--repair", "mend", is_flag=True, help="Mend what can be mended; nothing that could be opened is deleted."
)
@click.pass_context
def check(context: click.Context, mend: bool) -> None:
    """Prove that ring and database are as they should be."""
    opts = options(context)
    done: list[str] = []
    if mend:
        StateDirectory(opts.state)  # says so where there is none, instead of making one
        done = _repair(StateDirectory(opts.state, create=True))
    state = StateDirectory(opts.state)
    findings, count = _look(state)
    document = {"ok": not findings, "clips": count, "findings": findings, "repaired": done}
    report(opts, document, lambda console: _tell(console, findings, count, done))
    if findings:
        sys.exit(1)


def _repair(state: StateDirectory) -> list[str]:
    with WriterLock(state, "check --repair"):
        device = state.device_key()
        with contextlib.closing(connect(state.database)) as db, reading_progress() as progress:
            return repair(ClipStore(Ring(state.ring), db, device), device, progress)


@contextlib.contextmanager
def reading_progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error for reading the ring; nobody sees it where that is quick."""
    columns = (TextColumn("reading the ring"), BarColumn(), MofNCompleteColumn(), TextColumn("clips"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("")
        yield lambda done, clips: shown.update(task, completed=done, total=clips)


def _look(state: StateDirectory) -> tuple[list[Finding], int]:
    with contextlib.closing(connect(state.database, read_only=True)) as db:
        checker = Checker(Ring(state.ring), state.clock, db, state.device_key())
        return list(checker.findings()), checker.clip_count()


def _tell(console: Console, findings: list[Finding], count: int, done: list[str]) -> None:
    for line in done:
        console.print(f"[green]mended[/] {escape(line)}")
    if not findings:
        console.print(f"[green]✓[/] {counted(count, 'clip')}, index, owners, requests and log are as they should be.")
        return
    for finding in findings:
        mend = " (doorward check --repair mends it)" if finding.mendable else ""
        console.print(f"[red]✗[/] [bold]{escape(finding.invariant)}[/]: {escape(finding.text)}{mend}")


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def audit(context: click.Context) -> None:
    """The log of everything asked, decided and sent: a hash chain."""
    if context.invoked_subcommand is not None:
        return
    opts = options(context)
    with stored(opts) as found:
        entries = list(found.ledger.entries())
    document = [_plain(entry) for entry in entries]
    report(opts, document, lambda console: console.print(_audit_table(entries)))


@audit.command()
@click.pass_context
def verify(context: click.Context) -> None:
    """Check that no entry was removed, altered or put in between."""
    opts = options(context)
    with stored(opts) as found:
        try:
            head = check_chain(found.ledger.entries())
            problem = None
        except Corrupt as e:
            head, problem = None, str(e)
    document = {"intact": problem is None, "entries": head.n if head else 0, "head": head.hash if head else "",
                "problem": problem}  # fmt: skip
    if problem is None:
        count = head.n if head else 0
        report(opts, document, lambda console: console.print(f"[green]✓[/] {_entries(count)}, an unbroken chain."))
    else:
        report(opts, document, lambda console: console.print(f"[red]✗[/] {escape(problem)}"))
        sys.exit(1)


@audit.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_context
def export(context: click.Context, file: Path) -> None:
    """Write the log to FILE, one JSON line an entry, as it is hashed."""
    opts = options(context)
    with stored(opts) as found:
        entries = list(found.ledger.entries())
    write_file(file, b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))
    document = {"file": str(file), "entries": len(entries)}
    report(opts, document, lambda console: console.print(f"{_entries(len(entries))} written to {escape(str(file))}."))


def _entries(count: int) -> str:
    return counted(count, "entry", "entries")


def _plain(entry: AuditEntry) -> dict[str, object]:
    details: object = msgspec.json.decode(entry.details)
    return {"n": entry.n, "time": entry.time, "what": entry.what, "details": details, "hash": entry.hash}


def _audit_table(entries: list[AuditEntry]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("#", "when", "what", "details"):
        table.add_column(name, overflow="fold")
    for entry in entries:
        details = msgspec.json.decode(entry.details, type=dict[str, str | int])
        text = ", ".join(f"{key} {value}" for key, value in details.items())
        table.add_row(str(entry.n), local_time(entry.time), entry.what, escape(text))
    return table
