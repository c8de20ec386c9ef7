"""Which camera the configuration names, and its source: patient with a camera that is away, quick to stop.

Decides by `camera.url` alone and opens nothing: a camera that is not there is waited for when recording begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from agent.adapters.camera import CameraSource
from agent.adapters.camera_device import PiCameraSettings, parse_pi_address
from agent.adapters.microphone import Microphone, with_sound
from agent.adapters.patience import PatientSource
from agent.adapters.sound_cards import first_microphone, microphone_of
from agent.adapters.stoppable import stoppable
from agent.adapters.stream import StreamSource
from agent.adapters.stream_open import CameraAddress
from agent.adapters.usb import UsbSettings, UsbSource
from agent.adapters.v4l2 import camera_file, parse_usb_address
from agent.config import Config, camera_masks
from agent.core.frame import SourceItem

LiveSource = Callable[[Callable[[], bool]], Iterable[SourceItem]]
"""Given whether to stop, the camera's items until then."""


def live_source(config: Config) -> LiveSource:
    """The camera of the configuration. BadInput where its address is none."""
    url = config.camera.url
    number = parse_pi_address(url)
    if number is not None:
        return _pi_camera(config, number)
    address = parse_usb_address(url)
    if address is not None:
        return _usb_camera(config, address)
    return _network_camera(config)


def _pi_camera(config: Config, number: int) -> LiveSource:
    camera = config.camera
    settings = PiCameraSettings(
        number, camera.width, camera.height, camera.fps, 1000 * camera.bitrate_kbps, camera_masks(config),
        camera.rotate == 180,
    )  # fmt: skip

    def source(stopped: Callable[[], bool]) -> Iterator[SourceItem]:
        pictures = iter(PatientSource(lambda: CameraSource(settings, stopped), stopped))
        return _heard(config, pictures, stopped, first_microphone)

    return source


def _usb_camera(config: Config, address: str) -> LiveSource:
    camera = config.camera
    settings = UsbSettings(
        address, camera.width, camera.height, camera.fps, camera.bitrate_kbps, camera_masks(config),
        camera.rotate == 180,
    )  # fmt: skip

    def source(stopped: Callable[[], bool]) -> Iterator[SourceItem]:
        pictures = stoppable(PatientSource(lambda: UsbSource(settings, stopped), stopped), stopped)
        return _heard(config, pictures, stopped, lambda: microphone_of(Path(camera_file(address))))

    return source


def _heard(
    config: Config, pictures: Iterator[SourceItem], stopped: Callable[[], bool], choose: Callable[[], str]
) -> Iterator[SourceItem]:
    """The same, with sound where it is wanted: of the microphone the owner named, or else the one of `choose`."""
    if not config.audio.record:
        return pictures
    return with_sound(pictures, Microphone(lambda: config.audio.microphone or choose(), stopped))


def _network_camera(config: Config) -> LiveSource:
    url, sound, masks = config.camera.url, config.audio.record, camera_masks(config)
    CameraAddress.parse(url)

    def source(stopped: Callable[[], bool]) -> Iterator[SourceItem]:
        return stoppable(StreamSource(url, stopped, sound=sound, masks=masks), stopped)

    return source
