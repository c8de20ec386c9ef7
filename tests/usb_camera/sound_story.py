"""A doorbell with a microphone: a lamp and a beep at the same moments. Told inside a machine.

The lamp is the virtual camera's picture, turned white; the beep is played into the sound card that hears what it plays.
The lamp follows what the sound card says it has played, so that both happen within one picture.
"""

from __future__ import annotations

import math
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.usb_camera import vivid
from tests.usb_camera.inside import Inside, until

CONFIG = """\
[camera]
url = "/dev/video0"
width = 320
height = 240
fps = 10
bitrate_kbps = 500
[audio]
record = true
[motion]
post_roll_s = 3
"""
RATE = 48_000
EVERY_S, LASTS_S = 2.03, 0.4  # so that beeps fall anywhere between two pictures
BEEPS = 5
PLAYED = Path("/proc/asound/card0/pcm1p/sub0/status")
BARS, WHITE = 0, 6
STILL, TO_THE_RIGHT = 3, 5
NO_TEXT = 2
START_OF_EXPOSURE = 1


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


def tell(folder: Path) -> None:
    """The story."""
    door = Inside(folder, CONFIG)
    vivid.tune(horizontal_movement=STILL, osd_text_mode=NO_TEXT, timestamp_source=START_OF_EXPOSURE)
    door.start()
    vivid.tune(horizontal_movement=TO_THE_RIGHT)
    door.said("begins")
    speaker = Speaker()
    first = math.ceil(speaker.played_s() / EVERY_S) + 1
    for number in range(first, first + BEEPS):
        until(lambda at=number * EVERY_S: speaker.played_s() >= at, "a beep", every_s=0.005)  # type: ignore[misc]
        vivid.tune(test_pattern=WHITE)
        time.sleep(LASTS_S)
        vivid.tune(test_pattern=BARS)
    vivid.tune(horizontal_movement=STILL)
    door.quiet()
    door.export()
    door.stop()


if __name__ == "__main__":
    tell(Path(sys.argv[1]))
