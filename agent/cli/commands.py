"""The `doorward` group and its global options; the commands themselves are in the modules beside this one."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from pathlib import Path

import click
from rich.logging import RichHandler

from agent import __version__
from agent.cli.output import DEFAULT_STATE, Options
from agent.store.ownership import hand_to_owner

# Loaded when asked for: OpenCV, libav and the web server take most of a second on a desk and several on a Pi.
_COMMANDS = {
    "audit": "agent.cli.stored",
    "bench": "agent.cli.bench",
    "check": "agent.cli.stored",
    "clips": "agent.cli.stored",
    "demo": "agent.cli.demo",
    "directory": "agent.cli.directory",
    "doctor": "agent.cli.doctor",
    "models": "agent.cli.models",
    "notify": "agent.cli.notify",
    "owner": "agent.cli.owner_settings",  # which has those of agent.cli.owner and agent.cli.people too
    "pair": "agent.cli.doorbell",
    "replay": "agent.cli.recording",
    "requester": "agent.cli.requester",
    "run": "agent.cli.doorbell",
    "setup": "agent.cli.setup",
}


class _Commands(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        found: click.Command = getattr(import_module(_COMMANDS[cmd_name]), cmd_name)
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="doorward")
@click.option("--config", "config_path", type=click.Path(path_type=Path, dir_okay=False), help="Configuration file.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False, readable=False),  # by the commands that read it
    default=DEFAULT_STATE,
    envvar="DOORWARD_STATE",
    help=f"State directory ({DEFAULT_STATE}).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output, nothing else.")
@click.option("-v", "--verbose", is_flag=True, help="Tell on standard error what happens.")
@click.pass_context
def doorward(context: click.Context, config_path: Path | None, state: Path, as_json: bool, verbose: bool) -> None:
    """A doorbell camera whose owner alone can open what it recorded."""
    context.obj = Options(config_path, state, as_json)
    if os.geteuid() == 0:
        context.call_on_close(lambda: hand_to_owner(state))
    opts = Options(config_path, state, json=True)  # the log goes to standard error in any case
    handler = RichHandler(console=opts.console, show_path=False, rich_tracebacks=False)
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", datefmt="[%X]", handlers=[handler])
    for noisy in ("amqtt", "transitions", "asyncio", "libav", "mqtt"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
