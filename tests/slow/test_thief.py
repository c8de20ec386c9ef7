"""A thief has the state directory and every byte the broker saw, tries every key found there, and opens nothing."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from agent.core.encoding import key_id
from agent.core.errors import Corrupt
from agent.core.frame import Track
from agent.core.sealing import ClipKeys, header_hash, parse_record, read_header, unwrap_clip_key
from agent.owner import key_file
from agent.store.ring import ClipFile, ClipReader, Ring
from tests.slow.conftest import doorward_json, free_port, needed, wait_for_port
from tests.slow.tap import Tap

pytestmark = pytest.mark.slow

_ENCODED = re.compile(rb"[A-Za-z0-9+/_-]{43,}")


class Loot:
    """Everything that could be opened, and a way to try one 32-byte candidate as every kind of key there is."""

    def __init__(self, state: Path) -> None:
        ring = Ring(state / "ring")
        self.clips: list[ClipFile] = [ring.read(sequence) for sequence in ring.sequences()]
        self.recipients = {kid for clip in self.clips for kid in read_header(clip.header).recipients}
        self.commitments: set[bytes] = set()
        for clip in self.clips:
            with ClipReader(clip.path) as reader:
                for record in clip.records:
                    self.commitments.add(reader.read(record.offset + 68, 32))

    def opens(self, candidate: bytes) -> str | None:
        """What `candidate` opens: as a recipient's private key, as a clip key, as the secret of a record."""
        public = X25519PrivateKey.from_private_bytes(candidate).public_key().public_bytes_raw()
        if key_id(public) in self.recipients:
            return "a recipient's private key"
        if self._commitment(candidate) in self.commitments:
            return "a record's secret"
        for clip in self.clips:
            keys = ClipKeys(candidate, header_hash(clip.header))
            if self._commitment(keys.record_secret(Track.VIDEO, 0)) in self.commitments:
                return "a clip key"
        return None

    @staticmethod
    def _commitment(secret: bytes) -> bytes:
        return HKDFExpand(SHA256(), 64, b"doorward seal v1").derive(secret)[32:]


def candidates(data: bytes) -> Iterator[bytes]:
    """Every 32 bytes in a row, and every 32 bytes behind base64 text."""
    for at in range(len(data) - 31):
        yield data[at : at + 32]
    for found in _ENCODED.findall(data):
        for start in range(4):
            piece = found[start : start + (len(found) - start) // 4 * 4]
            raw = base64.b64decode(piece.replace(b"-", b"+").replace(b"_", b"/") + b"=" * (-len(piece) % 4))
            for at in range(0, max(1, len(raw) - 31), 1):
                if len(raw) >= at + 32:
                    yield raw[at : at + 32]


def without_ciphertext(message: bytes) -> bytes:
    """A block of the transfer without the bodies of its sealed records: those are random to whoever has no key."""
    at = message.find(b"DWRC")
    while at >= 0:
        try:
            header = parse_record(message[at : at + 68])
        except Corrupt:
            break  # "DWRC" by chance, or cut off at the block's end
        message = message[: at + 100] + message[at + header.total_bytes :]
        at = message.find(b"DWRC", at + 100)
    return message


@pytest.fixture(scope="module")
def stolen(
    tmp_path_factory: pytest.TempPathFactory, shared_dir: Path
) -> Iterator[tuple[Path, Path, list[tuple[str, bytes, float]]]]:
    """A whole demo with a tap at the broker; (state directory, the owner's file, what the tap heard)."""
    keep = tmp_path_factory.mktemp("stolen")
    port = free_port()
    (keep / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    broker = subprocess.Popen([needed("mosquitto"), "-c", str(keep / "mosquitto.conf")], stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, broker)
        url = f"mqtt://127.0.0.1:{port}"
        footage = shared_dir / "data" / "footage" / "psu-getin.mp4"
        with Tap(url) as tap:
            outcome = doorward_json("demo", "--yes", "--keep", keep, "--broker", url, "--footage", footage)
        assert outcome["verified"] is True
        yield keep / "state", keep / "owner.json", tap.messages
    finally:
        broker.terminate()
        broker.wait(10)


def test_a_thief_opens_nothing(stolen: tuple[Path, Path, list[tuple[str, bytes, float]]]) -> None:
    state, _, heard = stolen
    loot = Loot(state)
    assert len(loot.clips) >= 1
    assert any("/block/" in topic for topic, _, _ in heard), "the tap heard the transfer"
    tried: set[bytes] = set()
    files = [path for path in state.rglob("*") if path.is_file() and path.suffix != ".clip"]
    assert {"device.key", "doorward.db"} <= {path.name for path in files}
    haystack = [path.read_bytes() for path in files] + [without_ciphertext(payload) for _, payload, _ in heard]
    for data in haystack:
        tried.update(candidates(data))
    for clip in loot.clips:
        tried.update(candidates(clip.header + clip.wraps + (clip.manifest or b"")))
    assert len(tried) > 50_000
    opened = {name for candidate in tried if (name := loot.opens(candidate))}
    assert opened == set()


def test_the_thief_would_have_noticed_a_key(stolen: tuple[Path, Path, list[tuple[str, bytes, float]]]) -> None:
    """The same search finds the owner's key, the clip key and a record's secret where they are put before it."""
    state, owner, _ = stolen
    loot = Loot(state)
    keys = key_file.unlock(key_file.read(owner), None)
    clip = loot.clips[0]
    clip_key = unwrap_clip_key(clip.header, clip.wraps, keys.opens)
    secret = ClipKeys(clip_key, header_hash(clip.header)).record_secret(Track.VIDEO, 1)

    def found(data: bytes) -> set[str]:
        return {name for candidate in candidates(data) if (name := loot.opens(candidate))}

    assert found(b"junk" + clip_key + b"junk") == {"a clip key"}
    assert found(secret) == {"a record's secret"}
    assert found(owner.read_bytes()) == {"a recipient's private key"}
