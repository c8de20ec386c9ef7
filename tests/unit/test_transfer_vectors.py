"""The messages of a transfer: each vector has the outcome it names, at the end that takes the message."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from agent.core.bundle import Bundle, Part, Stretch, judge_offer, page_count, read_end, read_offer, read_receipt
from agent.core.encoding import from_b64u, parse_time
from agent.core.errors import Refused
from agent.core.identity import public_key
from agent.core.topics import read_transfer_topic
from agent.core.transfer import Phase, Puller, Server

VECTORS = Path(__file__).parents[1] / "vectors"
FILES = sorted((VECTORS / "transfer").glob("*.json"))
ARRIVALS = {"write", "page", "duplicate", "corrupt", "unknown"}
CONTENT = hashlib.shake_128(b"a bundle").digest(150_001)


def take_offer(vector: dict[str, Any]) -> str:
    topic = read_transfer_topic(vector["topic"])
    assert topic is not None
    offer = judge_offer(
        vector["offer"].encode(), transfer=topic.transfer, requester=vector["requester"],
        asked=vector["requests"].__contains__, now_ns=parse_time(vector["now"]),
    )  # fmt: skip
    assert len(offer.pages) == page_count(offer.size)
    return "accepted"


def bundle_of(blocks: int) -> Bundle:
    """One of so many blocks, that nobody reads."""
    names = ("decision.jws", "clips/0/header.json", "clips/0/manifest.jws", "clips/0/release")
    small = [Part(name, (b"x",)) for name in names]
    return Bundle([*small, Part("clips/0/video.records", (Stretch("ring", 0, blocks * 65_536 - len(small)),))])


def take_gets(vector: dict[str, Any]) -> str:
    server = Server(bundle_of(vector["total"] - 1), (b"the page",))
    assert server.total == vector["total"]
    outcome = ""
    for get in vector["gets"]:
        try:
            server.on_get(get.encode())
            outcome = "accepted"
        except Refused as e:
            outcome = e.reason
    sent = []
    while (n := server.next_block()) is not None:
        sent.append(n)
    assert sent == vector["sends"]
    return outcome


def payload(said: str | list[int]) -> bytes:
    if isinstance(said, str):
        return from_b64u(said)
    data = bytearray(CONTENT[said[0] : said[0] + said[1]])
    for at in said[2:]:
        data[at] ^= 1
    return bytes(data)


def take_blocks(vector: dict[str, Any]) -> str:
    puller = Puller(read_offer(vector["offer"].encode()), seq=0)
    disk = bytearray(puller.size)
    outcome = ""
    for now, (n, said) in enumerate(vector["blocks"]):
        outcome = puller.on_block(n, payload(said), now).value
        if outcome == "write":
            disk[puller.offset_of(n) : puller.offset_of(n) + len(payload(said))] = payload(said)
        if puller.phase is Phase.CHECKING:
            puller.resume([])
    assert puller.phase.value == vector["phase"]
    assert (bytes(disk) == CONTENT[: puller.size]) is (puller.phase is Phase.DONE)
    return outcome


def take_receipt(vector: dict[str, Any]) -> str:
    keys = public_key(from_b64u(vector["signs"], 32))
    read_receipt(vector["receipt"].encode(), vector["offer"].encode(), keys)
    return "accepted"


def take_end(vector: dict[str, Any]) -> str:
    read_end(vector["end"].encode(), read_offer(vector["offer"].encode()))
    return "accepted"


TAKE = {"offer": take_offer, "get": take_gets, "block": take_blocks, "receipt": take_receipt, "end": take_end}


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_each_vector_has_the_outcome_it_names(file: Path) -> None:
    vector = json.loads(file.read_text())
    try:
        outcome = TAKE[vector["message"]](vector)
    except Refused as e:
        outcome = e.reason
    assert outcome == vector["outcome"]


def test_every_outcome_of_the_page_has_a_vector() -> None:
    page = (VECTORS.parents[1] / "docs" / "spec" / "transfer.md").read_text()
    table = page.split("| message | outcome | when |")[1].split("\n\n")[0]
    named = set(re.findall(r"^\| (\w+) \| `([a-z-]+)` \|", table, re.M))
    vectors = [json.loads(f.read_text()) for f in FILES]
    assert len(named) > 20
    assert named == {(v["message"], v["outcome"]) for v in vectors if v["outcome"] != "accepted"}
