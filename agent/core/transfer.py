"""The pull transfer without any I/O: which blocks to ask for, which to send, and what to believe of what arrives.

`Server` is the doorbell's half and keeps no state of who has what: only the blocks asked for and not yet sent.
`Puller` is the requester's: it asks for the digest pages, then for what it lacks, a window at a time. The window grows
while blocks come promptly and shrinks when they queue on the way (the idea of RFC 6817), so that little is on the wire
when a link breaks; what is lost is found by order and by a timer (RFC 6298). Time comes in as monotonic nanoseconds.
Source: docs/spec/transfer.md.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum

import msgspec

from agent.core.bundle import BLOCK_BYTES, BLOCKS_PER_PAGE, DIGEST_BYTES, Bundle, Offer, Read
from agent.core.encoding import from_b64u, from_json, to_json
from agent.core.errors import BadInput, Corrupt, Refused

MAX_GET_BYTES = 4_096
MAX_GET_RANGES = 64
MAX_GET_BLOCKS = 64
MAX_WAITING_BLOCKS = 1_024

FIRST_WINDOW = 4
GAIN = 0.25
MAX_WINDOW = 128
TARGET_DELAY_NS = 20_000_000
BASE_PERIOD_NS = 10_000_000_000
MIN_TIMEOUT_NS = 1_000_000_000
FIRST_TIMEOUT_NS = 1_000_000_000
MAX_TIMEOUT_NS = 8_000_000_000
REORDER_BLOCKS = 16


class Get(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The payload of `get`: block numbers as inclusive ranges."""

    seq: int
    ranges: list[tuple[int, int]]


def read_get(payload: bytes, total: int) -> Get:
    """A `get` for a transfer of `total` numbered blocks (pages included); Refused("malformed") when it is none."""
    if len(payload) > MAX_GET_BYTES:
        raise Refused("malformed", f"a get has at most {MAX_GET_BYTES} bytes, this one has {len(payload)}")
    try:
        get = from_json(payload, Get, "the get")
    except Corrupt as e:
        raise Refused("malformed", str(e)) from e
    if not 1 <= len(get.ranges) <= MAX_GET_RANGES or any(not 0 <= a <= b < total for a, b in get.ranges):
        raise Refused("malformed", "the ranges of a get are not ranges of this transfer's blocks")
    if sum(b - a + 1 for a, b in get.ranges) > MAX_GET_BLOCKS:
        raise Refused("malformed", f"a get asks for at most {MAX_GET_BLOCKS} blocks")
    return get


class Server:
    """The doorbell's half of one transfer: `on_get` takes requests in, `next_block` says what to send next."""

    def __init__(self, bundle: Bundle, pages: tuple[bytes, ...]) -> None:
        self._bundle = bundle
        self._pages = pages
        self._waiting: dict[int, None] = {}
        self._last_seq: int | None = None

    @property
    def total(self) -> int:
        """Numbered blocks: pages and blocks of the bundle."""
        return len(self._pages) + self._bundle.blocks

    def on_get(self, payload: bytes) -> None:
        """Queue what is asked. The same `seq` twice running is one message delivered twice and changes nothing.

        A block that waits already keeps its place. Refused("malformed") for anything that is no get,
        Refused("too-many") when a peer asks for more than it takes.
        """
        get = read_get(payload, self.total)
        if get.seq == self._last_seq:
            return
        self._last_seq = get.seq
        for first, last in get.ranges:
            self._waiting.update(dict.fromkeys(n for n in range(first, last + 1) if n not in self._waiting))
        if len(self._waiting) > MAX_WAITING_BLOCKS:
            self._waiting = dict.fromkeys(list(self._waiting)[:MAX_WAITING_BLOCKS])
            raise Refused("too-many", f"more than {MAX_WAITING_BLOCKS} blocks are waiting to be sent to one requester")

    @property
    def waiting(self) -> bool:
        """Whether something is asked for and not yet sent."""
        return bool(self._waiting)

    def next_block(self) -> int | None:
        """The number of the block to send now, taken off the queue; None when nothing is asked for."""
        for n in self._waiting:
            del self._waiting[n]
            return n
        return None

    def forget(self) -> None:
        """Drop what is waiting: the peer is gone or the transfer ended."""
        self._waiting.clear()

    def payload(self, n: int, read: Read) -> bytes:
        """The bytes of numbered block `n`. May read a file through `read`."""
        if 0 <= n < len(self._pages):
            return self._pages[n]
        return self._bundle.block(n - len(self._pages), read)


class Phase(Enum):
    """Where a pull stands."""

    PAGES = "pages"  # asking for the digest pages
    CHECKING = "checking"  # the caller looks which blocks an earlier run left on its disk, then calls `resume`
    BLOCKS = "blocks"
    DONE = "done"


class Step(Enum):
    """What brings a pull on."""

    PAGES_THERE = "every digest page is there"
    RESUMED = "the disk was looked through"
    BLOCKS_THERE = "every block is there"


TRANSITIONS: dict[tuple[Phase, Step], Phase] = {
    (Phase.PAGES, Step.PAGES_THERE): Phase.CHECKING,
    (Phase.CHECKING, Step.RESUMED): Phase.BLOCKS,
    (Phase.BLOCKS, Step.BLOCKS_THERE): Phase.DONE,
}


class Arrival(Enum):
    """What became of a block that arrived."""

    WRITE = "write"  # new and right: write it at `offset_of(n)`
    PAGE = "page"  # a digest page, kept here
    DUPLICATE = "duplicate"
    CORRUPT = "corrupt"
    UNKNOWN = "unknown"


_MISSING, _ASKED, _HAVE = 0, 1, 2


class Puller:
    """The requester's half of one transfer. `seq` must be higher than any used before for it (a clock will do)."""

    def __init__(self, offer: Offer, *, seq: int) -> None:
        self._offer = offer
        self._page_digests = [from_b64u(text, DIGEST_BYTES) for text in offer.pages]
        self._pages: list[bytes] = [b""] * len(offer.pages)
        self._state = bytearray(len(offer.pages) + offer.blocks)
        self._cursor = 0
        self._lost: deque[int] = deque()
        self._outstanding: dict[int, tuple[int, int]] = {}  # block → (when asked, how many were asked before)
        self._asked = 0
        self._seq = seq
        self._pace = _Pace()
        self._progress_ns: int | None = None
        self.phase = Phase.PAGES
        self.received_bytes = 0
        self.duplicates = 0
        self.corrupt = 0

    @property
    def size(self) -> int:
        """Bytes of the bundle."""
        return self._offer.size

    def offset_of(self, n: int) -> int:
        """Where in the bundle numbered block `n` belongs."""
        return (n - len(self._pages)) * BLOCK_BYTES

    def leftovers(self, read: Read, source: str) -> Iterator[int]:
        """Numbered blocks that the file `source` of an earlier run already holds rightly; for `resume`."""
        for m in range(self._offer.blocks):
            data = read(source, m * BLOCK_BYTES, self._block_length(m))
            if hashlib.sha256(data).digest() == self._digest(m):
                yield m + len(self._pages)

    def resume(self, present: Iterable[int]) -> None:
        """After the pages: these blocks are on the disk and right. Only then blocks are asked for."""
        if (self.phase, Step.RESUMED) not in TRANSITIONS:
            raise BadInput("a pull is resumed once, when its digest pages are there")
        self.phase = TRANSITIONS[self.phase, Step.RESUMED]
        for n in present:
            self._keep(n)

    def on_reconnect(self) -> None:
        """The way to the peer broke: nothing that is outstanding will come, so ask for it again at once."""
        self._lose(list(self._outstanding))
        self._progress_ns = None

    def wake_ns(self) -> int | None:
        """When `next_gets` should be called again though nothing arrived; None when there is nothing to wait for."""
        if self._progress_ns is None or not self._outstanding:
            return None
        return self._progress_ns + self._pace.timeout_ns

    def next_gets(self, now_ns: int) -> list[bytes]:
        """The `get` payloads to publish now, often none."""
        if self.phase not in (Phase.PAGES, Phase.BLOCKS):
            return []
        wake_ns = self.wake_ns()
        if wake_ns is not None and now_ns >= wake_ns:
            self._lose(list(self._outstanding))
            self._pace.on_timeout()
        gets: list[bytes] = []
        room = self._pace.window - len(self._outstanding)
        if self._outstanding and room < max(1, self._pace.window // 2):
            return gets
        while room > 0:
            numbers = self._pick(min(room, MAX_GET_BLOCKS))
            if not numbers:
                break
            if not self._outstanding:
                self._progress_ns = now_ns
            for n in numbers:
                self._state[n] = _ASKED
                self._outstanding[n] = (now_ns, self._asked)
                self._asked += 1
            self._seq += 1
            gets.append(to_json(Get(self._seq, _ranges(numbers))))
            room -= len(numbers)
        return gets

    def on_block(self, n: int, payload: bytes, now_ns: int) -> Arrival:
        """Judge a block that arrived; the caller writes it when told so."""
        if not 0 <= n < len(self._state) or (n >= len(self._pages) and self.phase in (Phase.PAGES, Phase.CHECKING)):
            return Arrival.UNKNOWN
        if self._state[n] == _HAVE:
            self.duplicates += 1
            return Arrival.DUPLICATE
        if not self._is_right(n, payload):
            self.corrupt += 1  # as good as lost: it is asked for again when the timer says so, not in a tight loop
            return Arrival.CORRUPT
        self._note_arrival(n, now_ns)
        if n >= len(self._pages):
            self._keep(n)
            return Arrival.WRITE
        self._pages[n] = payload
        self._keep(n)
        return Arrival.PAGE

    def _note_arrival(self, n: int, now_ns: int) -> None:
        self._progress_ns = now_ns
        asked = self._outstanding.pop(n, None)
        if asked is None:
            return
        asked_ns, order = asked
        self._pace.on_sample(now_ns - asked_ns, now_ns, order, self._asked)
        overtaken = []
        for other, (_, earlier) in self._outstanding.items():  # in the order they were asked
            if earlier + REORDER_BLOCKS > order:
                break
            overtaken.append(other)
        if overtaken:
            self._lose(overtaken)
            self._pace.on_loss(order, self._asked)

    def _keep(self, n: int) -> None:
        if self._state[n] == _HAVE:
            return
        self._state[n] = _HAVE
        self._outstanding.pop(n, None)
        m = n - len(self._pages)
        if m >= 0:
            self.received_bytes += self._block_length(m)
            if self.received_bytes == self._offer.size:
                self.phase = TRANSITIONS[self.phase, Step.BLOCKS_THERE]
        elif all(self._pages):
            self.phase = TRANSITIONS[self.phase, Step.PAGES_THERE]

    def _lose(self, numbers: list[int]) -> None:
        for n in numbers:
            self._outstanding.pop(n, None)
            if self._state[n] == _ASKED:
                self._state[n] = _MISSING
                self._lost.append(n)

    def _pick(self, most: int) -> list[int]:
        """Up to `most` missing blocks, what was lost first; in PAGES only pages."""
        picked: list[int] = []
        while self._lost and len(picked) < most:
            n = self._lost.popleft()
            if self._state[n] == _MISSING and n not in picked:
                picked.append(n)
        end = len(self._pages) if self.phase is Phase.PAGES else len(self._state)
        while len(picked) < most:
            n = self._state.find(_MISSING, self._cursor, end)
            if n < 0:
                break
            self._cursor = n + 1
            if n not in picked:
                picked.append(n)
        return sorted(picked)

    def _is_right(self, n: int, payload: bytes) -> bool:
        digest = hashlib.sha256(payload).digest()
        if n < len(self._pages):
            return digest == self._page_digests[n] and len(payload) == self._page_length(n)
        return digest == self._digest(n - len(self._pages))

    def _digest(self, m: int) -> bytes:
        page, at = divmod(m, BLOCKS_PER_PAGE)
        return self._pages[page][at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES]

    def _block_length(self, m: int) -> int:
        return min(BLOCK_BYTES, self._offer.size - m * BLOCK_BYTES)

    def _page_length(self, page: int) -> int:
        return min(BLOCKS_PER_PAGE, self._offer.blocks - page * BLOCKS_PER_PAGE) * DIGEST_BYTES


class _Pace:
    """How many blocks may be under way, and how long to wait for one. Knows nothing of blocks but their timing."""

    def __init__(self) -> None:
        self._window = float(FIRST_WINDOW)
        self._growing_fast = True
        self._round_end = 0
        self._smoothed_ns: float | None = None
        self._variation_ns = 0.0
        self._patience = 1
        self._base_ns: list[int] = []  # least latency in this period and in the one before
        self._base_since_ns = 0

    @property
    def window(self) -> int:
        return int(self._window)

    @property
    def timeout_ns(self) -> int:
        if self._smoothed_ns is None:
            return min(FIRST_TIMEOUT_NS * self._patience, MAX_TIMEOUT_NS)
        timeout = max(MIN_TIMEOUT_NS, int(self._smoothed_ns + 4 * self._variation_ns))
        return min(timeout * self._patience, MAX_TIMEOUT_NS)

    def on_sample(self, latency_ns: int, now_ns: int, order: int, asked: int) -> None:
        """A block asked as number `order` took `latency_ns`; `asked` blocks have been asked for by now."""
        self._patience = 1
        if self._smoothed_ns is None:
            self._smoothed_ns, self._variation_ns = float(latency_ns), latency_ns / 2
        else:
            self._variation_ns += (abs(self._smoothed_ns - latency_ns) - self._variation_ns) / 4
            self._smoothed_ns += (latency_ns - self._smoothed_ns) / 8
        if latency_ns - self._base(latency_ns, now_ns) <= TARGET_DELAY_NS:
            self._window = min(MAX_WINDOW, self._window + (1 if self._growing_fast else GAIN / self._window))
        elif order >= self._round_end:  # what was asked before the last cut cannot show yet what it did
            self._cut(asked)

    def on_loss(self, order: int, asked: int) -> None:
        """A block was overtaken by many asked after it."""
        if order >= self._round_end:
            self._cut(asked)

    def on_timeout(self) -> None:
        """Nothing came for a whole `timeout_ns`."""
        self._growing_fast = False
        self._window = max(1.0, self._window / 2)
        self._patience = min(self._patience * 2, MAX_TIMEOUT_NS // MIN_TIMEOUT_NS)

    def _cut(self, asked: int) -> None:
        self._growing_fast = False
        self._window = max(1.0, self._window * 0.7)
        self._round_end = asked

    def _base(self, latency_ns: int, now_ns: int) -> int:
        """The least latency of late, so that a way that became longer is not taken for a queue for ever."""
        if not self._base_ns or now_ns - self._base_since_ns > BASE_PERIOD_NS:
            self._base_ns = [latency_ns, *self._base_ns[:1]]
            self._base_since_ns = now_ns
        self._base_ns[0] = min(self._base_ns[0], latency_ns)
        return min(self._base_ns)


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    """Sorted block numbers as at most as many inclusive ranges."""
    ranges: list[tuple[int, int]] = []
    for n in numbers:
        if ranges and ranges[-1][1] == n - 1:
            ranges[-1] = (ranges[-1][0], n)
        else:
            ranges.append((n, n))
    return ranges
