"""A doorbell with a microphone, whose camera is away, comes, falls silent, is pulled out and is in use elsewhere.

Told inside a machine. A lamp goes on with each beep: the camera's picture, turned white.

Run by scripts/camera_machine; what came of it is judged outside, in tests/slow/test_usb_camera.py.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from agent.adapters.v4l2 import Webcam
from tests.usb_camera import vivid
from tests.usb_camera.inside import Inside
from tests.usb_camera.speaker import Speaker

CONFIG = """\
[camera]
url = "/dev/video0"
width = 320
height = 240
fps = 10
bitrate_kbps = 500
[[camera.masks]]
corners = [[0.0, 0.0], [0.25, 0.0], [0.25, 0.5], [0.0, 0.5]]
[motion]
post_roll_s = 20
[audio]
record = true
"""
STILL, TO_THE_RIGHT = 3, 5
NO_TEXT = 2
START_OF_EXPOSURE = 1
BARS, WHITE = 0, 6
BEEPS = 5
WHITE_S = 0.8  # a busy machine takes two pictures a second


def tell(folder: Path) -> None:
    """The story."""
    vivid.plug(into=False)
    door = Inside(folder, CONFIG)
    door.start()
    door.said("no camera: There is no camera /dev/video0")
    vivid.plug(into=True)
    vivid.tune(horizontal_movement=TO_THE_RIGHT, osd_text_mode=NO_TEXT, timestamp_source=START_OF_EXPOSURE)
    door.said("begins")
    speaker = Speaker()
    for _ in range(BEEPS):
        speaker.next_beep()
        vivid.tune(test_pattern=WHITE)
        time.sleep(WHITE_S)
        vivid.tune(test_pattern=BARS)
    vivid.tune(horizontal_movement=STILL)
    door.quiet()
    vivid.tune(horizontal_movement=TO_THE_RIGHT)

    vivid.tune(percentage_of_dropped_buffers=100)
    door.said("no camera: The USB camera has sent no picture for")
    vivid.tune(percentage_of_dropped_buffers=0)
    door.said("the camera is back")
    time.sleep(4)

    vivid.plug(into=False)
    door.said("no camera: There is no camera /dev/video0", 2)
    vivid.plug(into=True)
    other = Webcam(vivid.DEVICE, (320, 240, 10))
    vivid.tune(horizontal_movement=TO_THE_RIGHT, osd_text_mode=NO_TEXT)
    door.said("no camera: The camera /dev/video0 is used by another program")
    other.close()
    door.said("the camera is back", 2)
    time.sleep(4)

    vivid.tune(horizontal_movement=STILL)
    door.quiet()
    door.export()
    door.stop()


if __name__ == "__main__":
    tell(Path(sys.argv[1]))
