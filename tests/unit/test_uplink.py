"""The cap on sending, by simulated time: never above the rate, never much below it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.uplink import Uplink

S = 1_000_000_000
SIZES = st.lists(st.integers(1, 65_536), min_size=2, max_size=60)


@given(SIZES, st.integers(12_500, 10_000_000), st.integers(0, 2**62))
def test_over_any_stretch_at_most_the_rate_and_one_message_leaves(sizes: list[int], rate: int, start_ns: int) -> None:
    uplink, now_ns, left = Uplink(rate), start_ns, []
    for size in sizes:
        now_ns += uplink.wait_ns(now_ns)
        assert uplink.wait_ns(now_ns) == 0
        uplink.sent(size, now_ns)
        left.append((now_ns, size))
    for i, (begin_ns, _) in enumerate(left):
        for j in range(i, len(left)):
            sent = sum(size for _, size in left[i:j])
            assert sent <= rate * (left[j][0] - begin_ns) / S + 1
    whole_s = (left[-1][0] - start_ns) / S
    assert abs(whole_s * rate - sum(sizes[:-1])) <= 1 + rate * len(sizes) / S, "and none of the rate is wasted"


def test_what_was_not_used_is_not_made_up_for() -> None:
    uplink = Uplink(1_000)
    uplink.sent(1_000, 0)
    assert uplink.wait_ns(S // 4) == 3 * S // 4
    assert uplink.wait_ns(100 * S) == 0
    uplink.sent(500, 100 * S)
    uplink.sent(500, 100 * S)
    assert uplink.wait_ns(100 * S) == S
