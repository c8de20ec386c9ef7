"""Clock statements: each vector has the outcome it names, and an accepted one places every moment as written there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.core.boot_clock import place, read_clock
from agent.core.encoding import from_b64u, parse_time
from agent.core.errors import Refused

VECTORS = Path(__file__).parents[1] / "vectors"
FILES = sorted((VECTORS / "clock").glob("*.json"))


def ns(text: str | None) -> int | None:
    return None if text is None else parse_time(text)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_outcome_is_the_one_the_vector_names(file: Path) -> None:
    vector: dict[str, Any] = json.loads(file.read_text())
    device = Ed25519PublicKey.from_public_bytes(from_b64u(vector["key"], 32))
    if vector["outcome"] != "accepted":
        with pytest.raises(Refused) as refused:
            read_clock(vector["statement"].encode(), device)
        assert refused.value.reason == vector["outcome"]
        return
    clock = read_clock(vector["statement"].encode(), device)
    for boot_us, best, earliest, latest in vector["places"]:
        found = place(clock, boot_us * 1000)
        assert (found.best_ns, found.earliest_ns, found.latest_ns) == (ns(best), ns(earliest), ns(latest))
