"""Consent: the table, and the window in which a yes can be taken back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.consent import DRAW_BYTES, window_ns

SECOND = 1_000_000_000


@given(st.integers(0, 3600 * SECOND), st.binary(min_size=DRAW_BYTES, max_size=DRAW_BYTES))
def test_a_window_is_never_shorter_than_promised_nor_half_again_as_long(undo_ns: int, draw: bytes) -> None:
    assert undo_ns <= window_ns(undo_ns, draw) <= undo_ns * 3 // 2


def test_draws_spread_over_the_whole_delay_and_none_delays_a_window_of_nothing() -> None:
    assert window_ns(30 * SECOND, bytes(DRAW_BYTES)) == 30 * SECOND
    assert window_ns(30 * SECOND, b"\x80" + bytes(DRAW_BYTES - 1)) == 37_500_000_000
    assert 45 * SECOND - 10 < window_ns(30 * SECOND, b"\xff" * DRAW_BYTES) < 45 * SECOND
    assert window_ns(0, b"\xff" * DRAW_BYTES) == 0
