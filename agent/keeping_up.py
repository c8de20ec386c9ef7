"""What recording costs this machine: each stage the settings need, done for some seconds by the parts that do it.

Needs no camera and no doorbell: the video is drawn, or is the film the settings name. Never touches the ring; the one
thing it writes is a file without a name on the disk the ring is on, which is gone however this ends. What the figures
mean is core.load's to say. Threads as in agent/live.py: a camera's source has its own, films share the recorder's.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from av.codec.context import ThreadType
from av.video.codeccontext import VideoCodecContext

from agent.adapters import sample_film, vitals
from agent.adapters.camera_device import encodes_in_hardware, parse_pi_address
from agent.adapters.detector import Model
from agent.adapters.footage import probe
from agent.adapters.sample_film import PICTURES, Paint, Planes, Sample
from agent.adapters.stopwatch import Patience, Stopwatch
from agent.adapters.stream_open import CameraAddress
from agent.adapters.usb import UsbSettings, UsbSource
from agent.adapters.v4l2 import CameraMode, RawPicture, parse_usb_address
from agent.config import Config, camera_masks
from agent.core import detection
from agent.core.detection import Layout
from agent.core.errors import Corrupt, Unavailable
from agent.core.fmp4 import SECOND_NS, Fragmenter, Run, render_fragment
from agent.core.frame import LumaFrame, Track
from agent.core.load import Camera, Lane, Stage, Step, Video
from agent.core.masks import MaskPainter
from agent.core.motion import MotionDetector
from agent.core.sealing import FLAG_KEY, TAG_BYTES, ClipKeys, RecordHeader, seal_record
from agent.detecting import named_model
from agent.onlooker import BETWEEN_LOOKS_NS
from agent.recorder import recorder_settings
from agent.store.clip_writer import ClipWriter
from agent.store.models import ModelStore
from agent.store.state import StateDirectory, WriterLock

_RAW_PICTURES: Final = 8  # as many as are worth their memory on a small Pi: 25 MB at 1080p
_RECORDS_A_FILE: Final = 8  # then it is let go: so many seconds of video are all that the disk lends
_RECORDS: Final = 16
_LOOKS: Final = 8
_MICROSECONDS: Final = 1_000_000
_SOMEBODY: Final = ((0.35, 0.25, 0.65, 0.95),)

Told = Callable[[str, float], None]
"""Hears what is being done, and which share of all is."""


@dataclass(frozen=True, slots=True)
class Writes:
    """How long each second of video took to be safe, and in which folder that was."""

    folder: Path
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """What recording costs. `notes`: what is not in the figures, or in them though it might not be, a sentence each."""

    video: Video
    stages: tuple[Stage, ...]
    writes: Writes
    notes: tuple[str, ...]
    cores: int


def beside(state: Path) -> str | None:
    """The doorbell that works over `state` now, as far as this user may know."""
    if not os.access(state, os.R_OK | os.X_OK) or not (state / "doorward.db").exists():
        return None
    return WriterLock.holder(StateDirectory(state))


def measure(
    config: Config, state: Path, paint: Callable[[], Paint], told: Told, patience: Patience | None = None
) -> Measured:
    """Everything the settings need. `paint` gives who draws the pictures; it is asked only where there is no film.

    BadInput for an address that is none and a film that cannot be used; Unavailable where no disk takes anything.
    """
    cv2.setNumThreads(1)  # as the recorder has it
    notes: list[str] = []
    folder = _folder(config, state, notes)
    video = _video(config, notes)
    painted = None if video.camera is Camera.FILES else paint()
    jpegs: list[bytes] = []
    if painted is None:
        told("reading the film", 0.0)
        film = Path(config.camera.replay[0])
        sample = sample_film.take_sample(film, probe(film))
    else:
        sample, jpegs = _drawn(painted, video, told)
    if video.camera is Camera.FILES:
        video = replace(video, kbps=sample.kbps)
    work = _Work(config, video, sample, painted, jpegs, folder)
    steps: list[Callable[[Stopwatch], Stage]] = [*work.of_the_camera(notes), work.motion, work.cutting, work.writing]
    model = _model(config, state, notes)
    if model is not None:
        steps.append(partial(work.looking, *model))
    stages = []
    for number, step in enumerate(steps):
        begun = number / len(steps)

        def share(done: float, begun: float = begun) -> None:
            told("measuring", begun + done / len(steps))

        share(0.0)
        stages.append(step(Stopwatch(share, patience or Patience())))
    if (holder := beside(state)) is not None:
        notes.append(f"{holder} works meanwhile: its own work is not in these figures, but it slows them and the disk.")
    if config.audio.record:
        notes.append("Sound is not measured; beside the pictures it takes little.")
    writes = Writes(folder, tuple(work.took_s))
    return Measured(video, tuple(stages), writes, tuple(notes), len(os.sched_getaffinity(0)))


def _drawn(paint: Paint, video: Video, told: Told) -> tuple[Sample, list[bytes]]:
    """A film as the settings want it; and the same as JPEGs, where a webcam sends those."""

    def share(done: float) -> None:
        told("drawing some seconds of video", done)

    share(0.0)
    size, webcam = (video.width, video.height), video.camera is Camera.USB
    film = sample_film.draw_film(paint, *size, round(video.fps), video.kbps, lambda done: share(done / (1 + webcam)))
    jpegs = sample_film.draw_jpegs(paint, *size, lambda done: share((1 + done) / 2)) if webcam else []
    return sample_film.take_sample(film), jpegs


def _video(config: Config, notes: list[str]) -> Video:
    camera, masked = config.camera, bool(config.camera.masks)
    if camera.replay:
        facts = probe(Path(camera.replay[0]))
        return Video(Camera.FILES, *facts.shown_size, facts.fps or 25.0, 0, masked)
    if not camera.url or parse_pi_address(camera.url) is not None:
        kind = Camera.PI
        if not camera.url:
            notes.append("The settings name no camera yet: measured as for the Pi's own.")
    elif parse_usb_address(camera.url) is not None:
        kind = Camera.USB
        notes.append("The USB camera is taken for one that sends JPEGs; one that sends H.264 itself takes far less.")
    else:
        CameraAddress.parse(camera.url)
        kind = Camera.NETWORK
        notes.append("A network camera has settings of its own: if it sends more than this, it takes more.")
    return Video(kind, camera.width, camera.height, camera.fps, camera.bitrate_kbps, masked)


# -- where to write


def _folder(config: Config, state: Path, notes: list[str]) -> Path:
    """A folder on the state directory's disk, or another where that may not be written. Unavailable without room."""
    nearest = next(folder for folder in (state / "ring", state, *state.absolute().parents) if os.path.lexists(folder))
    second = config.camera.bitrate_kbps * 1000 // 8
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        _has_room(nearest, second * _RECORDS_A_FILE + config.ring.min_free_mb * 10**6)
        return nearest
    other = Path("/var/tmp")  # noqa: S108 - unlike /tmp never in memory; what is written there has no name
    folder = other if os.access(other, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    _has_room(folder, second * _RECORDS_A_FILE)
    notes.append(
        f"{state} is not yours to write ('sudo' before the command): the disk of {folder} is measured instead."
    )
    return folder


def _has_room(folder: Path, needed: int) -> None:
    free = vitals.free_bytes(folder)
    if free <= needed:
        raise Unavailable(
            f"only {free // 10**6} MB are free on the disk of {folder}, and {needed // 10**6} are wanted, with what "
            "the settings leave to the system; make room"
        )


# -- stages


class _Work:
    """The stages in the order of a picture's way. `took_s`: how long each write took, once `writing` was done."""

    def __init__(
        self, config: Config, video: Video, sample: Sample, paint: Paint | None, jpegs: list[bytes], folder: Path
    ) -> None:
        self._config = config
        self._video = video
        self._sample = sample
        self._paint = paint
        self._jpegs = jpegs
        self._folder = folder
        self._masks = camera_masks(config)
        self.took_s: list[float] = []

    def of_the_camera(self, notes: list[str]) -> list[Callable[[Stopwatch], Stage]]:
        """What is done before a picture is looked at and a packet recorded."""
        if self._video.camera is Camera.USB:
            return [self.usb]
        if self._video.camera is not Camera.PI:
            return [self.reading]
        found: list[Callable[[Stopwatch], Stage]] = [self.masking] if self._masks else []
        if encodes_in_hardware():
            notes.append("The Pi's own encoder does its work in hardware, up to 1920×1080 at 30: not measured.")
        else:
            found.append(self.encoding)
        notes.append("What the Pi's camera software (libcamera) takes is not measured.")
        return found

    def reading(self, watch: Stopwatch) -> Stage:
        """A network camera's video, or a film's, as the source reads it: H.264 passed on, all else encoded."""
        done_s, sample = 0.0, self._sample
        live = self._video.camera is Camera.NETWORK
        facts = probe(sample.film) if isinstance(sample.film, Path) else None
        encoded = bool(self._masks) or not (facts is None or facts.untouched)
        while not watch.enough(done_s, sample.seconds):
            with sample_film.opened(sample.film) as (container, track, clock), watch:

                def going_on() -> bool:
                    return not watch.enough(done_s + clock.end_ns / SECOND_NS, sample.seconds)  # noqa: B023 - done here

                for _ in sample_film.items(
                    container, track, clock, going_on, live=live, masks=self._masks, facts=facts
                ):
                    pass
            done_s += clock.end_ns / SECOND_NS
        return _computed(Step.ENCODING if encoded else Step.READING, self._lane(), watch, done_s)

    def usb(self, watch: Stopwatch) -> Stage:
        """A USB camera's JPEGs decoded and encoded, by its source."""
        video, camera = self._video, self._config.camera
        webcam = _Jpegs(CameraMode("mjpeg", video.width, video.height, video.fps), self._jpegs)
        settings = UsbSettings(
            "usb", video.width, video.height, camera.fps, camera.bitrate_kbps, self._masks, camera.rotate == 180
        )

        def stopped() -> bool:
            return watch.enough(webcam.sent, len(self._jpegs))

        with watch:
            for _ in UsbSource(settings, stopped, open_camera=lambda _: webcam):
                pass
        return _computed(Step.ENCODING, Lane.CAMERA, watch, webcam.sent / video.fps)

    def masking(self, watch: Stopwatch) -> Stage:
        """Masks painted into the Pi camera's pictures, the large and the small one."""
        video = self._video
        rows = max(2, 2 * round(video.height * sample_film.LUMA_WIDTH / video.width / 2))
        sizes = ((video.width, video.height), (sample_film.LUMA_WIDTH, rows))
        painters = [
            (MaskPainter(self._masks, *size), np.zeros((size[1] * 3 // 2, size[0]), np.uint8)) for size in sizes
        ]
        for done in count():
            with watch:
                for painter, planes in painters:
                    high, wide = planes.shape[0] * 2 // 3, planes.shape[1]
                    blue, red = planes[high:].reshape(2, high // 2, wide // 2)
                    painter.paint(planes[:high], blue, red)
            if watch.enough(done + 1, PICTURES):
                break
        return _computed(Step.MASKING, Lane.CAMERA, watch, (done + 1) / video.fps)

    def encoding(self, watch: Stopwatch) -> Stage:
        """The Pi camera's pictures encoded by x264 as Picamera2 sets it, where the machine has no encoder."""
        assert self._paint is not None, "only films come without a painter"
        video = self._video
        pictures = [sample_film.sized(self._paint(n), video.width, video.height) for n in range(_RAW_PICTURES)]
        encoder = _picamera_encoder(video)
        done = 0
        with watch:
            for picture in _to_and_fro(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
                frame.pts, frame.time_base = round(done * _MICROSECONDS / video.fps), Fraction(1, _MICROSECONDS)
                encoder.encode(frame)
                done += 1
                if watch.enough(done, PICTURES):
                    break
            encoder.encode(None)
        return _computed(Step.ENCODING, Lane.CAMERA, watch, done / video.fps)

    def motion(self, watch: Stopwatch) -> Stage:
        """Motion found in the small pictures."""
        lumas, period_s = self._sample.lumas, self._sample.luma_period_s
        detector = MotionDetector((lumas[0].shape[0], lumas[0].shape[1]), recorder_settings(self._config).motion)
        done = 0
        with watch:
            for pixels in _to_and_fro(lumas):
                detector.observe(LumaFrame(round(done * period_s * SECOND_NS), pixels))
                done += 1
                if watch.enough(done, 2 * len(lumas)):
                    break
        return _computed(Step.MOTION, Lane.RECORDER, watch, done * period_s)

    def cutting(self, watch: Stopwatch) -> Stage:
        """Packets put into fragments of a second."""
        done = 0
        while not watch.enough(done, 1):
            with watch:
                for number, run in enumerate(self._runs(), 1):
                    render_fragment(run, self._sample.format, run.origin, number)
            done += 1
        return _computed(Step.CUTTING, Lane.RECORDER, watch, done * self._sample.seconds)

    def writing(self, watch: Stopwatch) -> Stage:
        """Fragments sealed and written as a clip's records, each synced; the disk's waits are in the time."""
        runs = list(self._runs())
        fragments = [render_fragment(run, self._sample.format, run.origin, n) for n, run in enumerate(runs, 1)]
        seconds_a_record = self._sample.seconds / len(runs)
        try:
            while not watch.enough(len(self.took_s), _RECORDS):
                with contextlib.closing(_NamelessClip(self._folder)) as clip:
                    keys = ClipKeys(secrets.token_bytes(32), secrets.token_bytes(32))
                    for index in range(_RECORDS_A_FILE):
                        before_s = watch.wall_s
                        with watch:
                            _write(clip, keys, index, fragments[index % len(fragments)])
                        self.took_s.append(watch.wall_s - before_s)
                        if watch.enough(len(self.took_s), _RECORDS):
                            break
        except OSError as e:
            raise Unavailable(f"nothing can be written in {self._folder}: {e.strerror}; look at the disk") from e
        core, time = (each / len(self.took_s) / seconds_a_record for each in (watch.cpu_s, watch.wall_s))
        return Stage(Step.WRITING, Lane.RECORDER, core, time, max(self.took_s))

    def looking(self, model: Model, layout: Layout, watch: Stopwatch) -> Stage:
        """Looks at somebody in the picture, as often as there is one while something moves."""
        done = 0
        while not watch.enough(done, _LOOKS):
            with watch:
                shown = detection.show(self._sample.picture, _SOMEBODY, layout)
                detection.sightings(model.run(shown), layout, shown)
            done += 1
        return _computed(Step.LOOKING, Lane.DETECTOR, watch, done * BETWEEN_LOOKS_NS / SECOND_NS)

    def _runs(self) -> Iterator[Run]:
        fragmenter = Fragmenter()
        for packet in self._sample.packets:
            yield from fragmenter.push(packet)
        yield from fragmenter.flush()

    def _lane(self) -> Lane:
        """A film is read by the recorder itself."""
        return Lane.RECORDER if self._video.camera is Camera.FILES else Lane.CAMERA


def _computed(step: Step, lane: Lane, watch: Stopwatch, video_s: float) -> Stage:
    """Work that waits for nothing: where it took longer than the processor worked on it, others were in its way."""
    return Stage(step, lane, watch.cpu_s / video_s, min(watch.wall_s, watch.cpu_s) / video_s)


def _somebody_elses(state: Path) -> bool:
    """Whether this user may not look into it."""
    try:
        state.stat()
    except PermissionError:
        return True
    except FileNotFoundError:
        return False
    return not os.access(state, os.R_OK | os.X_OK)


def _model(config: Config, state: Path, notes: list[str]) -> tuple[Model, Layout] | None:
    """The detector's model, where it is wanted and can be run here."""
    if not config.detector.model:
        return None
    if _somebody_elses(state):
        notes.append("Telling people apart is not measured: the model is not yours to read.")
        return None
    named = named_model(config.detector.model)
    try:
        return Model(ModelStore(state).checked(named), named.layout), named.layout
    except (Unavailable, Corrupt) as e:
        notes.append(f"Telling people apart is not measured: {e}.")
        return None


class _Jpegs:
    """A webcam that sends these pictures over and over, as soon as it is asked (usb.Camera)."""

    def __init__(self, mode: CameraMode, jpegs: list[bytes]) -> None:
        self.mode = mode
        self.sent = 0
        self._jpegs = jpegs

    def read(self, timeout_s: float) -> RawPicture:
        picture = self._jpegs[self.sent % len(self._jpegs)]
        self.sent += 1
        return RawPicture(picture, round(self.sent * SECOND_NS / self.mode.fps))

    def close(self) -> None:
        """Nothing is open."""


def _picamera_encoder(video: Video) -> VideoCodecContext:
    """Source: Picamera2, encoders/libav_h264_encoder.py, for the arguments that camera_device gives it."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, VideoCodecContext), "x264 encodes video"
    context.width, context.height, context.pix_fmt = video.width, video.height, "yuv420p"
    context.time_base, context.framerate = Fraction(1, _MICROSECONDS), Fraction(round(video.fps))
    context.bit_rate, context.gop_size = 1000 * video.kbps, round(video.fps)
    context.thread_count, context.thread_type = 0, ThreadType.FRAME
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "deblock": "1"}
    context.open()
    return context


def _to_and_fro(pictures: Sequence[Planes]) -> Iterator[Planes]:
    """For ever, without a jump: nothing that moves is ever suddenly elsewhere."""
    while True:
        yield from pictures[:-1]
        yield from reversed(pictures[1:])


class _NamelessClip(ClipWriter):
    """A clip file without a name: whatever ends this process, nothing is left of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / ".bench", b"", b"")

    def _create(self) -> int:
        with tempfile.TemporaryFile(dir=self.path.parent) as file:
            return os.dup(file.fileno())


def _write(clip: ClipWriter, keys: ClipKeys, index: int, fragment: bytes) -> None:
    header = RecordHeader(
        keys.header_hash, Track.VIDEO, FLAG_KEY, index, index * SECOND_NS, SECOND_NS, len(fragment) + TAG_BYTES
    )
    clip.append(Track.VIDEO, header.total_bytes, lambda place: seal_record(keys, header, fragment, place))
