"""`doorward run`, the doorbell itself, and `doorward pair`, which lets one phone in."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import segno
from rich.console import Console

from agent.adapters import clock
from agent.adapters.replay import Pace, ReplaySource
from agent.adapters.supervisor import journaled
from agent.cli.output import Options, options, report
from agent.config import Config, camera_masks
from agent.core import identity
from agent.core.encoding import format_time
from agent.core.errors import Refused
from agent.core.timeline import TimeBase, Trust
from agent.daemon import Doorbell, Running, pinned_requesters
from agent.live import live_source
from agent.recorder_thread import Footage
from agent.secure_home import SecureHome, stays_here
from agent.setup import pairing_link
from agent.store.database import connect
from agent.store.ledger import Ledger
from agent.store.state import StateDirectory, WriterLock, device_id
from agent.timekeeper import Clock


@contextlib.contextmanager
def until_signalled(stopped: asyncio.Event) -> Iterator[None]:
    """Set `stopped` on Ctrl-C, SIGTERM or a closed terminal, while entered."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, stopped.set)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@click.command()
@click.pass_context
def run(context: click.Context) -> None:
    """Run the doorbell until it is stopped."""
    opts = options(context)
    faulthandler.enable()  # where each thread was when systemd's watchdog ended a stuck process
    asyncio.run(_run(opts, opts.config))


async def _run(opts: Options, config: Config) -> None:
    footage = None
    if config.camera.url:
        footage = Footage(live_source(config), None)
    elif config.camera.replay:
        source = ReplaySource(
            [Path(name) for name in config.camera.replay],
            pace=Pace() if config.camera.realtime else None,
            sound=config.audio.record,
            masks=camera_masks(config),
        )
        # What is replayed faster than it was filmed ends now: nothing may be filmed in the future.
        ahead_ns = 0 if config.camera.realtime else sum(facts.duration_ns for facts in source.facts)
        footage = Footage(lambda _stopped: source, lambda: TimeBase(0, clock.utc_ns() - ahead_ns, Trust.REPLAYED))
    doorbell = Doorbell(
        StateDirectory(opts.state, create=True), config, pinned=pinned_requesters(config), footage=footage
    )
    console = Console(stderr=True, highlight=False)

    def ready(running: Running) -> None:
        console.print(f"The owner's page: {running.origin}")
        if running.recovery_code is not None:
            console.print(f"Recovery code, shown once and kept nowhere: [bold]{running.recovery_code}[/]")
        if not doorbell.doorkeeper.device().paired:
            console.print("No phone is paired yet: 'doorward pair' in another terminal shows the code.")
        if footage is None:
            console.print("The settings name no camera, so nothing is recorded: 'doorward setup' finds one.")

    with until_signalled(doorbell.stopped):
        # A journal keeps what it is told; then a phone makes the code, and nothing is recorded before one is paired.
        await doorbell.run(ready, make_recovery=not journaled(os.environ, 2))


@click.command()
@click.option("--origin", metavar="URL", help="The address under which the phone reaches the owner's page.")
@click.pass_context
def pair(context: click.Context, origin: str | None) -> None:
    """Show a QR code that lets one phone in: ten minutes, single use."""
    opts = options(context)
    report(opts, *open_pairing(opts.config, opts.state, origin))


def open_pairing(
    config: Config, root: Path, origin: str | None = None
) -> tuple[dict[str, str], Callable[[Console], None]]:
    """Let one phone in: the link as a document, and how people are shown it. Refused where there is an owner."""
    http = config.http
    state = StateDirectory(root)
    secure = None if stays_here(http.host) else SecureHome(config, state)
    address = origin or (secure.origin() if secure else f"http://localhost:{http.port}")
    known_by = secure.authority_hash() if secure else b""
    secret = secrets.token_bytes(identity.SECRET_BYTES)
    with contextlib.closing(connect(state.database)) as db:
        ledger, device = Ledger(db), state.device_key()
        time = Clock(state, device, clock.reading, clock.kernel_boot_id(), trusted=config.clock.trusted)
        current = ledger.owners()
        if current is not None and identity.read_owner_set(current, device_id(device)).owners:
            raise Refused("already-paired", "this doorbell has an owner already; that phone has to let another one in")
        link = pairing_link(ledger, device, address.rstrip("/"), time, secret, known_by)
    code = identity.pairing_code(secret)
    document = {"url": link, "code": code, "expires": format_time(time.now() + identity.PAIRING_LIFE_NS)}
    if secure is not None and known_by:
        document["certificate"] = secure.authority_code()
    running = WriterLock.holder(state) is not None
    first = f"http://{secure.names[0]}:{http.port}" if secure is not None and known_by else ""

    def human(console: Console) -> None:
        show_pairing(console, link, code)
        if not running:
            console.print("  The doorbell does not run: start it, or nothing answers there ('doorward doctor').")
        if first:
            console.print(f"  First open {first}; it must say  [bold]{document['certificate']}[/]")

    return document, human


def show_pairing(console: Console, link: str, code: str) -> None:
    """The QR code, small enough for 80×24, and the same to type."""
    qr = segno.make(link, error="l", micro=False)
    rows = [bytes(row) for row in qr.matrix]
    width = len(rows[0])
    blank = bytes(width)
    for n in range(0, len(rows), 2):
        pair_of_rows = zip(rows[n], rows[n + 1] if n + 1 < len(rows) else blank, strict=True)
        line = "".join(" ▀▄█"[(1 - upper) + 2 * (1 - lower)] for upper, lower in pair_of_rows)
        console.print(f"  █{line}█", highlight=False, no_wrap=True)
    console.print(f"  {link}\n  or type  [bold]{code}[/]  (ten minutes, one phone)", soft_wrap=True)
