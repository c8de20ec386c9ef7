"""Which program makes which folder of vectors, and what its files hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.vectors import (
    clock_vectors,
    decision_vectors,
    directory_vectors,
    fragment_vectors,
    request_vectors,
    sealed_clip_vectors,
    transfer_vectors,
)

ROOT = Path(__file__).parent

GENERATORS: dict[str, Callable[[], list[tuple[str, dict[str, Any]]]]] = {
    "clock": clock_vectors.vectors,
    "decision": decision_vectors.vectors,
    "directory": directory_vectors.vectors,
    "fragment": fragment_vectors.vectors,
    "request": request_vectors.vectors,
    "sealed_clip": sealed_clip_vectors.vectors,
    "transfer": transfer_vectors.vectors,
    "withdrawal": request_vectors.withdrawal_vectors,
}
_ON_ONE_LINE = {"decision", "transfer"}


def contents(folder: str) -> dict[str, str]:
    """File name → content, as its program makes them."""
    made = GENERATORS[folder]()
    style: dict[str, Any] = {"separators": (",", ":")} if folder in _ON_ONE_LINE else {"indent": 1}
    found = {f"{name}.json": json.dumps(vector, **style) + "\n" for name, vector in made}
    assert len(found) == len(made), "two vectors have one name"
    return found


def files(folder: str) -> dict[str, str]:
    """File name → content, as they lie there."""
    return {path.name: path.read_text() for path in (ROOT / folder).glob("*.json")}
