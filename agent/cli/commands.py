"""The `doorward` group and its global options; the commands themselves are in the modules beside this one."""

from __future__ import annotations

import logging
from pathlib import Path

import click
from rich.logging import RichHandler

from agent import __version__
from agent.cli.demo import demo
from agent.cli.doorbell import pair, run
from agent.cli.output import DEFAULT_STATE, Options
from agent.cli.owner import owner
from agent.cli.recording import replay
from agent.cli.requester import requester
from agent.cli.stored import audit, check, clips


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="doorward")
@click.option("--config", "config_path", type=click.Path(path_type=Path, dir_okay=False), help="Configuration file.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
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
    opts = Options(config_path, state, json=True)  # the log goes to standard error in any case
    handler = RichHandler(console=opts.console, show_path=False, rich_tracebacks=False)
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", datefmt="[%X]", handlers=[handler])
    for noisy in ("amqtt", "transitions", "asyncio", "libav", "mqtt"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


for command in (demo, run, pair, replay, clips, check, audit, owner, requester):
    doorward.add_command(command)
