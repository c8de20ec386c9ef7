"""A loudspeaker in the machine's sound card, which hears what it plays: a beep every few seconds."""

from __future__ import annotations

import math
import struct
import subprocess
import threading
from pathlib import Path

from tests.usb_camera.inside import until

RATE = 48_000
EVERY_S, LASTS_S = 2.03, 0.4  # so that beeps fall anywhere between two pictures
PLAYED = Path("/proc/asound/card0/pcm1p/sub0/status")


class Speaker:
    """Plays for ever: a beep of a thousand hertz every few seconds, silence between."""

    def __init__(self) -> None:
        command = ["aplay", "-q", "-D", "plughw:0,1", "-t", "raw", "-f", "S16_LE", "-c", "1", "-r", str(RATE),
                   "--buffer-time=400000"]  # fmt: skip
        self._player = subprocess.Popen(command, stdin=subprocess.PIPE)
        threading.Thread(target=self._play, daemon=True).start()
        until(PLAYED.exists, "the sound card plays")

    def _play(self) -> None:
        tone = b"".join(struct.pack("<h", int(20_000 * math.sin(2 * math.pi * n / 48))) for n in range(RATE))
        beep = tone[: int(2 * RATE * LASTS_S)]
        assert self._player.stdin is not None, "asked for"
        while True:
            self._player.stdin.write(beep + bytes(2 * round(RATE * EVERY_S) - len(beep)))

    def played_s(self) -> float:
        """How much of it has been played."""
        for line in PLAYED.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "hw_ptr":
                return int(value) / RATE
        return 0.0  # closed

    def next_beep(self) -> None:
        """Wait until one begins, by what the sound card says it has played."""
        at_s = (math.floor(self.played_s() / EVERY_S) + 1) * EVERY_S
        until(lambda: self.played_s() >= at_s, "a beep", every_s=0.005)
