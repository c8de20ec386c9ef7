"""Draws why a frame counted as motion or not: one picture for a person to look at.

It owns the look of the explain view and decides nothing; everything it shows it takes from the detector's last frame.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.frame import LumaFrame
from agent.core.motion import Motion, MotionDetector, Zone, corners
from agent.core.motion_constants import CONSTANTS
from agent.core.motion_things import Thing

# Blue, green, red.
_WHITE, _GREY, _RED, _AMBER = (255, 255, 255), (150, 150, 150), (60, 60, 235), (40, 170, 245)
_GREEN, _BLUE = (90, 200, 90), (235, 160, 70)
_BAND_PX = 16


def draw(
    frame: LumaFrame, motion: Motion, detector: MotionDetector, zones: tuple[Zone, ...] = ()
) -> npt.NDArray[np.uint8]:
    """The last frame `detector` saw, three times side by side → BGR, uint8 of shape (height + 32, 3 × width, 3).

    Left the picture with zones and the figures found; in the middle the empty scene as it would look now; right what
    differs (dim: below the threshold; amber: above it; red: and changing now). A line above and one below say the rest.
    """
    height, width = frame.pixels.shape
    panels = [cv2.cvtColor(p, cv2.COLOR_GRAY2BGR) for p in _panels(frame, detector)]
    changes = detector.changes
    if changes is not None:
        panels[2][changes.differs > 0] = _AMBER
        panels[2][(changes.differs > 0) & (changes.moves > 0)] = _RED
    for zone in zones:
        colour = _GREY if zone.ignore else _BLUE
        cv2.polylines(panels[0], [corners(frame.pixels.shape, zone)], True, colour, 1)
    for thing in detector.figures.candidates:
        _outline(panels[2], thing, _GREY)
    for thing in detector.figures.moving:
        _outline(panels[0], thing, _RED)
    canvas = np.zeros((height + 2 * _BAND_PX, 3 * width, 3), np.uint8)
    canvas[_BAND_PX : _BAND_PX + height] = np.hstack(panels)
    for column, title in enumerate(("picture", "empty scene in this light", "what differs")):
        _write(canvas, title, column * width + 4, _BAND_PX - 4, _GREY)
    _write(canvas, said(motion, detector), 4, height + 2 * _BAND_PX - 4, _RED if motion.moving else _GREEN)
    return canvas


def said(motion: Motion, detector: MotionDetector) -> str:
    """The verdict on the last frame in words."""
    at = f"{motion.time_ns / 1e9:.1f} s: "
    changes = detector.changes
    if changes is None:
        return at + "learning the scene anew"
    if motion.moving:
        since = (motion.time_ns - motion.since_ns) / 1e9
        return at + f"moving for {since:.1f} s, {motion.score:.1f} times as clear as needed"
    reasons = [
        (changes.settling, "the light was just switched, nothing new is believed yet"),
        (motion.lingering, "somebody or something stands there"),
        (_is_only_restless(detector.figures.candidates), "something moves where things have moved for long"),
        (bool(detector.figures.candidates) and changes.rain, "it rains or snows, and nothing goes anywhere"),
        (bool(detector.figures.candidates), "something differs, but it has not gone anywhere"),
    ]
    return at + next((text for holds, text in reasons if holds), "nothing")


def _is_only_restless(things: tuple[Thing, ...]) -> bool:
    return bool(things) and all(thing.fresh < CONSTANTS.habit_fresh for thing in things)


def _panels(frame: LumaFrame, detector: MotionDetector) -> tuple[npt.NDArray[np.uint8], ...]:
    changes = detector.changes
    if changes is None:
        return frame.pixels, np.zeros_like(frame.pixels), np.zeros_like(frame.pixels)
    dim = np.minimum(changes.difference.astype(np.uint16) * 128 // np.maximum(changes.threshold, 1), 128)
    return frame.pixels, np.asarray(changes.expected, np.uint8), dim.astype(np.uint8)


def _outline(panel: npt.NDArray[np.uint8] | cv2.typing.MatLike, thing: Thing, colour: tuple[int, int, int]) -> None:
    cv2.rectangle(panel, (thing.left, thing.top), (thing.left + thing.width, thing.top + thing.height), colour, 1)


def _write(canvas: npt.NDArray[np.uint8], text: str, x: int, y: int, colour: tuple[int, int, int]) -> None:
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.35, colour, 1, cv2.LINE_AA)
