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
# After these nobody, however honest, is let in on this bench: there is no offer to wait for.
SHUT = {
    "a third time in one case",
    "every hour another case",
    "after being blocked",
    "while paused",
    "with a pinned statement that ran out",
    "over a clip that was deleted since",
    "to a requester whose pin ran out since",
    "while the doorbell does not know the time",
}


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
        if named.name not in SHUT:
            offer = await honest_yes(house)
            assert {topic.rsplit("/", 1)[0] for topic, _ in house.sent} == {offer.rsplit("/", 1)[0]}


async def honest_yes(house: House) -> str:
    """Ask and answer honestly on the same wire, and wait for the offer; its topic.

    What an attack had set going would have been sent before it, or with it: the sender takes one after the other.
    """
    request = house.ask()
    decision, keys = house.yes(request)
    await house.decide(request, decision, keys)
    await house.settle(HOUR)
    async with asyncio.timeout(10):  # its bytes are read in a thread
        while not house.sent:
            await house.settle()
    return house.sent[0][0]


def test_none_is_lost_and_the_page_names_them_all() -> None:
    assert len(ATTACKS) >= 106
    assert len({(a.group, a.name) for a in ATTACKS}) == len(ATTACKS)
    assert {a.name for a in ATTACKS} >= SHUT
    assert PAGE.read_text() == table(), "python -m tests.unit.test_attacks writes it"


HEAD = """# Attacks

Each of these is made against a whole doorbell in `tests/attacks`: it is refused by the name beside it, and
not a byte leaves. *silence*: nothing is said at all. On the wire every refusal of a request is silence; the
name stands in the owner's log. *accepted*: the attack is taken without harm, and the owner comes in all the
same. *offer*: made to a requester, who takes none of it. What else a lying broker or doorbell can do to a
requester is in `tests/unit/test_evidence.py` and `tests/unit/test_receiving.py`: any change of any file is
found and the file named.

| what | attack | refused as |
|---|---|---|
"""


def table() -> str:
    """The page."""
    return HEAD + "".join(f"| {a.group} | {a.name} | `{a.reason}` |\n" for a in ATTACKS)


if __name__ == "__main__":
    PAGE.write_text(table())
