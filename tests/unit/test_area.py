"""Polygons and circles on the ground, beside their known sizes and a second way to decide inside."""

from __future__ import annotations

import math

import h3
import msgspec
import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.core.area import M2_PER_SQUARE_MILE, Area, Circle, Polygon, cell_of
from agent.core.errors import BadInput

SQUARE = [(16.37, 48.20), (16.38, 48.20), (16.38, 48.21), (16.37, 48.21), (16.37, 48.20)]


def polygon(*ring: tuple[float, float]) -> Polygon:
    return Polygon([[*ring, ring[0]]])


def around(lat: float, lon: float, radii: list[float]) -> Polygon:
    """A star-shaped polygon: corners at even bearings, each as many metres away as `radii` says."""
    corners = [Geodesic.WGS84.Direct(lat, lon, -360 * i / len(radii), r) for i, r in enumerate(radii)]
    return polygon(*[(c["lon2"], c["lat2"]) for c in corners])


@pytest.mark.parametrize(
    ("ring", "why"),
    [
        ([], "positions"),
        (SQUARE[:3], "positions"),
        ([(0, 0)] * 102, "positions"),
        (SQUARE[:4], "closed"),
        ([(0, 0), (1, 1), (1, 0), (0, 1), (0, 0)], "crosses"),
        ([(0, 0), (1, 0), (1, 1), (0, 0), (0, 0)], "crosses"),
        ([(0, 0), (2, 0), (1, 0), (1, 1), (0, 0)], "crosses"),
        ([(0, 0), (1, 0), (1, 1), (0.5, 0), (0, 1), (0, 0)], "crosses"),
        ([(0, 0), (0, 0), (0, 0), (0, 0)], "crosses"),
        ([(-120, 0), (0, 1), (120, 0), (-120, 0)], "crosses"),
        ([(181, 0), (1, 0), (1, 1), (181, 0)], "position on the map"),
        ([(0, 91), (1, 0), (1, 1), (0, 91)], "position on the map"),
        ([(0, 86), (1, 86), (1, 86.1), (0, 86)], "85 degrees"),
        ([(math.nan, 0), (1, 0), (1, 1), (math.nan, 0)], "position on the map"),
    ],
)
def test_what_is_no_plain_outline_is_refused(ring: list[tuple[float, float]], why: str) -> None:
    with pytest.raises(BadInput, match=why):
        Polygon([ring]).check()


def test_holes_are_refused() -> None:
    with pytest.raises(BadInput, match="holes"):
        Polygon([SQUARE, SQUARE]).check()


@pytest.mark.parametrize(
    "circle", [Circle((0, 0), 0), Circle((0, 0), -1), Circle((0, 0), 2e5), Circle((0, 84.9999), 500)]
)
def test_odd_circles_are_refused(circle: Circle) -> None:
    with pytest.raises(BadInput):
        circle.check()


def test_a_good_area_passes_in_either_direction() -> None:
    Polygon([SQUARE]).check()
    Polygon([SQUARE[::-1]]).check()
    Circle((16.37, 48.2), 400).check()


@pytest.mark.parametrize("lat", [0.0, 48.2, -70.0])
def test_a_square_measured_out_on_the_ground_has_its_size(lat: float) -> None:
    """Half-diagonal d gives 2 d² in the plane, and on a kilometre of ellipsoid to a few millionths."""
    area = around(lat, 16.37, [800.0] * 4)
    assert area.square_miles() == pytest.approx(2 * 800**2 / M2_PER_SQUARE_MILE, rel=1e-6)
    circle = Circle((16.37, lat), 500)
    assert circle.square_miles() == pytest.approx(around(lat, 16.37, [500.0] * 2000).square_miles(), rel=1e-5)


def test_size_does_not_depend_on_direction() -> None:
    assert Polygon([SQUARE]).square_miles() == pytest.approx(Polygon([SQUARE[::-1]]).square_miles())


@given(
    lat=st.floats(-80, 80),
    lon=st.floats(-180, 180),
    radii=st.lists(st.floats(100, 600), min_size=4, max_size=40),
    bearing=st.integers(0, 10_000),
    share=st.floats(0, 2),
)
@settings(max_examples=150, deadline=None)
def test_inside_is_inside_and_its_cell_is_covered(
    lat: float, lon: float, radii: list[float], bearing: int, share: float
) -> None:
    """On the ray to a corner, what is nearer than the corner is inside and what is farther is outside."""
    area = around(lat, lon, radii)
    area.check()
    assume(not 0.98 < share < 1.02)
    corner = bearing % len(radii)
    place = Geodesic.WGS84.Direct(lat, lon, -360 * corner / len(radii), radii[corner] * share)
    assert area.contains(place["lat2"], place["lon2"]) == (share < 1)
    if share < 1:
        assert cell_of(place["lat2"], place["lon2"]) in area.cells()
    assert area.contains(lat, lon)


@given(lat=st.floats(-80, 80), lon=st.floats(-180, 180), bearing=st.floats(0, 360), share=st.floats(0, 2))
@settings(max_examples=100, deadline=None)
def test_a_circle_contains_what_is_nearer_than_its_radius(lat: float, lon: float, bearing: float, share: float) -> None:
    circle = Circle((lon, lat), 500)
    circle.check()
    assume(abs(share - 1) > 1e-6)
    place = Geodesic.WGS84.Direct(lat, lon, bearing, 500 * share)
    assert circle.contains(place["lat2"], place["lon2"]) == (share < 1)
    if share < 1:
        assert cell_of(place["lat2"], place["lon2"]) in circle.cells()


def test_the_outline_is_inside() -> None:
    area = Polygon([SQUARE])
    assert all(area.contains(lat, lon) for lon, lat in SQUARE)
    assert area.contains(48.205, 16.37)
    assert not area.contains(48.205, 16.36999999)


def test_an_area_may_cross_the_180th_meridian() -> None:
    area = polygon((179.995, -16.8), (-179.995, -16.8), (-179.995, -16.79), (179.995, -16.79))
    area.check()
    assert area.square_miles() == pytest.approx(
        polygon((0, -16.8), (0.01, -16.8), (0.01, -16.79), (0, -16.79)).square_miles()
    )
    assert area.contains(-16.795, 180)
    assert area.contains(-16.795, -180)
    assert area.contains(-16.795, 179.996)
    assert area.contains(-16.795, -179.996)
    assert not area.contains(-16.795, 179.99)
    assert not area.contains(-16.795, 0)
    assert {cell_of(-16.795, 179.9951), cell_of(-16.795, -179.9951)} <= set(area.cells())


def test_cells_are_of_resolution_7_and_at_most_sixteen() -> None:
    cells = Circle((16.37, 48.2), 500).cells()
    assert 1 <= len(cells) <= 4
    assert {h3.get_resolution(c) for c in cells} == {7}
    with pytest.raises(BadInput, match="at most 16"):
        Circle((16.37, 48.2), 9_000).cells()
    with pytest.raises(BadInput, match="at most 16"):
        polygon((16, 48), (17, 48), (17, 48.00001)).cells()


@pytest.mark.parametrize(
    "text",
    [
        b"null",
        b'{"type":"Point","coordinates":[1,2]}',
        b'{"coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}',
        b'{"type":"Polygon","coordinates":[[[0,0,5],[1,0],[1,1],[0,0]]]}',
        b'{"type":"Polygon","coordinates":[[["0",0],[1,0],[1,1],[0,0]]]}',
        b'{"type":"Polygon","coordinates":[],"bbox":[1]}',
        b'{"type":"Circle","center":[0,0]}',
        b'{"type":"Circle","center":[0,0],"radius_m":1e999}',
        b'{"type":"Circle","center":[0,0],"radius_m":NaN}',
    ],
)
def test_other_json_is_no_area(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(text, type=Area)
