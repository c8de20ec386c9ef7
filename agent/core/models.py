"""The manifest of detection models: which there are, where each comes from, what it must be to be used.

Owns the manifest's form; the file itself is models/manifest.toml. Downloads nothing, runs nothing.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

import msgspec

from agent.core.detection import Layout
from agent.core.errors import Corrupt


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    about: str
    file: str
    url: str
    bytes: int
    sha256: str
    licence: str
    layout: str
    input: tuple[int, int]
    class_count: int
    labels: dict[str, list[int]]


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: list[_Entry]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the manifest. `sha256` in hexadecimal; `layout`: how its input and output are to be read."""

    name: str
    about: str
    file: str
    url: str
    bytes: int
    sha256: str
    licence: str
    layout: Layout


def read_manifest(text: str) -> list[ModelEntry]:
    """The entries in order; Corrupt unless every one is complete."""
    try:
        found = msgspec.convert(tomllib.loads(text), _Manifest)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as e:
        raise Corrupt(f"the models' manifest is not as specified: {e}") from e
    return [_entry(entry) for entry in found.model]


def _entry(entry: _Entry) -> ModelEntry:
    width, height = entry.input
    if entry.layout != "yolox" or width < 32 or height < 32 or width % 32 or height % 32:
        raise Corrupt(f"the model {entry.name} has a layout or an input size that is not known here")
    if "/" in entry.file or entry.file.startswith(".") or len(entry.sha256) != 64 or entry.bytes < 1:
        raise Corrupt(f"the model {entry.name} has an impossible file name, size or hash")
    labels = {number: label for label, numbers in entry.labels.items() for number in numbers}
    if not all(0 <= number < entry.class_count for number in labels):
        raise Corrupt(f"the model {entry.name} has labels for classes it does not know")
    layout = Layout(width, height, entry.class_count, labels)
    return ModelEntry(entry.name, entry.about, entry.file, entry.url, entry.bytes, entry.sha256, entry.licence, layout)
