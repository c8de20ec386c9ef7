"""The Raspberry Pi's camera as a source: hands on what comes, and notices when nothing does.

Owns what is missing between packets, and when one start is over. A camera or its encoder can stop without a word after
hours (picamera2 #1090, #1392); only the age of the last packet shows it. Starting anew is `patience`'s. A camera that
hangs even while it is closed cannot be helped from inside: the process has to end. The hardware is `camera_device`'s.
Runs in the thread that iterates it; whatever may hang runs in a thread of its own.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from agent.adapters import clock
from agent.adapters.camera_device import PiCamera, PiCameraSettings
from agent.adapters.camera_inbox import MAX_LUMA, CameraPacket, Failed, Inbox, Lost
from agent.core import h264
from agent.core.errors import BadInput, Stuck, Unavailable
from agent.core.fmp4 import MAX_RUN_BYTES, SECOND_NS
from agent.core.frame import EncodedPacket, Gap, LumaFrame, SourceItem, VideoFormat
from agent.core.packing import Packing

log = logging.getLogger(__name__)

_TIMESCALE: Final = 1_000_000  # the encoder passes times on in microseconds
_PAUSE_NS: Final = SECOND_NS  # no camera pauses for so long: pictures are missing
_LOOK_S: Final = 0.5  # how long `stopped` may go unnoticed
_HANGS: Final = "The Pi camera does not answer any more; start Doorward anew, and if that does not help, the Pi."

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait for the first packet, for the next, and for opening or closing.

    Opening, a first packet that never comes and closing are together shorter than the watchdog is patient.
    """

    first_s: float = 6.0
    next_s: float = 5.0
    answer_s: float = 4.0


class OpenCamera(Protocol):
    """A camera that runs."""

    def close(self) -> None:
        """Stop it and let it go; may hang."""

    def abandon(self) -> None:
        """It hangs while closing."""


class CameraSource:
    """The items of the Pi's camera from one start until `stopped`.

    Unavailable, saying why, when it cannot be had or sends nothing for too long: then it is closed, and may be begun
    again. Stuck when it cannot even be closed.
    """

    def __init__(
        self,
        settings: PiCameraSettings,
        stopped: Callable[[], bool],
        *,
        patience: Patience | None = None,
        open_camera: Callable[[PiCameraSettings, Inbox], OpenCamera] = PiCamera,
    ) -> None:
        self._settings = settings
        self._stopped = stopped
        self._patience = patience or Patience()
        self._open = open_camera
        self._frame_ns = SECOND_NS // settings.fps
        self._format: VideoFormat | None = None
        self._reached_ns: int | None = None
        self._lost: str | None = None

    def __iter__(self) -> Iterator[SourceItem]:
        inbox = Inbox()
        camera = self._in_time(lambda: self._open(self._settings, inbox))
        ending = False
        try:
            yield from self._items(inbox)
        except GeneratorExit:
            ending = True
            raise
        finally:
            try:
                self._in_time(camera.close)
            except Unavailable as error:
                if isinstance(error, Stuck):
                    camera.abandon()
                # Whoever has stopped listening is about to end anyway.
                if not ending and not self._stopped():
                    raise
                log.error("%s", error)

    def _items(self, inbox: Inbox) -> Iterator[SourceItem]:
        """One start's items. Unavailable when no packet comes for too long, or the camera says that it cannot go on."""
        arrived_ns = clock.boot_ns()
        patience_s = self._patience.first_s
        packets = _Packets()
        lumas: deque[LumaFrame] = deque(maxlen=MAX_LUMA)
        seen_ns = 0
        while not self._stopped():
            item = inbox.take(_LOOK_S)
            if isinstance(item, CameraPacket):
                arrived_ns, patience_s = clock.boot_ns(), self._patience.next_s
                yield from self._packet_items(packets, item)
                # A picture is looked at when its packet is there to be recorded.
                while lumas and lumas[0].time_ns <= item.time_ns and self._reached_ns is not None:
                    yield lumas.popleft()
                continue
            if isinstance(item, LumaFrame):
                lumas.append(item)
                seen_ns = item.time_ns
            elif isinstance(item, Lost):
                packets.interrupted()
                self._lost = self._lost or item.reason
            elif isinstance(item, Failed):
                raise Unavailable(item.reason)
            age_s = (clock.boot_ns() - arrived_ns) / SECOND_NS
            if age_s > patience_s:
                which = "encoder" if seen_ns > arrived_ns else "camera"
                raise Unavailable(f"The Pi's {which} has sent nothing for {age_s:.0f} seconds.")

    def _packet_items(self, packets: _Packets, packet: CameraPacket) -> Iterator[SourceItem]:
        try:
            taken = packets.take(packet)
        except BadInput as error:
            self._lost = self._lost or str(error)
            return
        if taken is None:
            return
        data, key, new_format = taken
        reached_ns = self._reached_ns
        if reached_ns is not None:
            if self._lost is None and packet.time_ns - reached_ns > _PAUSE_NS:
                self._lost = "the Pi camera gave no pictures for a while"
            if self._lost is not None:
                yield Gap(min(reached_ns, packet.time_ns), packet.time_ns, self._lost)
        self._lost = None
        if new_format is not None and new_format != self._format:
            self._format = new_format
            yield new_format
        yield EncodedPacket(data, packet.time_ns, packet.time_ns, self._frame_ns, key)
        self._reached_ns = packet.time_ns + self._frame_ns

    def _in_time(self, act: Callable[[], T]) -> T:
        """What `act` returns or raises; `Stuck` where it does neither in time."""
        done: list[T] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                done.append(act())
            except Unavailable as error:
                failed.append(error)

        thread = threading.Thread(target=run, name="pi-camera", daemon=True)
        thread.start()
        thread.join(self._patience.answer_s)
        if thread.is_alive():
            raise Stuck(_HANGS)
        if failed:
            raise failed[0]
        if not done:
            raise Unavailable("The Pi camera failed in an unknown way; the log above says how.")
        return done[0]


class _Packets:
    """One start's packets: whole groups of pictures only, each time later than the last."""

    def __init__(self) -> None:
        self._packing = Packing(b"", _TIMESCALE)
        self._waiting = True
        self._last_ns: int | None = None

    def interrupted(self) -> None:
        """Pictures are missing: nothing can be decoded before the next key frame."""
        self._waiting = True
        self._packing.interrupted()

    def take(self, packet: CameraPacket) -> tuple[bytes, bool, VideoFormat | None] | None:
        """The packet in the packing of a film, whether it is a key frame, and the format where it is new.

        None while a key frame is waited for. BadInput for what cannot be recorded; then a key frame is waited for.
        """
        try:
            return self._taken(packet)
        except BadInput:
            self.interrupted()
            raise

    def _taken(self, packet: CameraPacket) -> tuple[bytes, bool, VideoFormat | None] | None:
        if len(packet.data) > MAX_RUN_BYTES:
            raise BadInput(
                f"the camera's encoder gave a picture of {len(packet.data)} bytes; lower camera.bitrate_kbps"
            )
        if self._last_ns is not None and packet.time_ns <= self._last_ns:
            raise BadInput("the camera's pictures came out of order")
        units = self._packing.split(packet.data)
        key = any(h264.unit_type(unit) == h264.SLICE_IDR for unit in units)
        if self._waiting and not key:
            return None
        if not self._packing.continues(units):
            raise BadInput("the camera's encoder lost a picture")
        new_format = self._packing.format_at(units) if key else None
        self._waiting = False
        self._last_ns = packet.time_ns
        return h264.join_lengths(units), key, new_format
