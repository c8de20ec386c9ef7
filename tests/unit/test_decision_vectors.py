"""Decisions: each vector has the outcome it names, and an accepted one releases exactly the agreed keys."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.core.encoding import b64u, from_b64u, parse_time
from agent.core.errors import Refused
from agent.core.frame import Track
from agent.core.identity import Owner, OwnerSet, PublicKeys
from agent.core.release import Asked, ClipFacts, Decision, judge_decision, open_release
from agent.core.sealing import RecordHeader
from agent.core.timeline import parse_span

VECTORS = Path(__file__).parents[1] / "vectors"
FILES = sorted((VECTORS / "decision").glob("*.json"))
UNUSED = b64u(bytes(range(32)))


def facts(said: dict[str, Any]) -> ClipFacts:
    hh, size = from_b64u(said["header"], 32), said.get("record_bytes", 1000)
    tracks = {Track[name.upper()]: rows for name, rows in said["records"].items()}
    return ClipFacts(
        clip=said["clip"],
        header_hash=said["header"],
        begins=parse_span(*said["begins"]),
        records={
            track: [RecordHeader(hh, track, row[0], i, row[1], row[2], size) for i, row in enumerate(rows)]
            for track, rows in tracks.items()
        },
        hashes={track: [from_b64u(row[3], 32) for row in rows] for track, rows in tracks.items()},
    )  # fmt: skip


def judged(vector: dict[str, Any]) -> Decision:
    asked = vector["request"]
    owners = OwnerSet(
        device=vector["device"],
        version=1,
        issued=vector["now"],
        previous="",
        owners=[Owner(UNUSED, key, f"phone {n}") for n, key in enumerate(vector["owners"])],
        recovery=[PublicKeys(UNUSED, key) for key in vector["recovery"]],
    )
    return judge_decision(
        vector["decision"].encode(),
        [from_b64u(text) for text in vector["releases"]],
        owners=owners,
        device=vector["device"],
        asked=Asked(
            asked["hash"], asked["requester"], asked["key"], asked["purpose"], parse_span(asked["from"], asked["to"])
        ),
        clips={clip["clip"]: facts(clip) for clip in vector["clips"]},
        now_ns=parse_time(vector["now"]),
    )


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_each_vector_has_the_outcome_it_names(file: Path) -> None:
    vector = json.loads(file.read_text())
    if vector["outcome"] != "accepted":
        with pytest.raises(Refused) as refused:
            judged(vector)
        assert refused.value.reason == vector["outcome"], str(refused.value)
        assert "\n" not in str(refused.value)
        return
    decision = judged(vector)
    key = X25519PrivateKey.from_private_bytes(bytes.fromhex(vector["requester_opens"]))
    assert len(decision.clips) == len(vector["opened"])
    for clip, release, expected in zip(decision.clips, vector["releases"], vector["opened"], strict=True):
        opened = open_release(vector["decision"].encode(), clip, from_b64u(release), key)
        found = {t.name.lower(): {str(i): s.hex() for i, s in secrets.items()} for t, secrets in opened.items()}
        assert found == expected


def test_every_refusal_of_the_page_has_a_vector() -> None:
    page = (VECTORS.parents[1] / "docs" / "spec" / "decision.md").read_text()
    sentence = page.split("The doorbell refuses:")[1].split("\n## ")[0].split("Vectors:")[0]
    named = set(re.findall(r"`([a-z-]+)`", sentence))
    # What the ledger and the doorbell's trust decide is tried where they are: test_http.py, test_release.py.
    kept = {"clock-not-set", "not-asked", "void", "not-trusted"}
    assert named - kept == {json.loads(f.read_text())["outcome"] for f in FILES} - {"accepted"}
