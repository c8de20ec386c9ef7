"""The least that films with Picamera2, as its manual begins: one stream, x264, into nothing. A reference for CPU."""

from __future__ import annotations

import sys
import time

from picamera2 import Picamera2
from picamera2.encoders import LibavH264Encoder
from picamera2.outputs import FileOutput

width, height, fps = (int(each) for each in sys.argv[1:])
camera = Picamera2()
camera.configure(camera.create_video_configuration(main={"size": (width, height), "format": "YUV420"}))
encoder = LibavH264Encoder(bitrate=4_000_000, iperiod=fps, framerate=fps)
camera.start_recording(encoder, FileOutput("/dev/null"))
time.sleep(3600)
