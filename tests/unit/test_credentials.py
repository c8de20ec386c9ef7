"""Copies with content credentials, read back by C2PA's own reader; the evidence they were made from stays as it was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import c2pa
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.cli.commands import doorward
from agent.core.encoding import from_b64u, parse_time
from agent.core.errors import BadInput, Unavailable
from agent.core.identity import KeyPair
from agent.requester import key_file
from agent.requester.credentials import AUTHORITY, LABEL, write_copies
from agent.requester.folder import PartialBundle, TransferFolder
from agent.requester.opening import open_bundle, verify_folder
from tests.answered import Answered, answer

OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> tuple[Answered, TransferFolder, int]:
    """A verified folder with two films, and the time it was opened."""
    base = tmp_path_factory.mktemp("credentials")
    answered = answer(base, clips=2)
    folder = TransferFolder.of(base / "out", "24/118", answered.transfer)
    folder.make()
    folder.write("offer.jws", answered.offer_token)
    folder.write("request.jws", answered.request)
    folder.write("requester.jws", answered.identity.statement)
    with PartialBundle(folder, answered.bundle.size) as partial:
        partial.write(0, answered.bytes)
    now_ns = parse_time(answered.offer.issued) + 5_000_000_000
    assert open_bundle(folder, answered.identity, now_ns).verified
    return answered, folder, now_ns


def contents(folder: TransferFolder) -> dict[str, str]:
    return {name: hashlib.sha256((folder.path / name).read_bytes()).hexdigest() for name in folder.files()}


def read(film: Path, look: Callable[[Any], Any], how: dict[str, Any] = OFFLINE) -> Any:
    settings = c2pa.Settings.from_dict(how)
    with (
        c2pa.Context(settings) as context,
        film.open("rb") as file,
        c2pa.Reader("video/mp4", file, context=context) as it,
    ):
        return look(it)


def packets(film: Path) -> list[bytes]:
    with av.open(str(film)) as container:
        return [bytes(packet) for packet in container.demux(video=0)]


def test_copies_say_where_they_come_from_and_c2pa_finds_them_valid(
    evidence: tuple[Answered, TransferFolder, int], tmp_path: Path
) -> None:
    answered, folder, now_ns = evidence
    before = contents(folder)
    found = verify_folder(folder)
    copies = write_copies(folder, found, answered.identity, tmp_path / "copies", now_ns)
    assert [copy.name for copy in copies] == ["clip-1-c2pa.mp4", "clip-2-c2pa.mp4"]
    assert sorted((tmp_path / "copies").iterdir()) == [tmp_path / "copies" / AUTHORITY, *copies]
    assert contents(folder) == before, "the evidence is not touched"
    assert verify_folder(folder).verified
    for copy, clip in zip(copies, found.clips, strict=True):
        assert packets(copy) == packets(folder.path / clip.film)
        document = json.loads(read(copy, lambda reader: reader.json()))
        assert document["validation_state"] == "Valid", (
            "intact; Trusted it cannot be, for nobody vouches for the signer"
        )
        assert [status["code"] for status in document["validation_status"]] == ["signingCredential.untrusted"]
        manifest = document["manifests"][document["active_manifest"]]
        assert manifest["signature_info"]["issuer"] == answered.identity.said.agency
        (said,) = [a["data"] for a in manifest["assertions"] if a["label"] == LABEL]
        assert said["decision"] == answered.offer.decision
        assert said["doorbell"] == answered.offer.device
        assert said["clip"] == clip.shared.clip
        assert said["time_trust"] == clip.manifest.clock.trust
        assert said["film_sha256"] == hashlib.sha256((folder.path / clip.film).read_bytes()).hexdigest()


def test_a_changed_byte_of_the_film_is_found(evidence: tuple[Answered, TransferFolder, int], tmp_path: Path) -> None:
    answered, folder, now_ns = evidence
    copy = write_copies(folder, verify_folder(folder), answered.identity, tmp_path, now_ns)[0]
    data = bytearray(copy.read_bytes())
    data[-1000] ^= 1  # of the last fragment's pictures
    copy.write_bytes(data)
    assert read(copy, lambda reader: reader.get_validation_state()) == "Invalid"


def test_who_trusts_the_requesters_own_key_trusts_the_copies(
    evidence: tuple[Answered, TransferFolder, int], tmp_path: Path
) -> None:
    answered, folder, now_ns = evidence
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    copy = write_copies(folder, verify_folder(folder), answered.identity, ours, now_ns)[0]
    key = x509.load_pem_x509_certificate((ours / AUTHORITY).read_bytes()).public_key()
    assert isinstance(key, Ed25519PublicKey)
    assert key.public_bytes_raw() == from_b64u(answered.identity.said.signs, 32)
    other = dataclasses.replace(answered.identity, keys=KeyPair.from_seeds(bytes(32), bytes(32)))
    write_copies(folder, verify_folder(folder), other, theirs, now_ns)
    for authority, state in ((ours, "Trusted"), (theirs, "Valid")):
        trust = {"trust": {"trust_anchors": (authority / AUTHORITY).read_text()}, "verify": {"verify_trust": True}}
        assert read(copy, lambda reader: reader.get_validation_state(), OFFLINE | trust) == state


def test_no_credentials_for_what_does_not_verify_or_is_somebody_elses(
    evidence: tuple[Answered, TransferFolder, int], tmp_path: Path
) -> None:
    answered, folder, now_ns = evidence
    stranger = key_file.create(tmp_path / "stranger.json", "Somebody", bytes(range(64)), now_ns)
    with pytest.raises(BadInput, match="another requester"):
        write_copies(folder, verify_folder(folder), stranger, tmp_path / "a", now_ns)
    bare = TransferFolder(tmp_path / "bare")
    bare.make()
    with pytest.raises(BadInput, match="does not verify"):
        write_copies(bare, verify_folder(bare), answered.identity, tmp_path / "b", now_ns)
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_without_the_extra_the_sentence_says_what_to_install(
    evidence: tuple[Answered, TransferFolder, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, folder, now_ns = evidence
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(Unavailable, match=r"pip install 'doorward\[c2pa\]'"):
        write_copies(folder, verify_folder(folder), answered.identity, tmp_path / "out", now_ns)


def test_a_copy_the_disk_does_not_take_is_one_sentence(
    evidence: tuple[Answered, TransferFolder, int], tmp_path: Path
) -> None:
    answered, folder, now_ns = evidence
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="could not be written"):
        write_copies(folder, verify_folder(folder), answered.identity, tmp_path / "file" / "out", now_ns)


def test_the_command_puts_them_beside_the_folder(evidence: tuple[Answered, TransferFolder, int]) -> None:
    answered, folder, _ = evidence
    arguments = ["--json", "requester", "c2pa", str(folder.path), "--identity", str(answered.identity.path)]
    done = CliRunner().invoke(doorward, arguments, standalone_mode=False)
    assert done.exit_code == 0, done.output
    beside = folder.path.with_name(f"{folder.path.name}-c2pa")
    assert json.loads(done.output)["copies"] == [str(beside / f"clip-{k}-c2pa.mp4") for k in (1, 2)]
    assert read(beside / "clip-1-c2pa.mp4", lambda reader: reader.get_validation_state()) == "Valid"
    assert verify_folder(folder).verified
