"""Copies of an evidence folder's films that carry C2PA content credentials, for programs that show those.

Owns what the credentials say and who signs them. Never touches the evidence: the copies lie in another folder, and
nothing of Doorward's own verification depends on them. Needs the extra `c2pa`; uses no network.
Source: C2PA Technical Specification 2.2; docs/spec/transfer.md "Content credentials".
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent import __version__
from agent.core.encoding import NS_PER_S, b64u, format_time
from agent.core.errors import BadInput, Unavailable
from agent.core.sealing import header_hash
from agent.requester.evidence import ClipEvidence, Evidence
from agent.requester.folder import TransferFolder, clip_file
from agent.requester.key_file import RequesterIdentity
from agent.requester.report import corrected_facts
from agent.store.durable import write_file

LABEL = "doorward.released-footage"
AUTHORITY = "authority.pem"
LIFE = timedelta(days=3650)  # no time-stamp authority vouches for the moment of signing, so it has to last
_SUBJECT_LIMIT = 64  # X.520, ub-organization-name

_SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


def write_copies(
    folder: TransferFolder, found: Evidence, identity: RequesterIdentity, out: Path, now_ns: int
) -> list[Path]:
    """A copy of each film of the verified `folder` in `out`, which is made; their paths, in the order of the films.

    `authority.pem` beside them is the certificate they chain to, for whoever decides to trust this requester.

    BadInput where the evidence is not verified or was released to another requester; Unavailable where the extra is
    not installed or the disk does not take a copy.
    """
    try:
        import c2pa
    except ImportError as e:
        raise Unavailable(
            "what writes content credentials is not installed; install it with: pip install 'doorward[c2pa]'"
        ) from e
    if found.failed or found.requester is None or found.offer is None:
        raise BadInput(f"{folder.path} does not verify, so nothing is said for its films; run 'requester verify' on it")
    if found.requester.id != identity.said.id:
        raise BadInput(f"{folder.path} was released to another requester than the one of {identity.path}")
    key = Ed25519PrivateKey.generate()
    certificate, authority = _certificates(identity, key.public_key(), now_ns)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signer = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ED25519, certificate + authority, secret, None)
    written = []
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        for k, clip in enumerate(found.clips):
            copy = out / f"{Path(clip.film).stem}-c2pa.mp4"
            _write(c2pa, signer, _manifest(folder, found, k, clip), folder.path / clip.film, copy)
            written.append(copy)
        write_file(out / AUTHORITY, authority, mode=0o644)
    except OSError as e:
        raise Unavailable(f"{out} could not be written: {e.strerror}; check the disk's space and rights") from e
    except c2pa.C2paError as e:
        raise Unavailable(f"content credentials could not be written into {out}: {e}") from e
    return written


def _write(c2pa: Any, signer: Any, manifest: dict[str, object], film: Path, copy: Path) -> None:
    """Sign one copy; it gets its name once it is whole. The library verifies what it wrote."""
    temporary = copy.with_name(f".{copy.name}.new")
    try:
        with (
            c2pa.Context(c2pa.Settings.from_dict(_SETTINGS), c2pa.Signer.from_info(signer)) as context,
            c2pa.Builder(manifest, context) as builder,
            film.open("rb") as source,
            temporary.open("w+b") as target,
        ):
            builder.set_intent(c2pa.C2paBuilderIntent.EDIT)  # names the film it was made from, by its hash
            builder.sign("video/mp4", source, target)
            target.flush()
            os.fsync(target.fileno())
        os.replace(temporary, copy)
    finally:
        temporary.unlink(missing_ok=True)


def _manifest(folder: TransferFolder, found: Evidence, k: int, clip: ClipEvidence) -> dict[str, object]:
    assert found.offer is not None
    assert found.requester is not None
    said = {
        "request": found.offer.request,
        "requester": {"id": found.requester.id, "agency": found.requester.agency},
        "doorbell": found.offer.device,
        "owner": found.offer.owner,
        "decision": found.offer.decision,
        "clip": clip.shared.clip,
        "clip_header": b64u(header_hash(folder.read(clip_file(k, "header.json")))),
        "film_sha256": clip.film_sha256.hex(),
        "from": format_time(clip.start_ns),
        "to": format_time(clip.end_ns),
        "time_trust": clip.manifest.clock.trust,
        "corrected": corrected_facts(clip.time),
    }
    return {
        "title": clip.film,
        "claim_generator_info": [{"name": "doorward", "version": __version__}],
        "assertions": [{"label": LABEL, "data": said}],
    }


def _certificates(identity: RequesterIdentity, signs: Ed25519PublicKey, now_ns: int) -> tuple[bytes, bytes]:
    """PEM: a certificate for `signs`, whose private half is forgotten after use, and the one it chains to: made by the
    requester's own signing key for itself. C2PA wants the signer's certificate to be issued by another."""
    begins = datetime.fromtimestamp(now_ns // NS_PER_S, UTC) - timedelta(minutes=5)
    root_key = identity.keys.signs
    agency = x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.said.agency[:_SUBJECT_LIMIT])
    root_name = x509.Name([agency, x509.NameAttribute(NameOID.COMMON_NAME, f"Doorward requester {identity.said.id}")])
    name = x509.Name([agency, x509.NameAttribute(NameOID.COMMON_NAME, f"Footage released to {identity.said.id}")])

    def issue(subject: x509.Name, key: Ed25519PublicKey, *, authority: bool) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(root_name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + LIFE)
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(_usage(authority=authority), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        )
        if not authority:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
            )
        return builder.sign(root_key, None).public_bytes(Encoding.PEM)

    return issue(name, signs, authority=False), issue(root_name, root_key.public_key(), authority=True)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
