"""Each attack of `tests/attacks` is refused by its name and moves no byte.

`docs/attacks.md` is their table; `python -m tests.unit.test_attacks` writes it, and the last test keeps it so.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.attacks import ATTACKS
from tests.attacks.bench import HOUR, House, Named
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "attacks.md"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize("named", ATTACKS, ids=lambda a: f"{a.group}: {a.name}")
async def test_each_attack_is_refused_by_name_and_moves_no_byte(house: House, named: Named) -> None:
    async with house.at_work():
        assert await named.do(house) == named.reason
        await house.settle()
        await house.settle(HOUR)
    assert house.sent == []


async def test_the_same_bench_sends_where_the_owner_says_yes(house: House) -> None:
    """The eyes of the test above are open: an honest yes is heard on the same wire."""
    async with house.at_work():
        request = house.ask()
        decision, keys = house.yes(request)
        await house.decide(request, decision, keys)
        await house.settle(HOUR)
        async with asyncio.timeout(10):  # its bytes are read in a thread
            while not house.sent:
                await house.settle()
    assert any(topic.endswith("/offer") for topic, _ in house.sent)


def test_none_is_lost_and_the_page_names_them_all() -> None:
    assert len(ATTACKS) >= 101
    assert len({(a.group, a.name) for a in ATTACKS}) == len(ATTACKS)
    assert PAGE.read_text() == table(), "python -m tests.unit.test_attacks writes it"


HEAD = """# Attacks

Each of these is made against a whole doorbell in `tests/attacks`: it is refused by the name beside it, and
not a byte leaves. *silence*: nothing is said at all. On the wire every refusal of a request is silence; the
name stands in the owner's log. What a lying broker or doorbell can do to a requester is in
`tests/unit/test_evidence.py` and `tests/unit/test_receiving.py`: any change of any file is found and the
file named.

| what | attack | refused as |
|---|---|---|
"""


def table() -> str:
    """The page."""
    return HEAD + "".join(f"| {a.group} | {a.name} | `{a.reason}` |\n" for a in ATTACKS)


if __name__ == "__main__":
    PAGE.write_text(table())
