"""A place as map apps copy it, and nothing that only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.core.errors import BadInput
from agent.core.place import parse_place

VIENNA = (48.2082, 16.3738)


@pytest.mark.parametrize(
    "text",
    [
        "48.2082, 16.3738",
        "  (48.2082,16.3738) ",
        "48.2082 16.3738",
        "48.2082; 16.3738",
        "48.2082° N, 16.3738° E",
        "48.2082N16.3738E",
        "+48.2082, +16.3738",
        "geo:48.2082,16.3738",
        "48°12'29.52\"N 16°22'25.68\"E",
        "48°12′29.52″N, 16°22′25.68″E",
        "48° 12' 29.52'' N 16° 22' 25.68'' E",
    ],
)
def test_the_ways_of_map_apps(text: str) -> None:
    assert parse_place(text) == pytest.approx(VIENNA, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("-33.8568, 151.2153", (-33.8568, 151.2153)),
        ("33.8568° S, 151.2153° E", (-33.8568, 151.2153)),
        ("40.6892 N 74.0445 W", (40.6892, -74.0445)),
        ("\N{MINUS SIGN}33.8568, \N{MINUS SIGN}70.5", (-33.8568, -70.5)),
    ],
)
def test_south_and_west_are_below_zero(text: str, place: tuple[float, float]) -> None:
    assert parse_place(text) == pytest.approx(place)


@pytest.mark.parametrize(
    "text",
    ["", "48.2082", "Stephansplatz 1, Vienna", "16.3738 E, 48.2082 N", "N, E", "48,2082, 16,3738", "151.2, -33.8",
     "48.2, 181", "48.2, 16.3, 5", "48.1234567890123456", "8516", "48.2-16.3",
     "-48.2 N, 16.3 E", "48°61'N 16°22'E", "48.2 N, 16.3", "nan, nan", "inf, 0",
     "1e1, 2", "٤٨.٢, ١٦.٣", "4" * 5000],
)  # fmt: skip
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(BadInput, match=r"48\.2082, 16\.3738"):
        parse_place(text)


@given(st.floats(-85, 85), st.floats(-180, 180))
@example(-0.0000004, 0.0)
def test_what_is_copied_is_what_is_read(latitude: float, longitude: float) -> None:
    assert parse_place(f"{latitude:.7f}, {longitude:.7f}") == (float(f"{latitude:.7f}"), float(f"{longitude:.7f}"))


@given(st.text(max_size=120))
def test_any_text_is_a_place_or_refused(text: str) -> None:
    try:
        latitude, longitude = parse_place(text)
    except BadInput:
        return
    assert -85 <= latitude <= 85
    assert -180 <= longitude <= 180
