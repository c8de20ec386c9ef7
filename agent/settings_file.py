"""The configuration file as a command changes it: single values, with everything else in it left as its owner wrote it.

Begins with the shipped file where there is none. What is written has been read as a configuration first.
"""

from __future__ import annotations

import contextlib
import grp
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from agent.config import Config, parse_config, read_text
from agent.core.errors import Unavailable
from agent.core.settings_text import Key, Value, with_values
from agent.store.durable import rewrite_file, write_pieces

_GROUP = "doorward"
"""The service's, made by scripts/install."""


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What stands in `path`, or would where it is not `there` yet."""

    path: Path
    there: bool
    text: str

    @staticmethod
    def read(path: Path) -> SettingsFile:
        """BadInput where it is there and cannot be read."""
        there = path.exists()
        return SettingsFile(path, there, read_text(path) if there else shipped())

    @property
    def config(self) -> Config:
        """BadInput where it is none."""
        return parse_config(self.path, self.text)

    def with_values(self, values: Mapping[Key, Value]) -> SettingsFile:
        """The same with these values; nothing is written. BadInput where that is no configuration."""
        changed = SettingsFile(self.path, self.there, with_values(self.text, values))
        parse_config(self.path, changed.text)
        return changed

    def check_writable(self) -> None:
        """Unavailable, before anybody is asked anything, where `write` could not write."""
        folder = next(parent for parent in self.path.resolve().parents if parent.exists())
        if not os.access(folder, os.W_OK | os.X_OK):
            raise Unavailable(f"{self.path} is not yours to change; put 'sudo' before the command")

    def write(self) -> None:
        """Replace the file, durably: all of it or nothing. A new one is for root and the doorbell alone to read."""
        data = self.text.encode()
        if self.there:
            rewrite_file(self.path, data)
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise Unavailable(f"{self.path.parent} cannot be made: {e.strerror}") from e
        write_pieces(self.path, (data,), 0o640, (os.geteuid(), _group()))


def shipped() -> str:
    """config/doorward.toml: in the installed package, or in the clone it runs from."""
    packed = files("agent") / "doorward.toml"
    source = packed if packed.is_file() else files("agent") / ".." / "config" / "doorward.toml"
    return source.read_text(encoding="utf-8")


def _group() -> int:
    if os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            return grp.getgrnam(_GROUP).gr_gid
    return os.getegid()
