"""A street before a doorbell: a source whose pictures carry their numbers, and a recorder that writes what it shows."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from agent.core import identity, statements
from agent.core.fmp4 import parse_fragment
from agent.core.frame import EncodedPacket, LumaFrame, SourceItem, Track, VideoFormat
from agent.core.identity import OwnerSet
from agent.core.motion import MotionSettings
from agent.core.sealing import ClipKeys, header_hash, open_record, unwrap_clip_key
from agent.core.segmenter import SegmenterRules
from agent.core.timeline import TimeBase, Trust
from agent.recorder import Recorder, RecorderReport, RecorderSettings
from agent.store.index import ClipRow
from agent.store.ring import ClipReader
from tests.household import NOW, SECOND, Household

SETS = bytes([1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 1, 0x67, 1, 0, 1, 0x68])
FORMAT = VideoFormat(320, 180, 90_000, SETS)


@dataclass
class Street:
    """A source of ten pictures a second, each packet naming its number; something moves in the given spans (s)."""

    seconds: int
    visits: list[tuple[int, int]]
    gop: int = 10
    extra: dict[int, SourceItem] = field(default_factory=dict)  # put in before the packet of this number
    size: int = 200

    def __iter__(self) -> Iterator[SourceItem]:
        rng = np.random.default_rng(1)
        ground = rng.integers(90, 120, (90, 160)).astype(np.uint8)
        yield FORMAT
        for n in range(self.seconds * 10):
            if n in self.extra:
                yield self.extra[n]
            now = n * SECOND // 10
            data = b"%08d" % n * (self.size // 8)
            yield EncodedPacket(data, now, now, SECOND // 10, n % self.gop == 0)
            picture = ground + rng.integers(0, 3, ground.shape).astype(np.uint8)
            if any(start * 10 <= n < end * 10 for start, end in self.visits):
                x = 10 + (n * 3) % 120
                picture[20:70, x : x + 20] = 230
            yield LumaFrame(now, picture)


class Recorded:
    """A recorder over a household, and what it wrote."""

    def __init__(self, root: Path, budget: int = 10**9, patience: Callable[[], float] | None = None) -> None:
        self.home = Household.at(root)
        self.evicted: list[ClipRow] = []
        self.budget = budget
        self.patience = patience
        self.rules = SegmenterRules()
        self.failures: list[str] = []
        self.outages: list[tuple[str, int, int]] = []  # reason, how long, how much was lost (ns)
        self.source: list[str] = []
        self.sound: list[str] = []

    reported = 10_000

    def clip_began(self, row: ClipRow) -> None: ...
    def clip_ended(self, row: ClipRow) -> None: ...
    def moment(self, source_ns: int) -> None: ...
    def clip_shows(self, label: str) -> None: ...
    def began(self, recorder: Recorder) -> None:
        """Before the first item."""

    def source_lost(self, reason: str) -> None:
        self.source.append(reason)

    def source_is_back(self) -> None:
        self.source.append("back")

    def sound_missing(self, reason: str) -> None:
        self.sound.append(reason or "back")

    def disk_failed(self, reason: str) -> None:
        self.failures.append(reason)

    def disk_is_back(self, reason: str, paused_ns: int, lost_ns: int) -> None:
        self.outages.append((reason, paused_ns, lost_ns))

    def clips_evicted(self, rows: list[ClipRow]) -> None:
        self.evicted += rows

    def record(self, street: Iterable[SourceItem]) -> RecorderReport:
        def in_force() -> tuple[OwnerSet, bytes]:
            token = self.home.ledger.owners()
            assert token is not None
            return identity.read_owner_set(token, self.home.device_id), statements.digest(token)

        settings = RecorderSettings(MotionSettings(), self.rules)
        recorder = Recorder(
            self.home.clips, self.home.keeper(self.budget), settings, in_force, secrets.token_bytes, self,
            patience=self.patience, reported=self.reported,
        )  # fmt: skip
        self.began(recorder)
        return recorder.record(street, lambda: TimeBase(0, NOW, Trust.REPLAYED), lambda: False)

    def pictures(self, row: ClipRow) -> list[int]:
        """The numbers of the pictures in a clip, opened with the owner's key."""
        clip = self.home.clips.ring.read(row.sequence)
        keys = ClipKeys(unwrap_clip_key(clip.header, clip.wraps, self.home.owner.opens), header_hash(clip.header))
        numbers = []
        with ClipReader(clip.path) as reader:
            for record in clip.track(Track.VIDEO)[1:]:
                secret = keys.record_secret(Track.VIDEO, record.header.index)
                fragment = open_record(secret, reader.read(record.offset, record.length))
                numbers += [int(sample.data[:8]) for sample in parse_fragment(fragment)]
        return numbers

    def rows(self) -> list[ClipRow]:
        return list(self.home.clips.index.all())
