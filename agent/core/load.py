"""What `doorward bench` makes of what it measured: whether a machine keeps up with what its settings ask, and what to
change where it does not.

Owns the limits, the arithmetic and the words; measures nothing. What one thread does is done one after the other and
has to fit into real time; all threads together have to fit into the machine's cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

# What is not measured wants its part, too: the camera's own software, the page, the network, a processor that is warm.
WELL: Final = 0.6
MOST: Final = 0.9
LONGEST_WRITE_S: Final = 0.5  # a source waits no longer for the disk (agent/adapters/stoppable.py keeps 16 items)
_SCALES: Final = ((1, 1), (2, 3), (1, 2), (1, 3))
_RATES: Final = (10, 5)
_LEAST_WIDTH, _LEAST_HEIGHT = 320, 240


class Step(Enum):
    """A stage of recording, in the words a homeowner reads."""

    READING = "reading pictures for motion"
    MASKING = "painting masks"
    ENCODING = "encoding pictures"
    MOTION = "finding motion"
    CUTTING = "cutting into fragments"
    WRITING = "sealing and writing"
    LOOKING = "telling people apart"


class Lane(Enum):
    """Which thread does it, in the words a homeowner reads."""

    CAMERA = "getting the video"
    RECORDER = "recording"
    DETECTOR = "telling people apart"


class Camera(Enum):
    """The kind of camera the settings name."""

    PI = "pi"
    USB = "usb"
    NETWORK = "network"
    FILES = "files"


class Verdict(Enum):
    """Whether the machine keeps up."""

    WELL = "keeps up"
    BARELY = "keeps up, with little to spare"
    NO = "does not keep up"


_OF_THE_PICTURE: Final = frozenset({Step.READING, Step.MASKING, Step.ENCODING})


@dataclass(frozen=True, slots=True)
class Video:
    """What is recorded: size in pixels, pictures and 1,000 bits a second, by which kind of camera, masked or not."""

    camera: Camera
    width: int
    height: int
    fps: float
    kbps: int
    masked: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """What one second of video costs: seconds of one core, and seconds its thread is busy or waits for the disk.

    `longest_s`: the longest its thread was held up at once.
    """

    step: Step
    lane: Lane
    core: float
    time: float
    longest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """`fullest`: how full the fullest thread is, or all cores together, 1.0 being real time. `lane`: that thread, None
    where it is the cores. `largest`: the stage that takes most of it."""

    verdict: Verdict
    fullest: float
    lane: Lane | None
    largest: Stage
    cores: int


def judge(stages: Sequence[Stage], cores: int) -> Judgement:
    """Of at least one stage, on at least one core."""
    all_cores = sum(stage.core for stage in stages) / cores
    lanes = {lane: sum(stage.time for stage in stages if stage.lane is lane) for lane in Lane}
    lane, fullest = max(lanes.items(), key=lambda item: item[1])
    if all_cores >= fullest:
        largest = max(stages, key=lambda stage: stage.core)
        return Judgement(_verdict(all_cores, stages), all_cores, None, largest, cores)
    largest = max((stage for stage in stages if stage.lane is lane), key=lambda stage: stage.time)
    return Judgement(_verdict(fullest, stages), fullest, lane, largest, cores)


def _verdict(fullest: float, stages: Sequence[Stage]) -> Verdict:
    if fullest > MOST:
        return Verdict.NO
    if fullest > WELL or any(stage.longest_s > LONGEST_WRITE_S for stage in stages):
        return Verdict.BARELY
    return Verdict.WELL


def sentence(judgement: Judgement) -> str:
    """The verdict in one sentence."""
    share = percent(judgement.fullest)
    if judgement.lane is not None:
        why = f"{judgement.lane.value} takes {share} of the time there is for it"
    elif judgement.cores == 1:
        why = f"all of it takes {share} of its one core"
    else:
        why = f"all of it together takes {share} of its {judgement.cores} cores"
    held_up = judgement.verdict is Verdict.BARELY and judgement.fullest <= WELL
    if held_up:
        why += ", but one write to the disk took longer than pictures can wait"
    most = f", most of it {judgement.largest.step.value}" if judgement.verdict is Verdict.NO else ""
    return f"This machine {judgement.verdict.value}: {why}{most}."


def percent(share: float) -> str:
    """A share for people: two digits are all that such a measurement is good for."""
    if share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"


def advice(judgement: Judgement, stages: Sequence[Stage], video: Video) -> str:
    """What to change so that the machine keeps up: a sentence. Empty where it does."""
    if judgement.verdict is not Verdict.NO:
        return ""
    step = judgement.largest.step
    if step is Step.WRITING:
        return (
            f"Use a faster card (class A1 or A2) or a USB disk, or lower camera.bitrate_kbps (now {video.kbps})."
            if video.camera in (Camera.PI, Camera.USB)
            else "Use a faster card (class A1 or A2) or a USB disk, or lower the camera's bit rate."
        )
    if step is Step.LOOKING:
        return 'Set detector.model = "": clips then get no labels; everything else stays.'
    if step not in _OF_THE_PICTURE:
        return "Nothing in the settings makes this small enough; use a faster machine."
    return _less_of_a_picture(smaller(judgement, stages, video), video)


def smaller(judgement: Judgement, stages: Sequence[Stage], video: Video) -> Video:
    """The most of a picture that ought to leave room to spare: what pictures cost goes with pixels a second.

    The smallest there is where none would; the rest of the work stays as it is.
    """
    ways = [
        Video(video.camera, width, height, fps, video.kbps, video.masked)
        for width, height in (
            (2 * round(video.width * part / whole / 2), 2 * round(video.height * part / whole / 2))
            for part, whole in _SCALES
        )
        for fps in (video.fps, *(rate for rate in _RATES if rate < video.fps))
        if (width, height) == (video.width, video.height) or (width >= _LEAST_WIDTH and height >= _LEAST_HEIGHT)
    ]
    ways.sort(key=_pixels_a_second, reverse=True)
    fitting = (
        way for way in ways if expected(judgement, stages, _pixels_a_second(way) / _pixels_a_second(video)) <= WELL
    )
    return next(fitting, ways[-1])


def expected(judgement: Judgement, stages: Sequence[Stage], of_the_picture: float) -> float:
    """How full the fullest would be if the camera gave that share of the pixels a second."""
    full = 0.0
    for stage in stages:
        if judgement.lane is None or stage.lane is judgement.lane:
            cost = stage.core / judgement.cores if judgement.lane is None else stage.time
            full += cost * (of_the_picture if stage.step in _OF_THE_PICTURE else 1.0)
    return full


def _pixels_a_second(video: Video) -> float:
    return video.width * video.height * video.fps


def _less_of_a_picture(to: Video, now: Video) -> str:
    if to == now:
        return "No smaller picture can be had from the settings; use a faster machine."
    size = f"{to.width}×{to.height} at {to.fps:.0f} pictures a second"
    if now.camera is Camera.FILES:
        return f"Convert the films to {size} or less."
    if now.camera is Camera.NETWORK:
        if now.masked:
            return f"Let the camera itself black out what camera.masks hides (masks = []), or set it to {size} or less."
        return f"Set the camera itself to {size} or less."
    changed = [
        f"camera.{name} = {after:.0f}"
        for name, before, after in (
            ("width", now.width, to.width), ("height", now.height, to.height), ("fps", now.fps, to.fps),
        )
        if before != after
    ]  # fmt: skip
    return f"Try {', '.join(changed)} in the settings, and 'doorward bench' once more."
