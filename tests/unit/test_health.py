"""What the doctor makes of what was measured: the limits, from both sides."""

from __future__ import annotations

import pytest

from agent.core import health
from agent.core.health import Sample, Verdict

FRAME_NS = 66_666_667
MEGABYTE = 1_000_000


@pytest.mark.parametrize(("kept", "verdict"), [(60, Verdict.OK), (50, Verdict.OK), (46, Verdict.BAD), (2, Verdict.BAD)])
def test_a_camera_has_to_keep_up(kept: int, verdict: Verdict) -> None:
    """Four seconds at fifteen a second are sixty pictures; at four fifths of them it falls behind."""
    times = tuple(round(n * 4e9 / (kept - 1)) for n in range(kept))
    camera, encoder = health.camera(Sample(640, 360, times, FRAME_NS))
    assert (camera.verdict, encoder.verdict) == (Verdict.OK, verdict)
    assert f"{(kept - 1) / 4:.1f} pictures a second" in encoder.text
    assert "15 are meant to" in encoder.text


def test_one_picture_is_no_film() -> None:
    (camera,) = health.camera(Sample(640, 360, (7,), FRAME_NS))
    assert camera.verdict is Verdict.BAD


@pytest.mark.parametrize(
    ("syncs", "free", "verdict", "says"),
    [
        ([0.02] * 7 + [0.9], 9000, Verdict.OK, "20 ms, 900 ms at worst"),
        ([0.5] * 8, 9000, Verdict.OK, "500 ms"),
        ([0.51] * 8, 9000, Verdict.BAD, "too slow"),
        ([0.02] * 8, 300, Verdict.BAD, "nothing can be recorded"),
        ([0.02] * 8, 301, Verdict.OK, "clips will go earlier"),
        ([0.02] * 8, 8299, Verdict.OK, "clips will go earlier"),
    ],
)
def test_a_disk_has_to_be_fast_and_have_room(syncs: list[float], free: int, verdict: Verdict, says: str) -> None:
    found = health.disk(MEGABYTE // 2, syncs, free * MEGABYTE, 8000 * MEGABYTE, 300 * MEGABYTE)
    assert (found.verdict, says in found.text) == (verdict, True), found.text
    assert "earlier" not in health.disk(1, syncs, 8300 * MEGABYTE, 8000 * MEGABYTE, 300 * MEGABYTE).text


def test_a_clock_is_kept_right_or_believed() -> None:
    assert health.clock(True, 40_000_000, False).verdict is Verdict.OK
    assert health.clock(False, 0, True).verdict is Verdict.OK
    assert health.clock(False, 0, False).verdict is Verdict.BAD


@pytest.mark.parametrize(("days", "verdict"), [(14.1, Verdict.OK), (13.9, Verdict.BAD), (-2.0, Verdict.BAD)])
def test_a_certificate_is_renewed_in_time(days: float, verdict: Verdict) -> None:
    assert health.certificate("page", "its", 1e9 + days * 86400, 1e9, "renew").verdict is verdict


@pytest.mark.parametrize(
    ("celsius", "verdict"), [(None, Verdict.OFF), (-12.0, Verdict.OK), (79.9, Verdict.OK), (80.0, Verdict.BAD)]
)
def test_heat(celsius: float | None, verdict: Verdict) -> None:
    assert health.temperature(celsius).verdict is verdict


@pytest.mark.parametrize(
    ("bits", "verdict", "says"),
    [
        (None, Verdict.OFF, "does not tell"),
        (0, Verdict.OK, "never"),
        (0x50005, Verdict.BAD, "the voltage is too low"),
        (0x50000, Verdict.BAD, "was too low at some time"),
        (0x8, Verdict.BAD, "too hot"),
        (0x80000, Verdict.BAD, "was too hot at some time"),
    ],
)
def test_power(bits: int | None, verdict: Verdict, says: str) -> None:
    found = health.power(bits)
    assert (found.verdict, says in found.text) == (verdict, True), found.text


def test_whatever_is_wrong_comes_with_what_to_do() -> None:
    wrong = [
        *health.camera(Sample(1, 1, (), 1)), health.disk(1, [1], 0, 0, 0), health.clock(False, 0, False),
        health.certificate("x", "", 0, 0, "renew"), health.temperature(99), health.power(1), health.power(4),
    ]  # fmt: skip
    assert all(found.verdict is Verdict.BAD and found.do for found in wrong)
