"""`python -m agent` and the `doorward` command: one sentence and an exit code instead of a traceback."""

from __future__ import annotations

import io
import shutil
import sys
import textwrap

import click

from agent.cli import commands
from agent.cli.output import exit_code
from agent.core.errors import DoorwardError


def _say(sentence: str) -> None:
    """One sentence on standard error; a terminal gets it in lines that end between words."""
    text = f"doorward: {sentence}"
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False, replace_whitespace=False)
    click.echo(text, err=True)


def _placed(error: click.ClickException) -> click.ClickException:
    """The error, or for an option of `doorward` itself that stands behind the command: where it belongs."""
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        ours = {name: option for option in commands.doorward.params for name in option.opts}
        if option := ours.get(error.option_name):
            name = error.option_name if getattr(option, "is_flag", False) else f"{error.option_name} …"
            root = error.ctx.find_root().info_name or "doorward"
            command = error.ctx.command_path.removeprefix(root).strip()
            return click.UsageError(
                f"{error.option_name} stands before the command: {root} {name} {command}", error.ctx
            )
    return error


def main() -> None:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal of another time shows "?" where it has no such letter
    try:
        status = commands.doorward.main(standalone_mode=False)
    except DoorwardError as e:
        _say(str(e))
        sys.exit(exit_code(e))
    except click.ClickException as e:
        _placed(e).show()
        sys.exit(2)
    except ModuleNotFoundError as e:  # the code was brought up to date, and its packages were not
        _say(f"the Python package '{e.name}' is missing; run scripts/environment demo, or sudo scripts/install")
        sys.exit(3)
    except (click.Abort, KeyboardInterrupt):
        _say("stopped")
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
