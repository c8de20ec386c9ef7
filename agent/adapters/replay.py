"""Film files as if a camera saw them: one timeline over all files, at full speed or at the pace of life.

Owns the sequence of files and the pace. How a file's packets are read is `passthrough` (H.264 that plays anywhere,
untouched) and `transcode` (anything else, and what a phone laid on its side, mirrored or trimmed, encoded once). Knows
no daemon: it is iterated, synchronously, and yields what cameras do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Final

import av.container
import av.video

from agent.adapters.footage import FootageFacts, declared_duration_ns, open_footage, probe
from agent.adapters.luma import LumaSampler
from agent.adapters.packets import read_packets
from agent.adapters.passthrough import PassThrough
from agent.adapters.sound import SoundTap, sound_track
from agent.adapters.times import TickClock
from agent.adapters.transcode import Transcoder
from agent.core.errors import BadInput
from agent.core.fmp4 import SECOND_NS
from agent.core.frame import EncodedPacket, Gap, SourceItem, VideoFormat
from agent.core.masks import Mask

# Headers round; a film that ends this much early still ended where it should.
_TOLERANCE_NS: Final = SECOND_NS // 5
_USUAL_TIME_BASE: Final = Fraction(1, 90_000)


@dataclass(frozen=True, slots=True)
class Pace:
    """How real time passes: a clock in ns that only runs forward, and how to wait some seconds."""

    now_ns: Callable[[], int] = time.monotonic_ns
    sleep: Callable[[float], None] = time.sleep


class ReplaySource:
    """The items of `paths`, one after the other. Looks into each file at once: BadInput for one that is no film.

    `luma_width` pixels and `luma_rate_hz` set what motion detection gets. `pace` None: as fast as the machine can.
    `sound`: hand over the files' sound, too. With `masks` every file is encoded anew, H.264 too.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        luma_width: int = 320,
        luma_rate_hz: float = 10.0,
        pace: Pace | None = None,
        threads: int = 1,
        sound: bool = False,
        masks: tuple[Mask, ...] = (),
    ) -> None:
        if not paths:
            raise BadInput("No footage was named; name at least one film file.")
        self.facts = tuple(probe(path) for path in paths)
        self._paths = tuple(paths)
        self._luma_width = luma_width
        self._luma_rate_hz = luma_rate_hz
        self._pace = pace
        self._threads = threads
        self._sound = sound
        self._masks = masks
        self._end_ns = 0
        self._last_dts_ns: int | None = None
        self._format: VideoFormat | None = None

    def __iter__(self) -> Iterator[SourceItem]:
        items = self._all_items()
        return items if self._pace is None else _paced(items, self._pace)

    def _all_items(self) -> Iterator[SourceItem]:
        self._end_ns, self._last_dts_ns, self._format = 0, None, None
        for path, facts in zip(self._paths, self.facts, strict=True):
            with open_footage(path) as (container, track):
                yield from self._file_items(path, container, track, facts)

    def _file_items(
        self, path: Path, container: av.container.InputContainer, track: av.video.VideoStream, facts: FootageFacts
    ) -> Iterator[SourceItem]:
        context = track.codec_context
        context.thread_count = self._threads
        rate = track.average_rate or track.guessed_rate
        clock = TickClock(track.time_base or _USUAL_TIME_BASE, rate, self._end_ns, self._last_dts_ns)
        sampler = LumaSampler(self._luma_width, self._luma_rate_hz)
        heard = sound_track(container) if self._sound else None
        tap = SoundTap(heard, clock) if heard is not None else None
        seen = False
        read = partial(read_packets, sound=tap)
        if facts.untouched and not self._masks:
            items = PassThrough(read(container, track), track, clock, sampler, container.format.name).items()
        else:
            turned = Transcoder(
                read(container, track), track, clock, sampler, orientation=facts.orientation, masks=self._masks
            )
            items = turned.items()
        for item in items:
            if isinstance(item, VideoFormat):
                if item == self._format:
                    continue
                self._format = item
            seen = seen or isinstance(item, EncodedPacket)
            yield item
            if tap is not None:
                yield from tap.items()
        if tap is not None:
            yield from tap.finish()
        if not seen:
            raise BadInput(f"{path} holds no picture that can be used; convert it to H.264 in an MP4 file.")
        start_ns, self._end_ns, self._last_dts_ns = self._end_ns, clock.end_ns, clock.last_dts_ns
        declared = declared_duration_ns(container, track)
        if declared is not None and start_ns + declared > self._end_ns + _TOLERANCE_NS:
            yield Gap(self._end_ns, start_ns + declared, f"{path.name} ends before the length it declares")
            self._end_ns = start_ns + declared


def _paced(items: Iterator[SourceItem], pace: Pace) -> Iterator[SourceItem]:
    """Each packet when its picture would have been encoded, counted from the first."""
    begun: tuple[int, int] | None = None
    for item in items:
        if isinstance(item, EncodedPacket):
            if begun is None:
                begun = (pace.now_ns(), item.dts_ns)
            wait_ns = item.dts_ns - begun[1] - (pace.now_ns() - begun[0])
            if wait_ns > 0:
                pace.sleep(wait_ns / SECOND_NS)
        yield item
