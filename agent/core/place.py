"""A place on the map as people have it: the two numbers that a map app copies, in the ways that map apps write them.

Latitude first, as they all do. Knows no addresses and no names of places. Source: ISO 6709, annex D (degrees, minutes,
seconds with N, S, E and W); RFC 5870 (geo:).
"""

from __future__ import annotations

import re
from typing import Final

from agent.core.area import MAX_LATITUDE
from agent.core.errors import BadInput

_MAX_LENGTH: Final = 100
_ANGLE: Final = re.compile(
    r"""\s*(?P<sign>[-+\N{MINUS SIGN}]?)\s*(?P<degrees>\d{1,3}(?:\.\d{1,15})?)\s*°?
        (?:\s*(?P<minutes>\d{1,2}(?:\.\d{1,15})?)\s*['′’])?
        (?:\s*(?P<seconds>\d{1,2}(?:\.\d{1,15})?)\s*(?:["″”]|''))?
        \s*(?P<side>[NSEWnsew]?)\s*""",
    re.VERBOSE | re.ASCII,
)
_SEPARATOR: Final = re.compile(r"\s*[,;]?\s*")
_HOW: Final = "copy it from a map app, like 48.2082, 16.3738"


def parse_place(text: str) -> tuple[float, float]:
    """Latitude and longitude in degrees from "48.2082, 16.3738" or 48°12'29.5"N 16°22'25.7"E. BadInput otherwise."""
    text = text.strip().removeprefix("geo:").strip("()")
    first = _ANGLE.match(text) if len(text) <= _MAX_LENGTH else None
    if first is None:
        raise BadInput(f"this is no place; {_HOW}")
    between = _SEPARATOR.match(text, first.end())
    assert between is not None, "it matches nothing, too"
    second = _ANGLE.fullmatch(text, between.end())
    if second is None or text[between.end() - 1].isdigit():
        raise BadInput(f"a place has two numbers, with points for the decimals; {_HOW}")
    sides = (first["side"].upper(), second["side"].upper())
    if sides not in (("", ""), *((ns, ew) for ns in "NS" for ew in "EW")):
        raise BadInput(f"north or south comes first, then east or west; {_HOW}")
    latitude, longitude = _degrees(first), _degrees(second)
    if abs(latitude) > MAX_LATITUDE or abs(longitude) > 180:
        raise BadInput(f"there is no home at {latitude:g}, {longitude:g}: the first number is how far north; {_HOW}")
    return latitude, longitude


def _degrees(angle: re.Match[str]) -> float:
    minutes, seconds = float(angle["minutes"] or 0), float(angle["seconds"] or 0)
    if minutes >= 60 or seconds >= 60 or (angle["sign"] and angle["side"]):
        raise BadInput(f"this is no place; {_HOW}")
    size = float(angle["degrees"]) + minutes / 60 + seconds / 3600
    return -size if angle["sign"] in ("-", "\N{MINUS SIGN}") or angle["side"].upper() in ("S", "W") else size
