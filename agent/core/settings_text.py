"""A settings file's text with some values changed, and nothing else: comments, order and every other value stay.

Knows TOML and not what the settings mean; that the result is a configuration is `agent.config`'s to say. Source:
toml.io/en/v1.0.0; tomlkit, which keeps what stands between the values (docs/adr/0042-tomlkit-for-the-owners-file.md).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from agent.core.errors import BadInput

Key = tuple[str, str]
"""Section and name."""
Value = str | float | int | bool


def with_values(text: str, values: Mapping[Key, Value]) -> str:
    """The text with each value in its place, at the end of its section where it has none yet.

    BadInput where the text is no TOML, or is written so that the values cannot be changed alone.
    """
    wanted = _read(text)
    for (section, name), value in values.items():
        if not isinstance(wanted.setdefault(section, {}), dict):
            raise BadInput(f"'{section}' is no section, so '{name}' cannot be set in it; write [{section}]")
        wanted[section][name] = value
    try:
        document = tomlkit.parse(text)
        for (section, name), value in values.items():
            if section not in document:
                document[section] = tomlkit.table()
            document[section][name] = value
        changed = document.as_string()
    except TOMLKitError as e:
        raise BadInput(f"the settings cannot be changed as they are written: {e}") from e
    if _read(changed) != wanted:
        raise BadInput("the settings cannot be changed without changing others; write each section once, by its [name]")
    return changed


def _read(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise BadInput(f"the settings are no TOML: {e}") from e
