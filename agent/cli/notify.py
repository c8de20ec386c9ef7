"""`doorward notify`: whether the owner's phone can be reached."""

from __future__ import annotations

import asyncio

import click

from agent.adapters.ntfy import owner_phones
from agent.cli.output import options, report
from agent.core import notice
from agent.core.errors import BadInput


@click.command()
@click.pass_context
def notify(context: click.Context) -> None:
    """Send your phone a notice to try it, through the ntfy topic of the settings."""
    opts = options(context)
    told = opts.config.notify
    phones = owner_phones(told.ntfy, opts.config.doorbell.name, told.page, told.ntfy_token)
    if phones is None:
        raise BadInput("notify.ntfy is empty in the settings: name an ntfy topic there that your phone listens to")
    asyncio.run(phones.tell(notice.TRIED))
    report(
        opts,
        {"told": True},
        lambda console: console.print(
            f"{told.ntfy} took it. If nothing shows on your phone, subscribe to that very topic in the ntfy app."
        ),
    )
