"""The sealed-clip vectors: each has one outcome and a reason; the files are what their program makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.core.about import check_poster, read_about
from agent.core.errors import Corrupt
from agent.core.sealing import open_record, read_header, unwrap_clip_key
from agent.store.ring import Ring
from tests.vectors.folders import ROOT

FILES = sorted((ROOT / "sealed_clip").glob("*.json"))


def outcome(vector: dict[str, str], scratch: Path) -> object:
    """What the product makes of a vector."""
    try:
        if vector["what"] == "header":
            read_header(bytes.fromhex(vector["input"]))
            return "accepted"
        if vector["what"] == "wrap":
            key = X25519PrivateKey.from_private_bytes(bytes.fromhex(vector["private"]))
            opened = unwrap_clip_key(bytes.fromhex(vector["header"]), bytes.fromhex(vector["wraps"]), key)
            return {"clip_key": opened.hex()}
        if vector["what"] == "record":
            return {"plaintext": open_record(bytes.fromhex(vector["secret"]), bytes.fromhex(vector["input"])).hex()}
        if vector["what"] == "about":
            return {"labels": read_about(bytes.fromhex(vector["input"])).labels}
        if vector["what"] == "poster":
            check_poster(bytes.fromhex(vector["input"]))
            return "accepted"
        ring = Ring(scratch)
        ring.path(7).parent.mkdir()
        ring.path(7).write_bytes(bytes.fromhex(vector["input"]))
        clip = ring.read(7)
        found = {"records": len(clip.records), "manifest": clip.manifest is not None, "good_bytes": clip.good_bytes}
    except Corrupt:
        return "corrupt"
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_vector_has_its_outcome(path: Path, tmp_path: Path) -> None:
    vector = json.loads(path.read_text())
    assert outcome(vector, tmp_path) == vector["outcome"], vector["reason"]
