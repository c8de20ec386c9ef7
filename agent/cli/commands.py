"""The `doorward` group and its global options; the commands themselves are in the modules beside this one."""

from __future__ import annotations

import difflib
import logging
import os
from importlib import import_module
from pathlib import Path

import click
from rich.logging import RichHandler

from agent import __version__
from agent.cli.names import Group
from agent.cli.output import DEFAULT_CONFIG, DEFAULT_STATE, Options
from agent.store.ownership import hand_to_owner

# Each one's module and line in the list. Loaded when used: OpenCV, libav and the web server take most of a second on a
# desk and several on a Pi. agent.cli.owner_settings has the commands of agent.cli.owner and agent.cli.people too.
_COMMANDS = {
    "audit": ("agent.cli.stored", "The log of everything asked, decided and sent."),
    "bench": ("agent.cli.bench", "Will this machine keep up with its settings?"),
    "check": ("agent.cli.stored", "Prove that recordings, index and log are whole."),
    "clips": ("agent.cli.stored", "List the recorded clips."),
    "demo": ("agent.cli.demo", "See everything at work on this one machine."),
    "directory": ("agent.cli.directory", "Keep a signed list of those who may ask."),
    "doctor": ("agent.cli.doctor", "Try everything the doorbell needs; say what to do."),
    "models": ("agent.cli.models", "What tells people, vehicles and animals apart."),
    "notify": ("agent.cli.notify", "Send your phone a notice to try it."),
    "owner": ("agent.cli.owner_settings", "Be an owner on a computer: look, decide, open clips."),
    "pair": ("agent.cli.doorbell", "Show a QR code that lets one phone in."),
    "replay": ("agent.cli.recording", "Record film files as if a camera filmed them."),
    "requester": ("agent.cli.requester", "Ask for footage, receive and verify it."),
    "run": ("agent.cli.doorbell", "Run the doorbell until it is stopped."),
    "setup": ("agent.cli.setup", "Answer a few questions, and the doorbell is set up."),
}


class _Commands(Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _ = _COMMANDS[cmd_name]
        found: click.Command = getattr(import_module(module), cmd_name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command named. UsageError, with the one that was meant, where there is none."""
        near = [] if args[0] in _COMMANDS else difflib.get_close_matches(args[0], _COMMANDS, n=1)
        if near:
            raise click.UsageError(f"No such command '{args[0]}'. Did you mean '{near[0]}'?", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, none of them loaded for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="doorward")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False, readable=False),
    help=f"The settings ({DEFAULT_CONFIG}).",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False, readable=False),  # by the commands that read it
    default=DEFAULT_STATE,
    envvar="DOORWARD_STATE",
    help=f"Where the doorbell keeps everything ({DEFAULT_STATE}).",
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
