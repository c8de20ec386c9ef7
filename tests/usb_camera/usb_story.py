"""A doorbell whose camera is "usb": none, then one after the other of three kinds. Told inside a machine.

The virtual camera that sits on no USB bus is there all the time and must not be taken for one.
"""

from __future__ import annotations

import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from tests.usb_camera.inside import Inside
from tests.usb_camera.webcam import FPS, HEIGHT, WIDTH, Webcam

CONFIG = f"""\
[camera]
url = "usb"
width = {WIDTH}
height = {HEIGHT}
fps = {FPS}
bitrate_kbps = 500
"""
PICTURES = 20
TINTS = {"mjpeg": (40, 40, 200), "h264": (40, 200, 40), "yuyv": (200, 40, 40)}


def scenes(kind: str) -> list[np.ndarray]:
    """A wall of a colour of its own (BGR), and a box that walks before it."""
    wall = np.random.default_rng(3).integers(-20, 20, (HEIGHT // 8, WIDTH // 8, 1), np.int16)
    still = np.clip(np.array(TINTS[kind], np.int16) + wall, 0, 255).astype(np.uint8)
    found = []
    for number in range(PICTURES):
        picture = cv2.resize(still, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
        picture[80:220, 10 * number : 10 * number + 60] = 20
        found.append(np.asarray(picture, np.uint8))
    return found


def as_sent(kind: str) -> list[bytes]:
    """The scenes as a camera of that kind sends them."""
    pictures = scenes(kind)
    if kind == "mjpeg":
        return [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]
    frames = [av.VideoFrame.from_ndarray(picture, format="bgr24") for picture in pictures]
    if kind == "yuyv":
        return [bytes(frame.reformat(format="yuyv422").planes[0]) for frame in frames]
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    context.time_base, context.gop_size, context.max_b_frames = Fraction(1, FPS), FPS, 0
    context.options = {"tune": "zerolatency", "preset": "ultrafast", "sc_threshold": "0"}
    packets = []
    for number, frame in enumerate(frames):
        frame.pts = number
        packets += context.encode(frame.reformat(format="yuv420p"))
    return [bytes(packet) for packet in packets]


def tell(folder: Path) -> None:
    """The story."""
    door = Inside(folder, CONFIG)
    door.start()
    door.said("no camera: No USB camera was found")
    for number, kind in enumerate(TINTS):
        sent = as_sent(kind)
        if kind == "h264":
            (folder / "sent.h264").write_bytes(b"".join(sent))
        webcam = Webcam(kind, sent)
        if number:
            door.said("the camera is back", number)
        door.said("begins", number + 1)
        time.sleep(5)
        webcam.unplug()
        door.said("no camera: There is no camera /dev/video1", number + 1)
    door.quiet()
    door.export()
    door.stop()


if __name__ == "__main__":
    tell(Path(sys.argv[1]))
