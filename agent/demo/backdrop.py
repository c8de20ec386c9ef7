"""What does not move on the rendered doorstep: porch, garden, street, houses, sky.

Owns the painted background, the porch in the foreground (which covers whoever walks behind it), and the bush that
`scene` lets sway. All painted here, from numbers and one seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from agent.demo.canvas import (
    HEIGHT,
    WIDTH,
    Canvas,
    Colour,
    Image,
    Point,
    darker,
    lay_over,
    lighter,
    mix,
    project,
    reduced,
)

_SCALE: Final = 2
_GRASS: Final[Colour] = (96, 168, 128)
_STONE: Final[Colour] = (182, 196, 206)
_WOOD: Final[Colour] = (118, 156, 190)
_WHITE: Final[Colour] = (232, 238, 240)
BUSH_SIZE: Final = (330, 330)
BUSH_CORNER: Final = (-4, 268)


@dataclass(frozen=True, slots=True)
class Layer:
    """A painted picture and what of it covers (255) what lies behind."""

    image: Image
    alpha: Image


@dataclass(frozen=True, slots=True)
class Backdrop:
    """`far`: all that is still. `free`: 255 where the porch covers neither visitor nor bush. `bush`: at BUSH_CORNER."""

    far: Image
    free: Image
    bush: Layer


def paint_backdrop(seed: int) -> Backdrop:
    """The still parts; the same for the same seed."""
    rng = np.random.default_rng(seed)
    image = np.zeros((HEIGHT * _SCALE, WIDTH * _SCALE, 3), np.uint8)
    canvas = Canvas(image, _SCALE)
    _sky(canvas)
    _distance(canvas, rng)
    _street(canvas)
    _houses(canvas)
    _garden(canvas, rng)
    far = reduced(canvas.image, _SCALE)
    _grain(far, rng)
    _deck(far)
    porch = _porch()
    lay_over(far, porch.image, porch.alpha, 0, 0)
    return Backdrop(far, 255 - porch.alpha, _bush(rng))


def _ground(canvas: Canvas, corners: list[tuple[float, float]], colour: Colour) -> None:
    """A patch of ground given by (x, z) in metres."""
    canvas.polygon([project((x, 0.0, z)) for x, z in corners], colour)


def _sky(canvas: Canvas) -> None:
    rows = np.linspace(0, 1, canvas.image.shape[0])[:, None]
    top, low = np.array((226, 176, 118)), np.array((240, 230, 206))
    canvas.image[:] = (top + (low - top) * np.clip(rows * 2.4, 0, 1))[:, None, :].astype(np.uint8)
    clouds = np.zeros(canvas.image.shape[:2], np.uint8)
    veil = Canvas(np.zeros_like(canvas.image), _SCALE, alpha=clouds)
    for x, y, size in ((250, 92, 46), (330, 76, 62), (410, 98, 44), (900, 140, 36), (966, 126, 48), (1034, 142, 34)):
        veil.ellipse((x, y), (size * 1.5, size * 0.5), _WHITE)
    soft = cv2.GaussianBlur(clouds, (0, 0), 16)
    lay_over(canvas.image, np.full_like(canvas.image, 250), (soft * 0.8).astype(np.uint8), 0, 0)


def _blob_row(canvas: Canvas, rng: np.random.Generator, base: float, size: float, colour: Colour) -> None:
    """A row of round tree tops, lit from the upper left."""
    for x in np.arange(-40, WIDTH + 60, size * 0.9):
        radius = size * rng.uniform(0.8, 1.25)
        height = base - radius * rng.uniform(0.2, 0.6)
        canvas.ellipse((x, height), (radius, radius * 0.95), colour)
        canvas.ellipse((x - radius * 0.25, height - radius * 0.2), (radius * 0.62, radius * 0.6), lighter(colour, 0.1))


def _distance(canvas: Canvas, rng: np.random.Generator) -> None:
    hills = [(x, 262 - 26 * np.sin(x / 210) - 14 * np.sin(x / 83 + 1)) for x in range(-20, WIDTH + 41, 20)]
    canvas.polygon([*hills, (WIDTH + 20, 400), (-20, 400)], (196, 190, 164))
    _blob_row(canvas, rng, 292, 46, (150, 168, 132))
    canvas.polygon([(0, 290), (WIDTH, 290), (WIDTH, HEIGHT), (0, HEIGHT)], mix(_GRASS, (150, 190, 170), 0.5))


def _street(canvas: Canvas) -> None:
    far, wide = 60.0, 80.0
    _ground(canvas, [(-wide, far), (wide, far), (wide, 12.4), (-wide, 12.4)], (140, 186, 158))
    _ground(canvas, [(-wide, 21.0), (wide, 21.0), (wide, 19.6), (-wide, 19.6)], (196, 206, 210))
    _ground(canvas, [(-wide, 19.6), (wide, 19.6), (wide, 13.6), (-wide, 13.6)], (148, 142, 140))
    _ground(canvas, [(-wide, 13.75), (wide, 13.75), (wide, 13.55), (-wide, 13.55)], (196, 200, 202))
    _ground(canvas, [(-wide, 13.55), (wide, 13.55), (wide, 12.2), (-wide, 12.2)], (188, 200, 206))
    for x in np.arange(-30, 30, 4.0):
        _ground(canvas, [(x, 16.6), (x + 2, 16.6), (x + 2, 16.4), (x, 16.4)], (214, 224, 228))


def _box(canvas: Canvas, x0: float, x1: float, y0: float, y1: float, z: float, colour: Colour) -> None:
    """An upright rectangle facing the camera."""
    canvas.polygon([project((x0, y0, z)), project((x1, y0, z)), project((x1, y1, z)), project((x0, y1, z))], colour)


def _house(canvas: Canvas, x: float, wide: float, wall: Colour, roof: Colour) -> None:
    z, eaves = 25.0, 3.6
    _box(canvas, x, x + wide, 0, eaves, z, wall)
    _box(canvas, x + wide * 0.72, x + wide, 0, eaves, z, darker(wall, 0.1))
    ridge = eaves + wide * 0.3
    gable = [project((x - 0.5, eaves, z)), project((x + wide / 2, ridge, z)), project((x + wide + 0.5, eaves, z))]
    canvas.polygon(gable, darker(roof, 0.15))
    canvas.polygon([gable[0], gable[1], project((x + wide * 0.34, eaves, z))], roof)
    _box(canvas, x + wide * 0.7, x + wide * 0.78, ridge - 2.2, ridge + 0.2, z, darker(roof, 0.3))
    _box(canvas, x - 0.5, x + wide + 0.5, eaves - 0.14, eaves + 0.08, z, _WHITE)
    for left in (0.1, 0.62):
        window = x + wide * left
        _box(canvas, window - 0.12, window + wide * 0.22 + 0.12, 1.1, 2.92, z, _WHITE)
        _box(canvas, window, window + wide * 0.22, 1.22, 2.8, z, (170, 150, 116))
        _box(canvas, window, window + wide * 0.11, 2.0, 2.8, z, (196, 180, 150))
        _box(canvas, window + wide * 0.1, window + wide * 0.12, 1.22, 2.8, z, _WHITE)
    door = x + wide * 0.42
    _box(canvas, door - 0.1, door + 1.2, 0, 2.4, z, _WHITE)
    _box(canvas, door, door + 1.1, 0, 2.3, z, (92, 86, 156))


def _car(canvas: Canvas, x: float, z: float, paint: Colour) -> None:
    def at(along: float, up: float) -> Point:
        return project((x + along, up, z))

    canvas.ellipse(at(2.1, 0.05), (100, 7), (112, 106, 106))
    canvas.polygon([at(0, 0.35), at(0, 0.85), at(0.9, 0.98), at(4.1, 0.95), at(4.3, 0.8), at(4.3, 0.35)], paint)
    canvas.polygon([at(0.75, 0.95), at(1.3, 1.48), at(2.9, 1.5), at(3.7, 0.95)], darker(paint, 0.08))
    canvas.polygon([at(0.98, 0.97), at(1.4, 1.38), at(2.05, 1.4), at(2.05, 0.97)], (186, 170, 142))
    canvas.polygon([at(2.2, 0.97), at(2.2, 1.4), at(2.85, 1.4), at(3.4, 0.97)], (170, 154, 128))
    canvas.polygon([at(0, 0.35), at(4.3, 0.35), at(4.3, 0.5), at(0, 0.5)], darker(paint, 0.25))
    for wheel in (0.85, 3.45):
        canvas.ellipse(at(wheel, 0.33), (12, 12), (62, 58, 58))
        canvas.ellipse(at(wheel, 0.33), (5.5, 5.5), (180, 184, 186))


def _houses(canvas: Canvas) -> None:
    _house(canvas, -22.5, 9.5, (186, 214, 232), (88, 96, 150))
    _house(canvas, -8.5, 10.0, (224, 214, 196), (110, 104, 104))
    _house(canvas, 7.0, 9.0, (178, 200, 190), (92, 110, 134))
    _house(canvas, 20.0, 9.0, (196, 206, 236), (96, 92, 128))
    for x in np.arange(-30, 32, 2.6):
        canvas.ellipse(project((float(x), 0.45, 22.6)), (42, 19), (104, 150, 112))
        canvas.ellipse(project((float(x) - 0.35, 0.62, 22.6)), (25, 11), (118, 172, 132))
    _car(canvas, 4.6, 18.7, (176, 132, 84))


def path_middle() -> list[tuple[float, float]]:
    """The middle of the path, (x, z) in metres, from the step at the door to out of sight on the right."""
    t = np.linspace(0, 1, 36)
    # A quadratic curve: step, bend, gate.
    x = (1 - t) ** 2 * 0.25 + 2 * t * (1 - t) * 0.4 + t**2 * 11.0
    z = (1 - t) ** 2 * 2.6 + 2 * t * (1 - t) * 7.6 + t**2 * 8.3
    return [(float(a), float(b)) for a, b in zip(x, z, strict=True)]


def _path_edge(side: float) -> list[tuple[float, float]]:
    """One edge of the path; `side` is -1 or 1."""
    x, z = np.array(path_middle()).T
    dx, dz = np.gradient(x), np.gradient(z)
    length = np.hypot(dx, dz)
    half = 0.62 * side
    return [(float(a), float(b)) for a, b in zip(x + half * dz / length, z - half * dx / length, strict=True)]


def _tree(canvas: Canvas, rng: np.random.Generator) -> None:
    x, z = -6.4, 10.5
    bark: Colour = (86, 108, 136)
    canvas.ellipse(project((x + 1.6, 0, z - 0.1)), (150, 13), darker(_GRASS, 0.26))
    trunk = [
        project((x - 0.22, 0, z)),
        project((x - 0.12, 2.6, z)),
        project((x + 0.16, 2.6, z)),
        project((x + 0.26, 0, z)),
    ]
    canvas.polygon(trunk, darker(bark, 0.2))
    canvas.polygon([trunk[0], trunk[1], (trunk[1][0] + 9, trunk[1][1]), (trunk[0][0] + 13, trunk[0][1])], bark)
    for tint, count, spread, lean in (
        ((70, 124, 88), 16, 1.0, 0.0),
        ((84, 150, 108), 14, 0.82, -0.3),
        ((112, 184, 142), 10, 0.6, -0.6),
    ):
        for angle in np.linspace(0, 2 * np.pi, count, endpoint=False):
            reach = spread * rng.uniform(0.75, 1.1)
            px, py = project(
                (x + lean * 0.8 + 1.55 * reach * np.cos(angle), 3.7 - lean * 0.6 + 1.1 * reach * np.sin(angle), z)
            )
            canvas.ellipse((px, py), (34 * rng.uniform(0.8, 1.2), 29 * rng.uniform(0.8, 1.2)), tint)
        canvas.ellipse(project((x + lean * 0.8, 3.7 - lean * 0.6, z)), (92 * spread, 66 * spread), tint)


def _fence(canvas: Canvas) -> None:
    z = 11.4
    for x in np.arange(-12, 13, 0.42):
        shade = _WHITE if round(x / 0.42) % 2 else darker(_WHITE, 0.05)
        left, right = float(x), float(x) + 0.28
        points = [(left, 0.0), (left, 0.72), ((left + right) / 2, 0.86), (right, 0.72), (right, 0.0)]
        canvas.polygon([project((a, b, z)) for a, b in points], shade)
    for height in (0.22, 0.58):
        _box(canvas, -12.2, 13, height, height + 0.09, z - 0.05, darker(_WHITE, 0.09))


def _garden(canvas: Canvas, rng: np.random.Generator) -> None:
    for index in range(24):
        near, far = 12.2 * 0.905**index, 12.2 * 0.905 ** (index + 1)
        tint = mix(mix(_GRASS, (150, 196, 176), max(0.0, 0.5 - index * 0.03)), lighter(_GRASS, 0.1), index % 2 * 0.55)
        _ground(canvas, [(-22, near), (22, near), (22, far), (-22, far)], tint)
    _fence(canvas)
    _tree(canvas, rng)
    left, right = _path_edge(-1), _path_edge(1)
    rim = 0.09
    _ground(
        canvas,
        [(x - rim, z + rim) for x, z in left] + [(x + rim, z - rim) for x, z in reversed(right)],
        darker(_STONE, 0.2),
    )
    _ground(canvas, left + right[::-1], _STONE)
    for index in range(1, len(left) - 1):
        a, b = left[index], right[index]
        canvas.line([project((a[0], 0, a[1])), project((b[0], 0, b[1]))], darker(_STONE, 0.13), 18 / (a[1] + b[1]))
    for x, z in ((2.2, 4.6), (2.9, 5.0), (3.6, 5.3), (-1.2, 6.5), (-1.6, 5.6)):
        _flowers(canvas, rng, x, z)


def _deck(far: Image) -> None:
    """The wooden floor the visitor stands on at the door, with a step and a mat."""
    image = np.zeros((HEIGHT * _SCALE, WIDTH * _SCALE, 3), np.uint8)
    alpha = np.zeros(image.shape[:2], np.uint8)
    canvas = Canvas(image, _SCALE, alpha=alpha)
    edge, near, wide = 2.75, 1.0, 4.0
    _ground(canvas, [(-wide, edge + 0.14), (wide, edge + 0.14), (wide, edge), (-wide, edge)], darker(_GRASS, 0.45))
    _ground(canvas, [(-wide, edge), (wide, edge), (wide, near), (-wide, near)], _WOOD)
    board = 0.22
    for index, x in enumerate(np.arange(-wide, wide, board)):
        tint = mix(_WOOD, darker(_WOOD, 0.16), (index * 7 % 5) / 4)
        _ground(canvas, [(x, edge), (x + board, edge), (x + board, near), (x, near)], tint)
        canvas.line([project((x, 0, edge)), project((x, 0, near))], darker(_WOOD, 0.42), 1.5)
    _ground(canvas, [(-wide, edge), (wide, edge), (wide, edge - 0.05), (-wide, edge - 0.05)], lighter(_WOOD, 0.3))
    for x in (-2.4, 2.12):
        _ground(canvas, [(x, 2.74), (x + 0.36, 2.74), (x + 2.4, 1.6), (x + 1.8, 1.6)], darker(_WOOD, 0.3))
    _ground(canvas, [(-0.35, 2.5), (1.2, 2.5), (1.2, 1.6), (-0.35, 1.6)], (96, 110, 124))
    _ground(canvas, [(-0.28, 2.46), (1.13, 2.46), (1.13, 1.6), (-0.28, 1.6)], (112, 128, 142))
    lay_over(far, reduced(image, _SCALE), reduced(alpha, _SCALE), 0, 0)


def _flowers(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    size = 640 / z
    canvas.ellipse(project((x, 0.02, z)), (0.34 * size, 0.07 * size), darker(_GRASS, 0.22))
    canvas.ellipse(project((x, 0.13, z)), (0.3 * size, 0.15 * size), (84, 148, 104))
    canvas.ellipse(project((x - 0.06, 0.18, z)), (0.2 * size, 0.09 * size), (104, 176, 130))
    petals: tuple[Colour, ...] = ((120, 120, 236), (150, 214, 250), (226, 190, 240))
    for index in range(11):
        px, py = project((x + rng.uniform(-0.26, 0.26), 0.1 + rng.uniform(0, 0.2), z))
        canvas.ellipse((px, py), (0.032 * size, 0.032 * size), petals[index % 3])
        canvas.ellipse((px, py), (0.012 * size, 0.012 * size), (150, 226, 250))


def _porch() -> Layer:
    """Floor, posts, beam, lamp and the frame of the door the camera sits in."""
    image = np.zeros((HEIGHT * _SCALE, WIDTH * _SCALE, 3), np.uint8)
    image[:] = np.array(darker(_WHITE, 0.1), np.uint8)
    alpha = np.zeros(image.shape[:2], np.uint8)
    canvas = Canvas(image, _SCALE, alpha=alpha)
    for x, light in ((-2.4, 0.0), (2.12, 0.05)):
        _post(canvas, x, darker(_WHITE, light))
    beam = [(0.0, 0.0), (WIDTH, 0.0), (WIDTH, 46.0), (0.0, 46.0)]
    canvas.polygon(beam, _WHITE)
    canvas.polygon([(0, 34), (WIDTH, 34), (WIDTH, 46), (0, 46)], darker(_WHITE, 0.2))
    canvas.polygon([(0, 46), (WIDTH, 46), (WIDTH, 50), (0, 50)], darker(_WHITE, 0.38))
    _lamp(canvas)
    _pot(canvas)
    _door_frame(canvas)
    return Layer(reduced(image, _SCALE), reduced(alpha, _SCALE))


def _post(canvas: Canvas, x: float, colour: Colour) -> None:
    z, half = 2.82, 0.11
    (left, foot), (right, _) = project((x - half, 0, z)), project((x + half, 0, z))
    wide = right - left
    canvas.polygon([(left, 40), (right, 40), (right, foot), (left, foot)], darker(colour, 0.26))
    canvas.polygon([(left, 40), (left + 0.7 * wide, 40), (left + 0.7 * wide, foot), (left, foot)], darker(colour, 0.07))
    canvas.polygon([(left, 40), (left + 0.28 * wide, 40), (left + 0.28 * wide, foot), (left, foot)], colour)
    for top, bottom in ((46, 74), (foot - 34, foot)):
        canvas.polygon(
            [(left - 8, top), (right + 8, top), (right + 8, bottom), (left - 8, bottom)], darker(colour, 0.12)
        )
        canvas.polygon([(left - 8, top), (left + 14, top), (left + 14, bottom), (left - 8, bottom)], colour)


def _lamp(canvas: Canvas) -> None:
    x = 1010.0
    iron: Colour = (64, 58, 56)
    canvas.line([(x, 46), (x, 78)], iron, 4)
    canvas.polygon([(x - 30, 92), (x - 10, 76), (x + 10, 76), (x + 30, 92)], iron)
    canvas.polygon([(x - 22, 92), (x + 22, 92), (x + 16, 136), (x - 16, 136)], (178, 222, 244))
    canvas.polygon([(x - 22, 92), (x - 8, 92), (x - 7, 136), (x - 16, 136)], (206, 238, 250))
    for offset in (-22, 0, 22):
        canvas.line([(x + offset, 92), (x + offset * 0.73, 136)], iron, 2.5)
    canvas.polygon([(x - 19, 136), (x + 19, 136), (x + 13, 144), (x - 13, 144)], iron)


def _pot(canvas: Canvas) -> None:
    x, clay = 1166.0, (92, 122, 196)
    for angle in np.linspace(-1.25, 1.25, 13):
        tip = (x + 92 * np.sin(angle), 590 - 104 * np.cos(angle * 0.8))
        middle = (x + 40 * np.sin(angle), 590 - 76 * np.cos(angle * 0.8))
        leaf = (92, 154, 104) if angle < 0.2 else (78, 130, 92)
        canvas.hull([((x, 622), 4), (middle, 15), (tip, 4)], darker(leaf, 0.08))
        canvas.hull(
            [((x - 2, 618), 2), ((middle[0] - 4, middle[1] - 3), 6), ((tip[0] - 1, tip[1]), 2)], lighter(leaf, 0.16)
        )
    canvas.polygon([(x - 58, 616), (x + 58, 616), (x + 42, 724), (x - 42, 724)], darker(clay, 0.24))
    canvas.polygon([(x - 58, 616), (x + 22, 616), (x + 14, 724), (x - 42, 724)], clay)
    canvas.polygon([(x - 58, 616), (x - 26, 616), (x - 20, 724), (x - 42, 724)], lighter(clay, 0.14))
    canvas.polygon([(x - 66, 602), (x + 66, 602), (x + 66, 626), (x - 66, 626)], darker(clay, 0.1))
    canvas.polygon([(x - 66, 602), (x, 602), (x, 626), (x - 66, 626)], lighter(clay, 0.1))


def _door_frame(canvas: Canvas) -> None:
    """Close to the camera, at the right edge of its view."""
    paint: Colour = (128, 112, 70)
    bands = ((1234, 0.0, 0.12), (1242, 0.0, 0.34), (1258, 0.24, 0.0), (1274, 0.4, 0.0))
    for left, dark, light in bands:
        canvas.polygon(
            [(left, 0), (WIDTH, 0), (WIDTH, HEIGHT), (left - 6, HEIGHT)], lighter(darker(paint, dark), light)
        )


def _bush(rng: np.random.Generator) -> Layer:
    wide, high = BUSH_SIZE
    image = np.empty((high * _SCALE, wide * _SCALE, 3), np.uint8)
    image[:] = (74, 122, 84)
    alpha = np.zeros(image.shape[:2], np.uint8)
    canvas = Canvas(image, _SCALE, alpha=alpha)
    layers: tuple[tuple[Colour, int, float, Point], ...] = (
        ((64, 104, 72), 150, 1.0, (0, 0)),
        ((76, 134, 90), 150, 0.9, (-8, -12)),
        ((92, 160, 112), 130, 0.74, (-18, -26)),
        ((122, 190, 146), 70, 0.56, (-30, -44)),
    )
    for tint, count, spread, (dx, dy) in layers:
        for _ in range(count):
            angle, reach = rng.uniform(0, 2 * np.pi), spread * np.sqrt(rng.uniform(0, 1))
            x = wide / 2 + dx + 118 * reach * np.cos(angle)
            y = high * 0.54 + dy + 112 * reach * np.sin(angle)
            shade = mix(tint, darker(tint, 0.2), rng.uniform(0, 0.6))
            canvas.ellipse((x, y), (rng.uniform(9, 16), rng.uniform(6, 10)), shade, float(rng.uniform(-70, 70)))
    return Layer(reduced(image, _SCALE), reduced(alpha, _SCALE))


def _grain(far: Image, rng: np.random.Generator) -> None:
    """Texture of the ground (finer with distance) and a vignette."""
    horizon = 300
    texture = rng.normal(0, 1, (HEIGHT - horizon, WIDTH)).astype(np.float32)
    texture = 3.2 * texture + 9 * cv2.GaussianBlur(texture, (0, 0), 3)
    fade = np.linspace(0.25, 1, HEIGHT - horizon, dtype=np.float32)[:, None]
    ground = far[horizon:].astype(np.float32) + (texture * fade)[:, :, None]
    far[horizon:] = np.clip(ground, 0, 255).astype(np.uint8)
