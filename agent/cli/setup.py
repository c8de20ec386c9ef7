"""`doorward setup`: the first start, so that nobody has to edit a file: questions, the settings, the service, pairing.

Writes the configuration once, after the last question; a person who leaves before that has changed nothing.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from agent.adapters import service_unit, vitals
from agent.adapters.vitals import Service
from agent.cli.asking import Person
from agent.cli.doorbell import open_pairing
from agent.cli.output import DEFAULT_CONFIG, DEFAULT_STATE, Options, leave_log_to_answer, options, report
from agent.cli.setup_questions import Settings, Situation, ask_all, without_secrets
from agent.config import Config
from agent.core import identity
from agent.core.settings_text import Key, Value
from agent.settings_file import SettingsFile
from agent.store.database import connect
from agent.store.ledger import Ledger
from agent.store.state import StateDirectory, WriterLock, device_id

_WELCOME: Final = (
    "A few questions. Enter takes what is proposed; Ctrl-C leaves, and then nothing is changed. You can run this "
    "again at any time."
)
_REST: Final = "Motion zones, masks, sound, the button and who may ask are set in that file; it explains each."


@click.command()
@click.option("--defaults", is_flag=True, help="Ask nothing: the defaults where there are no settings yet.")
@click.pass_context
def setup(context: click.Context, defaults: bool) -> None:
    """Set the doorbell up: name, place, camera, phones, notices, requests. Then let the first phone in."""
    opts = options(context)
    if leave_log_to_answer(context):
        os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    file = SettingsFile.read(opts.config_path or DEFAULT_CONFIG)
    file.check_writable()
    before, person = file.config, Person(opts.console)
    door = _Doorbell.found(file.path, opts.state)
    changed = {} if defaults else _asked(person, door, before, file)
    wrote = bool(changed) or not file.there
    if wrote:
        SettingsFile.read(file.path).with_values(changed).write()  # as it is by now: answering takes a while
        person.tell(f"✓ {file.path} is written.", "green")
    else:
        person.tell(f"{file.path} stays as it is.")
    person.tell(_REST)
    if not defaults and _started(person, door, wrote):
        door, wrote = _Doorbell.found(file.path, opts.state), False
    document: dict[str, Any] = {
        "file": str(file.path),
        "created": not file.there,
        "written": {f"{section}.{name}": without_secrets(value) for (section, name), value in changed.items()},
        "next": door.next(opts, wrote),
        "pairing": None,
    }
    if door.running and not door.paired and not wrote:
        document["pairing"], show = open_pairing(SettingsFile.read(file.path).config, opts.state)
        report(opts, document, show)
    else:
        first = (
            "The doorbell that runs does not know this yet; end it, and then:" if door.running and wrote else "Next:"
        )
        report(opts, document, lambda console: _show_next(console, "Next:" if door.unit else first, document["next"]))


def _asked(person: Person, door: _Doorbell, before: Config, file: SettingsFile) -> Settings:
    """What the person answered and agreed to write, as far as it differs. Abort where they leave."""
    try:
        person.tell(_WELCOME)
        answers = ask_all(Situation(person, before, door.state, door.unit, door.paired))
        changed = {key: value for key, value in answers.items() if value != _value(before, key)}
        file.with_values(changed)
        if changed:
            person.heading(f"This changes {file.path}:")
            for key, value in changed.items():
                was, becomes = (without_secrets(each) or "(empty)" for each in (_value(before, key), value))
                person.tell(f"  {'.'.join(key)}: {was} → {becomes}")
            person.tell("Write it?")
            if not person.agrees(True):
                raise click.Abort
    except (click.Abort, KeyboardInterrupt) as left:
        person.tell("Nothing was changed.")
        raise click.Abort from left
    return changed


def _value(config: Config, key: Key) -> Value:
    value: Value = getattr(getattr(config, key[0]), key[1])
    return value


def _started(person: Person, door: _Doorbell, wrote: bool) -> bool:
    """Whether the service was started, or started anew, because the person wanted that."""
    if door.unit is None or os.geteuid() != 0 or (door.running and not wrote):
        return False
    person.heading(
        "Start the doorbell anew with this?" if door.running else "Start the doorbell, now and with the machine?"
    )
    if not person.agrees(True):
        return False
    with person.waiting("Starting the doorbell …"):
        service_unit.order(service_unit.RESTART if door.running else service_unit.START)
    person.tell("✓ The doorbell runs.", "green")
    return True


@dataclass(frozen=True, slots=True)
class _Doorbell:
    """The doorbell these settings are for. `unit`: its service, if it is one."""

    state: Path
    unit: Service | None
    running: bool
    paired: bool

    @staticmethod
    def found(file: Path, state: Path) -> _Doorbell:
        """As it is now."""
        unit = vitals.service() if (file, state) == (DEFAULT_CONFIG, DEFAULT_STATE) else None
        if not (state / "doorward.db").exists():
            return _Doorbell(state, unit, running=False, paired=False)
        there = StateDirectory(state)
        with contextlib.closing(connect(there.database, read_only=True)) as db:
            current = Ledger(db).owners()
        owned = current is not None and bool(identity.read_owner_set(current, device_id(there.device_key())).owners)
        return _Doorbell(state, unit, running=WriterLock.holder(there) is not None, paired=owned)

    def next(self, opts: Options, stale: bool) -> list[str]:
        """The commands that are left to do. `stale`: it does not know the newest settings."""
        if self.running and not stale:
            return []
        if self.unit is not None:
            first = service_unit.RESTART if self.running else service_unit.START
            commands = [f"sudo {' '.join(first)}", "sudo doorward pair"]
        else:
            named = f" --config {opts.config_path}" if opts.config_path else ""
            stated = f" --state {self.state}" if self.state != DEFAULT_STATE else ""
            commands = [f"doorward{named}{stated} run", f"doorward{named}{stated} pair"]
        return commands[:1] if self.paired else commands


def _show_next(console: Console, first: str, commands: list[str]) -> None:
    if commands:
        console.print(first)
    for command in commands:
        console.print(f"  [bold]{command}[/]", soft_wrap=True)
