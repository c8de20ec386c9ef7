"""The microphone of a USB camera or sound card: ALSA's own `arecord` listens, what it hears is encoded to AAC.

Owns one thread, the `arecord` it starts anew when that ends, fails or falls silent, and what its samples' times are on
the boot clock. A program of its own because the ALSA library in PyAV's wheels finds neither settings nor plugins of the
machine, and waits in the kernel for as long as a device hangs. Never makes the pictures wait. Source: arecord(1).
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Final

import av
import numpy as np

from agent.adapters import clock
from agent.adapters.patience import FIRST_WAIT_S, LONGEST_WAIT_S, Surroundings
from agent.adapters.sound import SoundEncoder
from agent.adapters.sound_cards import LIST
from agent.core.backoff import Backoff
from agent.core.errors import Unavailable
from agent.core.fmp4 import SECOND_NS
from agent.core.frame import Away, EncodedPacket, Mute, SoundFormat, SoundPacket, SourceItem

log = logging.getLogger(__name__)

RATE_HZ: Final = 48_000  # what nearly every microphone has of its own, and AAC knows
_SAMPLE_BYTES: Final = 2
_READ_BYTES: Final = RATE_HZ * _SAMPLE_BYTES // 10
_SILENCE_S: Final = 5.0
_LOOK_S: Final = 0.5  # how long `stopped` may go unnoticed
_MOST_WAITING: Final = 500  # packets: ten seconds
_ENDING_S: Final = 2.0
_WORDS_KEPT: Final = 2000
_AHEAD_NS: Final = 2 * SECOND_NS
_WINDOW_NS: Final = 2 * SECOND_NS
_NOT_INSTALLED: Final = "The microphone needs the program arecord; run 'sudo apt install alsa-utils'."
_GONE: Final = "There is no microphone {}; see whether its plug sits; " + LIST + "."
_WORDS: Final = {
    "resource busy": "The microphone {} is used by another program; end that one first.",
    "Permission denied": "The microphone {} may not be used by this user; put it into the group audio "
    "('sudo usermod -aG audio NAME') and log in anew.",
    "No such": _GONE,
    "Unknown PCM": _GONE,
    "Cannot get card": _GONE,
}
_OTHER: Final = "The microphone {} fails ({}); pull its plug, put it back, and try another socket."


class SampleClock:
    """When the samples of one start were heard, on the boot clock.

    A busy machine reads samples late but never early, so the promptest reading of each two seconds tells how far the
    sound card's own clock has drifted (as in `stream_times`).
    """

    def __init__(self) -> None:
        self.samples = 0
        self._zero_ns: int | None = None  # when the first sample was heard
        self._begins_ns = self._before_ns = 0
        self._promptest_ns: int | None = None

    def arrived(self, samples: int, now_ns: int) -> None:
        """So many more samples were there at `now_ns`. Unavailable where they come faster than they can be heard."""
        self.samples += samples
        zero_ns = now_ns - self.samples * SECOND_NS // RATE_HZ
        if self._zero_ns is None:
            self._zero_ns = self._before_ns = zero_ns
            self._begins_ns = now_ns
        if self._before_ns - zero_ns > _AHEAD_NS:
            raise Unavailable(f"The microphone sends faster than can be heard; choose another: {LIST}.")
        self._zero_ns = min(self._zero_ns, zero_ns)
        self._promptest_ns = zero_ns if self._promptest_ns is None else min(self._promptest_ns, zero_ns)
        if now_ns - self._begins_ns >= _WINDOW_NS:
            self._zero_ns = self._before_ns = self._promptest_ns
            self._begins_ns, self._promptest_ns = now_ns, None

    def heard_ns(self, seconds: Fraction) -> int:
        """When what lies `seconds` of samples behind the first was heard."""
        assert self._zero_ns is not None, "asked only for what has arrived"
        return self._zero_ns + round(seconds * SECOND_NS)


class Microphone:
    """Listens until `stopped`, once started; `choose` says at each start, by ALSA's name, to what, or Unavailable.

    What keeps it from that is told by a Mute, logged once, and tried again with growing waits. Begins only while
    `camera_there` is set: a microphone in the camera comes and goes with it, and which it is shows only then.
    """

    def __init__(
        self,
        choose: Callable[[], str],
        stopped: Callable[[], bool],
        *,
        program: str = "arecord",
        silence_s: float = _SILENCE_S,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._choose = choose
        self._stopped = stopped
        self.camera_there = threading.Event()
        self._program = program
        self._silence_s = silence_s
        self._around = surroundings or Surroundings()
        self._backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)
        self._format: SoundFormat | None = None
        self._waiting: deque[SoundPacket] = deque(maxlen=_MOST_WAITING)
        self._trouble = self._told = ""
        self._formatted = False

    def start(self) -> None:
        """Begin to listen, in a thread of its own."""
        threading.Thread(target=self._run, name="microphone", daemon=True).start()

    def items(self) -> Iterator[SoundFormat | SoundPacket | Mute]:
        """What has been heard since the last call. Never waits."""
        trouble = self._trouble
        if trouble != self._told:
            self._told = trouble
            yield Mute(trouble)
        if self._format is not None and not self._formatted:
            self._formatted = True
            yield self._format
        while self._waiting:
            yield self._waiting.popleft()

    def _run(self) -> None:
        while not self._stopped():
            if not self.camera_there.wait(_LOOK_S):
                continue
            try:
                self._listen()
                return
            except Unavailable as error:
                reason = str(error)
            if reason != self._trouble:
                log.warning("no sound: %s", reason)
            self._trouble = reason
            for _ in self._around.wait(self._backoff, self._stopped, reason):
                pass  # the pictures say themselves when there are none

    def _listen(self) -> None:
        device = self._choose()
        command = [self._program, "--quiet", f"--device={device}", "--file-type=raw", "--format=S16_LE", "--channels=1",
                   f"--rate={RATE_HZ}", "--period-time=50000", "--buffer-time=1000000"]  # fmt: skip
        try:
            process = subprocess.Popen(  # noqa: S603 - no shell, and what is in it is the owner's own setting
                command, bufsize=0, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=os.environ | {"LC_ALL": "C"},
            )  # fmt: skip
        except OSError as error:
            raise Unavailable(_NOT_INSTALLED) from error
        try:
            words = self._take_all(process)
        finally:
            _end(process)
        if not self._stopped():
            raise Unavailable(_explained(device, words))

    def _take_all(self, process: subprocess.Popen[bytes]) -> str:
        """Until the program ends or `stopped`: what it said. Unavailable where it falls silent."""
        assert process.stdout is not None, "both are pipes"
        assert process.stderr is not None, "both are pipes"
        ear = _Ear()
        words = b""
        arrived_ns = clock.boot_ns()
        with selectors.DefaultSelector() as pipes:
            pipes.register(process.stdout, selectors.EVENT_READ)
            pipes.register(process.stderr, selectors.EVENT_READ)
            while pipes.get_map() and not self._stopped():
                for ready, _ in pipes.select(_LOOK_S):
                    data = os.read(ready.fd, _READ_BYTES)
                    now_ns = clock.boot_ns()
                    if not data:
                        pipes.unregister(ready.fileobj)
                    elif ready.fileobj is process.stderr:
                        words = (words + data)[-_WORDS_KEPT:]
                    else:
                        arrived_ns = now_ns
                        self._waiting.extend(ear.take(data, now_ns))
                        self._heard(ear.format)
                if (clock.boot_ns() - arrived_ns) / SECOND_NS > self._silence_s:
                    raise Unavailable(f"The microphone has sent nothing for {self._silence_s:.0f} seconds.")
        return words.decode(errors="replace")

    def _heard(self, fmt: SoundFormat | None) -> None:
        if fmt is None:
            return
        self._format = fmt
        self._backoff.reset()
        if self._trouble:
            log.info("the microphone is back")
            self._trouble = ""


class _Ear:
    """The samples of one start, encoded."""

    def __init__(self) -> None:
        self.format: SoundFormat | None = None
        self._clock = SampleClock()
        self._encoder: SoundEncoder | None = None
        self._half = b""

    def take(self, data: bytes, now_ns: int) -> list[SoundPacket]:
        """The packets that are ready after these bytes of samples."""
        data = self._half + data
        whole = len(data) - len(data) % _SAMPLE_BYTES
        data, self._half = data[:whole], data[whole:]
        if not data:
            return []
        samples = np.frombuffer(data, "<i2").astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, self._clock.samples, Fraction(1, RATE_HZ)
        self._clock.arrived(samples.shape[1], now_ns)
        if self._encoder is None:
            self._encoder = SoundEncoder(frame)
            self.format = self._encoder.format
        return [SoundPacket(packet, self._clock.heard_ns(at)) for at, packet in self._encoder.encode(frame)]


def with_sound(pictures: Iterable[SourceItem], microphone: Microphone) -> Iterator[SourceItem]:
    """The pictures' items, and between them what the microphone heard meanwhile."""
    microphone.start()
    for item in pictures:
        if isinstance(item, Away):
            microphone.camera_there.clear()
        elif isinstance(item, EncodedPacket):
            microphone.camera_there.set()
        yield item
        yield from microphone.items()


def _end(process: subprocess.Popen[bytes]) -> None:
    """The program is over when this returns; one that hangs in the kernel is left to it."""
    process.terminate()
    try:
        process.wait(_ENDING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_ENDING_S)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _explained(device: str, words: str) -> str:
    for sign, sentence in _WORDS.items():
        if sign in words:
            return sentence.format(device)
    lines = words.strip().splitlines() or ["it stopped without a word"]
    return _OTHER.format(device, lines[-1].rpartition(": ")[2])
