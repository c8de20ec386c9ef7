"""What a transfer carries: the bundle of parts, its blocks, its digest pages, and the three statements about it.

Owns the layout only: which byte of the bundle lies where, and which digest a block must have. Parts are lists of
extents, bytes in memory or a stretch of some file, so that a doorbell serves blocks straight from its ring and never
builds the bundle. Reading is the caller's: `Read` gets the file's name, an offset and a length.
Source: docs/spec/transfer.md "Bundle", "Offer", "Receipt".
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.core import statements
from agent.core.encoding import ID_BYTES, b64u, check_id, format_time, from_b64u, key_id, parse_time
from agent.core.errors import BadInput, Corrupt, Refused
from agent.core.statements import Kind

BLOCK_BYTES = 65_536
DIGEST_BYTES = 32
BLOCKS_PER_PAGE = BLOCK_BYTES // DIGEST_BYTES
MAX_BUNDLE_BYTES = 4 * 1024**3
MAX_PARTS = 1_024

_PART = re.compile(
    r"decision\.jws|clips/(0|[1-9]\d?)/(header\.json|manifest\.jws|clock\.jws|release|video\.records|audio\.records)"
)
_CLIP_FILES = ["header.json", "manifest.jws", "clock.jws", "release", "video.records", "audio.records"]
_NOT_ALWAYS = frozenset({"clock.jws", "audio.records"})

Read = Callable[[str, int, int], bytes]


@dataclass(frozen=True, slots=True)
class Stretch:
    """`length` bytes of the file called `source`, from `offset` on."""

    source: str
    offset: int
    length: int


Extent = bytes | Stretch


@dataclass(frozen=True, slots=True)
class Part:
    """One named part of the bundle: its extents, joined."""

    name: str
    extents: tuple[Extent, ...]

    @property
    def length(self) -> int:
        """Bytes."""
        return sum(_length(e) for e in self.extents)


class Bundle:
    """The parts in order as one string of bytes that is never built. BadInput when it breaks the limits."""

    def __init__(self, parts: Sequence[Part]) -> None:
        check_layout([(p.name, p.length) for p in parts])
        self.parts = tuple(parts)
        self._extents = tuple(e for p in parts for e in p.extents if _length(e))
        self._starts = [0, *accumulate(_length(e) for e in self._extents)]
        self.size = self._starts[-1]

    @property
    def blocks(self) -> int:
        """How many blocks it is cut into."""
        return block_count(self.size)

    def block(self, index: int, read: Read) -> bytes:
        """The bytes of block `index` of the bundle; Corrupt when `read` gives less than was asked."""
        if not 0 <= index < self.blocks:
            raise BadInput(f"the bundle has {self.blocks} blocks, there is no block {index}")
        at = index * BLOCK_BYTES
        end = min(at + BLOCK_BYTES, self.size)
        pieces = []
        i = bisect_right(self._starts, at) - 1
        while at < end:
            skip = at - self._starts[i]
            take = min(_length(self._extents[i]) - skip, end - at)
            pieces.append(_slice(self._extents[i], skip, take, read))
            at += take
            i += 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def pages(self, read: Read) -> tuple[bytes, ...]:
        """The digest pages. Reads the whole bundle once, a block at a time."""
        digests = [hashlib.sha256(self.block(i, read)).digest() for i in range(self.blocks)]
        return tuple(b"".join(digests[i : i + BLOCKS_PER_PAGE]) for i in range(0, len(digests), BLOCKS_PER_PAGE))


class Offer(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Payload of `doorward.offer.v1`. Build with `offer`, read with `read_offer`."""

    transfer: str
    request: str
    requester: str
    decision: str
    device: str
    owner: str
    parts: list[tuple[str, int]]
    size: int
    block: int
    pages: list[str]
    issued: str
    expires: str

    @property
    def blocks(self) -> int:
        """Blocks of the bundle, pages not counted."""
        return block_count(self.size)

    def place(self, name: str) -> tuple[int, int]:
        """(offset, length) of the part called `name` in the bundle; Corrupt when there is none."""
        at = 0
        for part, length in self.parts:
            if part == name:
                return at, length
            at += length
        raise Corrupt(f"the offer has no part called {name}")


class End(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Payload of `doorward.end.v1`: why a transfer that was offered will not be finished."""

    transfer: str
    request: str
    reason: str
    issued: str


class Receipt(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Payload of `doorward.receipt.v1`: the requester has every byte and verified it."""

    transfer: str
    request: str
    decision: str
    offer: str
    bytes: int
    received: str


def block_count(size: int) -> int:
    """Blocks that `size` bytes are cut into."""
    return -(-size // BLOCK_BYTES)


def page_count(size: int) -> int:
    """Digest pages for a bundle of `size` bytes."""
    return -(-block_count(size) // BLOCKS_PER_PAGE)


def check_layout(parts: Sequence[tuple[str, int]]) -> None:
    """BadInput unless these are the names of a bundle in their order, each with bytes, all within the limits."""
    if len(parts) > MAX_PARTS:
        raise BadInput(f"a bundle has at most {MAX_PARTS} parts, this one has {len(parts)}")
    names = [name for name, _ in parts]
    odd = next((name for name in names if not _PART.fullmatch(name)), None)
    if odd is not None:
        raise BadInput(f"'{odd[:60]}' is not the name of a part of a bundle")
    if names != list(_expected(names)):
        raise BadInput("the parts of the bundle are not the ones of docs/spec/transfer.md in their order")
    if any(length < 1 for _, length in parts):
        raise BadInput("a part of the bundle is empty")
    if sum(length for _, length in parts) > MAX_BUNDLE_BYTES:
        raise BadInput(f"a bundle has at most {MAX_BUNDLE_BYTES} bytes; share less at a time")


def offer(
    bundle: Bundle,
    pages: Iterable[bytes],
    *,
    transfer: str,
    request: str,
    requester: str,
    decision: str,
    owner: bytes,
    issued_ns: int,
    expires_ns: int,
    key: Ed25519PrivateKey,
) -> bytes:
    """The signed offer of `bundle`. Hashes and ids are b64u, `owner` the raw key of who decided, `key` the device's."""
    payload = Offer(
        transfer=transfer,
        request=request,
        requester=requester,
        decision=decision,
        device=b64u(statements.raw_public(key)),
        owner=b64u(owner),
        parts=[(p.name, p.length) for p in bundle.parts],
        size=bundle.size,
        block=BLOCK_BYTES,
        pages=[b64u(hashlib.sha256(page).digest()) for page in pages],
        issued=format_time(issued_ns),
        expires=format_time(expires_ns),
    )
    return statements.sign(Kind.OFFER, payload, key)


def read_offer(token: bytes) -> Offer:
    """The offer, signed by the device key it names, and whole. Refused otherwise.

    Whether the request is ours and the offer still good is the caller's to ask: nothing here knows the time.
    Reasons: those of `statements.verify`, and malformed.
    """
    claimed = statements.unverified(Kind.OFFER, token, Offer)
    try:
        device = from_b64u(claimed.device, DIGEST_BYTES)
        statements.verify(Kind.OFFER, token, {key_id(device): Ed25519PublicKey.from_public_bytes(device)})
        _check_offer(claimed)
    except (Corrupt, BadInput) as e:
        raise Refused("malformed", f"the offer is not as specified: {e}") from e
    return claimed


def judge_offer(token: bytes, *, transfer: str, requester: str, asked: Callable[[str], bool], now_ns: int) -> Offer:
    """An offer that `requester` (its kid) takes, published for `transfer`. Refused by the reasons of the spec.

    `asked`: whether a request with this hash was sent, and not taken back.
    """
    offered = read_offer(token)
    if offered.transfer != transfer or offered.requester != requester:
        raise Refused("wrong-transfer", "the offer is for another transfer or requester than its topic says")
    if not asked(offered.request):
        raise Refused("unknown-request", "the offer answers a request that was not sent with this identity")
    if parse_time(offered.expires) <= now_ns:
        raise Refused("expired", "the offer has expired")
    return offered


def read_end(token: bytes, offered: Offer) -> End:
    """The end of the transfer `offered`, signed by the same device. Refused otherwise."""
    device = from_b64u(offered.device, DIGEST_BYTES)
    keys = {key_id(device): Ed25519PublicKey.from_public_bytes(device)}
    end = statements.read(Kind.END, token, keys, End)
    if end.transfer != offered.transfer or end.request != offered.request:
        raise Refused("wrong-transfer", "the end of a transfer names another transfer than the one it was sent for")
    if end.reason not in ("stopped", "lapsed", "withdrawn"):
        raise Refused("malformed", f"a transfer does not end because of '{end.reason[:20]}'")
    try:
        parse_time(end.issued)
    except BadInput as e:
        raise Refused("malformed", f"the end is not as specified: {e}") from e
    return end


def read_receipt(token: bytes, offer_token: bytes, keys: Mapping[str, Ed25519PublicKey]) -> Receipt:
    """The receipt for exactly the offer sent, signed by one of the requester's `keys`. Refused otherwise."""
    offered = read_offer(offer_token)
    receipt = statements.read(Kind.RECEIPT, token, keys, Receipt)
    expected = (offered.transfer, offered.request, offered.decision, b64u(statements.digest(offer_token)), offered.size)
    if (receipt.transfer, receipt.request, receipt.decision, receipt.offer, receipt.bytes) != expected:
        raise Refused("wrong-transfer", "the receipt is for another transfer than the one that was offered")
    try:
        parse_time(receipt.received)
    except BadInput as e:
        raise Refused("malformed", f"the receipt is not as specified: {e}") from e
    return receipt


def _check_offer(offered: Offer) -> None:
    check_layout(offered.parts)
    if offered.size != sum(length for _, length in offered.parts):
        raise Corrupt("the lengths of the parts do not add up to the size")
    if offered.block != BLOCK_BYTES:
        raise Corrupt(f"blocks have {BLOCK_BYTES} bytes in this version, not {offered.block}")
    if len(offered.pages) != page_count(offered.size):
        raise Corrupt("the number of pages does not fit the size")
    for text in (offered.request, offered.decision, offered.owner, *offered.pages):
        from_b64u(text, DIGEST_BYTES)
    check_id(offered.transfer)
    from_b64u(offered.requester, ID_BYTES)
    if parse_time(offered.issued) >= parse_time(offered.expires):
        raise Corrupt("it expires before it is issued")


def _expected(names: Sequence[str]) -> Iterable[str]:
    """The order the parts must have, given which clips, clock statements and audio are there at all."""
    there = set(names)
    yield "decision.jws"
    k = 0
    while f"clips/{k}/header.json" in there or k == 0:
        for file in _CLIP_FILES:
            if file not in _NOT_ALWAYS or f"clips/{k}/{file}" in there:
                yield f"clips/{k}/{file}"
        k += 1


def _length(extent: Extent) -> int:
    return len(extent) if isinstance(extent, bytes) else extent.length


def _slice(extent: Extent, skip: int, take: int, read: Read) -> bytes:
    if isinstance(extent, bytes):
        return extent if take == len(extent) else extent[skip : skip + take]
    data = read(extent.source, extent.offset + skip, take)
    if len(data) != take:
        raise Corrupt(f"{extent.source} ends before byte {extent.offset + skip + take}")
    return data
