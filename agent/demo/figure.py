"""The visitor of the rendered doorstep: a person-like figure that walks, stands and looks about.

Owns the body (a skeleton in metres, posed by how far it has walked) and how it is painted. Where it goes is `scene`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import cv2
import numpy as np

from agent.demo.canvas import Canvas, Colour, Image, Place, Point, darker, lighter, pixels_per_metre, project, reduced

_SCALE: Final = 2
_STRIDE_M: Final = 1.45  # two steps
_SKIN: Final[Colour] = (140, 178, 226)
# Places something on the head: metres to the right of its middle, and down.
_Spot = Callable[[float, float], Point]
_SHOE: Final[Colour] = (52, 48, 56)


@dataclass(frozen=True, slots=True)
class Dress:
    """What a visitor wears and carries."""

    coat: Colour
    trousers: Colour
    accent: Colour
    hair: Colour
    cap: bool
    parcel: bool


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the visitor is and what they do. `turn`: 0 faces the camera, in radians, growing to the picture's left.

    `walked_m` moves the legs; `stride` (0 to 1) is how far they swing; `arm` (0 to 1) lifts a hand to the bell.
    """

    x: float
    z: float
    turn: float
    walked_m: float
    stride: float
    arm: float
    look: float


@dataclass(frozen=True, slots=True)
class Sprite:
    """A painted figure: `alpha` 255 where it covers, its upper left corner, and where its feet touch the ground."""

    image: Image
    alpha: Image
    left: int
    top: int
    foot: Point


class _Body:
    """The skeleton of one pose, joint by joint in world metres."""

    def __init__(self, pose: Pose) -> None:
        self.pose = pose
        # Facing the camera is towards smaller z; turning goes to the picture's left.
        self.forward = (-math.sin(pose.turn), -math.cos(pose.turn))
        self.side = (-self.forward[1], self.forward[0])  # the body's left
        phase = 2 * math.pi * pose.walked_m / _STRIDE_M
        self.phase = phase
        self.bob = 0.022 * math.cos(2 * phase) * pose.stride

    def at(self, forward: float, side: float, up: float) -> Place:
        """A point of the body: ahead, to its own left, and above the ground."""
        return (
            self.pose.x + forward * self.forward[0] + side * self.side[0],
            up,
            self.pose.z + forward * self.forward[1] + side * self.side[1],
        )

    def leg(self, sign: int) -> tuple[Place, Place, Place, Place]:
        """Hip, knee, ankle and toe of the left (1) or right (-1) leg."""
        swing = math.sin(self.phase + (0 if sign > 0 else math.pi)) * self.pose.stride
        lift = max(0.0, math.cos(self.phase + (0 if sign > 0 else math.pi))) * self.pose.stride
        hip = self.at(0, 0.09 * sign, 0.88 + self.bob)
        ankle = self.at(0.36 * swing, 0.09 * sign, 0.08 + 0.15 * lift)
        knee = self.at(0.2 * swing + 0.13 * lift + 0.02, 0.095 * sign, 0.48 + 0.07 * lift)
        toe = self.at(0.36 * swing + 0.17, 0.11 * sign, 0.035 + 0.12 * lift)
        return hip, knee, ankle, toe

    def arm(self, sign: int) -> tuple[Place, Place, Place]:
        """Shoulder, elbow and hand."""
        pose = self.pose
        swing = math.sin(self.phase + (math.pi if sign > 0 else 0)) * pose.stride
        shoulder = self.at(0, 0.195 * sign, 1.38 + self.bob)
        elbow = self.at(0.16 * swing - 0.02, 0.27 * sign, 1.1 + self.bob)
        hand = self.at(0.34 * swing + 0.07, 0.27 * sign, 0.85 + self.bob)
        if sign < 0 and pose.arm > 0:
            elbow = _between(elbow, self.at(0.2, 0.3 * sign, 1.14), pose.arm)
            hand = _between(hand, self.at(0.5, 0.26 * sign, 1.3), pose.arm)
        return shoulder, elbow, hand


def _between(a: Place, b: Place, share: float) -> Place:
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def paint_figure(pose: Pose, dress: Dress) -> Sprite:
    """The figure in film pixels, with soft edges."""
    metre = pixels_per_metre(pose.z)
    foot = project((pose.x, 0.0, pose.z))
    left, right = math.floor(foot[0] - 0.7 * metre), math.ceil(foot[0] + 0.7 * metre)
    top, bottom = math.floor(foot[1] - 1.9 * metre), math.ceil(foot[1] + 0.3 * metre)
    shape = ((bottom - top) * _SCALE, (right - left) * _SCALE)
    # Soft edges blend with what is below: begin with the coat's shade, not with black.
    image = np.empty((*shape, 3), np.uint8)
    cv2.rectangle(image, (0, 0), shape[::-1], darker(dress.coat, 0.4), cv2.FILLED)
    canvas = Canvas(image, _SCALE, left, top, np.zeros(shape, np.uint8))
    _Painter(canvas, _Body(pose), dress).paint()
    assert canvas.alpha is not None
    return Sprite(reduced(canvas.image, _SCALE), reduced(canvas.alpha, _SCALE), left, top, foot)


class _Painter:
    """Puts the parts of a body on a canvas, far ones first."""

    def __init__(self, canvas: Canvas, body: _Body, dress: Dress) -> None:
        self._canvas = canvas
        self._body = body
        self._dress = dress
        self._front = math.cos(body.pose.turn) > 0

    def paint(self) -> None:
        """The whole figure."""
        limbs = [(self._body.leg(sign)[2][2], self._leg, sign) for sign in (1, -1)]
        for _, limb, sign in sorted(limbs, key=lambda entry: -entry[0]):
            limb(sign)
        arms = sorted((1, -1), key=lambda sign: -self._body.arm(sign)[0][2])
        carries = self._dress.parcel
        reaching = self._front and self._body.pose.arm > 0
        self._arm(arms[0])
        if carries and not self._front:
            self._parcel()
        self._torso()
        self._head()
        if carries and self._front:
            self._parcel()
        self._arm(arms[1])
        if reaching and arms[0] == -1:
            self._arm(-1)

    def _limb(self, joints: list[tuple[Place, float]], colour: Colour) -> None:
        """A chain of joints (place, radius in metres), shaded on the side away from the sun (upper left)."""
        circles = [(project(place), radius * pixels_per_metre(place[2])) for place, radius in joints]
        for begin, end in pairwise(circles):
            self._canvas.hull([begin, end], darker(colour, 0.26))
        for begin, end in pairwise(circles):
            lit = [((x - 0.24 * r, y - 0.08 * r), 0.72 * r) for (x, y), r in (begin, end)]
            self._canvas.hull(lit, colour)
        for begin, end in pairwise(circles):
            bright = [((x - 0.46 * r, y - 0.1 * r), 0.3 * r) for (x, y), r in (begin, end)]
            self._canvas.hull(bright, lighter(colour, 0.16))

    def _leg(self, sign: int) -> None:
        hip, knee, ankle, toe = self._body.leg(sign)
        far = (ankle[2] - self._body.pose.z) > 0.12
        trousers = darker(self._dress.trousers, 0.18 if far else 0.0)
        self._limb([(ankle, 0.05), (toe, 0.04)], _SHOE)
        self._limb([(hip, 0.105), (knee, 0.078), (ankle, 0.058)], trousers)

    def _arm(self, sign: int) -> None:
        if self._dress.parcel:
            body = self._body
            shoulder = body.arm(sign)[0]
            elbow = body.at(0.1, 0.27 * sign, 1.1 + body.bob)
            hand = body.at(0.32, 0.17 * sign, 1.04 + body.bob)
            if sign < 0 and body.pose.arm > 0:
                elbow = _between(elbow, body.at(0.2, 0.3 * sign, 1.14), body.pose.arm)
                hand = _between(hand, body.at(0.5, 0.26 * sign, 1.3), body.pose.arm)
        else:
            shoulder, elbow, hand = self._body.arm(sign)
        wrist = _between(elbow, hand, 0.8)
        sleeve = darker(self._dress.coat, 0.05)
        if hand[2] > elbow[2]:
            self._limb([(wrist, 0.045), (hand, 0.045)], _SKIN)
        self._limb([(shoulder, 0.072), (elbow, 0.06), (wrist, 0.054)], sleeve)
        if hand[2] <= elbow[2]:
            self._limb([(wrist, 0.04), (hand, 0.05)], _SKIN)

    def _torso(self) -> None:
        body, coat = self._body, self._dress.coat
        up = body.bob
        ring = [
            (body.at(0, 0.15, 1.37 + up), 0.085),
            (body.at(0, -0.15, 1.37 + up), 0.085),
            (body.at(0, 0.12, 0.86 + up), 0.1),
            (body.at(0, -0.12, 0.86 + up), 0.1),
            (body.at(0.04, 0, 1.12 + up), 0.14),
            (body.at(-0.03, 0, 1.12 + up), 0.12),
        ]
        circles = [(project(place), radius * pixels_per_metre(place[2])) for place, radius in ring]
        metre = pixels_per_metre(body.pose.z)
        self._canvas.hull(circles, darker(coat, 0.24))
        for inset, tint in ((0.035, darker(coat, 0.08)), (0.075, coat), (0.13, lighter(coat, 0.1))):
            shifted = [
                ((x - inset * metre * 0.75, y - inset * metre * 0.1), max(1.0, r - inset * metre * 0.62))
                for (x, y), r in circles
            ]
            self._canvas.hull(shifted, tint)
        if math.cos(body.pose.turn) > 0.6:
            self._canvas.line(
                [project(body.at(0.15, 0, 1.4 + up)), project(body.at(0.17, 0, 0.8 + up))],
                darker(coat, 0.42),
                0.014 * metre,
            )
        stripe = self._dress.accent
        for height in (1.08,) if self._dress.cap else ():
            self._canvas.line(
                [
                    project(body.at(0.08 if self._front else -0.08, side, height + up))
                    for side in np.linspace(-0.19, 0.19, 5)
                ],
                stripe,
                0.05 * metre,
            )
        neck = [
            (project(body.at(0.01, 0, 1.475 + up)), 0.066 * metre),
            (project(body.at(0.03, 0, 1.43 + up)), 0.092 * metre),
        ]
        self._canvas.hull(neck, darker(stripe, 0.15))
        self._canvas.hull([((x - 0.014 * metre, y - 0.006 * metre), r * 0.74) for (x, y), r in neck], stripe)

    def _head(self) -> None:
        body, dress = self._body, self._dress
        metre = pixels_per_metre(body.pose.z)
        centre = project(body.at(0.025, 0, 1.6 + body.bob))
        turn = body.pose.turn - body.pose.look
        # How far the face is to the left of the head's middle, and whether it is seen at all.
        aside, towards = -math.sin(turn), math.cos(turn)

        def spot(right: float, down: float) -> Point:
            return (centre[0] + right * metre, centre[1] + down * metre)

        self._canvas.ellipse(spot(0, -0.022), (0.104 * metre, 0.118 * metre), darker(dress.hair, 0.2))
        self._canvas.ellipse(spot(-0.012, -0.034), (0.088 * metre, 0.1 * metre), dress.hair)
        if towards > -0.45:
            shift = 0.05 * aside
            narrow = 1 - 0.25 * abs(aside)
            self._canvas.ellipse(spot(shift, 0.024), (0.088 * metre * narrow, 0.108 * metre), darker(_SKIN, 0.13))
            self._canvas.ellipse(
                spot(shift - 0.009, 0.02), (0.075 * metre * narrow, 0.098 * metre), lighter(_SKIN, 0.06)
            )
            self._fringe(spot, shift, metre)
            if towards > 0.1:
                self._features(spot, 0.075 * aside, towards, metre)
        if dress.cap:
            self._cap(spot, aside, towards, metre)

    def _fringe(self, spot: _Spot, shift: float, metre: float) -> None:
        hair = self._dress.hair
        self._canvas.ellipse(spot(shift * 0.5, -0.074), (0.088 * metre, 0.052 * metre), hair)
        self._canvas.ellipse(spot(shift * 0.5 - 0.02, -0.088), (0.056 * metre, 0.03 * metre), lighter(hair, 0.14))

    def _features(self, spot: _Spot, shift: float, towards: float, metre: float) -> None:
        ink = (48, 44, 62)
        for side in (-1, 1):
            eye = spot(shift + side * 0.034 * towards, 0.012)
            self._canvas.ellipse(eye, (0.0095 * metre, 0.013 * metre), ink)
            self._canvas.ellipse(
                spot(shift + side * 0.05 * towards, 0.05), (0.016 * metre, 0.01 * metre), (128, 150, 232)
            )
        curve = [spot(shift + 0.03 * towards * t, 0.062 + 0.012 * (1 - t * t)) for t in np.linspace(-1, 1, 7)]
        self._canvas.line(curve, (84, 86, 170), 0.009 * metre)
        self._canvas.line([spot(shift + 0.004, 0.018), spot(shift + 0.009, 0.038)], darker(_SKIN, 0.3), 0.007 * metre)

    def _cap(self, spot: _Spot, aside: float, towards: float, metre: float) -> None:
        colour = self._dress.accent
        self._canvas.hull(
            [(spot(-0.05, -0.08), 0.055 * metre), (spot(0.05, -0.08), 0.055 * metre), (spot(0, -0.1), 0.06 * metre)],
            darker(colour, 0.2),
        )
        self._canvas.hull(
            [
                (spot(-0.05, -0.088), 0.04 * metre),
                (spot(0.03, -0.088), 0.04 * metre),
                (spot(-0.01, -0.11), 0.04 * metre),
            ],
            colour,
        )
        if towards > -0.3:
            rim = spot(0.09 * aside, -0.052)
            self._canvas.ellipse(rim, (0.085 * metre, 0.022 * metre), darker(colour, 0.34))

    def _parcel(self) -> None:
        body = self._body
        low, high = 0.96 + body.bob, 1.2 + body.bob
        corners = [(0.24, 0.17), (0.24, -0.17), (0.48, -0.17), (0.48, 0.17)]
        card: Colour = (122, 168, 205)
        bottom = [body.at(f, s, low) for f, s in corners]
        top = [body.at(f, s, high) for f, s in corners]
        faces = []
        for index in range(4):
            after = (index + 1) % 4
            quad = [bottom[index], bottom[after], top[after], top[index]]
            faces.append((sum(place[2] for place in quad) / 4, quad))
        for order, (_, quad) in enumerate(sorted(faces, key=lambda face: -face[0])):
            tint = darker(card, 0.1) if order < 3 else card
            self._canvas.polygon([project(place) for place in quad], tint)
        nearest = min(faces, key=lambda face: face[0])[1]
        self._canvas.polygon([project(place) for place in top], lighter(card, 0.25))
        middle = [_between(nearest[0], nearest[1], 0.5), _between(nearest[3], nearest[2], 0.5)]
        self._canvas.line(
            [project(place) for place in middle], darker(card, 0.3), 0.035 * pixels_per_metre(body.pose.z)
        )
