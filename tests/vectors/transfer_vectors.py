"""The transfer vectors: one input, one outcome, one named reason.

Messages are made here by the letter of docs/spec/transfer.md, not by the product's code. The bundle of these vectors is
SHAKE-128 of the text "a bundle", 150,000 bytes: three blocks and one page. A `block` vector gives its payload in
base64url or as a stretch of the bundle: [first byte, length], and perhaps the byte of it whose lowest bit is flipped.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from tests.vectors.request_vectors import POLICE, STRANGER, Party, asks, b64u, hash_of

DEVICE = Party(b"d", "")
OWNER = Party(b"o", "")
NOW = "2026-11-23T18:00:00Z"
OUT = "accepted"
BLOCK = 65_536
PARTS = [
    ["decision.jws", 1_500], ["clips/0/header.json", 400], ["clips/0/manifest.jws", 1_100], ["clips/0/release", 700],
    ["clips/0/video.records", 146_300],
]  # fmt: skip
SIZE = 150_000
BUNDLE = hashlib.shake_128(b"a bundle").digest(SIZE)
PAGE = b"".join(hashlib.sha256(BUNDLE[at : at + BLOCK]).digest() for at in range(0, SIZE, BLOCK))
TRANSFER = b64u(b"a transfer's id.")
DECISION = b64u(b"the hash of a decision, 32 bytes")
SMALL_ORDER = bytes(32)

Vector = dict[str, Any]


def offer_payload(**changes: Any) -> Vector:
    fields: Vector = {
        "transfer": TRANSFER,
        "request": hash_of(asks()),
        "requester": POLICE.kid,
        "decision": DECISION,
        "device": b64u(DEVICE.public),
        "owner": b64u(OWNER.public),
        "parts": PARTS,
        "size": SIZE,
        "block": BLOCK,
        "pages": [b64u(hashlib.sha256(PAGE).digest())],
        "issued": "2026-11-23T17:59:00Z",
        "expires": "2026-11-30T17:59:00Z",
    }
    return {k: v for k, v in (fields | changes).items() if v is not ...}


def offers(by: Party = DEVICE, header: Vector | None = None, **changes: Any) -> str:
    return by.sign("doorward.offer.v1", offer_payload(**changes), **(header or {}))


def with_parts(*parts: list[Any], pages: int = 1) -> Vector:
    size = sum(part[1] for part in parts)
    return {"parts": list(parts), "size": size, "pages": [b64u(bytes([n]) * 32) for n in range(pages)]}


OFFER = offers()
OFFER_HASH = hash_of(OFFER)


def altered(token: str) -> str:
    """The same statement with another year in its payload."""
    head, body, signature = token.split(".")
    raw = base64.urlsafe_b64decode(body + "==").replace(b"2026-", b"2025-")
    return f"{head}.{b64u(raw)}.{signature}"


def offer_vector(outcome: str, token: str, **given: Any) -> Vector:
    return {
        "message": "offer",
        "outcome": outcome,
        "now": NOW,
        "topic": f"x/{POLICE.kid}/{TRANSFER}/offer",
        "requester": POLICE.kid,
        "requests": [hash_of(asks())],
        "offer": token,
    } | given


CLOCK = ["clips/0/clock.jws", 300]
SOUND = ["clips/0/audio.records", 9_000]
SECOND_CLIP = [[name.replace("/0/", "/1/"), length] for name, length in PARTS[1:]]
# 2,048 blocks fill a page to the last byte; one byte more needs another.
FULL_PAGE = [*PARTS[:4], ["clips/0/video.records", 2_048 * BLOCK - 3_700]]
TWO_PAGES = [*PARTS[:4], ["clips/0/video.records", 2_048 * BLOCK - 3_699]]
LARGEST = [*PARTS[:4], ["clips/0/video.records", 4 * 1024**3 - 3_700]]
TOO_LARGE = [*PARTS[:4], ["clips/0/video.records", 4 * 1024**3 - 3_699]]
MANY = [PARTS[0]] + [[name.replace("/0/", f"/{k}/"), 1] for k in range(256) for name, _ in PARTS[1:]]

OFFERS = {
    "one-clip": offer_vector(OUT, OFFER),
    "with-clock-and-sound": offer_vector(OUT, offers(**with_parts(*PARTS[:3], CLOCK, *PARTS[3:], SOUND))),
    "two-clips": offer_vector(OUT, offers(**with_parts(*PARTS, *SECOND_CLIP, pages=1))),
    "a-full-page": offer_vector(OUT, offers(**with_parts(*FULL_PAGE))),
    "two-pages": offer_vector(OUT, offers(**with_parts(*TWO_PAGES, pages=2))),
    "largest": offer_vector(OUT, offers(**with_parts(*LARGEST, pages=32))),
    "altered": offer_vector("bad-signature", altered(OFFER)),
    "by-another-key-under-its-name": offer_vector("bad-signature", offers(STRANGER, {"kid": DEVICE.kid})),
    "by-a-key-it-does-not-name": offer_vector("unknown-signer", offers(STRANGER)),
    "by-a-key-everybody-has": offer_vector(
        "weak-key",
        offers(device=b64u(SMALL_ORDER), header={"kid": b64u(hashlib.sha256(SMALL_ORDER).digest()[:16])}),
    ),
    "a-receipt-for-an-offer": offer_vector("wrong-type", DEVICE.sign("doorward.receipt.v1", offer_payload())),
    "older-version": offer_vector("wrong-type", DEVICE.sign("doorward.offer.v0", offer_payload())),
    "too-large": offer_vector("too-large", offers(pages=["x" * 43] * 2_300)),
    "empty": offer_vector("malformed", ""),
    "alg-none": offer_vector("malformed", offers(header={"alg": "none"})),
    "unknown-field": offer_vector("malformed", offers(also=1)),
    "field-missing": offer_vector("malformed", offers(owner=...)),
    "device-no-key": offer_vector("malformed", offers(device="AA")),
    "decision-no-hash": offer_vector("malformed", offers(decision="AA")),
    "transfer-no-id": offer_vector("malformed", offers(transfer="../../etc")),
    "page-no-hash": offer_vector("malformed", offers(pages=["AA"])),
    "a-page-too-few": offer_vector("malformed", offers(**with_parts(*TWO_PAGES))),
    "a-page-too-many": offer_vector("malformed", offers(**with_parts(*FULL_PAGE, pages=2))),
    "size-not-the-sum": offer_vector("malformed", offers(size=SIZE + 1)),
    "other-blocks": offer_vector("malformed", offers(block=4_096)),
    "larger-than-4-gib": offer_vector("malformed", offers(**with_parts(*TOO_LARGE, pages=33))),
    "more-than-1024-parts": offer_vector("malformed", offers(**with_parts(*MANY))),
    "a-part-of-no-bytes": offer_vector("malformed", offers(**with_parts(*PARTS[:4], [PARTS[4][0], 0]))),
    "a-part-of-another-name": offer_vector("malformed", offers(**with_parts(*PARTS, ["../keys", 9]))),
    "parts-out-of-order": offer_vector("malformed", offers(**with_parts(PARTS[1], PARTS[0], *PARTS[2:]))),
    "no-film": offer_vector("malformed", offers(**with_parts(*PARTS[:4]))),
    "no-clip": offer_vector("malformed", offers(**with_parts(PARTS[0]))),
    "a-part-twice": offer_vector("malformed", offers(**with_parts(*PARTS, PARTS[4]))),
    "a-clip-left-out": offer_vector(
        "malformed", offers(**with_parts(*PARTS, *[[n.replace("/1/", "/2/"), size] for n, size in SECOND_CLIP]))
    ),
    "expires-before-issued": offer_vector("malformed", offers(expires="2026-11-23T17:59:00Z")),
    "time-without-zone": offer_vector("malformed", offers(issued="2026-11-23T17:59:00")),
    "under-another-transfers-topic": offer_vector(
        "wrong-transfer", OFFER, topic=f"x/{POLICE.kid}/{b64u(b'another transfer')}/offer"
    ),
    "for-another-requester": offer_vector("wrong-transfer", offers(requester=STRANGER.kid)),
    "of-a-request-never-asked": offer_vector("unknown-request", OFFER, requests=[]),
    "of-a-request-taken-back": offer_vector("unknown-request", OFFER, requests=[hash_of(asks(purpose="Another."))]),
    "expired": offer_vector("expired", OFFER, now="2026-11-30T17:59:00Z"),
}


def get(seq: int, *ranges: list[int]) -> str:
    return json.dumps({"seq": seq, "ranges": list(ranges)}, separators=(",", ":"))


def get_vector(outcome: str, *gets: str, total: int = 100, sends: list[int] | None = None) -> Vector:
    """`sends`: the blocks that leave, in order, after all `gets`; the outcome is the last one's."""
    return {"message": "get", "outcome": outcome, "total": total, "gets": list(gets), "sends": sends or []}


GREEDY = [get(n, [64 * n, 64 * n + 63]) for n in range(16)]
GETS = {
    "one-block": get_vector(OUT, get(1, [0, 0]), sends=[0]),
    "ranges": get_vector(OUT, get(1, [3, 5], [9, 9]), sends=[3, 4, 5, 9]),
    "the-last-block": get_vector(OUT, get(1, [99, 99]), sends=[99]),
    "sixty-four-blocks": get_vector(OUT, get(1, [0, 63]), sends=list(range(64))),
    "sixty-four-ranges": get_vector(OUT, get(1, *([n, n] for n in range(64))), sends=list(range(64))),
    "delivered-twice": get_vector(OUT, get(7, [1, 2]), get(7, [1, 2]), sends=[1, 2]),
    "the-same-seq-twice": get_vector(OUT, get(7, [1, 2]), get(7, [5, 5]), sends=[1, 2]),
    "a-block-that-waits-keeps-its-place": get_vector(OUT, get(1, [1, 3]), get(2, [3, 4]), sends=[1, 2, 3, 4]),
    "out-of-order": get_vector(OUT, get(2, [5, 5]), get(1, [1, 1]), sends=[5, 1]),
    "ranges-twice": get_vector(OUT, '{"seq":1,"ranges":[[0,1]],"ranges":[[2,3]]}', sends=[2, 3]),
    "seq-below-nothing": get_vector(OUT, get(-1, [1, 1]), sends=[1]),
    "overlapping": get_vector(OUT, get(1, [1, 3], [2, 4]), sends=[1, 2, 3, 4]),
    "as-many-as-may-wait": get_vector(OUT, *GREEDY, total=2_000, sends=list(range(1_024))),
    "more-than-may-wait": get_vector(
        "too-many", *GREEDY, get(99, [1_024, 1_024]), total=2_000, sends=list(range(1_024))
    ),
    "empty": get_vector("malformed", ""),
    "no-json": get_vector("malformed", "please"),
    "no-ranges": get_vector("malformed", get(1)),
    "beyond-the-end": get_vector("malformed", get(1, [99, 100])),
    "before-the-beginning": get_vector("malformed", get(1, [-1, 0])),
    "last-before-first": get_vector("malformed", get(1, [5, 4])),
    "sixty-five-blocks": get_vector("malformed", get(1, [0, 64])),
    "sixty-five-ranges": get_vector("malformed", get(1, *([0, 0] for _ in range(65)))),
    "a-range-of-three": get_vector("malformed", get(1, [0, 1, 2])),
    "half-a-block": get_vector("malformed", '{"seq":1,"ranges":[[0.5,1]]}'),
    "unknown-field": get_vector("malformed", '{"seq":1,"ranges":[[0,1]],"also":1}'),
    "without-seq": get_vector("malformed", '{"ranges":[[0,1]]}'),
    "over-4-kib": get_vector("malformed", get(1, [0, 1]) + " " * 4_096),
    "good-after-bad": get_vector(OUT, get(1, [0, 100]), get(1, [4, 4]), sends=[4]),
}  # fmt: skip

Bytes = str | list[int]
PAGE_BLOCK: tuple[int, Bytes] = (0, b64u(PAGE))
BLOCKS: list[tuple[int, Bytes]] = [(1 + m, [m * BLOCK, min(BLOCK, SIZE - m * BLOCK)]) for m in range(3)]


def block_vector(outcome: str, *blocks: tuple[int, Bytes], phase: str) -> Vector:
    """`blocks` as they come, (number, bytes); the outcome is the last one's. `phase`: where the pull stands then."""
    return {
        "message": "block",
        "outcome": outcome,
        "offer": OFFER,
        "blocks": [[n, data] for n, data in blocks],
        "phase": phase,
    }


ARRIVALS = {
    "the-page": block_vector("page", PAGE_BLOCK, phase="blocks"),
    "the-first": block_vector("write", PAGE_BLOCK, BLOCKS[0], phase="blocks"),
    "the-last-and-shorter-one": block_vector("write", PAGE_BLOCK, BLOCKS[2], phase="blocks"),
    "all-in-order": block_vector("write", PAGE_BLOCK, *BLOCKS, phase="done"),
    "all-backwards": block_vector("write", PAGE_BLOCK, *BLOCKS[::-1], phase="done"),
    "twice": block_vector("duplicate", PAGE_BLOCK, BLOCKS[0], BLOCKS[0], phase="blocks"),
    "the-page-twice": block_vector("duplicate", PAGE_BLOCK, PAGE_BLOCK, phase="blocks"),
    "altered-after-it-came-rightly": block_vector(
        "duplicate", PAGE_BLOCK, BLOCKS[0], (1, [0, BLOCK, 77]), phase="blocks"
    ),
    "before-the-page": block_vector("unknown", BLOCKS[0], phase="pages"),
    "beyond-the-end": block_vector("unknown", PAGE_BLOCK, (4, [0, BLOCK]), phase="blocks"),
    "another-page": block_vector("corrupt", (0, b64u(PAGE[::-1])), phase="pages"),
    "the-page-and-more": block_vector("corrupt", (0, b64u(PAGE + bytes(32))), phase="pages"),
    "no-bytes": block_vector("corrupt", PAGE_BLOCK, (1, ""), phase="blocks"),
    "one-bit-flipped": block_vector("corrupt", PAGE_BLOCK, (1, [0, BLOCK, 65_535]), phase="blocks"),
    "another-blocks-bytes": block_vector("corrupt", PAGE_BLOCK, (2, [0, BLOCK]), phase="blocks"),
    "cut-short": block_vector("corrupt", PAGE_BLOCK, (1, [0, BLOCK - 1]), phase="blocks"),
    "a-byte-too-many": block_vector("corrupt", PAGE_BLOCK, (1, [0, BLOCK + 1]), phase="blocks"),
    "right-after-wrong": block_vector("write", PAGE_BLOCK, (1, [0, BLOCK, 0]), BLOCKS[0], phase="blocks"),
}


def receipt(by: Party = POLICE, header: Vector | None = None, typ: str = "doorward.receipt.v1", **changes: Any) -> str:
    fields: Vector = {
        "transfer": TRANSFER,
        "request": hash_of(asks()),
        "decision": DECISION,
        "offer": OFFER_HASH,
        "bytes": SIZE,
        "received": NOW,
    }
    return by.sign(typ, {k: v for k, v in (fields | changes).items() if v is not ...}, **(header or {}))


def receipt_vector(outcome: str, token: str) -> Vector:
    return {"message": "receipt", "outcome": outcome, "offer": OFFER, "signs": b64u(POLICE.public), "receipt": token}


RECEIPTS = {
    "good": receipt_vector(OUT, receipt()),
    "altered": receipt_vector("bad-signature", altered(receipt())),
    "by-another-under-the-name": receipt_vector("bad-signature", receipt(STRANGER, {"kid": POLICE.kid})),
    "by-another": receipt_vector("unknown-signer", receipt(STRANGER)),
    "by-the-doorbell-itself": receipt_vector("unknown-signer", receipt(DEVICE)),
    "another-type": receipt_vector("wrong-type", receipt(typ="doorward.end.v1")),
    "too-large": receipt_vector("too-large", receipt(received="x" * 9_000)),
    "empty": receipt_vector("malformed", ""),
    "unknown-field": receipt_vector("malformed", receipt(also=1)),
    "field-missing": receipt_vector("malformed", receipt(received=...)),
    "time-without-zone": receipt_vector("malformed", receipt(received="2026-11-23T18:00:00")),
    "for-another-transfer": receipt_vector("wrong-transfer", receipt(transfer=b64u(b"another transfer"))),
    "for-another-request": receipt_vector("wrong-transfer", receipt(request=DECISION)),
    "for-another-decision": receipt_vector("wrong-transfer", receipt(decision=OFFER_HASH)),
    "for-another-offer": receipt_vector("wrong-transfer", receipt(offer=DECISION)),
    "for-fewer-bytes": receipt_vector("wrong-transfer", receipt(bytes=SIZE - 1)),
}


def end(by: Party = DEVICE, header: Vector | None = None, typ: str = "doorward.end.v1", **changes: Any) -> str:
    fields: Vector = {"transfer": TRANSFER, "request": hash_of(asks()), "reason": "stopped", "issued": NOW}
    return by.sign(typ, {k: v for k, v in (fields | changes).items() if v is not ...}, **(header or {}))


def end_vector(outcome: str, token: str) -> Vector:
    return {"message": "end", "outcome": outcome, "offer": OFFER, "end": token}


ENDS = {
    "stopped": end_vector(OUT, end()),
    "lapsed": end_vector(OUT, end(reason="lapsed")),
    "withdrawn": end_vector(OUT, end(reason="withdrawn")),
    "altered": end_vector("bad-signature", altered(end())),
    "by-another-under-its-name": end_vector("bad-signature", end(STRANGER, {"kid": DEVICE.kid})),
    "by-another-doorbell": end_vector("unknown-signer", end(STRANGER)),
    "by-the-owner": end_vector("unknown-signer", end(OWNER)),
    "another-type": end_vector("wrong-type", end(typ="doorward.receipt.v1")),
    "too-large": end_vector("too-large", end(reason="x" * 9_000)),
    "empty": end_vector("malformed", ""),
    "declined": end_vector("malformed", end(reason="declined")),
    "without-a-reason": end_vector("malformed", end(reason=...)),
    "unknown-field": end_vector("malformed", end(also=1)),
    "time-without-zone": end_vector("malformed", end(issued="2026-11-23T18:00:00")),
    "of-another-transfer": end_vector("wrong-transfer", end(transfer=b64u(b"another transfer"))),
    "of-another-request": end_vector("wrong-transfer", end(request=DECISION)),
}

ALL = {"offer": OFFERS, "get": GETS, "block": ARRIVALS, "receipt": RECEIPTS, "end": ENDS}


def vectors() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{message}-{name}", {"name": name} | vector)
        for message, group in ALL.items()
        for name, vector in group.items()
    ]
