"""The pull transfer over a wire that loses, doubles, reorders and corrupts, with both ends restarting at any moment."""

from __future__ import annotations

import hashlib
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core import statements
from agent.core.bundle import (
    BLOCK_BYTES,
    BLOCKS_PER_PAGE,
    Bundle,
    End,
    Offer,
    Part,
    Receipt,
    Stretch,
    check_layout,
    offer,
    read_end,
    read_offer,
    read_receipt,
)
from agent.core.encoding import b64u, key_id, to_json
from agent.core.errors import BadInput, Corrupt, Refused
from agent.core.statements import Kind
from agent.core.transfer import (
    MAX_GET_BLOCKS,
    MAX_WAITING_BLOCKS,
    Arrival,
    Get,
    Phase,
    Puller,
    Server,
    read_get,
)

DEVICE = Ed25519PrivateKey.from_private_bytes(b"d" * 32)
OWNER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
REQUESTER = Ed25519PrivateKey.from_private_bytes(b"r" * 32)
ID = b64u(bytes(16))
HASH = b64u(bytes(32))
MS = 1_000_000
ISSUED = 1_795_000_000_000_000_000


def ring(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def bundle_of(video: bytes, chunks: int = 3) -> tuple[Bundle, dict[str, bytes]]:
    """A bundle of one clip whose records lie in `chunks` stretches of a file, with holes between them."""
    size = -(-len(video) // chunks)
    pieces = [video[i : i + size] for i in range(0, len(video), size)]
    file = b"##".join([b"preamble", *pieces, b"end"])
    stretches, at = [], len(b"preamble##")
    for piece in pieces:
        stretches.append(Stretch("clip", at, len(piece)))
        at += len(piece) + 2
    parts = [
        Part("decision.jws", (b"decision",)),
        Part("clips/0/header.json", (b"{}",)),
        Part("clips/0/manifest.jws", (b"mani", b"fest")),
        Part("clips/0/release", (b"r" * 80,)),
        Part("clips/0/video.records", tuple(stretches)),
    ]
    return Bundle(parts), {"clip": file}


def reader(files: dict[str, bytes]):
    return lambda source, offset, length: files[source][offset : offset + length]


def whole(bundle: Bundle, files: dict[str, bytes]) -> bytes:
    return b"".join(
        e if isinstance(e, bytes) else reader(files)(e.source, e.offset, e.length)
        for p in bundle.parts
        for e in p.extents
    )


def offered(bundle: Bundle, pages: tuple[bytes, ...]) -> bytes:
    return offer(
        bundle,
        pages,
        transfer=ID,
        request=HASH,
        requester=ID,
        decision=HASH,
        owner=statements.raw_public(OWNER),
        issued_ns=ISSUED,
        expires_ns=ISSUED + 10**12,
        key=DEVICE,
    )


def prepared(video: bytes) -> tuple[bytes, Offer, Bundle, tuple[bytes, ...], dict[str, bytes]]:
    bundle, files = bundle_of(video)
    pages = bundle.pages(reader(files))
    token = offered(bundle, pages)
    return token, read_offer(token), bundle, pages, files


@given(size=st.integers(1, 5 * BLOCK_BYTES), chunks=st.integers(1, 7))
@settings(max_examples=40, deadline=None)
def test_blocks_joined_are_the_parts_joined(size: int, chunks: int) -> None:
    bundle, files = bundle_of(ring(size), chunks)
    read = reader(files)
    assert b"".join(bundle.block(i, read) for i in range(bundle.blocks)) == whole(bundle, files)
    digests = b"".join(hashlib.sha256(bundle.block(i, read)).digest() for i in range(bundle.blocks))
    assert b"".join(bundle.pages(read)) == digests


def test_a_second_page_begins_after_2048_blocks() -> None:
    """Blocks of one repeated stretch: 2,049 of them need two pages, the second with one digest."""
    stretch = Stretch("zero", 0, BLOCK_BYTES)
    names = ["decision.jws", "clips/0/header.json", "clips/0/manifest.jws", "clips/0/release", "clips/0/video.records"]
    extents = [(stretch,)] * 4 + [(stretch,) * (BLOCKS_PER_PAGE - 3)]
    bundle = Bundle([Part(n, e) for n, e in zip(names, extents, strict=True)])
    pages = bundle.pages(lambda *_: bytes(BLOCK_BYTES))
    assert [len(p) for p in pages] == [BLOCK_BYTES, 32]
    assert Server(bundle, pages).total == 2 + BLOCKS_PER_PAGE + 1


def test_a_ring_file_that_ends_early_is_corrupt() -> None:
    bundle, files = bundle_of(ring(1000))
    files["clip"] = files["clip"][:500]
    with pytest.raises(Corrupt, match="ends before byte"):
        bundle.block(0, reader(files))


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["clips/0/header.json"],
        ["decision.jws"],
        ["decision.jws", "clips/0/header.json", "clips/0/manifest.jws", "clips/0/release"],
        ["decision.jws", "clips/1/header.json", "clips/1/manifest.jws", "clips/1/release", "clips/1/video.records"],
        ["decision.jws", "clips/0/header.json", "clips/0/manifest.jws", "clips/0/video.records", "clips/0/release"],
        ["decision.jws", "clips/../../etc/passwd"],
        ["decision.jws", "/etc/passwd"],
    ],
)
def test_parts_out_of_order_or_with_other_names_are_refused(names: list[str]) -> None:
    with pytest.raises(BadInput):
        check_layout([(n, 1) for n in names])


def test_an_offer_reads_back_and_says_where_parts_lie() -> None:
    _, found, bundle, _, files = prepared(ring(200_000))
    at, length = found.place("clips/0/video.records")
    assert whole(bundle, files)[at : at + length] == ring(200_000)
    assert found.blocks == bundle.blocks


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", 5),
        ("block", 4096),
        ("pages", []),
        ("pages", [HASH, HASH]),
        ("parts", [("decision.jws", 1)]),
        ("transfer", "short"),
        ("owner", ID),
        ("expires", "2020-01-01T00:00:00Z"),
        ("device", b64u(statements.raw_public(OWNER))),
    ],
)
def test_an_offer_that_contradicts_itself_is_refused(field: str, value: object) -> None:
    _, good, *_ = prepared(ring(1000))
    fields = {f: getattr(good, f) for f in good.__struct_fields__}
    token = statements.sign(Kind.OFFER, Offer(**fields | {field: value}), DEVICE)
    with pytest.raises(Refused):
        read_offer(token)


def test_end_and_receipt_belong_to_one_offer() -> None:
    token, found, *_ = prepared(ring(1000))
    keys = {key_id(statements.raw_public(REQUESTER)): REQUESTER.public_key()}
    end = End(found.transfer, found.request, "stopped", "2026-11-23T12:00:00Z")
    assert read_end(statements.sign(Kind.END, end, DEVICE), found) == end
    with pytest.raises(Refused, match="nobody here trusts"):
        read_end(statements.sign(Kind.END, end, OWNER), found)
    other = End(b64u(b"another transfer"), found.request, "stopped", "2026-11-23T12:00:00Z")
    with pytest.raises(Refused, match="another transfer"):
        read_end(statements.sign(Kind.END, other, DEVICE), found)
    digest = b64u(statements.digest(token))
    receipt = Receipt(found.transfer, found.request, found.decision, digest, found.size, "2026-11-23T12:00:00Z")
    assert read_receipt(statements.sign(Kind.RECEIPT, receipt, REQUESTER), token, keys) == receipt
    wrong = Receipt(found.transfer, found.request, found.decision, HASH, found.size, "2026-11-23T12:00:00Z")
    with pytest.raises(Refused, match="another transfer"):
        read_receipt(statements.sign(Kind.RECEIPT, wrong, REQUESTER), token, keys)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b'{"seq":1,"ranges":[]}',
        b'{"seq":1,"ranges":[[1,0]]}',
        b'{"seq":1,"ranges":[[-1,0]]}',
        b'{"seq":1,"ranges":[[0,100]]}',
        b'{"seq":1,"ranges":[[0,64]]}',
        b'{"seq":1,"ranges":[[0,1]],"more":1}',
        b'{"seq":1,"ranges":[[0,1]]}' + b" " * 4096,
    ],
)
def test_a_get_outside_its_limits_is_refused(payload: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_get(payload, 100)
    assert refused.value.reason == "malformed"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_get_or_refused(payload: bytes) -> None:
    try:
        read_get(payload, 100)
    except Refused:
        return


def test_a_get_delivered_twice_is_served_once() -> None:
    _, _, bundle, pages, _ = prepared(ring(300_000))
    server = Server(bundle, pages)
    get = b'{"seq":7,"ranges":[[0,2]]}'
    server.on_get(get)
    sent = [server.next_block(), server.next_block()]
    server.on_get(get)
    assert [*sent, server.next_block(), server.next_block()] == [0, 1, 2, None]


def test_a_greedy_peer_is_held_to_the_limit() -> None:
    _, _, bundle, pages, _ = prepared(bytes(BLOCK_BYTES * (MAX_WAITING_BLOCKS + 100)))
    server = Server(bundle, pages)
    for i in range(MAX_WAITING_BLOCKS // MAX_GET_BLOCKS):
        server.on_get(to_json(Get(i, [(i * MAX_GET_BLOCKS, (i + 1) * MAX_GET_BLOCKS - 1)])))
    with pytest.raises(Refused, match="are waiting"):
        server.on_get(to_json(Get(-1, [(MAX_WAITING_BLOCKS, MAX_WAITING_BLOCKS)])))
    waiting = 0
    while server.next_block() is not None:
        waiting += 1
    assert waiting == MAX_WAITING_BLOCKS


class Wire:
    """Delivers messages after a delay, in order or not; loses, doubles, corrupts some, as the random source says."""

    def __init__(self, chance: random.Random, loss: float, double: float, corrupt: float, jitter_ns: int) -> None:
        self.chance, self.loss, self.double, self.corrupt, self.jitter_ns = chance, loss, double, corrupt, jitter_ns
        self.flying: list[tuple[int, int, int, bytes]] = []
        self.count = 0

    def send(self, now: int, n: int, payload: bytes) -> None:
        for _ in range(2 if self.chance.random() < self.double else 1):
            if self.chance.random() < self.loss:
                continue
            if payload and self.chance.random() < self.corrupt:
                at = self.chance.randrange(len(payload))
                payload = payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]
            self.count += 1
            self.flying.append((now + MS + self.chance.randrange(self.jitter_ns + 1), self.count, n, payload))

    def arrived(self, now: int) -> list[tuple[int, bytes]]:
        here = sorted(m for m in self.flying if m[0] <= now)
        self.flying = [m for m in self.flying if m[0] > now]
        return [(n, payload) for _, _, n, payload in here]


def later(now: int, puller: Puller, *wires: Wire) -> int:
    """A millisecond on; or at the next timer, when nothing is on the way."""
    on_the_way = any(wire.flying for wire in wires)
    return now + MS if on_the_way else max(now + MS, puller.wake_ns() or 0)


class Simulation:
    """A doorbell, a requester with its disk, and a broker with two wires, in simulated time."""

    def __init__(self, chance: random.Random, blocks: int, up: Wire, down: Wire) -> None:
        self.chance, self.up, self.down = chance, up, down
        _, self.found, self.bundle, self.pages, self.files = prepared(chance.randbytes(blocks * BLOCK_BYTES - 300))
        self.disk = bytearray(self.found.size)
        self.server, self.puller = Server(self.bundle, self.pages), Puller(self.found, seq=0)
        self.now = 0

    def restart_doorbell(self) -> None:
        self.server = Server(self.bundle, self.pages)

    def restart_requester(self) -> None:
        self.puller = Puller(self.found, seq=self.now)

    def restart_broker(self) -> None:
        """All that is on the way is gone; if the requester does not notice, its timer must do."""
        self.up.flying.clear()
        self.down.flying.clear()
        if self.chance.random() < 0.8:
            self.puller.on_reconnect()

    def step(self) -> None:
        """A millisecond, or until something is due."""
        self.now = later(self.now, self.puller, self.up, self.down)
        for get in self.puller.next_gets(self.now):
            self.up.send(self.now, 0, get)
        for _, get in self.up.arrived(self.now):
            try:
                self.server.on_get(get)
            except Refused:
                continue  # corrupted on the way
        for _ in range(4):
            n = self.server.next_block()
            if n is not None:
                self.down.send(self.now, n, self.server.payload(n, reader(self.files)))
        for n, payload in self.down.arrived(self.now):
            if self.puller.on_block(n, payload, self.now) is Arrival.WRITE:
                at = self.puller.offset_of(n)
                self.disk[at : at + len(payload)] = payload
        if self.puller.phase is Phase.CHECKING:
            kept = bytes(self.disk)
            self.puller.resume(self.puller.leftovers(lambda _, at, length: kept[at : at + length], "disk"))


@given(
    blocks=st.integers(1, 60),
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.05, 0.4]),
    double=st.sampled_from([0.0, 0.3]),
    corrupt=st.sampled_from([0.0, 0.2]),
    jitter_ms=st.sampled_from([0, 5, 80]),
    restarts=st.lists(st.tuples(st.sampled_from(["doorbell", "requester", "broker"]), st.integers(1, 60)), max_size=8),
)
@settings(max_examples=100, deadline=None)
def test_any_wire_and_any_restarts_complete_byte_exact(
    blocks: int, seed: int, loss: float, double: float, corrupt: float, jitter_ms: int, restarts: list[tuple[str, int]]
) -> None:
    """Each of `restarts` comes so many steps after the one before it: at any moment, also while one end recovers."""
    chance = random.Random(seed)
    up, down = (Wire(chance, loss, double, corrupt, jitter_ms * MS) for _ in range(2))
    simulation = Simulation(chance, blocks, up, down)
    coming = [(getattr(simulation, f"restart_{who}"), steps) for who, steps in restarts]
    while simulation.puller.phase is not Phase.DONE:
        simulation.step()
        assert simulation.now < 3_600_000 * MS, "an hour should do for four megabytes"
        if coming:
            restart, steps = coming.pop(0)
            if steps > 1:
                coming.insert(0, (restart, steps - 1))
            else:
                restart()
    assert bytes(simulation.disk) == whole(simulation.bundle, simulation.files)
    assert simulation.puller.received_bytes == simulation.found.size


def run_link(blocks: int, per_ms: float, cut_every_ms: int | None) -> tuple[int, int, Puller]:
    """Pull over a link that carries `per_ms` blocks a millisecond in order. Returns (ms taken, blocks sent, puller)."""
    _, found, bundle, pages, files = prepared(bytes(blocks * BLOCK_BYTES - 300))
    server, puller = Server(bundle, pages), Puller(found, seq=0)
    queue: list[tuple[int, int]] = []
    credit, sent, now = 0.0, 0, 0
    gets: list[tuple[int, bytes]] = []
    while puller.phase is not Phase.DONE:
        now += 1
        if cut_every_ms and now % cut_every_ms == 0:
            queue.clear()
            gets.clear()
            puller.on_reconnect()
        gets += [(now + 1, g) for g in puller.next_gets(now * MS)]
        while gets and gets[0][0] <= now:
            server.on_get(gets.pop(0)[1])
        while (n := server.next_block()) is not None:
            queue.append((now + 1, n))
            sent += 1
        credit = min(credit + per_ms, 8.0) if queue else 0.0
        while queue and credit >= 1 and queue[0][0] <= now:
            credit -= 1
            n = queue.pop(0)[1]
            puller.on_block(n, server.payload(n, reader(files)), now * MS)
        if puller.phase is Phase.CHECKING:
            puller.resume(())
    return now, sent, puller


@pytest.mark.parametrize("per_ms", [0.05, 0.5, 4])
def test_a_clean_link_is_filled_and_nothing_is_sent_twice(per_ms: float) -> None:
    took, sent, puller = run_link(400, per_ms, None)
    assert sent == 401
    assert puller.duplicates == puller.corrupt == 0
    assert took <= 1.25 * 401 / per_ms + 50


@pytest.mark.parametrize("per_ms", [0.1, 0.5, 2])
def test_a_link_cut_every_600_ms_costs_at_most_a_tenth_more(per_ms: float) -> None:
    _, sent, _ = run_link(1_000, per_ms, 600)
    assert sent <= 1.1 * 1_001


def test_blocks_that_are_not_asked_for_do_no_harm() -> None:
    _, found, bundle, pages, files = prepared(ring(5 * BLOCK_BYTES))
    puller = Puller(found, seq=0)
    block = bundle.block(0, reader(files))
    assert puller.on_block(1, block, 0) is Arrival.UNKNOWN  # no pages yet: nothing can be judged
    assert puller.on_block(-1, block, 0) is Arrival.UNKNOWN
    assert puller.on_block(10**9, block, 0) is Arrival.UNKNOWN
    assert puller.on_block(0, b"forged", 0) is Arrival.CORRUPT
    assert puller.on_block(0, pages[0], 0) is Arrival.PAGE
    assert puller.phase is Phase.CHECKING
    puller.resume(())
    assert puller.on_block(1, block, 0) is Arrival.WRITE
    assert puller.on_block(1, block, 0) is Arrival.DUPLICATE
    assert puller.received_bytes == BLOCK_BYTES
