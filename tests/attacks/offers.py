"""What whoever has heard a request can do to the requester's disk: answers with keys of their own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.bundle import MAX_BUNDLE_BYTES, Bundle, Offer, Part, offer, read_offer
from agent.core.encoding import b64u, new_id
from agent.requester import folder as names
from agent.requester.folder import TransferFolder
from agent.requester.quota import MAX_BYTES, MAX_TRANSFERS, MAX_TRANSFERS_A_KEY, Quota
from tests.attacks.bench import HOUR, House, Table, reason_of
from tests.household import NOW

ATTACKS = Table()
_DOORBELL = Ed25519PrivateKey.generate()


def an_offer(key: Ed25519PrivateKey, size: int = 0) -> tuple[bytes, Offer]:
    """One that says it has `size` bytes of film; whoever signs may say so without any."""
    k = b64u(bytes(16))
    sizes = {"decision.jws": 1, "header.json": 1, "manifest.jws": 1, "release": 1, "video.records": 1}
    parts = [Part(n if n == "decision.jws" else f"clips/0/{n}", (bytes(length),)) for n, length in sizes.items()]
    bundle = Bundle(parts)
    token = offer(
        bundle, bundle.pages(lambda *_: b""), transfer=new_id(secrets.token_bytes(16)), request=b64u(bytes(32)),
        requester=k, decision=b64u(bytes(32)), owner=bytes(32), issued_ns=NOW, expires_ns=NOW + HOUR, key=key,
    )  # fmt: skip
    said = read_offer(token)
    return token, said if not size else Offer(**{f: getattr(said, f) for f in Offer.__struct_fields__} | {"size": size})


def taken(out: Path, quota: Quota, offers: Iterator[tuple[bytes, Offer]], *, complete: bool) -> list[str]:
    """Each is taken, as far as there is room; their transfers."""
    transfers: list[str] = []
    for token, said in offers:
        quota.make_room(said, transfers)
        folder = TransferFolder.of(out, "24/118", said.transfer)
        folder.path.mkdir(parents=True)
        for name in (names.OFFER, names.RECEIPT, names.REPORT_HTML) if complete else (names.OFFER,):
            (folder.path / name).write_bytes(token)
        quota.take(folder, said)
        transfers.append(said.transfer)
    return transfers


@ATTACKS.attack("offer", "too-many")
async def one_doorbell_answers_a_request_again_and_again(house: House) -> str:
    out = house.home.state.root / "evidence"
    quota = Quota(out)
    taken(out, quota, (an_offer(_DOORBELL) for _ in range(MAX_TRANSFERS_A_KEY)), complete=True)
    return await reason_of(lambda: quota.make_room(an_offer(_DOORBELL)[1], []))


@ATTACKS.attack("offer", "too-many")
async def a_thousand_doorbells_of_ones_own_making(house: House) -> str:
    out = house.home.state.root / "evidence"
    quota = Quota(out)
    keys = (Ed25519PrivateKey.generate() for _ in range(MAX_TRANSFERS))
    taken(out, quota, (an_offer(key) for key in keys), complete=True)
    again = Quota(out)
    again.load()  # what lies on the disk counts in a later run too
    return await reason_of(lambda: again.make_room(an_offer(_DOORBELL)[1], []))


@ATTACKS.attack("offer", "too-many")
async def more_bytes_than_a_request_may_bring(house: House) -> str:
    out = house.home.state.root / "evidence"
    quota = Quota(out)
    keys = (Ed25519PrivateKey.generate() for _ in range(MAX_BYTES // MAX_BUNDLE_BYTES))
    pulled = taken(out, quota, (an_offer(key, size=MAX_BUNDLE_BYTES) for key in keys), complete=False)
    return await reason_of(lambda: quota.make_room(an_offer(_DOORBELL)[1], pulled))
