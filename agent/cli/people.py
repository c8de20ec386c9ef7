"""`doorward owner invite, join, people, remove, recover`: who can open this doorbell's clips."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from pathlib import Path

import click
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.adapters.clock import utc_ns
from agent.adapters.owner_client import OwnerClient
from agent.cli.output import options, report
from agent.cli.owner import ca_option, identity_option, keys_of, new_passphrase, owner, signed_in
from agent.cli.tables import counted, local_time
from agent.core import identity
from agent.core.encoding import from_b64u, key_id
from agent.core.errors import BadInput, Refused
from agent.core.identity import Owner
from agent.core.joining import Invitation, read_invitation
from agent.owner import key_file, people, rescue
from agent.owner.session import OwnerSession

_PATIENCE_S = 600.0


@owner.command()
@identity_option
@click.option("--yes", is_flag=True, help="Let in whoever opens the link, without asking.")
@click.pass_context
def invite(context: click.Context, identity_path: Path, yes: bool) -> None:
    """Let another phone or computer in; it becomes an owner as you are."""
    opts = options(context)
    notes = Console(stderr=True)

    async def work(session: OwnerSession) -> Owner:
        doorbell = session.doorbell
        invitation = Invitation(doorbell.url, doorbell.id, secrets.token_bytes(identity.SECRET_BYTES))
        notes.print("Open this link on the new phone, or give it to 'doorward owner join' there (10 minutes):\n")
        notes.print(f"  {invitation.link}\n", soft_wrap=True, highlight=False)
        who = await people.newcomer(session, invitation, _PATIENCE_S)
        if not yes and not await asyncio.to_thread(_agreed, who):
            raise Refused("declined", f"'{who.name}' was not let in; nothing has changed")
        await people.admit(session, invitation, who, utc_ns())
        return who

    who = signed_in(identity_path, work)
    document = {"name": who.name, "owner": key_id(from_b64u(who.decides, 32))}
    told = f"[bold]{escape(who.name)}[/] is an owner now. It opens what is recorded from now on."
    report(opts, document, lambda c: c.print(told))


def _agreed(who: Owner) -> bool:
    if not sys.stdin.isatty():
        raise BadInput("there is nobody to ask whether to let the newcomer in; add --yes")
    return click.confirm(f"'{who.name}' opened the link. Let it in, to see and share everything as you can?", err=True)


@owner.command()
@click.argument("link")
@identity_option
@ca_option
@click.pass_context
def join(context: click.Context, link: str, identity_path: Path, authority: str) -> None:
    """Answer an invitation, and wait until you are let in."""
    invitation = read_invitation(link)
    content = key_file.read(identity_path)
    keys = keys_of(content)

    async def work() -> key_file.PairedDoorbell:
        async with OwnerClient(invitation.url, authority) as client:
            return await people.join(client, invitation, content.name, keys, _PATIENCE_S)

    doorbell = asyncio.run(work())
    key_file.write(identity_path, key_file.with_doorbell(content, doorbell, authority), new=False)
    report(
        options(context),
        {"device": doorbell.id, "url": doorbell.url},
        lambda c: c.print(f"You are an owner of the doorbell at {escape(doorbell.url)} now."),
    )


@owner.command("people")
@identity_option
@click.pass_context
def people_command(context: click.Context, identity_path: Path) -> None:
    """List who can open this doorbell's clips."""
    who = signed_in(identity_path, people.people)
    mine = key_file.read(identity_path)
    document = {
        "version": who.version,
        "owners": [{"name": o.name, "owner": key_id(from_b64u(o.decides, 32))} for o in who.owners],
        "recovery_codes": len(who.recovery),
    }

    def human(console: Console) -> None:
        table = Table("Owner", "Key")
        for entry in who.owners:
            table.add_row(escape(entry.name), key_id(from_b64u(entry.decides, 32))[:8])
        console.print(table)
        console.print(f"{counted(len(who.recovery), 'recovery code')}. You are '{escape(mine.name)}'.")

    report(options(context), document, human)


@owner.command()
@click.argument("name")
@identity_option
@click.pass_context
def remove(context: click.Context, name: str, identity_path: Path) -> None:
    """Take an owner out: a lost phone, somebody who moved. It keeps what it could open before."""
    gone = signed_in(identity_path, lambda session: people.remove(session, name, utc_ns()))
    report(
        options(context),
        {"name": gone.name, "owner": key_id(from_b64u(gone.decides, 32))},
        lambda c: c.print(f"[bold]{escape(gone.name)}[/] is no owner any more. New clips are not sealed to it."),
    )


@owner.command()
@click.option("--device", metavar="URL", help="The doorbell's address: come back as an owner of it.")
@click.option("--identity", "identity_path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Where the new keys go.")  # fmt: skip
@ca_option
@click.option("--name", default="This computer", help="What the doorbell calls it.")
@click.option("--alone", is_flag=True, help="Take out all other owners: their phones are lost.")
@click.option("--no-passphrase", is_flag=True, help="Keep the keys unprotected: for tests.")
@click.option("--card", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR",
              help="Instead: the state directory of a doorbell that died, or where its card is mounted.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Where its films go.")
@click.pass_context
def recover(
    context: click.Context, device: str | None, identity_path: Path | None, authority: str, name: str,
    alone: bool, no_passphrase: bool, card: Path | None, out: Path | None,
) -> None:  # fmt: skip
    """Open everything with the recovery code alone: at a doorbell (--device), or from its card (--card)."""
    if (card is None) == (device is None) or (card and not out) or (device and not identity_path):
        raise BadInput("write either --device URL --identity FILE, or --card DIR --out DIR")
    code = identity.read_recovery_code(_recovery_code())
    keys = identity.recovery_keys(code)
    if card is not None and out is not None:
        _from_card(context, card, keys, out)
        return
    assert device is not None, "checked above"
    assert identity_path is not None, "checked above"
    raw = keys.opens.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    phrase = None if no_passphrase else new_passphrase()
    seeds = secrets.token_bytes(64) + raw
    content = key_file.make(name, seeds, identity.recovery_entry(keys), phrase, secrets.token_bytes(48))
    me = identity.owner_entry(name, key_file.unlock(content, phrase))

    async def work() -> key_file.PairedDoorbell:
        async with OwnerClient(device, authority) as client:
            return await people.come_back(
                client, device, keys, me, alone=alone, now=utc_ns,
                keep_keys=lambda: key_file.write(identity_path, content, new=True),
            )  # fmt: skip

    doorbell = asyncio.run(work())
    key_file.write(identity_path, key_file.with_doorbell(content, doorbell, authority), new=False)
    report(
        options(context),
        {"device": doorbell.id, "url": doorbell.url},
        lambda c: c.print(
            "You are an owner again. Old clips open with the recovery code's key, new ones with your own."
        ),
    )


def _recovery_code() -> str:
    given = os.environ.get("DOORWARD_RECOVERY_CODE")
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise BadInput("the recovery code is needed; set DOORWARD_RECOVERY_CODE or run this in a terminal")
    return str(click.prompt("Recovery code", err=True))


def _problems(found: list[rescue.Rescued]) -> dict[str, list[str]]:
    """What kept clips shut, with when those began, oldest first: one wrong code is one line for a thousand clips."""
    problems: dict[str, list[str]] = {}
    for lost in found:
        if lost.problem:
            problems.setdefault(lost.problem, []).append(lost.start)
    return problems


def _from_card(context: click.Context, card: Path, keys: identity.KeyPair, out: Path) -> None:
    ring = rescue.ring_of(card)
    total = sum(1 for _ in ring.sequences())
    found: list[rescue.Rescued] = []
    opts = options(context)
    with click.progressbar(rescue.rescue(ring, keys, out), length=total, label="Opening", file=sys.stderr) as bar:
        found.extend(bar)
    opened = [r for r in found if r.file]

    def human(console: Console) -> None:
        console.print(f"{len(opened)} of {counted(len(found), 'clip')} opened; the films are in {escape(str(out))}.")
        for problem, starts in _problems(found).items():
            which = " to ".join(dict.fromkeys(local_time(start) for start in (starts[0], starts[-1]) if start))
            many = f" ({counted(len(starts), 'clip')})" if len(starts) > 1 else ""
            console.print(f"  not opened: {which or 'a damaged file'}{many}: {escape(problem)}")

    report(opts, {"out": str(out), "clips": found}, human)
    if not opened:
        raise Refused("nothing-opened", "no clip opened with this recovery code; is it the code of this doorbell?")
