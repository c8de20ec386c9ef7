"""A live camera as a source: connects, hands on what comes, and when the camera is lost tries for ever to get it back.

Owns connections and the one gap that each loss is; the waits between them are `patience`'s. How a camera is opened is
`stream_open`'s, what its clock means is `stream_times`', how packets are read is `passthrough`'s (H.264, untouched) and
`transcode`'s (anything else, encoded once). Runs in the thread that iterates it, and in no other.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

import av.container
import av.error
import av.video
from av.packet import Packet
from av.video.stream import VideoStream

from agent.adapters.luma import LumaSampler
from agent.adapters.packets import tapped
from agent.adapters.passthrough import PassThrough
from agent.adapters.patience import FIRST_WAIT_S, LONGEST_WAIT_S, Surroundings
from agent.adapters.sound import SoundTap, sound_track
from agent.adapters.stream_open import SILENCE_S, CameraAddress, open_camera
from agent.adapters.stream_times import LiveClock
from agent.adapters.transcode import Transcoder
from agent.core.backoff import Backoff
from agent.core.errors import BadInput, Unavailable
from agent.core.fmp4 import MAX_RUN_BYTES, SECOND_NS
from agent.core.frame import EncodedPacket, Gap, SourceItem, VideoFormat
from agent.core.masks import Mask

log = logging.getLogger(__name__)

_NEARLY_SILENT_NS: Final = round(0.9 * SILENCE_S * SECOND_NS)
_SILENT: Final = f"the camera sent nothing for {SILENCE_S:.0f} seconds"

Connect = Callable[[], AbstractContextManager[tuple[av.container.InputContainer, av.video.VideoStream]]]


class StreamSource:
    """The items of the camera at `address` until `stopped`. BadInput where the address is not one.

    Stops within half a second between connections; while a camera hangs, when libav gives up after `SILENCE_S`
    (`stoppable` does not wait for that).
    `luma_width` pixels and `luma_rate_hz` set what motion detection gets. `sound`: record the camera's own sound, too.
    With `masks` its video is encoded anew, which costs many times what passing it on does.
    """

    def __init__(
        self,
        address: str,
        stopped: Callable[[], bool],
        *,
        luma_width: int = 320,
        luma_rate_hz: float = 10.0,
        sound: bool = False,
        masks: tuple[Mask, ...] = (),
        surroundings: Surroundings | None = None,
        connect: Connect | None = None,
    ) -> None:
        self._address = CameraAddress.parse(address)
        self._stopped = stopped
        self._luma_width = luma_width
        self._luma_rate_hz = luma_rate_hz
        self._sound = sound
        self._masks = masks
        self._around = surroundings or Surroundings()
        self._connect = connect or (lambda: open_camera(self._address, sound=sound))
        self._end_ns = 0
        self._reached_ns = 0
        self._last_dts_ns: int | None = None
        self._format: VideoFormat | None = None
        self._loss: str | None = None
        self._backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)

    def __iter__(self) -> Iterator[SourceItem]:
        told = None
        while not self._stopped():
            reader = _Reader(self._around, self._stopped)
            try:
                with self._connect() as (container, track):
                    yield from self._connection(container, track, reader)
                reason = reader.ended
            except (BadInput, Unavailable) as error:
                reason = str(error)
            if self._stopped():
                return
            # Once for a reason: a camera that is away for a night must not fill the log.
            if reason != told or not self._backoff.failures:
                log.warning("camera %s lost: %s", self._address.shown, reason)
                told = reason
            self._loss = self._loss or reason
            yield from self._around.wait(self._backoff, self._stopped, reason)

    def _connection(
        self, container: av.container.InputContainer, track: av.video.VideoStream, reader: _Reader
    ) -> Iterator[SourceItem]:
        context = track.codec_context
        context.thread_count = 1
        clock = LiveClock(track, self._last_dts_ns, self._end_ns)
        reader.clock = clock
        heard = sound_track(container) if self._sound else None
        reader.sound = SoundTap(heard, clock) if heard is not None else None
        sampler = LumaSampler(self._luma_width, self._luma_rate_hz)
        packets = reader.packets(container, track)
        try:
            if context.name == "h264" and not self._masks:
                items = PassThrough(packets, track, clock, sampler, container.format.name).items()
            else:
                items = Transcoder(packets, track, clock, sampler, live=True, masks=self._masks).items()
            for item in self._continued(items, clock):
                yield item
                if reader.sound is not None:
                    yield from reader.sound.items()
        finally:
            self._last_dts_ns, self._end_ns = clock.last_dts_ns, clock.end_ns

    def _continued(self, items: Iterator[SourceItem], clock: LiveClock) -> Iterator[SourceItem]:
        """One connection's items behind those of the last, with the one gap between them."""
        begun = False
        new_format: VideoFormat | None = None
        for item in items:
            if isinstance(item, VideoFormat):
                new_format = item if item != self._format else None
            elif isinstance(item, EncodedPacket):
                jumped = clock.take_jump()
                if not begun and self._loss is not None and self._format is not None:
                    log.info("camera %s is back", self._address.shown)
                    yield Gap(min(self._reached_ns, item.pts_ns), item.pts_ns, self._loss)
                elif begun and jumped:
                    yield Gap(min(self._reached_ns, item.pts_ns), item.pts_ns, "the camera's clock was set anew")
                begun, self._loss = True, None
                self._backoff.reset()
                if new_format is not None:
                    self._format, new_format = new_format, None
                    yield self._format
                yield item
                self._reached_ns = max(self._reached_ns, item.pts_ns + item.duration_ns)
            # What precedes the first picture or a jump is part of the gap told there.
            elif begun and not (isinstance(item, Gap) and clock.jumped):
                yield item


class _Reader:
    """Reads one connection's packets until it ends. `ended` then says why."""

    def __init__(self, around: Surroundings, stopped: Callable[[], bool]) -> None:
        self._around = around
        self._stopped = stopped
        self.clock: LiveClock | None = None
        self.sound: SoundTap | None = None
        self.ended = "the camera ended the connection"

    def packets(self, container: av.container.InputContainer, track: VideoStream) -> Iterator[Packet[VideoStream]]:
        """The packets that hold something, each with its arrival told to the clock."""
        assert self.clock is not None, "the clock comes with the connection"
        asked_ns = self._around.now_ns()
        try:
            for packet in tapped(container, track, self.sound):
                now_ns = self._around.now_ns()
                # After a read that took too long libav hands out what it still held, and reads on as if nothing were.
                if self._stopped() or now_ns - asked_ns > _NEARLY_SILENT_NS:
                    break
                if packet.size > MAX_RUN_BYTES:
                    self.ended = f"the camera sent a picture of {packet.size} bytes; lower its bitrate"
                    return
                if packet.size:
                    self.clock.arrived_ns = now_ns
                    yield packet
                    asked_ns = self._around.now_ns()
            if self._around.now_ns() - asked_ns > _NEARLY_SILENT_NS:
                self.ended = _SILENT
        except av.error.FFmpegError as error:
            # Only the words: the error itself names the address with its password.
            timed_out = isinstance(error, av.error.ExitError) or error.errno == errno.ETIMEDOUT
            self.ended = _SILENT if timed_out else f"the connection to the camera broke ({error.strerror})"
        except IndexError:
            # A camera that sends a transport stream can make up a track, and PyAV stumbles over it.
            self.ended = "the camera began to send something else"
