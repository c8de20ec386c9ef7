"""What every command does at its edges: one JSON document or a readable page on stdout, one sentence on stderr.

Exit codes: 0 done; 1 the answer is no; 2 bad usage or bad input; 3 something needed is not there.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec
from rich.console import Console

from agent.config import Config, read_config
from agent.core.errors import BadInput, Corrupt, DoorwardError, Refused, Unavailable

DEFAULT_STATE = Path("/var/lib/doorward")
DEFAULT_CONFIG = Path("/etc/doorward/doorward.toml")


@dataclass(frozen=True, slots=True)
class Options:
    """What stands before the command: `--config`, `--state`, `--json`."""

    config_path: Path | None
    state_path: Path
    json: bool

    @property
    def state(self) -> Path:
        """The state directory. Unavailable where it is another user's, as a service's is."""
        path = self.state_path
        if os.path.exists(path) and not os.access(path, os.R_OK | os.X_OK):
            raise Unavailable(f"{path} is not yours to read; put 'sudo' before the command")
        return path

    @property
    def config(self) -> Config:
        """The configuration named, or the system's, or the defaults."""
        if self.config_path is not None:
            return read_config(self.config_path)
        return read_config(DEFAULT_CONFIG) if DEFAULT_CONFIG.exists() else Config()

    @property
    def console(self) -> Console:
        """Where people read: stderr when stdout is for a JSON document."""
        return Console(stderr=self.json, highlight=False)


class _Page(Console):
    """A console that leaves a closed pipe to `report`, instead of ending the process with status 1, a "no"."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def options(context: click.Context) -> Options:
    """The global options of this invocation."""
    found = context.find_object(Options)
    assert found is not None, "the group sets it"
    return found


def leave_log_to_answer(context: click.Context) -> bool:
    """Silence our log until the command ends, as its answer says the same; True where `-v` did not ask for the log."""
    if logging.getLogger().level <= logging.INFO:
        return False
    ours = logging.getLogger("agent")
    context.call_on_close(lambda before=ours.level: ours.setLevel(before))
    ours.setLevel(logging.CRITICAL)
    return True


def report(opts: Options, document: object, human: Callable[[Console], None]) -> None:
    """Print `document` as JSON with `--json`, else let `human` write to the console. Unavailable: nowhere to write."""
    try:
        if opts.json:
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n")
        else:
            human(_Page(highlight=False))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it (head, less) has seen enough
        _write_no_more()
        raise click.exceptions.Exit(0) from None
    except OSError as e:
        _write_no_more()
        raise Unavailable(f"the answer could not be written: {e.strerror}; look where the output goes") from e


def _write_no_more() -> None:
    """So that Python does not try again at its end, and fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_code(error: DoorwardError) -> int:
    """What the process ends with for an error raised on purpose."""
    if isinstance(error, Unavailable):
        return 3
    if isinstance(error, BadInput):
        return 2
    assert isinstance(error, Refused | Corrupt), "every error is one of the four kinds"
    return 1
