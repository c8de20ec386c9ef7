"""Where a request looks: a polygon or a circle on the ground, its size, what lies in it, the H3 cells it touches.

Owns geometry only; how large an area may be is the request's rule. Coordinates are WGS 84 degrees and are taken to a
billionth of a degree (0.1 mm), so that inside, outside and crossing are decided exactly, in whole numbers. A polygon's
edges are straight in longitude and latitude, as RFC 7946 (section 3.1.1) says; an area may cross the 180th meridian but
not reach beyond 85 degrees north or south. Source: RFC 7946; Karney 2013 (geographiclib); docs/spec/request.md.
"""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
from geographiclib.geodesic import Geodesic

from agent.core.errors import BadInput

CELL_RESOLUTION = 7
MAX_CELLS = 16
MAX_POSITIONS = 101
MAX_LATITUDE = 85.0
MAX_RADIUS_M = 100_000.0
M2_PER_SQUARE_MILE = 2_589_988.110336

_NANO = 1_000_000_000
_TURN = 360 * _NANO
_CIRCLE_CORNERS = 48

Position = tuple[float, float]  # longitude, latitude: the order of GeoJSON
_MAX_ACROSS_M = 100_000.0  # sixteen cells in a row measure less
_Point = tuple[int, int]  # the same in billionths of a degree, longitude unrolled across the 180th meridian


class Polygon(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="Polygon"):
    """A GeoJSON polygon of one ring. Call `check` before anything else."""

    coordinates: list[list[Position]]

    def check(self) -> None:
        """BadInput unless it is one closed ring of 4 to 101 positions that does not cross or touch itself."""
        if len(self.coordinates) != 1:
            raise BadInput("the area must be a polygon of one ring, without holes")
        ring = self.coordinates[0]
        if not 4 <= len(ring) <= MAX_POSITIONS:
            raise BadInput(f"the area's ring must have 4 to {MAX_POSITIONS} positions, it has {len(ring)}")
        for position in ring:
            _check_position(position)
        if ring[0] != ring[-1]:
            raise BadInput("the area's ring must be closed: its last position must be its first")
        if _crosses_itself(_unrolled(ring)):
            raise BadInput("the area's ring crosses or touches itself; draw it as a plain outline")

    def square_miles(self) -> float:
        """Area on the ellipsoid."""
        polygon = Geodesic.WGS84.Polygon()
        for lon, lat in self.coordinates[0][:-1]:
            polygon.AddPoint(lat, lon)
        return abs(float(polygon.Compute()[2])) / M2_PER_SQUARE_MILE

    def contains(self, lat: float, lon: float) -> bool:
        """Whether the position lies inside or on the outline."""
        ring = _unrolled(self.coordinates[0])
        x, y = _nano(lon), _nano(lat)
        return any(_in_ring((x + turn, y), ring) for turn in (-_TURN, 0, _TURN))

    def cells(self) -> list[str]:
        """The H3 cells of resolution 7 it touches, sorted; BadInput when there are more than 16."""
        return _cells(self.coordinates[0][:-1])


class Circle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="Circle"):
    """All within `radius_m` metres of `center`. Call `check` before anything else."""

    center: Position
    radius_m: float

    def check(self) -> None:
        """BadInput unless the centre is on the map and the radius a sensible length."""
        _check_position(self.center)
        if not 0 < self.radius_m <= MAX_RADIUS_M:
            raise BadInput(f"the area's radius must be above 0 and at most {MAX_RADIUS_M:.0f} metres")
        reach = abs(self.center[1]) + math.degrees(self.radius_m / Geodesic.WGS84.a) * 1.01
        if reach > MAX_LATITUDE:
            raise BadInput(_TOO_POLAR)

    def square_miles(self) -> float:
        """Area as of a circle in the plane; for a kilometre on the ellipsoid that is right to a millionth."""
        return math.pi * self.radius_m**2 / M2_PER_SQUARE_MILE

    def contains(self, lat: float, lon: float) -> bool:
        """Whether the position is at most the radius away, along the ellipsoid."""
        away = Geodesic.WGS84.Inverse(self.center[1], self.center[0], lat, lon, Geodesic.DISTANCE)
        return bool(away["s12"] <= self.radius_m)

    def cells(self) -> list[str]:
        """The H3 cells of resolution 7 it touches, sorted; BadInput when there are more than 16."""
        corners = []
        around_m = self.radius_m / math.cos(math.pi / _CIRCLE_CORNERS) * 1.001  # a polygon drawn around the circle
        for i in range(_CIRCLE_CORNERS):
            there = Geodesic.WGS84.Direct(self.center[1], self.center[0], 360 * i / _CIRCLE_CORNERS, around_m)
            corners.append((there["lon2"], there["lat2"]))
        return _cells(corners)


Area = Polygon | Circle

_TOO_POLAR = f"the area reaches beyond {MAX_LATITUDE:.0f} degrees of latitude, where Doorward does not work"


def cell_of(lat: float, lon: float) -> str:
    """The H3 cell of resolution 7 in which a position lies; BadInput when it is not on the map."""
    import h3  # here, not above: most commands know areas but never look at one, and loading it takes 50 ms

    _check_position((lon, lat))
    return str(h3.latlng_to_cell(lat, lon, CELL_RESOLUTION))


def _check_position(position: Position) -> None:
    lon, lat = position
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise BadInput(f"longitude {lon}, latitude {lat} is not a position on the map (GeoJSON names longitude first)")
    if abs(lat) > MAX_LATITUDE:
        raise BadInput(_TOO_POLAR)


def _cells(corners: list[Position]) -> list[str]:
    import h3

    points = [(lat, lon) for lon, lat in corners]
    # Filling a continent with cells before counting them would take all memory there is.
    if any(h3.great_circle_distance(points[0], p, unit="m") > _MAX_ACROSS_M for p in points):
        raise BadInput(f"the area is more than {_MAX_ACROSS_M / 1000:.0f} km across; ask for less")
    cells = set(h3.h3shape_to_cells_experimental(h3.LatLngPoly(points), CELL_RESOLUTION, contain="overlap"))
    cells.update(h3.latlng_to_cell(lat, lon, CELL_RESOLUTION) for lat, lon in points)
    if len(cells) > MAX_CELLS:
        raise BadInput(f"the area touches {len(cells)} map cells, at most {MAX_CELLS} are allowed; ask for less")
    return sorted(cells)


def _nano(degrees: float) -> int:
    return round(degrees * _NANO)


def _unrolled(ring: list[Position]) -> list[_Point]:
    """The ring in whole numbers; where it steps over the 180th meridian it goes on beyond 180 instead of leaping."""
    points: list[_Point] = []
    for lon, lat in ring:
        x = _nano(lon)
        if points:
            x += round((points[-1][0] - x) / _TURN) * _TURN
        points.append((x, _nano(lat)))
    return points


def _side(a: _Point, b: _Point, c: _Point) -> int:
    """Above 0 when c lies left of the line from a to b, 0 on it."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _on_edge(p: _Point, a: _Point, b: _Point) -> bool:
    within = min(a[0], b[0]) <= p[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= p[1] <= max(a[1], b[1])
    return within and _side(a, b, p) == 0


def _meet(a: _Point, b: _Point, c: _Point, d: _Point) -> bool:
    """Whether the edges ab and cd have a point in common."""
    if _on_edge(c, a, b) or _on_edge(d, a, b) or _on_edge(a, c, d) or _on_edge(b, c, d):
        return True
    return (_side(a, b, c) > 0) != (_side(a, b, d) > 0) and (_side(c, d, a) > 0) != (_side(c, d, b) > 0)


def _crosses_itself(ring: list[_Point]) -> bool:
    """Whether two edges meet anywhere but where one ends and the next begins."""
    if ring[0] != ring[-1]:
        return True  # it goes once around the earth
    edges = list(pairwise(ring))
    for i, (a, b) in enumerate(edges):
        following = edges[(i + 1) % len(edges)][1]
        if a == b or _on_edge(following, a, b) or _on_edge(a, b, following):
            return True
        last = len(edges) - (1 if i == 0 else 0)  # the first edge and the last are neighbours
        if any(_meet(a, b, *edges[j]) for j in range(i + 2, last)):
            return True
    return False


def _in_ring(p: _Point, ring: list[_Point]) -> bool:
    """Even-odd rule; the outline itself is inside."""
    inside = False
    for a, b in pairwise(ring):
        if _on_edge(p, a, b):
            return True
        if (a[1] > p[1]) != (b[1] > p[1]) and (_side(a, b, p) > 0) == (b[1] > a[1]):
            inside = not inside
    return inside
