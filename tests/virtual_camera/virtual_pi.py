"""Makes Picamera2 work on libcamera's virtual camera, then runs a module as `python -m` would: the product, unmodified.

    python tests/virtual_camera/virtual_pi.py agent --state DIR run

What a Pi's camera has and the virtual one lacks is made up here: raw modes, buffers of two planes, a pace, and faults.
Seen by no product code. With VIRTUAL_PI_FAULT naming a file, what stands in it happens once as soon as the file is
there, and then the file is gone: `starve`, no more buffers come back (picamera2 #1090), `hang`, the camera's thread
waits for ever, as it does for an encoder that stopped (picamera2 #1392), or `late`, a busy machine gets round to the
rest of starting only when all the first pictures have been taken.
"""

from __future__ import annotations

import mmap
import os
import runpy
import sys
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FRAMES_PER_SECOND = float(os.environ.get("VIRTUAL_PI_FPS", "15"))
FAULT = Path(os.environ.get("VIRTUAL_PI_FAULT", "/nonexistent/fault"))


def no_screen() -> None:
    """Picamera2 imports the bindings of a screen it is never asked to draw on."""
    bindings = types.ModuleType("pykms")
    bindings.__dict__["PixelFormat"] = type("PixelFormat", (), {"__getattr__": lambda self, name: name})()
    sys.modules["pykms"] = bindings


no_screen()

import libcamera  # noqa: E402
from picamera2 import picamera2 as pi  # noqa: E402
from picamera2.allocators import DmaAllocator  # noqa: E402
from picamera2.request import CompletedRequest  # noqa: E402


class TwoPlanes(DmaAllocator):  # type: ignore[misc]
    """Frame buffers in the form the virtual pipeline demands of NV12: brightness and colour each a plane."""

    def allocate(self, libcamera_config: Any, use_case: Any) -> None:
        self.libcamera_fds = []
        self.cleanup()
        for fd in self.open_fds:
            os.close(fd)
        self.open_fds, self.frame_buffers = [], {}
        for number, stream in enumerate(libcamera_config):
            buffers = [self._buffer(f"virtual-{number}-{n}", stream) for n in range(stream.buffer_count)]
            self.frame_buffers[stream.stream] = buffers

    def _buffer(self, name: str, stream: Any) -> Any:
        fd = self.dmaHeap.alloc(name, stream.frame_size).get()
        self.open_fds.append(fd)
        brightness = stream.stride * stream.size.height
        planes = []
        for offset, length in ((0, brightness), (brightness, stream.frame_size - brightness)):
            plane = libcamera.FrameBuffer.Plane()
            plane.fd, plane.offset, plane.length = fd, offset, length
            planes.append(plane)
        buffer = libcamera.FrameBuffer(planes)
        # libcamera keeps copies of the descriptor and hands those out; both names are looked up.
        for known in {planes[0].fd, buffer.planes[0].fd}:
            self.mapped_buffers_used[known] = False
            self.libcamera_fds.append(known)
        self.mapped_buffers[buffer] = mmap.mmap(fd, stream.frame_size)
        return buffer


def modes_of_video(self: Any) -> list[dict[str, Any]]:
    """A sensor's modes, taken from what the virtual camera can film."""
    formats = self.camera.generate_configuration([libcamera.StreamRole.VideoRecording]).at(0).formats
    return [{"format": str(f), "size": (s.width, s.height)} for f in formats.pixel_formats for s in formats.sizes(f)]


def _fault(name: str) -> bool:
    """Whether this is to happen now."""
    if not FAULT.exists() or FAULT.read_text().strip() != name:
        return False
    FAULT.unlink()
    return True


class Sensor:
    """Gives buffers back to the camera no faster than a sensor fills them, and can fail in three ways."""

    def __init__(self) -> None:
        self._release = CompletedRequest.release
        self._make = pi.Picamera2._make_requests
        self._next_s = 0.0
        self._starved: Any = None
        self._lock = threading.Lock()

    def requests(self, camera: Any) -> Iterator[Any]:
        """The first ones, too."""
        for request in self._make(camera):
            self._wait()
            yield request
        if _fault("late"):  # after the last buffer was queued, before the camera counts as started
            time.sleep(1)

    def release(self, request: Any) -> None:
        if request.ref_count == 1 and request.picam2.started:
            self._fail(request.picam2)
            if self._starved is request.picam2:
                return
            self._wait()
        self._release(request)

    def _fail(self, camera: Any) -> None:
        if _fault("hang"):
            threading.Event().wait()
        if _fault("starve"):
            self._starved = camera

    def _wait(self) -> None:
        with self._lock:
            now = time.monotonic()
            self._next_s = max(self._next_s + 1 / FRAMES_PER_SECOND, now)
            pause = self._next_s - now
        time.sleep(pause)


def install() -> None:
    """Put all of it in place."""
    sensor = Sensor()
    pi.DmaAllocator = TwoPlanes
    pi.Picamera2._get_raw_modes = modes_of_video
    pi.Picamera2._make_requests = lambda self: sensor.requests(self)
    CompletedRequest.release = lambda self: sensor.release(self)


if __name__ == "__main__":
    install()
    del sys.argv[0]
    sys.path.insert(0, os.getcwd())
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
