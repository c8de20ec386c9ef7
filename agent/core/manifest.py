"""The manifest: what the device signs when a clip has ended, so that a record cannot be changed, added or left out.

Source: docs/spec/sealed-clip.md "Manifest".
"""

from __future__ import annotations

import hashlib

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.core import statements
from agent.core.encoding import b64u, from_b64u, key_id
from agent.core.errors import Corrupt, Refused
from agent.core.frame import Track
from agent.core.sealing import RECORDS_LIMIT


class Clock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """UTC of the clip's time zero as best known when it ended, and how far that can be trusted."""

    start: str
    trust: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Record hashes by track and index, and the readable facts of a clip. Times in ns from the clip's time zero."""

    clip: str
    header: str
    ended: str
    records: dict[str, list[str]]
    duration_ns: int
    motion: list[tuple[int, int]]
    gaps: list[tuple[int, int, str]]
    clock: Clock

    def hashes(self, track: Track) -> list[bytes]:
        """The record hashes of `track` by index, 32 bytes each."""
        return [from_b64u(text, 32) for text in self.records.get(track.name.lower(), [])]


def track_records(hashes: dict[Track, list[bytes]]) -> dict[str, list[str]]:
    """`Manifest.records` from hashes by track."""
    return {track.name.lower(): [b64u(h) for h in found] for track, found in sorted(hashes.items()) if found}


def read_manifest(token: bytes, device: Ed25519PublicKey) -> Manifest:
    """The manifest in `token` if `device` signed it and it is well-formed; else Refused."""
    kid = key_id(statements.raw_public(device))
    manifest = statements.read(statements.Kind.MANIFEST, token, {kid: device}, Manifest)
    if manifest.ended not in ("closed", "cut") or not set(manifest.records) <= {t.name.lower() for t in Track}:
        raise Refused("malformed", "the manifest names an ending or a track that does not exist")
    if sum(map(len, manifest.records.values())) > RECORDS_LIMIT:
        raise Refused("too-large", f"a clip has at most {RECORDS_LIMIT} records")
    try:
        from_b64u(manifest.clip, 16)
        from_b64u(manifest.header, 32)
        for track in Track:
            manifest.hashes(track)
    except Corrupt as e:
        raise Refused("malformed", f"the manifest: {e}") from e
    return manifest


def span_digest(hashes: list[bytes], first: int, last: int) -> bytes:
    """What a decision signs for one track: SHA-256 over the hashes of record 0 and records `first`…`last`."""
    if not 1 <= first <= last < len(hashes):
        raise Corrupt(f"records {first} to {last} are not among the {len(hashes)} of this track")
    return hashlib.sha256(b"".join([hashes[0], *hashes[first : last + 1]])).digest()
